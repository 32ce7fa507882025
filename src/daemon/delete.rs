//! Deletes VMs: names and addresses are free at once, records and disks are kept for as long as that can be undone.
//!
//! ```text
//!   stop -> SetAside (its record is kept elsewhere) -> its files are moved aside ... ForgetDeleted -> they are removed
//!                          \___ cut short: gone on with ___/                \___ cut short: gone on with ___/
//! ```

use std::sync::Arc;
use std::time::Duration;

use super::{Daemon, failpoint, machines, nics, replace, selection, several};
use crate::control::{DeleteVms, Refusal};
use crate::model::time::short;
use crate::model::{DeletedId, Phase, Revision, Vm, VmName};
use crate::registry::Change;

/// Deletes VMs, or gives up what is kept of those that were deleted before; a sentence on what was done.
pub(super) async fn delete(daemon: &Arc<Daemon>, mut request: DeleteVms) -> Result<String, Refusal> {
    if request.deleted {
        return give_up(daemon, &request).await;
    }
    let mut sentences = Vec::new();
    if request.now && !request.select.all {
        let names = selection::names(&request.select.names)?;
        let directory = daemon.directory();
        let (vms, others): (Vec<_>, Vec<_>) = names
            .into_iter()
            .partition(|name| directory.vm(name).is_some() || !is_kept(daemon, name));
        if !others.is_empty() {
            sentences.push(forget(daemon, &others).await?);
        }
        if vms.is_empty() {
            return Ok(sentences.concat());
        }
        request.select.names = vms.iter().map(ToString::to_string).collect();
    }
    sentences.push(registered(daemon, &request).await?);
    Ok(sentences.join("\n"))
}

/// Deletes VMs that are registered.
async fn registered(daemon: &Arc<Daemon>, request: &DeleteVms) -> Result<String, Refusal> {
    let vms = selection::selected(&daemon.directory(), &request.select)?;
    refuse_running(daemon, &vms, request.force)?;
    let _held = daemon.lock_all(&vms).await;
    let vms = several::current(daemon, &vms);
    // Whoever had the lock may have been about to start one.
    refuse_running(daemon, &vms, request.force)?;
    stopped(daemon, &vms).await?;
    failpoint::reach("delete stopped");
    let keeps = !request.now && daemon.config.undo_window > Duration::ZERO;
    if keeps {
        settled(daemon, &vms).await?;
    }
    // The record first: from here on the addresses are free, and what a kill leaves is gone on with at the next start.
    let names: Vec<_> = vms.iter().map(|vm| vm.name.clone()).collect();
    let change = if keeps {
        Change::SetAside { names }
    } else {
        Change::Delete { names }
    };
    let committed = daemon.commit(change).await?;
    failpoint::reach("deleted");
    let kept = put_away(daemon, &vms, committed.revision).await?;
    failpoint::reach("disks set aside");
    daemon.exported(committed.revision).await;
    Ok(told(daemon, &vms, kept))
}

fn refuse_running(daemon: &Daemon, vms: &[Arc<Vm>], force: bool) -> Result<(), Refusal> {
    let running = vms.iter().filter(|vm| daemon.status.seen(vm).is_up());
    let running: Vec<_> = running.map(|vm| vm.name.to_string()).collect();
    if force || running.is_empty() {
        return Ok(());
    }
    Err(Refusal::request(format!("still running: {}", running.join(", ")))
        .hint("stop it first, or delete it with --force"))
}

/// What is kept is whole: no VM's disks are half exchanged for others.
async fn settled(daemon: &Arc<Daemon>, vms: &[Arc<Vm>]) -> Result<(), Refusal> {
    let replacing = |vm: &&Arc<Vm>| {
        vm.machine()
            .is_some_and(|machine| machine.phase == Phase::Replacing)
    };
    for vm in vms.iter().filter(replacing) {
        let put = replace::put(daemon, vm).await;
        put.map_err(|refusal| refusal.hint("to delete it without keeping anything: seedbed delete --now"))?;
    }
    Ok(())
}

