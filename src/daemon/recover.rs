//! What a daemon does first: finds the VMs that run, and undoes whatever a killed daemon left half-done.
//!
//! Everything is derived by looking: processes by their own command line and user, disks by their record.

use std::sync::Arc;

use super::{
    Daemon, consoles, hotplug, launch, machines, nics, replace, restarts, rungs, shape, snapshots, still,
    undelete,
};
use crate::control::Refusal;
use crate::machine::{self, Found, LifeEvent, process};
use crate::model::{Phase, Vm, VmName};

/// Brings the host and the registry together. `same_boot` says whether the host has not been restarted since the daemon before.
pub(super) async fn recover(daemon: &Arc<Daemon>, same_boot: bool) -> Result<(), Refusal> {
    let (running, strays) = sorted(daemon, process::all(&daemon.config.places).await?);
    end(strays).await;
    consoles::recover(daemon, &running).await?;
    adopt(daemon, running).await?;
    // From here on it is about single VMs: what can not be put right for one is no reason to answer no guest at all.
    told(
        "neighbour entries of VMs that do not run stay",
        nics::forget_stopped(daemon).await,
    );
    resume(daemon);
    told(
        "a deletion that was cut short is not gone on with",
        undelete::recover(daemon).await,
    );
    still::recover(daemon).await;
    told("parts of snapshots stay", snapshots::recover(daemon).await);
    for vm in daemon.directory().each_vm() {
        let settled = settle(daemon, vm, same_boot).await;
        told(&format!("what was cut short of {} stays", vm.name), settled);
    }
    told("what belongs to nobody stays", sweep(daemon).await);
    Ok(())
}

fn told(what: &str, result: Result<(), Refusal>) {
    if let Err(refusal) = result {
        tracing::error!("{what}: {refusal}. The next start of the daemon tries again.");
    }
}

/// The VMs that run, and the processes whose VM is not registered any more.
fn sorted(daemon: &Daemon, found: Vec<Found>) -> (Vec<(Arc<Vm>, Found)>, Vec<Found>) {
    let (mut running, mut strays) = (Vec::new(), Vec::new());
    for found in found {
        let vm = found
            .vm
            .parse::<VmName>()
            .ok()
            .and_then(|name| daemon.directory().vm(&name).cloned());
        match vm {
            Some(vm) => running.push((vm, found)),
            None => strays.push(found),
        }
    }
    (running, strays)
}

/// Undoes a launch that was cut short, and the workshop that ended unseen; of all others, disks and policy are seen to.
async fn settle(daemon: &Arc<Daemon>, vm: &Arc<Vm>, same_boot: bool) -> Result<(), Refusal> {
    let phase = vm.machine().map(|machine| machine.phase);
    let is_up = daemon.status.seen(vm).is_up();
    if phase == Some(Phase::Launching) {
        tracing::warn!(vm = %vm.name, "the launch of {} was cut short: undoing it.", vm.name);
    } else if vm.workshop().is_some() && !is_up {
        tracing::warn!(vm = %vm.name, "{} ended while nobody saw how: removing it, and no image is made of it.", vm.name);
    } else {
        disks(daemon, vm, phase).await?;
        if phase.is_some() && !is_up {
            restarts::recover(daemon, vm, same_boot);
        }
        return Ok(());
    }
    launch::undo(daemon, vm).await;
    Ok(())
}

/// Removes disks that a VM's record does not have, and those beside its own that do not count, and puts those in place that do.
async fn disks(daemon: &Arc<Daemon>, vm: &Arc<Vm>, phase: Option<Phase>) -> Result<(), Refusal> {
    shape::sweep(daemon, vm).await?;
    match phase {
        Some(Phase::Replacing) => replaced(daemon, vm).await,
        Some(Phase::Launched | Phase::Launching) => replace::discard(daemon, vm).await?,
        None => {}
    }
    Ok(())
}

/// Goes on with an exchange of disks that was cut short. Where that fails, the VM's next start tries again.
async fn replaced(daemon: &Arc<Daemon>, vm: &Arc<Vm>) {
    match replace::put(daemon, vm).await {
        Ok(()) => tracing::warn!(vm = %vm.name, "put the new disks of {} in place.", vm.name),
        Err(refusal) => {
            tracing::error!(vm = %vm.name, "could not put the new disks of {} in place: {refusal}.", vm.name);
        }
    }
}

