//! What a VM is created with and keeps, and whether the installed QEMU can give it that.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::{Daemon, selection, shape};
use crate::control::{DiskInfo, HardwareChange, HardwareInfo, NewHardware, Refusal};
use crate::machine::{Emulator, EmulatorError, emulator};
use crate::model::{Bytes, CpuModel, DiskName, ExtraDisk, Hardware, Machine, MachineType, Vm};
use crate::registry::HardwareEdit;

/// What the installed QEMU said of itself, as long as it is the same file.
#[derive(Debug, Default)]
pub(super) struct Installed(tokio::sync::Mutex<Option<(Stamp, Arc<Emulator>)>>);

/// The word for the model of a processor that is not pinned.
const HOST: &str = "host";

/// By which a program is known to be another one: an upgrade puts a new file in its place.
type Stamp = [i64; 4];

fn stamp(program: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(program).ok()?;
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Some([
        number(data.ino()),
        number(data.size()),
        data.mtime(),
        data.mtime_nsec(),
    ])
}

/// What the installed QEMU is. One that was replaced since it was asked is asked again.
pub(super) async fn installed(daemon: &Daemon) -> Result<Arc<Emulator>, Refusal> {
    let program = &daemon.config.qemu;
    let mut known = daemon.installed.0.lock().await;
    let now = stamp(program);
    if let Some((then, emulator)) = known.as_ref()
        && now == Some(*then)
    {
        return Ok(Arc::clone(emulator));
    }
    let emulator = Arc::new(emulator::ask(program, daemon.accel).await?);
    if let Some((_, before)) = known.as_ref() {
        tracing::info!(
            "QEMU was replaced: {} before, {} now; VMs that run stay with what they were started by.",
            before.version,
            emulator.version
        );
    }
    *known = now.map(|now| (now, Arc::clone(&emulator)));
    Ok(emulator)
}

/// What new VMs are created with.
pub(super) async fn pinned(daemon: &Daemon, asked: &NewHardware) -> Result<Hardware, Refusal> {
    let emulator = installed(daemon).await?;
    let mut hardware = Hardware {
        machine_type: Some(emulator.newest.clone()),
        cpu_model: asked.cpu_model.as_ref().map_or(Ok(None), cpu_model)?,
        ..Hardware::default()
    };
    emulator.check(&hardware)?;
    for (name, size) in named_sizes(&asked.add_disks)? {
        let added = hardware.add_disk(name, size);
        added.map_err(|problem| Refusal::request(format!("the VM can not be made so: {problem}")))?;
    }
    Ok(hardware)
}

/// What to change of what VMs were created with.
pub(super) async fn edit(daemon: &Daemon, asked: &HardwareChange) -> Result<HardwareEdit, Refusal> {
    if *asked == HardwareChange::default() {
        return Ok(HardwareEdit::default());
    }
    let emulator = installed(daemon).await?;
    // `data=20G` is a disk beside the VM's own, `20G` its own.
    let (named, own): (Vec<_>, Vec<_>) = asked.disk.iter().cloned().partition(|text| text.contains('='));
    let edit = HardwareEdit {
        machine_type: match asked.machine_type.as_deref() {
            Some("newest") => Some(emulator.newest.clone()),
            Some(text) => Some(selection::parse::<MachineType>(text)?),
            None => None,
        },
        cpu_model: asked.cpu_model.as_ref().map(cpu_model).transpose()?,
        disk: own.last().map(|text| sized("of that size", text)).transpose()?,
        grow_disks: named_sizes(&named)?,
        add_disks: named_sizes(&asked.add_disks)?,
        remove_disks: asked
            .remove_disks
            .iter()
            .map(|name| selection::parse(name))
            .collect::<Result<_, _>>()?,
    };
    emulator.check(&Hardware {
        machine_type: edit.machine_type.clone(),
        cpu_model: edit.cpu_model.clone().flatten(),
        ..Hardware::default()
    })?;
    Ok(edit)
}

/// The model of that name; nothing for `host`, which is what a VM without a model has.
fn cpu_model(text: &String) -> Result<Option<CpuModel>, Refusal> {
    let named = Some(text).filter(|text| *text != HOST);
    selection::parse_opt(named)
}

/// Reads `NAME=SIZE`.
fn named_sizes(texts: &[String]) -> Result<Vec<(DiskName, Bytes)>, Refusal> {
    let read = |text: &String| {
        let (name, size) = text.split_once('=').ok_or_else(|| {
            let shown = text.escape_debug();
            Refusal::request(format!("`{shown}` is no disk: give NAME=SIZE, such as data=10G"))
        })?;
        Ok((selection::parse(name)?, sized(name, size)?))
    };
    texts.iter().map(read).collect()
}

/// Reads the size of a disk.
fn sized(name: &str, text: &str) -> Result<Bytes, Refusal> {
    let size = selection::parse(text)?;
    shape::check_disk(name, size)?;
    Ok(size)
}

/// What a VM was created with, as it is shown.
pub(super) fn info(daemon: &Daemon, vm: &Vm) -> HardwareInfo {
    let Some(machine) = vm.machine() else {
        return HardwareInfo::default();
    };
    let unpinned = Hardware::default();
    let hardware = machine.hardware.as_deref().unwrap_or(&unpinned);
    let model = hardware.cpu_model.as_ref();
    HardwareInfo {
        machine_type: hardware.machine_type.as_ref().map(ToString::to_string),
        cpu_model: Some(model.map_or(HOST, CpuModel::as_str).to_owned()),
        extra_disks: hardware.disks.iter().map(disk).collect(),
        needs_restart: shape::needs_restart(daemon, vm),
    }
}

fn disk(disk: &ExtraDisk) -> DiskInfo {
    DiskInfo {
        name: disk.name.to_string(),
        size: disk.size.0,
    }
}

/// Refuses to start a VM that the installed QEMU can not give what it was created with.
pub(super) async fn fits(daemon: &Daemon, vm: &Vm, machine: &Machine) -> Result<(), Refusal> {
    let emulator = installed(daemon).await?;
    let unpinned = Hardware::default();
    let hardware = machine.hardware.as_deref().unwrap_or(&unpinned);
    emulator.check(hardware).map_err(|error| {
        let hint = match &error {
            EmulatorError::Board { .. } => format!(
                "install a QEMU that has it, or give the VM the newest one: seedbed set {} --machine-type newest",
                vm.name
            ),
            _ => format!("give it the host's own: seedbed set {} --cpu-model host", vm.name),
        };
        Refusal::host(format!("{} can not be started: {error}", vm.name)).hint(hint)
    })
}
