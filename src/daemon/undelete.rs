//! Brings deleted VMs back, and gives up those whose time is over.
//!
//! ```text
//!   Undelete (registered, phase Launching, and still kept) -> its files are moved back -> Undeleted (launched, kept no more)
//!                      \__________________ cut short: gone on with __________________/
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Daemon, delete, failpoint, info, selection, several};
use crate::control::{Answer, DeletedInfo, Refusal, UndeleteVms};
use crate::model::time::short;
use crate::model::{Deleted, DeletedId, VmName, mac};
use crate::registry::{Change, Undelete};

/// Brings VMs back, each as a whole or not at all; a sentence on each.
pub(super) async fn undelete(daemon: &Arc<Daemon>, request: UndeleteVms) -> Result<String, Refusal> {
    let names = selection::names(&request.names)?;
    selection::only_one(&names, &[("--as", request.new_name.is_some())])?;
    let new_name: Option<VmName> = selection::parse_opt(request.new_name.as_ref())?;
    let asked = names.len();
    let (mut sentences, mut refusals) = (Vec::new(), Vec::new());
    for name in names {
        match one(daemon, &name, new_name.clone(), request.anew).await {
            Ok(sentence) => sentences.push(sentence),
            Err(refusal) => refusals.push(refusal),
        }
    }
    several::combined(refusals, asked).map_or_else(|| Ok(sentences.join("\n")), Err)
}

async fn one(
    daemon: &Arc<Daemon>,
    name: &VmName,
    new_name: Option<VmName>,
    anew: bool,
) -> Result<String, Refusal> {
    let newest = daemon.directory().site().deleted_of(name).next_back().cloned();
    let deleted = newest.ok_or_else(|| {
        Refusal::not_found(format!("there is no deleted VM `{name}` that could be undone"))
            .hint("`seedbed list --deleted` shows those there are")
    })?;
    let _held = daemon.lock_name(new_name.as_ref().unwrap_or(name)).await;
    let request = Undelete {
        id: deleted.id.clone(),
        name: new_name,
        anew,
    };
    let committed = daemon.commit(Change::Undelete(request)).await?;
    failpoint::reach("undelete registered");
    let vm = committed.vms.first().cloned();
    let vm = vm.ok_or_else(|| Refusal::internal(format!("{name} came back as nothing")))?;
    if vm.machine().is_some()
        && let Err(refusal) = finish(daemon, &deleted.id).await
    {
        send_back(daemon, &deleted.id).await;
        return Err(refusal);
    }
    daemon.exported(committed.revision).await;
    let state = if vm.machine().is_some() { ", stopped," } else { "" };
    let other = if vm.uuid == deleted.vm.uuid {
        ""
    } else {
        "; it is another instance, which cloud-init sets up anew"
    };
    Ok(format!("{} is back{state} at {}{other}", vm.name, vm.address))
}

/// Moves the files of a VM that is registered again back, and says that they are there. The caller holds the lock of its name.
async fn finish(daemon: &Daemon, id: &DeletedId) -> Result<(), Refusal> {
    let directory = daemon.directory();
    let kept = directory.site().deleted.get(id).cloned();
    let vm = kept
        .as_ref()
        .and_then(|deleted| directory.vm(deleted.returning.as_ref()?))
        .cloned();
    let (Some(kept), Some(vm)) = (kept, vm) else {
        return Err(Refusal::not_found(format!("{} was deleted meanwhile", id.name)));
    };
    let (store, from) = (daemon.store.clone(), id.clone());
    tokio::task::spawn_blocking(move || store.bring_back(&from, &kept.vm, &vm)).await??;
    failpoint::reach("disks brought back");
    daemon.commit(Change::Undeleted(id.clone())).await?;
    failpoint::reach("undeleted");
    Ok(())
}

/// Gives up bringing a VM back: it stays deleted, and can be undone as before.
async fn send_back(daemon: &Daemon, id: &DeletedId) {
    let directory = daemon.directory();
    let by = directory
        .site()
        .deleted
        .get(id)
        .and_then(|deleted| deleted.returning.clone());
    if let Some(by) = by {
        let (store, from) = (daemon.store.clone(), id.clone());
        let moved = tokio::task::spawn_blocking(move || store.send_back(&from, &by)).await;
        if let Ok(Err(error)) = moved {
            // Its record says that it is coming back: the next start tries that again.
            tracing::error!(vm = %id.name, "{} can not be set aside again: {error}.", id.name);
            return;
        }
    }
    if let Err(error) = daemon.commit(Change::SendBack(id.clone())).await {
        tracing::error!(vm = %id.name, "{} can not be set aside again: {error}.", id.name);
    }
}

