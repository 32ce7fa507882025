//! The rules of snapshots: their names, and what a VM is when it goes back to one. Pure.

use super::apply::{registered, replaced};
use super::change::Effect;
use super::refusal::Refusal;
use crate::model::name::SnapshotName;
use crate::model::snapshot::Snapshot;
use crate::model::{Directory, Hosting, Machine, Phase, Vm, VmName};

/// Notes that a snapshot was taken.
pub(super) fn add(directory: &Directory, name: &VmName, snapshot: Snapshot) -> Result<Effect, Refusal> {
    changed(directory, name, |machine| {
        if machine.snapshot(&snapshot.name).is_some() {
            return Err(Refusal::SnapshotTaken {
                vm: name.clone(),
                snapshot: snapshot.name,
            });
        }
        machine.remember(|history| history.snapshots.push(snapshot));
        Ok(())
    })
}

/// Forgets a snapshot.
pub(super) fn remove(
    directory: &Directory,
    name: &VmName,
    snapshot: &SnapshotName,
) -> Result<Effect, Refusal> {
    changed(directory, name, |machine| {
        known(machine, name, snapshot)?;
        machine.remember(|history| history.snapshots.retain(|other| other.name != *snapshot));
        Ok(())
    })
}

/// Gives a VM the disks of a snapshot, which lie beside its own, and makes it who it was to its guest then.
pub(super) fn restore(
    directory: &Directory,
    name: &VmName,
    snapshot: &SnapshotName,
) -> Result<Effect, Refusal> {
    let old = registered(directory, name)?;
    let mut vm = Vm::clone(old);
    let Hosting::Managed(machine) = &mut vm.hosting else {
        return Err(Refusal::External { vm: name.clone() });
    };
    let then = known(machine, name, snapshot)?.clone();
    (machine.image, machine.disk, machine.phase) = (then.image, then.disk, Phase::Replacing);
    machine.remember(|history| history.restores = history.restores.saturating_add(1));
    vm.uuid = then.uuid;
    vm.first_boot = then.first_boot;
    vm.customize(|custom| custom.instance.renewed = then.renewed);
    if vm.succeeded().is_none() {
        // Its first boot is still to come, and is told its secrets.
        vm.customize(|custom| custom.secrets.released = None);
    }
    Ok(replaced(old, vm))
}

fn known<'a>(machine: &'a Machine, vm: &VmName, snapshot: &SnapshotName) -> Result<&'a Snapshot, Refusal> {
    machine
        .snapshot(snapshot)
        .ok_or_else(|| Refusal::UnknownSnapshot {
            vm: vm.clone(),
            snapshot: snapshot.clone(),
        })
}

fn changed(
    directory: &Directory,
    name: &VmName,
    change: impl FnOnce(&mut Machine) -> Result<(), Refusal>,
) -> Result<Effect, Refusal> {
    let old = registered(directory, name)?;
    let mut vm = Vm::clone(old);
    match &mut vm.hosting {
        Hosting::External => return Err(Refusal::External { vm: name.clone() }),
        Hosting::Managed(machine) => change(machine)?,
    }
    Ok(replaced(old, vm))
}
