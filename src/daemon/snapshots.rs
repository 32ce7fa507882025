//! Snapshots of VMs' disks.
//!
//! ```text
//!   create:  copy (of one that runs, while it stands still) -> the registry knows it
//!               \__ cut short: swept, and the guest goes on __/
//!   restore: copied beside its disks -> Restore (phase Replacing) -> put in place -> Launched          see replace
//!   delete:  the registry forgets it -> its files are removed
//! ```

use std::sync::Arc;

use super::{Daemon, failpoint, images, info, machines, replace, selection, still, workshop};
use crate::control::serve::ProgressSink;
use crate::control::{Answer, Refusal, SnapshotInfo, SnapshotRequest};
use crate::model::name::SnapshotName;
use crate::model::snapshot::Snapshot;
use crate::model::{Machine, Revision, Vm};
use crate::registry::Change;

/// Does what is asked.
pub(super) async fn handle(
    daemon: &Arc<Daemon>,
    request: SnapshotRequest,
    progress: &ProgressSink,
) -> Result<Answer, Refusal> {
    match request {
        SnapshotRequest::Create { vm, name } => create(daemon, &vm, name.as_ref(), progress)
            .await
            .map(Answer::Done),
        SnapshotRequest::List { vm } => list(daemon, &vm),
        SnapshotRequest::Restore {
            vm,
            name,
            force,
            start,
        } => {
            let name = selection::parse(&name)?;
            restore(daemon, &vm, &name, (force, start), progress)
                .await
                .map(Answer::Done)
        }
        SnapshotRequest::Delete { vm, name } => delete(daemon, &vm, &selection::parse(&name)?)
            .await
            .map(Answer::Done),
    }
}

async fn create(
    daemon: &Arc<Daemon>,
    vm: &str,
    name: Option<&String>,
    progress: &ProgressSink,
) -> Result<String, Refusal> {
    let vm = selection::named(&daemon.directory(), vm)?;
    let _held = daemon.lock(&vm).await;
    let vm = daemon.still(&vm)?;
    let machine = machines::machine_of(&vm)?;
    workshop::refuse(&vm)?;
    replace::settled(daemon, &vm, machine).await?;
    let name = match selection::parse_opt(name)? {
        Some(name) => free(&vm, machine, name)?,
        None => next(machine)?,
    };
    progress.line(vm.name.as_str(), format!("taking snapshot {name}"));
    // Waited for first: no guest stands still for the disks of others.
    let _slot = daemon.admission.disks().await;
    let live = daemon.status.seen(&vm).is_up();
    let work = async {
        still::while_still(daemon, &vm, taken(daemon, &vm, &name)).await?;
        failpoint::reach("snapshot taken");
        let change = Change::AddSnapshot {
            vm: vm.name.clone(),
            snapshot: of(daemon, &vm, machine, (name.clone(), live)),
        };
        Ok::<_, Refusal>(daemon.commit(change).await?)
    };
    if let Err(refusal) = work.await {
        removed(daemon, &vm, &name).await?;
        return Err(refusal);
    }
    failpoint::reach("snapshot kept");
    let how = if live { ", as after a power cut" } else { "" };
    Ok(format!("snapshot {name} of {} is taken{how}", vm.name))
}

async fn taken(daemon: &Daemon, vm: &Arc<Vm>, name: &SnapshotName) -> Result<(), Refusal> {
    let (store, vm, name) = (daemon.store.clone(), Arc::clone(vm), name.clone());
    tokio::task::spawn_blocking(move || store.take_snapshot(&vm, &name)).await??;
    Ok(())
}

/// What is remembered of a snapshot.
fn of(daemon: &Daemon, vm: &Vm, machine: &Machine, (name, live): (SnapshotName, bool)) -> Snapshot {
    Snapshot {
        name,
        taken: daemon.clock.now(),
        live,
        image: machine.image.clone(),
        disk: machine.disk,
        uuid: vm.uuid,
        renewed: vm.instance().renewed,
        first_boot: vm.first_boot.clone(),
    }
}

fn free(vm: &Vm, machine: &Machine, name: SnapshotName) -> Result<SnapshotName, Refusal> {
    match machine.snapshot(&name) {
        None => Ok(name),
        Some(_) => Err(
            Refusal::request(format!("{} has a snapshot {name} already", vm.name))
                .hint("choose another name, or delete that one"),
        ),
    }
}

/// The name after the highest number that a snapshot is called by.
fn next(machine: &Machine) -> Result<SnapshotName, Refusal> {
    let numbers = machine
        .snapshots()
        .iter()
        .filter_map(|snapshot| snapshot.name.as_str().parse::<u64>().ok());
    let next = numbers.max().unwrap_or_default().saturating_add(1);
    selection::parse(&next.to_string())
}

fn list(daemon: &Daemon, vm: &str) -> Result<Answer, Refusal> {
    let vm = selection::named(&daemon.directory(), vm)?;
    let now = daemon.clock.now();
    let shown = machines::machine_of(&vm)?
        .snapshots()
        .iter()
        .map(|snapshot| SnapshotInfo {
            name: snapshot.name.to_string(),
            taken: info::rfc3339(snapshot.taken),
            age_seconds: snapshot.taken.age(now).as_secs(),
            live: snapshot.live,
            image: snapshot.image.to_string(),
            disk: snapshot.disk.0,
        });
    Ok(Answer::Snapshots(shown.collect()))
}