/// The deleted VMs that can be undone, as they are shown.
pub(super) fn shown(daemon: &Daemon, names: &[String]) -> Result<Answer, Refusal> {
    let directory = daemon.directory();
    let wanted = match names {
        [] => None,
        names => Some(selection::names(names)?),
    };
    let all = directory.site().deleted.values();
    let all = all.filter(|deleted| {
        wanted
            .as_ref()
            .is_none_or(|names| names.contains(&deleted.id.name))
    });
    Ok(Answer::Deleted(
        all.map(|deleted| told(daemon, deleted)).collect(),
    ))
}

fn told(daemon: &Daemon, deleted: &Deleted) -> DeletedInfo {
    let (vm, now) = (&deleted.vm, daemon.clock.now());
    let until = deleted.until(daemon.config.undo_window);
    DeletedInfo {
        name: vm.name.to_string(),
        ip: vm.address,
        mac: mac::text(vm.mac),
        image: vm.machine().map(|machine| machine.image.to_string()),
        deleted: info::rfc3339(deleted.at),
        age_seconds: deleted.at.age(now).as_secs(),
        until: info::rfc3339(until),
        left_seconds: now.age(until).as_secs(),
    }
}

/// Moves the files of a VM that was deleted aside where that was cut short, before another VM gets its name's place. The caller
/// holds the lock of the name.
pub(super) async fn settled(daemon: &Daemon, name: &VmName) -> Result<(), Refusal> {
    let directory = daemon.directory();
    let moved = directory
        .site()
        .deleted_of(name)
        .filter(|deleted| is_aside(deleted));
    let ids: Vec<_> = moved.map(|deleted| deleted.id.clone()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let store = daemon.store.clone();
    tokio::task::spawn_blocking(move || ids.iter().try_for_each(|id| store.set_aside(id))).await??;
    Ok(())
}

/// Whether the files of a deleted VM are to lie aside.
fn is_aside(deleted: &Deleted) -> bool {
    deleted.returning.is_none() && deleted.vm.machine().is_some()
}

/// Goes on with what was cut short, before anything else is made of the directories of VMs.
pub(super) async fn recover(daemon: &Arc<Daemon>) -> Result<(), Refusal> {
    for deleted in daemon.directory().site().deleted.values() {
        if deleted.returning.is_none() {
            settled(daemon, &deleted.id.name).await?;
            continue;
        }
        tracing::warn!(vm = %deleted.id.name, "bringing {} back, which was cut short.", deleted.id.name);
        if let Err(refusal) = finish(daemon, &deleted.id).await {
            tracing::error!(vm = %deleted.id.name, "{} does not come back: {refusal}.", deleted.id.name);
            send_back(daemon, &deleted.id).await;
        }
    }
    Ok(())
}

/// How long it may take at most until a clock that was set is noticed.
const LATEST: Duration = Duration::from_secs(600);

/// Gives up deleted VMs when their time is over, until it is told to stop.
pub(super) async fn keep(daemon: Arc<Daemon>, stop: CancellationToken) {
    let mut revisions = daemon.registry.watch();
    loop {
        let next = sweep(&daemon).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(next) => {}
            changed = revisions.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Gives up those whose time is over, and says when the next one's is.
async fn sweep(daemon: &Daemon) -> Duration {
    let (now, window) = (daemon.clock.now(), daemon.config.undo_window);
    let directory = daemon.directory();
    let resting = directory
        .site()
        .deleted
        .values()
        .filter(|deleted| deleted.returning.is_none());
    let (over, left): (Vec<_>, Vec<_>) = resting.partition(|deleted| deleted.until(window) <= now);
    let over: Vec<DeletedId> = over.into_iter().map(|deleted| deleted.id.clone()).collect();
    for id in over {
        let name = id.name.clone();
        match delete::remove(daemon, vec![id]).await {
            Ok(()) => {
                tracing::info!(vm = %name, "{name} is gone for good: it was deleted {} ago.", short(window));
            }
            Err(refusal) => {
                tracing::error!(vm = %name, "could not give up what is kept of {name}: {refusal}.");
            }
        }
    }
    let next = left.iter().map(|deleted| now.age(deleted.until(window))).min();
    next.map_or(LATEST, |next| next.clamp(Duration::from_secs(1), LATEST))
}