/// Ends QEMU processes on our sockets whose VM is not registered any more.
async fn end(strays: Vec<Found>) {
    for stray in strays {
        tracing::warn!(vm = %stray.vm, pid = stray.pid, "ending QEMU {} of `{}`, which is not registered.", stray.pid, stray.vm);
        if let Err(error) = stray.process.end().await {
            tracing::error!(vm = %stray.vm, pid = stray.pid, "QEMU {} could not be ended: {error}.", stray.pid);
        }
    }
}

/// Takes the VMs that run under our care again, as if this daemon had started them.
async fn adopt(daemon: &Arc<Daemon>, found: Vec<(Arc<Vm>, Found)>) -> Result<(), Refusal> {
    hotplug::recall(daemon, &found).await;
    let mut there = Vec::new();
    for (vm, _) in &found {
        there.extend(nics::there(daemon, vm).await.into_iter().map(|nic| (vm, nic)));
    }
    daemon.guard.add_all(there.iter().map(|(_, nic)| *nic)).await?;
    for (vm, nic) in there {
        let set = nics::set_neighbour(daemon, vm, nic).await;
        told(
            &format!("{} has no neighbour entry on {}", vm.name, nic.network),
            set,
        );
    }
    for (vm, found) in found {
        let running = machine::adopt(&daemon.config.places, &vm, found).await;
        daemon.status.live(&vm.name, &LifeEvent::StartAsked);
        daemon
            .status
            .power_on(&vm.name, running.accel, daemon.clock.now());
        tracing::info!(vm = %vm.name, pid = running.pid, "found {} running.", vm.name);
        machines::follow(daemon, &vm, running);
    }
    Ok(())
}

/// Puts VMs back on the rungs they were seen on: those that run, and those that someone else runs.
fn resume(daemon: &Daemon) {
    let external = rungs::kept_of_external(daemon);
    for vm in daemon.directory().each_vm() {
        let step = if vm.machine().is_none() {
            external.get(vm.name.as_str()).copied()
        } else if daemon.status.seen(vm).is_up() {
            rungs::kept(daemon, &vm.name)
        } else {
            None
        };
        if let Some(step) = step {
            daemon.status.resume(&vm.name, step, daemon.clock.now());
        }
    }
}

/// Removes disks and images that belong to nobody, drafts that were never finished, and sockets nobody listens at.
async fn sweep(daemon: &Arc<Daemon>) -> Result<(), Refusal> {
    let (store, directory) = (daemon.store.clone(), daemon.directory());
    let swept = tokio::task::spawn_blocking(move || {
        store.sweep()?;
        let orphans = store.orphans(&directory)?;
        for image in &orphans.images {
            store.remove(image)?;
        }
        for vm in &orphans.vms {
            store.remove_disks(vm)?;
        }
        for id in &orphans.deleted {
            store.remove_deleted(id)?;
        }
        Ok::<_, crate::image::StoreError>(orphans)
    });
    let orphans = swept.await??;
    for vm in &orphans.vms {
        tracing::warn!(%vm, "removed the disks of {vm}, which is not registered.");
    }
    for id in &orphans.deleted {
        tracing::warn!(vm = %id.name, "removed the disks of {}, whose deletion can not be undone any more.", id.name);
    }
    for image in &orphans.images {
        tracing::warn!(%image, "removed the files of image {image}, which is not registered.");
    }
    stale_groups(daemon).await;
    stale_sockets(daemon)
}

/// Ends what VMs that do not run left in their control groups. That is worth doing, and nothing that a start has to wait for.
async fn stale_groups(daemon: &Daemon) {
    let directory = daemon.directory();
    let runs = |name: &str| {
        let vm = name.parse::<VmName>().ok();
        let vm = vm.and_then(|name| directory.vm(&name).cloned());
        vm.is_some_and(|vm| daemon.status.seen(&vm).is_up())
    };
    if let Err(error) = machine::cgroup::sweep(&daemon.config.places, runs).await {
        tracing::warn!("could not remove the control groups of VMs that do not run: {error}.");
    }
}

/// Removes the socket directories of VMs that do not run.
fn stale_sockets(daemon: &Daemon) -> Result<(), Refusal> {
    let folder = daemon.config.places.sockets();
    let entries = std::fs::read_dir(&folder)
        .map_err(|error| Refusal::host(format!("{}: {error}", folder.display())))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<VmName>().ok());
    for name in names {
        let running = daemon
            .directory()
            .vm(&name)
            .is_some_and(|vm| daemon.status.seen(vm).is_up());
        if !running {
            machines::remove_sockets(daemon, &name);
        }
    }
    Ok(())
}
