//! Work on the disks of a VM while nobody writes to them: of one that does not run, or of one that stands still for as long.
//!
//! QEMU writes back all that it holds before it says that a guest stands still, so that its files are what they would be after a
//! power cut at that moment. A mark beside the disks outlives a daemon that is killed meanwhile: the next one has the guest go on.

use std::io::ErrorKind;
use std::sync::Arc;

use super::{Daemon, failpoint};
use crate::control::Refusal;
use crate::machine::{self, process};
use crate::model::{Vm, VmState};

/// Does something while nobody writes to a VM's disks. The caller holds the VM's lock, and wants it to run on where it does.
pub(super) async fn while_still<T>(
    daemon: &Daemon,
    vm: &Vm,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let runs_on = match daemon.status.seen(vm).state {
        VmState::Stopped | VmState::Failed { .. } | VmState::External => return work.await,
        VmState::Running { .. } => true,
        // Also one that stands still already is told so: QEMU then writes back what it holds.
        VmState::Paused { .. } => false,
        VmState::Starting | VmState::Stopping { .. } => {
            return Err(
                Refusal::request(format!("{} is just being started or stopped", vm.name))
                    .hint("wait for it, and try again"),
            );
        }
    };
    if runs_on {
        mark(daemon, vm)?;
    }
    let paused = machine::pause(&daemon.config.places, vm).await;
    let stands = paused.is_ok();
    failpoint::reach("standing still");
    let done = match paused {
        Ok(()) => work.await,
        Err(error) => Err(Refusal::host(format!("{} could not be paused: {error}", vm.name))),
    };
    if runs_on
        && let Err(refusal) = go_on(daemon, vm).await
        && stands
    {
        return Err(refusal);
    }
    done
}

fn mark(daemon: &Daemon, vm: &Vm) -> Result<(), Refusal> {
    let path = daemon.config.places.standing_still(&vm.name);
    std::fs::write(&path, "").map_err(|error| Refusal::host(format!("{}: {error}", path.display())))
}

/// Has a guest go on that stood still for work on its disks, where it has not ended meanwhile.
async fn go_on(daemon: &Daemon, vm: &Vm) -> Result<(), Refusal> {
    let resumed = match machine::resume(&daemon.config.places, vm).await {
        Err(error) if !ends(daemon, vm).await => {
            let message = format!("{} was paused, and could not be resumed: {error}", vm.name);
            Err(Refusal::host(message).hint(format!("seedbed resume {}", vm.name)))
        }
        _ => Ok(()),
    };
    // Also where it does not go on: who pauses it by hand later wants it to stay so.
    let unmarked = unmark(daemon, vm);
    resumed.and(unmarked)
}

/// Whether a VM whose QEMU does not answer has ended, or is being ended: `kill` waits for nobody.
async fn ends(daemon: &Daemon, vm: &Vm) -> bool {
    let state = daemon.status.seen(vm).state;
    !matches!(state, VmState::Running { .. } | VmState::Paused { .. })
        || matches!(process::find(&daemon.config.places, vm).await, Ok(None))
}

fn unmark(daemon: &Daemon, vm: &Vm) -> Result<(), Refusal> {
    let path = daemon.config.places.standing_still(&vm.name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Refusal::host(format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Has guests go on that an earlier daemon had stand still.
pub(super) async fn recover(daemon: &Arc<Daemon>) {
    for vm in daemon.directory().each_vm() {
        let path = daemon.config.places.standing_still(&vm.name);
        if vm.machine().is_none() || !path.exists() {
            continue;
        }
        let gone_on = if daemon.status.seen(vm).is_up() {
            tracing::warn!(vm = %vm.name, "{} stood still for work on its disks that was cut short: it goes on.", vm.name);
            go_on(daemon, vm).await
        } else {
            unmark(daemon, vm)
        };
        if let Err(refusal) = gone_on {
            tracing::error!(vm = %vm.name, "{refusal}.");
        }
    }
}
