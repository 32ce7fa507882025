//! How VMs and images look to people: plain columns, sheets and sentences. Pure.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use crate::control::{ImageInfo, VmInfo};
use crate::model::Bytes;
use crate::model::time::short;

pub(super) mod check;
pub(super) mod deleted;
mod life;
pub(super) mod lint;
pub(super) mod networks;
pub(super) mod ports;
pub(super) mod ring;
pub(super) mod snapshots;
pub(super) mod templates;

/// What is shown where there is nothing.
const NONE: &str = "-";

/// VMs as a table.
pub(super) fn vms(vms: &[VmInfo]) -> String {
    let rows = vms.iter().map(|vm| {
        vec![
            vm.name.clone(),
            state(vm),
            addresses(vm),
            vm.mac.clone(),
            vm.image.clone().unwrap_or_else(|| NONE.to_owned()),
            age(vm.age_seconds),
        ]
    });
    columns(&["NAME", "STATE", "IP", "MAC", "IMAGE", "AGE"], rows)
}

/// Images as a table.
pub(super) fn images(images: &[ImageInfo]) -> String {
    let rows = images.iter().map(|image| {
        vec![
            image.id(),
            if image.current { "yes" } else { NONE }.to_owned(),
            image.format.clone(),
            Bytes(image.virtual_size).to_string(),
            Bytes(image.file_size).to_string(),
            image.boot.clone(),
            image.default_user.clone(),
            image.used_by.len().to_string(),
            age(image.age_seconds),
        ]
    });
    columns(
        &[
            "NAME", "CURRENT", "FORMAT", "SIZE", "FILE", "BOOT", "USER", "VMS", "AGE",
        ],
        rows,
    )
}

/// The addresses of all its NICs, the first one's first.
fn addresses(vm: &VmInfo) -> String {
    let more = vm.nics.iter().skip(1);
    more.fold(vm.ip.to_string(), |all, nic| format!("{all},{}", nic.ip))
}

/// What a VM is right now, in one or two words: `ready`, `running (dhcp)`, `stopped`.
pub(super) fn state(vm: &VmInfo) -> String {
    match (vm.state.as_str(), vm.step.as_deref()) {
        ("running", Some("ready")) => "ready".to_owned(),
        ("paused", _) => {
            let why = vm.life.paused.as_deref().unwrap_or("by hand");
            format!("paused ({why})")
        }
        ("running" | "external", Some(step)) => format!("{} ({step})", vm.state),
        (state, _) => state.to_owned(),
    }
}

/// One sentence on each VM.
pub(super) fn vm_sentences(vms: &[VmInfo]) -> String {
    let sentence = |vm: &VmInfo| match (vm.state.as_str(), &vm.failure) {
        ("failed", Some(why)) => format!("{} failed: {why}\n", vm.name),
        ("external", _) => format!("{} is registered at {} with MAC {}\n", vm.name, vm.ip, vm.mac),
        ("stopped", _) => format!("{} is stopped\n", vm.name),
        _ => format!("{} is {} at {}\n", vm.name, state(vm), vm.ip),
    };
    let effects = |vm: &VmInfo| {
        let lines = vm.effects.iter();
        lines.fold(String::new(), |text, line| text + "  " + line + "\n")
    };
    vms.iter().map(|vm| sentence(vm) + &effects(vm)).collect()
}