/// Moves the files of VMs that were deleted in this revision aside, or removes those of which nothing is kept. Says how many were
/// kept. What fails here is tried again by the next start of the daemon, and before a VM of that name is made.
async fn put_away(daemon: &Daemon, vms: &[Arc<Vm>], deleted: Revision) -> Result<usize, Refusal> {
    let (mut kept, mut refusals) = (0, Vec::new());
    for vm in vms {
        let id = DeletedId {
            name: vm.name.clone(),
            number: deleted.0,
        };
        if daemon.directory().site().deleted.contains_key(&id) {
            kept += 1;
            refusals.extend(set_aside(daemon, vm, id).await.err());
        } else {
            machines::remove_disks(daemon, vm).await;
        }
        // A stop may have failed to, while a process of the VM's user filled their directory.
        machines::remove_sockets(daemon, &vm.name);
        daemon.forget(&vm.name);
    }
    several::combined(refusals, vms.len()).map_or(Ok(kept), Err)
}

/// Nothing of VMs runs any more. The caller holds their locks.
async fn stopped(daemon: &Arc<Daemon>, vms: &[Arc<Vm>]) -> Result<(), Refusal> {
    let stops = vms
        .iter()
        .filter(|vm| vm.machine().is_some())
        .map(|vm| machines::stop_locked(daemon, vm, true, Duration::ZERO));
    let refusals = futures_util::future::join_all(stops).await;
    let refusals = refusals.into_iter().filter_map(Result::err).collect();
    several::combined(refusals, vms.len()).map_or(Ok(()), Err)
}

async fn set_aside(daemon: &Daemon, vm: &Vm, id: DeletedId) -> Result<(), Refusal> {
    if vm.machine().is_none() {
        return Ok(());
    }
    let store = daemon.store.clone();
    let moved = tokio::task::spawn_blocking(move || store.set_aside(&id)).await?;
    moved.map_err(|error| Refusal::host(format!("{} is deleted, and can be undone, but {error}", vm.name)))
}

fn told(daemon: &Daemon, vms: &[Arc<Vm>], kept: usize) -> String {
    let undo = |names: &str| {
        let window = short(daemon.config.undo_window);
        match kept {
            0 => String::new(),
            _ => format!(" (for {window}, this undoes it: seedbed undelete {names})"),
        }
    };
    match vms {
        [vm] => {
            let undo = undo(vm.name.as_str());
            let verb = if vm.more_nics().is_empty() { "is" } else { "are" };
            format!(
                "{} is deleted; {} {verb} free{undo}",
                vm.name,
                nics::addresses(vm)
            )
        }
        _ => format!("{} VMs are deleted{}", vms.len(), undo("NAME...")),
    }
}

fn is_kept(daemon: &Daemon, name: &VmName) -> bool {
    daemon.directory().site().deleted_of(name).next().is_some()
}

/// Gives up what is kept of the deleted VMs that a request names.
async fn give_up(daemon: &Arc<Daemon>, request: &DeleteVms) -> Result<String, Refusal> {
    let names = if request.select.all {
        let directory = daemon.directory();
        let mut names: Vec<_> = directory
            .site()
            .deleted
            .keys()
            .map(|id| id.name.clone())
            .collect();
        names.dedup();
        names
    } else {
        selection::names(&request.select.names)?
    };
    let missing: Vec<_> = names.iter().filter(|name| !is_kept(daemon, name)).collect();
    if let Some(name) = missing.first() {
        return Err(
            Refusal::not_found(format!("there is no deleted VM `{name}` that could be undone"))
                .hint("`seedbed list --deleted` shows those there are"),
        );
    }
    forget(daemon, &names).await
}

async fn forget(daemon: &Arc<Daemon>, names: &[VmName]) -> Result<String, Refusal> {
    let directory = daemon.directory();
    let ids = names.iter().flat_map(|name| directory.site().deleted_of(name));
    let ids: Vec<_> = ids.map(|deleted| deleted.id.clone()).collect();
    remove(daemon, ids).await?;
    Ok(match names {
        [name] => format!("{name} is gone for good"),
        _ => format!("{} deleted VMs are gone for good", names.len()),
    })
}

/// Gives up what is kept of deleted VMs: records first, because files without one are removed at the next start.
pub(super) async fn remove(daemon: &Daemon, ids: Vec<DeletedId>) -> Result<(), Refusal> {
    daemon.commit(Change::ForgetDeleted(ids.clone())).await?;
    failpoint::reach("deletion final");
    let store = daemon.store.clone();
    tokio::task::spawn_blocking(move || ids.iter().try_for_each(|id| store.remove_deleted(id).map(drop)))
        .await??;
    Ok(())
}
