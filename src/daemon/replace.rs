//! Other disks for VMs that stay who they are: back to their image, or onto another generation of it.
//!
//! ```text
//!   disks are made beside the VM's own -> Replace (phase Replacing) -> they are put in place -> Launched
//!     \______ cut short: removed ______/      \__________ cut short: gone on with __________/
//! ```

use std::sync::Arc;
use std::time::Duration;

use super::{Daemon, failpoint, images, machines, selection, several};
use crate::control::serve::ProgressSink;
use crate::control::{Refusal, ReplaceDisks};
use crate::model::{Bytes, Image, ImageRef, Machine, Phase, Vm};
use crate::registry::Change;

/// What a VM's disk becomes.
#[derive(Debug, Clone)]
struct Target {
    image: Arc<Image>,
    /// Whether it reads as before; else it is as fresh as its image.
    keep_data: bool,
}

/// Replaces the disks of VMs, each as a whole or not at all; a sentence on what they are now.
pub(super) async fn replace(
    daemon: &Arc<Daemon>,
    request: ReplaceDisks,
    progress: ProgressSink,
) -> Result<String, Refusal> {
    let vms = selection::selected(&daemon.directory(), &request.select)?;
    let running = vms.iter().filter(|vm| daemon.status.seen(vm).is_up());
    let running: Vec<_> = running.map(|vm| vm.name.to_string()).collect();
    if !request.force && !running.is_empty() {
        return Err(Refusal::request(format!("still running: {}", running.join(", ")))
            .hint("stop it first, or have it powered off with --force"));
    }
    let works = vms.iter().map(|vm| one(daemon, vm, &request, &progress));
    let mut sentences = Vec::new();
    let mut refusals = Vec::new();
    for result in futures_util::future::join_all(works).await {
        match result {
            Ok(sentence) => sentences.push(sentence),
            Err(refusal) => refusals.push(refusal),
        }
    }
    several::combined(refusals, vms.len()).map_or_else(|| Ok(sentences.join("\n")), Err)
}

async fn one(
    daemon: &Arc<Daemon>,
    vm: &Arc<Vm>,
    request: &ReplaceDisks,
    progress: &ProgressSink,
) -> Result<String, Refusal> {
    let _held = daemon.lock(vm).await;
    let vm = daemon.still(vm)?;
    let machine = machines::machine_of(&vm)?;
    if vm.workshop().is_some() {
        return Err(
            Refusal::request(format!("{} becomes an image when it powers off", vm.name)).hint(format!(
                "to give that up, delete it: seedbed delete --force {}",
                vm.name
            )),
        );
    }
    settled(daemon, &vm, machine).await?;
    let target = target(daemon, &vm, machine, request)?;
    if request.rebase.is_some() && target.image.id == machine.image {
        return Ok(format!("{} is a clone of {} already", vm.name, machine.image));
    }
    may_end(daemon, &vm, request.force)?;
    images::verified(daemon, &target.image).await?;
    quiet(daemon, &vm, request.force).await?;
    progress.line(
        vm.name.as_str(),
        format!("making its disk on {}", target.image.id),
    );
    let disk = machine.disk.max(target.image.virtual_size);
    let replaced = exchange(daemon, &vm, (machine, disk), &target, progress).await?;
    if request.start {
        progress.line(vm.name.as_str(), "starting");
        machines::start_locked(daemon, &replaced).await?;
    }
    Ok(told(&vm, (machine.disk, disk), &target))
}

/// The generation that a VM's disk becomes a clone of.
fn target(daemon: &Daemon, vm: &Vm, machine: &Machine, request: &ReplaceDisks) -> Result<Target, Refusal> {
    let Some(rebase) = &request.rebase else {
        let image = machines::image_of(daemon, machine)?;
        return Ok(Target {
            image,
            keep_data: false,
        });
    };
    let current = ImageRef::current(machine.image.name());
    let named = rebase
        .to
        .as_ref()
        .map_or(Ok(current), |text| selection::parse(text))?;
    if named.name != *machine.image.name() {
        let message = format!(
            "{} is a clone of {}: it can be moved to another generation of that image, not to {named}",
            vm.name,
            machine.image.name()
        );
        return Err(Refusal::request(message).hint(format!(
            "what it is told depends on its image: delete it, and launch it anew with --image {named}"
        )));
    }
    Ok(Target {
        image: images::named(&daemon.directory(), &named)?,
        keep_data: rebase.keep_data,
    })
}

/// Refuses a VM that runs, and that is not to be powered off.
pub(super) fn may_end(daemon: &Daemon, vm: &Vm, force: bool) -> Result<(), Refusal> {
    if daemon.status.seen(vm).is_up() && !force {
        return Err(Refusal::request(format!("{} is running", vm.name))
            .hint("stop it first, or have it powered off with --force"));
    }
    Ok(())
}