/// All that is known of each VM.
pub(super) fn vm_sheets(vms: &[VmInfo]) -> String {
    let size = |bytes: Option<u64>| bytes.map(|bytes| Bytes(bytes).to_string());
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    sheets(vms.iter().map(|vm| {
        let mut lines = vec![
            ("Name", Some(vm.name.clone())),
            ("State", Some(state(vm))),
            ("Failure", vm.failure.clone()),
            ("FQDN", Some(vm.fqdn.clone())),
            ("IP", Some(vm.ip.to_string())),
            ("MAC", Some(vm.mac.clone())),
            ("Network", Some(vm.network.clone())),
            ("Image", vm.image.clone()),
            ("CPUs", vm.cpus.map(|cpus| cpus.to_string())),
            ("Memory", size(vm.memory)),
            ("Disk", size(vm.disk)),
            ("Swap", size(vm.swap)),
            ("Machine", vm.hardware.machine_type.clone()),
            ("CPU model", vm.hardware.cpu_model.clone()),
            ("Firmware", vm.hardware.firmware.clone()),
            ("User", vm.default_user.clone()),
            ("Template", Some(vm.template.clone())),
            ("View", Some(vm.view.clone())),
            ("Seed URL", Some(vm.seed_url.clone())),
            ("Secrets", vm.secrets.clone()),
            ("UUID", Some(vm.uuid.clone())),
            ("Tap", Some(vm.tap.clone())),
            ("QEMU pid", vm.pid.map(|pid| pid.to_string())),
            ("Accelerator", vm.accel.clone()),
            ("Serial log", path(&vm.console_log)),
            ("Created", Some(created(&vm.created, vm.age_seconds))),
        ];
        let disks = vm.hardware.extra_disks.iter();
        lines.extend(disks.map(|disk| ("Other disk", Some(format!("{} {}", disk.name, Bytes(disk.size))))));
        let needs = &vm.hardware.needs_restart;
        lines.push(("Restart for", (!needs.is_empty()).then(|| needs.join(", "))));
        let refused = format!("{} requests of others from its address", vm.impersonations);
        lines.extend(vm.nics.iter().skip(1).map(|nic| {
            let shown = format!(
                "{} {} {} {} slot {:#x}",
                nic.network, nic.ip, nic.mac, nic.tap, nic.slot
            );
            ("Further NIC", Some(shown))
        }));
        lines.push(("Refused", (vm.impersonations > 0).then_some(refused)));
        lines.push(("cloud-init", vm.cloud_init.clone()));
        let failed = vm.cloud_init_failures.iter();
        lines.extend(failed.map(|line| ("Failed there", Some(line.clone()))));
        lines.extend(life::lines(vm));
        lines.push(("Owner", vm.owner.clone()));
        lines.extend(vm.users.iter().map(|user| ("Account", Some(user.clone()))));
        lines.extend(vm.ring.iter().map(|name| ("Ring key", Some(name.clone()))));
        lines.extend(vm.keys.iter().map(|key| ("Key", Some(key.clone()))));
        lines.extend(vm.host_keys.iter().map(|key| ("Host key", Some(key.clone()))));
        lines
    }))
}

/// All that is known of each image.
pub(super) fn image_sheets(images: &[ImageInfo]) -> String {
    sheets(images.iter().map(|image| {
        vec![
            ("Name", Some(image.id())),
            (
                "Current",
                image.current.then(|| "yes: new clones are made of it".to_owned()),
            ),
            (
                "From",
                Some(image.origin.clone()).filter(|origin| !origin.is_empty()),
            ),
            ("Format", Some(image.format.clone())),
            ("SHA-256", Some(image.sha256.clone())),
            ("Size", Some(Bytes(image.virtual_size).to_string())),
            ("File size", Some(Bytes(image.file_size).to_string())),
            ("Boot", Some(image.boot.clone())),
            ("User", Some(image.default_user.clone())),
            ("View", Some(image.view.clone())),
            ("cloud-init", image.cloud_init.clone()),
            (
                "Used by",
                (!image.used_by.is_empty()).then(|| image.used_by.join(" ")),
            ),
            (
                "Kept for",
                (!image.kept_for.is_empty()).then(|| format!("{} (deleted)", image.kept_for.join(" "))),
            ),
            ("Created", Some(created(&image.created, image.age_seconds))),
        ]
    }))
}

fn age(seconds: u64) -> String {
    short(Duration::from_secs(seconds))
}

fn created(when: &str, age_seconds: u64) -> String {
    format!("{when} ({} ago)", age(age_seconds))
}

/// Rows under a header, without borders; only the header when there are none.
fn columns(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.trim_fmt()
}

/// `Name: value` lines, a blank line between sheets; what is not known is left out.
fn sheets(sheets: impl Iterator<Item = Vec<(&'static str, Option<String>)>>) -> String {
    let sheet = |lines: Vec<(&'static str, Option<String>)>| {
        let known = lines
            .into_iter()
            .filter_map(|(label, value)| value.map(|value| format!("{:<13}{value}\n", format!("{label}:"))));
        known.collect::<String>()
    };
    sheets.map(sheet).collect::<Vec<_>>().join("\n")
}
