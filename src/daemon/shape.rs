//! Changes of a VM's shape: made true at once where that can be, and what still needs a restart.

use std::sync::Arc;
use std::time::Duration;

use super::{Daemon, failpoint, machines};
use crate::control::Refusal;
use crate::image::format::LARGEST;
use crate::machine::qmp::{Qmp, QmpError};
use crate::machine::shape;
use crate::model::{Bytes, DiskName, ExtraDisk, Machine, Vm, VmName, VmState, identity};
use crate::registry::{Change, Committed, Edit, HardwareEdit};

/// How long a guest may take to give memory back before it is told that it has not.
const PATIENCE: Duration = Duration::from_secs(3);
/// The smallest disk that is worth one.
const LEAST: Bytes = Bytes::mib(1);

/// Refuses sizes that no disk of ours has.
pub(super) fn check_disk(name: &str, size: Bytes) -> Result<(), Refusal> {
    if (LEAST..=LARGEST).contains(&size) {
        return Ok(());
    }
    Err(
        Refusal::request(format!("a disk {name} of {size} can not be made"))
            .hint(format!("give a size between {LEAST} and {LARGEST}, with a unit")),
    )
}

/// Makes the disks that VMs are to have besides: before the registry says that they have them.
async fn make_disks(daemon: &Daemon, vms: &[Arc<Vm>], edit: &HardwareEdit) -> Result<(), Refusal> {
    let mut wanted = Vec::new();
    for vm in vms {
        // One that it has is not made anew: what is on it stays, and the registry refuses the change.
        let new = edit
            .add_disks
            .iter()
            .filter(|(name, _)| extra_disk(vm, name).is_none());
        wanted.extend(new.map(|(name, size)| (Arc::clone(vm), name.clone(), *size)));
    }
    for (vm, name, size) in wanted {
        let store = daemon.store.clone();
        tokio::task::spawn_blocking(move || store.make_extra_disk(&vm, &name, size)).await??;
        failpoint::reach("extra disk made");
    }
    Ok(())
}

/// Commits a change of VMs, with the disks that they get made before; refused, they are removed again.
pub(super) async fn commit(
    daemon: &Daemon,
    vms: &[Arc<Vm>],
    names: Vec<VmName>,
    edit: Edit,
) -> Result<Committed, Refusal> {
    let made = make_disks(daemon, vms, &edit.hardware).await;
    let committed = match made {
        Ok(()) => daemon
            .commit(Change::Update {
                names,
                edit: Box::new(edit),
            })
            .await
            .map_err(Refusal::from),
        Err(refusal) => Err(refusal),
    };
    if committed.is_err() {
        for vm in vms {
            sweep(daemon, vm).await?;
        }
    }
    failpoint::reach("extra disks registered");
    committed
}

fn extra_disk<'a>(vm: &'a Vm, name: &DiskName) -> Option<&'a ExtraDisk> {
    let disks = vm.machine()?.extra_disks();
    disks.iter().find(|disk| disk.name == *name)
}

/// Removes the files of extra disks that a VM's record does not have.
pub(super) async fn sweep(daemon: &Daemon, vm: &Vm) -> Result<(), Refusal> {
    let Some(machine) = vm.machine().cloned() else {
        return Ok(());
    };
    let (store, name) = (daemon.store.clone(), vm.name.clone());
    let swept = tokio::task::spawn_blocking(move || store.sweep_extra_disks(&name, &machine)).await??;
    for disk in swept {
        tracing::info!(vm = %vm.name, "removed the disk {disk} of {}.", vm.name);
    }
    Ok(())
}

/// Makes a change true as far as it can be now; a line on each part of it, and when it counts. The caller holds the VM's lock.
pub(super) async fn apply(daemon: &Daemon, old: &Vm, new: &Arc<Vm>) -> Vec<String> {
    let (Some(before), Some(after)) = (old.machine(), new.machine()) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    if let Err(refusal) = sweep(daemon, new).await {
        tracing::warn!(vm = %new.name, "could not remove what is no disk of {} any more: {refusal}.", new.name);
    }
    let grown = grown(before, after);
    if !daemon.status.seen(new).is_up() {
        if !grown.is_empty()
            && let Err(refusal) = grow(daemon, new, after).await
        {
            lines.push(format!("disk: at its next start ({refusal})"));
        }
        return lines;
    }
    let restart = format!("from its next start on (seedbed restart {})", new.name);
    for (name, node, size) in grown {
        let result = resized(daemon, new, &node, size).await;
        lines.push(match result {
            Ok(()) => format!("{name}: at once, in front of what its guest has on it"),
            Err(error) => format!("{name}: {restart}: {error}"),
        });
    }
    if before.memory != after.memory {
        lines.push(memory(daemon, new, after.memory, &restart).await);
    }
    lines.extend(new_disks(before, after, &restart));
    lines
}

