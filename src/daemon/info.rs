//! Records and states as the control vocabulary shows them.

use std::sync::Arc;

use super::heard::Told;
use super::{Daemon, custom, hardware, life, nics, seed_device};
use crate::control::{ImageInfo, VmInfo};
use crate::model::image::{Boot, View};
use crate::model::{BootStep, Directory, Image, Network, SshKey, Timestamp, Vm, VmState, Window, mac};
use crate::seed;

/// VMs as they are shown. Their processes are looked at: where the kernel keeps who looks waiting, as at a QEMU whose disk hangs,
/// guests are answered meanwhile by another thread.
pub(super) fn vms(daemon: &Daemon, vms: &[Arc<Vm>]) -> Vec<VmInfo> {
    tokio::task::block_in_place(|| vms.iter().map(|each| vm(daemon, each)).collect())
}

/// A VM as it is shown.
pub(super) fn vm(daemon: &Daemon, vm: &Arc<Vm>) -> VmInfo {
    let directory = daemon.directory();
    let network = directory.network(&vm.network);
    let machine = vm.machine();
    let image = directory.image_of(&vm.hosting);
    let seen = daemon.status.seen(vm);
    let places = &daemon.config.places;
    let (served, access) = (directory.served(vm), vm.access());
    let (state, failure, pid) = state_words(&seen.state);
    let told = daemon.heard.of(&vm.name);
    VmInfo {
        name: vm.name.to_string(),
        fqdn: fqdn(vm, network),
        state: state.to_owned(),
        step: seen
            .progress
            .map(|progress| BootStep::as_str(progress.step).to_owned()),
        failure,
        ip: vm.address,
        mac: mac::text(vm.mac),
        network: vm.network.to_string(),
        uuid: vm.uuid.to_string(),
        tap: vm.tap.to_string(),
        image: machine.map(|machine| machine.image.to_string()),
        cpus: machine.map(|machine| machine.cpus),
        memory: machine.map(|machine| machine.memory.0),
        disk: machine.map(|machine| machine.disk.0),
        swap: machine.map(|machine| machine.swap.0),
        default_user: image.map(|image| image.default_user.clone()),
        keys: served.keys.iter().map(ToString::to_string).collect(),
        owner: access.and_then(|access| access.owner.as_ref().map(ToString::to_string)),
        ring: access.map_or_else(Vec::new, |access| {
            access.ring.iter().map(ToString::to_string).collect()
        }),
        users: vm.users().iter().map(custom::account).collect(),
        aliases: vm.aliases().iter().map(ToString::to_string).collect(),
        netboot: vm.boot().map(ToString::to_string),
        dhcp: custom::lines(vm),
        template: vm.template.to_string(),
        view: seed_device::told(vm, image.map(|image| &**image)),
        seed_url: network.map_or_else(String::new, |network| seed::url(network)),
        secrets: secrets(&directory, vm, &told, daemon.clock.now()),
        instance_id_policy: vm.instance().policy.as_str().to_owned(),
        cloud_init: told.last,
        cloud_init_failures: told.failures.into(),
        impersonations: daemon.impersonations.of(&vm.name),
        effects: Vec::new(),
        created: rfc3339(vm.created),
        age_seconds: vm.created.age(daemon.clock.now()).as_secs(),
        pid,
        accel: seen.accel.map(|accel| accel.as_str().to_owned()),
        host_keys: vm.host_keys().iter().map(SshKey::to_string).collect(),
        serial: seen.is_up().then(|| places.console(&vm.name)),
        console_log: machine.map(|_| places.console_log(&vm.name)),
        known_hosts: places.known_hosts(),
        life: life::info(daemon, vm, &seen.state),
        hardware: hardware::info(daemon, vm),
        nics: nics::shown(&directory, vm),
    }
}

/// The name a VM has in the domain of its network.
fn fqdn(vm: &Vm, network: Option<&Arc<Network>>) -> String {
    network.map_or_else(
        || vm.name.to_string(),
        |network| format!("{}.{}", vm.name, network.domain),
    )
}

/// Whether a VM is told its secrets now, and who came too late for them.
fn secrets(directory: &Directory, vm: &Vm, told: &Told, now: Timestamp) -> Option<String> {
    let late = told.withheld.map_or_else(String::new, |(count, last)| {
        format!("; read without them: {count} times, last at {}", rfc3339(last))
    });
    let window = match directory.window(vm, now) {
        Window::Nothing => return None,
        _ if directory.view_of(vm) == View::Offline => "written into its disk before it starts".to_owned(),
        Window::Waiting => "released at its next start".to_owned(),
        Window::Open { until: None } => "released at its first boot".to_owned(),
        Window::Open { until: Some(until) } => {
            format!(
                "released until its first boot succeeds, at the latest {}",
                rfc3339(until)
            )
        }
        Window::Succeeded(at) => format!("withheld since its first boot succeeded at {}", rfc3339(at)),
        Window::Expired(at) => {
            let again = if vm.machine().is_some() {
                "its next start releases them again".to_owned()
            } else {
                format!("seedbed set {} --release-secrets", vm.name)
            };
            let at = rfc3339(at);
            format!("withheld since {at}: its first boot did not succeed in time ({again})")
        }
    };
    Some(window + &late)
}

pub(super) fn state_words(state: &VmState) -> (&'static str, Option<String>, Option<u32>) {
    match state {
        VmState::External => ("external", None, None),
        VmState::Stopped => ("stopped", None, None),
        VmState::Starting => ("starting", None, None),
        VmState::Running { pid } => ("running", None, Some(*pid)),
        VmState::Stopping { pid } => ("stopping", None, Some(*pid)),
        VmState::Failed { why } => ("failed", Some(why.clone()), None),
        VmState::Paused { pid, .. } => ("paused", None, Some(*pid)),
    }
}

/// An image as it is shown.
pub(super) fn image(daemon: &Daemon, image: &Image) -> ImageInfo {
    let directory = daemon.directory();
    ImageInfo {
        name: image.id.name().to_string(),
        generation: image.id.generation().number(),
        current: directory
            .current(image.id.name())
            .is_some_and(|current| current.id == image.id),
        origin: image.origin.clone(),
        format: image.format.as_str().to_owned(),
        sha256: image.sha256.clone(),
        virtual_size: image.virtual_size.0,
        file_size: image.file_size.0,
        boot: match image.boot {
            Boot::Disk => "disk".to_owned(),
            Boot::Kernel { .. } => "kernel".to_owned(),
        },
        default_user: image.default_user.clone(),
        view: image.view.as_str().to_owned(),
        cloud_init: image.cloud_init.map(|release| release.to_string()),
        used_by: directory
            .clones_of(&image.id)
            .map(|vm| vm.name.to_string())
            .collect(),
        kept_for: directory
            .deleted_clones_of(&image.id)
            .map(|deleted| deleted.id.name.to_string())
            .collect(),
        created: rfc3339(image.created),
        age_seconds: image.created.age(daemon.clock.now()).as_secs(),
    }
}

pub(super) fn rfc3339(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| at.0.to_string(), |time| time.to_string())
}
