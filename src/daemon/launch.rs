//! Launch: register, clone, start, all or nothing for each VM.
//!
//! ```text
//!   Register (phase Launching) -> clone disks -> start QEMU -> Launched
//!        \_____________ a failure undoes what was done, newest first _____________/
//! ```
//!
//! A daemon that is killed on the way leaves a record in phase Launching; [`super::recover`] undoes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{
    Daemon, failpoint, hardware, life, machines, order, register, selection, several, undelete, waiting,
};
use crate::control::serve::ProgressSink;
use crate::control::{LaunchVms, Refusal, Rung};
use crate::image::media::Media;
use crate::model::{Bytes, Hosting, Machine, Phase, Policy, Vm};
use crate::registry::Change;

/// Launches VMs; returns them as they are registered.
pub(super) async fn launch(
    daemon: &Arc<Daemon>,
    request: LaunchVms,
    progress: ProgressSink,
) -> Result<Vec<Arc<Vm>>, Refusal> {
    let hosting = Hosting::from(shape(daemon, &request).await?);
    let vms = register::planned(daemon, &request.register, &hosting).await?;
    let committed = daemon.commit(Change::Register { vms }).await?;
    failpoint::reach("registered");
    daemon.exported(committed.revision).await;

    let mut starts = JoinSet::new();
    let queued = order::enqueue(daemon, &committed.vms);
    for (vm, queued) in committed.vms.iter().zip(queued) {
        let (daemon, vm, progress) = (Arc::clone(daemon), Arc::clone(vm), progress.clone());
        starts.spawn(async move {
            let turn = order::turn(&daemon, (&vm, &queued), Some(&progress)).await;
            launch_one(&daemon, (&vm, turn), None, &progress).await
        });
    }
    let mut refusals = Vec::new();
    while let Some(ended) = starts.join_next().await {
        match ended {
            Ok(launched) => refusals.extend(launched.err()),
            Err(panic) => refusals.push(Refusal::internal(format!("a launch ended early: {panic}"))),
        }
    }
    if let Some(refusal) = several::combined(refusals, committed.vms.len()) {
        return Err(refusal);
    }
    let vms = several::current(daemon, &committed.vms);
    if let Some(seconds) = request.wait_seconds {
        let ready = waiting::wait_for(daemon, &vms, Rung::Ready, Duration::from_secs(seconds), &progress);
        // The VMs are launched: only the waiting ends when the one who waits goes away.
        tokio::select! {
            waited = ready => waited?,
            () = progress.gone() => {
                return Err(Refusal::host("the daemon stops; the VMs go on, but nobody waits for them any more"));
            }
        }
    }
    Ok(several::current(daemon, &vms))
}

async fn shape(daemon: &Daemon, request: &LaunchVms) -> Result<Machine, Refusal> {
    let defaults = &daemon.config.defaults;
    let image = machines::image_named(daemon, &request.image)?;
    let mut machine = Machine {
        image: image.id.clone(),
        cpus: request.cpus.unwrap_or(defaults.cpus),
        memory: selection::size(request.memory.as_ref(), defaults.memory)?,
        disk: Bytes(0),
        swap: selection::size(request.swap.as_ref(), defaults.swap)?,
        phase: Phase::Launching,
        workshop: None,
        hardware: Some(Box::new(hardware::pinned(daemon, &request.hardware).await?)),
        policy: life::edit(&request.policy)?.on(Policy::default()).boxed(),
        history: None,
    };
    machine.disk = selection::size(request.disk.as_ref(), image.virtual_size)?;
    if machine.disk < image.virtual_size {
        return Err(Refusal::request(format!(
            "a disk of {} is smaller than image {}, which has {}",
            machine.disk, image.id, image.virtual_size
        ))
        .hint("leave --disk out to get the image's own size"));
    }
    if (1..Bytes::mib(1).0).contains(&machine.swap.0) {
        return Err(
            Refusal::request(format!("a swap disk of {} is too small", machine.swap))
                .hint("give a size such as 512M, or 0 for none"),
        );
    }
    selection::check_size(machine.cpus, machine.memory)?;
    Ok(machine)
}

/// Makes and starts a VM that is registered and whose turn has come, or undoes that. `media` is what a system is installed from,
/// where one is.
pub(super) async fn launch_one(
    daemon: &Arc<Daemon>,
    (vm, turn): (&Arc<Vm>, Result<(), Refusal>),
    media: Option<Media>,
    progress: &ProgressSink,
) -> Result<(), Refusal> {
    let _held = daemon.lock(vm).await;
    let vm = daemon.still(vm)?;
    let result = match turn {
        Ok(()) => make_and_start(daemon, &vm, media, progress).await,
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = &result {
        progress.line(vm.name.as_str(), format!("failed: {}", refusal.message));
        undo(daemon, &vm).await;
    }
    result
}

async fn make_and_start(
    daemon: &Arc<Daemon>,
    vm: &Arc<Vm>,
    media: Option<Media>,
    progress: &ProgressSink,
) -> Result<(), Refusal> {
    let machine = machines::machine_of(vm)?;
    let image = machines::image_of(daemon, machine)?;
    undelete::settled(daemon, &vm.name).await?;
    let (stage, failed) = match media {
        Some(_) => ("unpacking the installer", "could not be made ready"),
        None => ("cloning", "could not be cloned"),
    };
    let cloning = daemon.admission.disks().await;
    progress.line(vm.name.as_str(), stage);
    let store = daemon.store.clone();
    let (owner, machine, base) = (Arc::clone(vm), machine.clone(), Arc::clone(&image));
    let made = tokio::task::spawn_blocking(move || match media {
        None => store.make_disks(&owner, &machine, &base).map(|()| None),
        Some(media) => store.make_installation(&owner, &machine, media),
    });
    let drive = made
        .await?
        .map_err(|error| Refusal::host(format!("{} {failed}: {error}", vm.name)))?;
    failpoint::reach("cloned");
    drop(cloning);
    progress.line(vm.name.as_str(), "starting");
    machines::start_with(daemon, vm, drive).await?;
    daemon
        .commit(Change::Launched {
            name: vm.name.clone(),
        })
        .await?;
    failpoint::reach("launched");
    Ok(())
}

/// Takes a launch back: process, disks, record, by someone who holds the VM's lock.
///
/// A QEMU that can not be ended keeps its disks, its rules and its record: the next start of the daemon tries again.
pub(super) async fn undo(daemon: &Arc<Daemon>, vm: &Arc<Vm>) {
    if let Err(refusal) = machines::stop_locked(daemon, vm, true, Duration::ZERO).await {
        tracing::error!(vm = %vm.name, "the launch of {} can not be undone: {refusal}.", vm.name);
        return;
    }
    failpoint::reach("undo stopped");
    match undelete::settled(daemon, &vm.name).await {
        Ok(()) => machines::remove_disks(daemon, vm).await,
        // What lies at its place is of a VM that can come back: only the record goes.
        Err(refusal) => {
            tracing::error!(vm = %vm.name, "a deleted VM's disks stay at the place of {}: {refusal}.", vm.name);
        }
    }
    failpoint::reach("undo disks removed");
    forget(daemon, vm).await;
}

/// Takes the record of a launch back.
async fn forget(daemon: &Daemon, vm: &Vm) {
    if let Err(error) = daemon
        .commit(Change::Delete {
            names: vec![vm.name.clone()],
        })
        .await
    {
        tracing::error!(vm = %vm.name, "while undoing the launch of {}: {error}.", vm.name);
    }
    failpoint::reach("undone");
    daemon.forget(&vm.name);
}