/// Disks that are larger now: what they are called, their nodes, and their sizes.
fn grown(before: &Machine, after: &Machine) -> Vec<(String, String, Bytes)> {
    let mut grown = Vec::new();
    if after.disk > before.disk {
        grown.push(("disk".to_owned(), "root".to_owned(), after.disk));
    }
    for disk in after.extra_disks() {
        let name = &disk.name;
        let was = before.extra_disks().iter().find(|was| was.name == *name);
        if was.is_some_and(|was| was.size < disk.size) {
            grown.push((format!("disk {name}"), disk.node(), disk.size));
        }
    }
    grown
}

/// Disks that a guest gets when QEMU starts: slots of the board itself take nothing while it runs.
fn new_disks<'a>(
    before: &'a Machine,
    after: &'a Machine,
    when: &'a str,
) -> impl Iterator<Item = String> + 'a {
    let is_new = |disk: &&ExtraDisk| before.extra_disks().iter().all(|was| was.name != disk.name);
    let new = after.extra_disks().iter().filter(is_new);
    new.map(move |disk| format!("disk {}: {when}", disk.name))
}

/// Makes the disks of a VM that does not run as large as its record says.
pub(super) async fn grow(daemon: &Daemon, vm: &Arc<Vm>, machine: &Machine) -> Result<(), Refusal> {
    let image = machines::image_of(daemon, machine)?;
    let (store, vm, machine) = (daemon.store.clone(), Arc::clone(vm), machine.clone());
    Ok(tokio::task::spawn_blocking(move || store.grow_disks(&vm, &machine, &image)).await??)
}

/// A connection to a VM's QEMU.
pub(super) async fn connected(daemon: &Daemon, vm: &Vm) -> Result<Qmp, QmpError> {
    Qmp::connect(&daemon.config.places.qmp(&vm.name), identity::uid(vm.address)).await
}

async fn resized(daemon: &Daemon, vm: &Vm, node: &str, size: Bytes) -> Result<(), QmpError> {
    connected(daemon, vm).await?.resize_disk(node, size).await
}

/// Has a guest use as much memory as its record says, as far as it was started with that.
async fn memory(daemon: &Daemon, vm: &Vm, wanted: Bytes, restart: &str) -> String {
    let args = running(daemon, vm).unwrap_or_default();
    let Some(most) = shape::most_memory(&args).filter(|_| shape::has_balloon(&args)) else {
        return format!("memory: {restart}");
    };
    let asked = async {
        let mut qmp = connected(daemon, vm).await?;
        qmp.settle_memory(wanted.min(most), PATIENCE).await
    };
    match asked.await {
        Err(error) => format!("memory: {restart}: {error}"),
        Ok(has) if wanted > most => {
            format!("memory: {restart}: it was started with {most}, and has {has} of that now")
        }
        Ok(has) if has == wanted => "memory: at once".to_owned(),
        Ok(has) => format!("memory: its guest was asked, and has {has} yet; for certain {restart}"),
    }
}

fn pid(daemon: &Daemon, vm: &Vm) -> Option<u32> {
    match daemon.status.seen(vm).state {
        VmState::Running { pid } | VmState::Paused { pid, .. } => Some(pid),
        _ => None,
    }
}

/// The command line of the QEMU that runs a VM.
pub(super) fn running(daemon: &Daemon, vm: &Vm) -> Option<Vec<String>> {
    let pid = pid(daemon, vm)?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8(line).ok()?;
    Some(text.split_terminator('\0').map(str::to_owned).collect())
}

/// What of a VM that runs is not what its record says, and would be after a restart.
pub(super) fn needs_restart(daemon: &Daemon, vm: &Vm) -> Vec<String> {
    let Some(running) = running(daemon, vm) else {
        return Vec::new();
    };
    let cards = daemon.cards.of(&vm.name);
    let mut needs = wanted(daemon, vm).map_or_else(Vec::new, |wanted| {
        shape::differing(&running, &wanted, cards.as_deref())
    });
    if !daemon.cards.cut_off(&vm.name).is_empty() && needs.iter().all(|what| what != "NIC") {
        needs.push("NIC".to_owned());
    }
    if is_replaced(daemon, vm) {
        needs.push("QEMU (what runs is from before an upgrade)".to_owned());
    }
    needs
}

fn wanted(daemon: &Daemon, vm: &Vm) -> Option<Vec<String>> {
    let machine = vm.machine()?;
    let image = machines::image_of(daemon, machine).ok()?;
    let network = daemon.network_of(vm).ok()?;
    machines::argv(daemon, vm, (machine, &image, None), &network).ok()
}

/// Whether the program that a VM runs by was replaced since: its file is not in its place any more.
fn is_replaced(daemon: &Daemon, vm: &Vm) -> bool {
    let program = pid(daemon, vm).map(|pid| std::fs::read_link(format!("/proc/{pid}/exe")));
    program
        .and_then(Result::ok)
        .is_some_and(|path| path.to_string_lossy().ends_with(" (deleted)"))
}