async fn restore(
    daemon: &Arc<Daemon>,
    vm: &str,
    name: &SnapshotName,
    (force, start): (bool, bool),
    progress: &ProgressSink,
) -> Result<String, Refusal> {
    let vm = selection::named(&daemon.directory(), vm)?;
    let _held = daemon.lock(&vm).await;
    let vm = daemon.still(&vm)?;
    let machine = machines::machine_of(&vm)?;
    replace::settled(daemon, &vm, machine).await?;
    let snapshot = known(&vm, machine, name)?;
    let image = images::named(&daemon.directory(), &(&snapshot.image).into())?;
    replace::may_end(daemon, &vm, force)?;
    progress.line(vm.name.as_str(), format!("going back to snapshot {name}"));
    images::verified(daemon, &image).await?;
    let revision = exchanged(daemon, &vm, (machine, name), force).await?;
    failpoint::reach("disks replaced");
    replace::put(daemon, &vm).await?;
    daemon.exported(revision).await;
    if start {
        progress.line(vm.name.as_str(), "starting");
        machines::start_locked(daemon, &daemon.still(&vm)?).await?;
    }
    Ok(format!("{} is back at snapshot {name}", vm.name))
}

/// Makes the disks, and has the registry exchange them. A VM that runs is powered off only for that, once the disks are there; where
/// it fails all the same, the VM runs again.
async fn exchanged(
    daemon: &Arc<Daemon>,
    vm: &Arc<Vm>,
    (machine, name): (&Machine, &SnapshotName),
    force: bool,
) -> Result<Revision, Refusal> {
    let ran = daemon.status.seen(vm).is_up();
    let change = Change::Restore {
        vm: vm.name.clone(),
        snapshot: name.clone(),
    };
    let work = async {
        copied(daemon, vm, machine, name).await?;
        failpoint::reach("disks made");
        replace::quiet(daemon, vm, force).await?;
        Ok(daemon.commit(change).await?.revision)
    };
    let refusal = match work.await {
        Ok(revision) => return Ok(revision),
        Err(refusal) => refusal,
    };
    replace::discard(daemon, vm).await?;
    if ran && let Err(again) = machines::start_locked(daemon, vm).await {
        tracing::error!(vm = %vm.name, "{} does not run again: {again}.", vm.name);
    }
    Err(refusal)
}

async fn copied(
    daemon: &Daemon,
    vm: &Arc<Vm>,
    machine: &Machine,
    name: &SnapshotName,
) -> Result<(), Refusal> {
    let _slot = daemon.admission.disks().await;
    let (store, vm, machine, name) = (
        daemon.store.clone(),
        Arc::clone(vm),
        machine.clone(),
        name.clone(),
    );
    tokio::task::spawn_blocking(move || store.restore_next_disks(&vm, &machine, &name)).await??;
    Ok(())
}

fn known<'a>(vm: &Vm, machine: &'a Machine, name: &SnapshotName) -> Result<&'a Snapshot, Refusal> {
    machine.snapshot(name).ok_or_else(|| {
        let there: Vec<_> = machine
            .snapshots()
            .iter()
            .map(|other| other.name.as_str())
            .collect();
        let hint = if there.is_empty() {
            format!("it has none: seedbed snapshot create {}", vm.name)
        } else {
            format!("there are {}", there.join(", "))
        };
        Refusal::not_found(format!("{} has no snapshot `{name}`", vm.name)).hint(hint)
    })
}

async fn delete(daemon: &Arc<Daemon>, vm: &str, name: &SnapshotName) -> Result<String, Refusal> {
    let vm = selection::named(&daemon.directory(), vm)?;
    let _held = daemon.lock(&vm).await;
    let vm = daemon.still(&vm)?;
    known(&vm, machines::machine_of(&vm)?, name)?;
    let change = Change::RemoveSnapshot {
        vm: vm.name.clone(),
        snapshot: name.clone(),
    };
    daemon.commit(change).await?;
    failpoint::reach("snapshot forgotten");
    removed(daemon, &vm, name).await?;
    Ok(format!("snapshot {name} of {} is deleted", vm.name))
}

async fn removed(daemon: &Daemon, vm: &Arc<Vm>, name: &SnapshotName) -> Result<(), Refusal> {
    let (store, vm, name) = (daemon.store.clone(), Arc::clone(vm), name.clone());
    tokio::task::spawn_blocking(move || store.remove_snapshot(&vm, &name)).await??;
    Ok(())
}

/// Removes what was cut short of snapshots.
pub(super) async fn recover(daemon: &Arc<Daemon>) -> Result<(), Refusal> {
    let (store, directory) = (daemon.store.clone(), daemon.directory());
    let swept = tokio::task::spawn_blocking(move || {
        let vms = directory.each_vm();
        vms.map(|vm| store.sweep_snapshots(vm).map(|swept| (vm.name.clone(), swept)))
            .collect::<Result<Vec<_>, _>>()
    });
    for (vm, swept) in swept.await??.into_iter().filter(|(_, swept)| *swept > 0) {
        tracing::warn!(%vm, "removed what was cut short of {swept} snapshots of {vm}.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Timestamp, examples};

    #[test]
    fn a_snapshot_without_a_name_is_called_by_the_next_number() {
        let mut machine = examples::machine();
        assert_eq!(next(&machine).unwrap().as_str(), "1");
        let vm = examples::vm("web1", "10.77.0.11");
        for name in ["before-upgrade", "9", "4"] {
            let snapshot = Snapshot {
                name: name.parse().unwrap(),
                taken: Timestamp(7),
                live: true,
                image: machine.image.clone(),
                disk: machine.disk,
                uuid: vm.uuid,
                renewed: None,
                first_boot: None,
            };
            machine.remember(|history| history.snapshots.push(snapshot));
        }
        assert_eq!(next(&machine).unwrap().as_str(), "10");
        free(&vm, &machine, "4".parse().unwrap()).unwrap_err();
        let refusal = known(&vm, &machine, &"5".parse().unwrap()).unwrap_err();
        assert_eq!(refusal.hint.unwrap(), "there are before-upgrade, 9, 4");
    }
}