/// Nobody writes to a VM's disks any more.
pub(super) async fn quiet(daemon: &Arc<Daemon>, vm: &Arc<Vm>, force: bool) -> Result<(), Refusal> {
    may_end(daemon, vm, force)?;
    machines::stop_locked(daemon, vm, true, Duration::ZERO).await
}

/// Makes the disks, and exchanges them for those that are there. The caller holds the VM's lock, and it does not run.
async fn exchange(
    daemon: &Arc<Daemon>,
    vm: &Arc<Vm>,
    (machine, disk): (&Machine, Bytes),
    target: &Target,
    progress: &ProgressSink,
) -> Result<Arc<Vm>, Refusal> {
    let machine = Machine {
        image: target.image.id.clone(),
        disk,
        ..machine.clone()
    };
    let made = if target.keep_data {
        rebased(daemon, vm, target, progress).await
    } else {
        fresh(daemon, vm, &machine, target).await
    };
    failpoint::reach("disks made");
    let change = Change::Replace {
        name: vm.name.clone(),
        image: machine.image,
        disk,
        anew: !target.keep_data,
    };
    let committed = match made {
        Ok(()) => daemon.commit(change).await.map_err(Refusal::from),
        Err(refusal) => Err(refusal),
    };
    let committed = match committed {
        Ok(committed) => committed,
        Err(refusal) => {
            discard(daemon, vm).await?;
            return Err(refusal);
        }
    };
    failpoint::reach("disks replaced");
    put(daemon, vm).await?;
    daemon.exported(committed.revision).await;
    daemon.still(vm)
}

async fn fresh(daemon: &Daemon, vm: &Arc<Vm>, machine: &Machine, target: &Target) -> Result<(), Refusal> {
    let (store, owner) = (daemon.store.clone(), Arc::clone(vm));
    let (machine, image) = (machine.clone(), Arc::clone(&target.image));
    tokio::task::spawn_blocking(move || store.make_next_disks(&owner, &machine, &image)).await??;
    Ok(())
}

async fn rebased(
    daemon: &Arc<Daemon>,
    vm: &Arc<Vm>,
    target: &Target,
    progress: &ProgressSink,
) -> Result<(), Refusal> {
    let from = machines::image_of(daemon, machines::machine_of(vm)?)?;
    images::verified(daemon, &from).await?;
    let _slot = daemon.admission.disks().await;
    let (store, owner, progress) = (daemon.store.clone(), Arc::clone(vm), progress.clone());
    let to = Arc::clone(&target.image);
    tokio::task::spawn_blocking(move || {
        let what = format!("comparing {} and {}", from.id, to.id);
        store.rebase_next_disk(&owner, (&from, &to), progress.tenths(owner.name.as_str(), &what))
    })
    .await??;
    Ok(())
}

/// Puts disks in place that the registry says are the VM's, and says that they are.
pub(super) async fn put(daemon: &Arc<Daemon>, vm: &Vm) -> Result<(), Refusal> {
    let (store, name) = (daemon.store.clone(), vm.name.clone());
    tokio::task::spawn_blocking(move || store.put_next_disks(&name)).await??;
    failpoint::reach("disks in place");
    let name = vm.name.clone();
    daemon.commit(Change::Launched { name }).await?;
    Ok(())
}

/// Removes disks beside a VM's that do not count.
pub(super) async fn discard(daemon: &Daemon, vm: &Vm) -> Result<(), Refusal> {
    let (store, name) = (daemon.store.clone(), vm.name.clone());
    tokio::task::spawn_blocking(move || store.discard_next_disks(&name)).await??;
    Ok(())
}

/// A VM's disks are those of its record: what was left to do is done, or refused. The caller holds the VM's lock.
pub(super) async fn settled(daemon: &Arc<Daemon>, vm: &Vm, machine: &Machine) -> Result<(), Refusal> {
    match machine.phase {
        Phase::Launched => Ok(()),
        Phase::Replacing => put(daemon, vm).await,
        Phase::Launching => Err(Refusal::request(format!("{} is being launched", vm.name))
            .hint(format!("wait for it: seedbed wait {} --for started", vm.name))),
    }
}

fn told(vm: &Vm, (before, disk): (Bytes, Bytes), target: &Target) -> String {
    let what = if target.keep_data {
        "and its disk reads as before"
    } else {
        "with nothing else on its disk: its next start is a first boot"
    };
    let grown = if disk > before {
        format!(". Its disk grew from {before} to {disk}, as large as its image's")
    } else {
        String::new()
    };
    format!("{} is a clone of {}, {what}{grown}", vm.name, target.image.id)
}
