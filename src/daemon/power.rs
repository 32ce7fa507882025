//! Requests about what VMs that are there do: start in their order, pause, go on, end at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::order::{self, Queued};
use super::{Daemon, machines, selection, several};
use crate::control::serve::ProgressSink;
use crate::control::{Answer, Power, PowerVms, Refusal};
use crate::machine::{self, LifeEvent};
use crate::model::{Pause, Vm, VmState};

/// How long what QEMU was told may take to be heard of.
const HEARD: Duration = Duration::from_secs(5);
/// How long a guest that was stopped by a disk is watched: it tries the same again at once.
const TRIES: Duration = Duration::from_millis(500);

/// Does something with VMs at once.
pub(super) async fn handle(daemon: &Arc<Daemon>, request: PowerVms) -> Result<Answer, Refusal> {
    let chosen = selection::selected(&daemon.directory(), &request.select)?;
    let doing = chosen.iter().map(async |vm| match request.what {
        Power::Pause => pause(daemon, vm).await,
        Power::Resume => resume(daemon, vm).await,
        Power::Kill => kill(daemon, vm).await,
    });
    several::answer(daemon, &chosen, join_all(doing).await)
}

/// Starts VMs, each when those that it starts after are as far as they have to be.
pub(super) async fn start(
    daemon: &Arc<Daemon>,
    vms: &[Arc<Vm>],
    progress: Option<&ProgressSink>,
) -> Vec<Result<(), Refusal>> {
    let queued = order::enqueue(daemon, vms);
    start_queued(daemon, vms, queued, progress).await
}

/// [`start`], of VMs that have their places in the queue.
pub(super) async fn start_queued(
    daemon: &Arc<Daemon>,
    vms: &[Arc<Vm>],
    queued: Vec<Queued>,
    progress: Option<&ProgressSink>,
) -> Vec<Result<(), Refusal>> {
    let starts = vms
        .iter()
        .zip(queued)
        .map(async |(vm, queued)| start_one(daemon, (vm, queued), progress).await);
    join_all(starts).await
}

async fn start_one(
    daemon: &Arc<Daemon>,
    (vm, queued): (&Arc<Vm>, Queued),
    progress: Option<&ProgressSink>,
) -> Result<(), Refusal> {
    let line = |stage: String| {
        if let Some(progress) = progress {
            progress.line(vm.name.as_str(), stage);
        }
    };
    if !daemon.status.seen(vm).is_up() {
        let turn = order::turn(daemon, (vm, &queued), progress).await;
        turn.inspect_err(|refusal| line(format!("failed: {}", refusal.message)))?;
        line("starting".to_owned());
    }
    let started = machines::start(daemon, vm).await;
    started.inspect_err(|refusal| line(format!("failed: {}", refusal.message)))
}

/// Has a running VM stand still.
async fn pause(daemon: &Arc<Daemon>, vm: &Vm) -> Result<(), Refusal> {
    let _held = daemon.lock(vm).await;
    let vm = daemon.still(vm)?;
    machines::machine_of(&vm)?;
    match daemon.status.seen(&vm).state {
        VmState::Paused { .. } => return Ok(()),
        VmState::Running { .. } => {}
        _ => return Err(not_running(&vm)),
    }
    machine::pause(&daemon.config.places, &vm)
        .await
        .map_err(|error| Refusal::host(format!("{} could not be paused: {error}", vm.name)))?;
    until(daemon, &vm, |state| !matches!(state, VmState::Running { .. })).await
}

/// Has a paused VM go on. One that is stopped by a disk again is told so.
async fn resume(daemon: &Arc<Daemon>, vm: &Vm) -> Result<(), Refusal> {
    let _held = daemon.lock(vm).await;
    let vm = daemon.still(vm)?;
    machines::machine_of(&vm)?;
    let why = match daemon.status.seen(&vm).state {
        VmState::Running { .. } => return Ok(()),
        VmState::Paused { why, .. } => why,
        _ => return Err(not_running(&vm)),
    };
    machine::resume(&daemon.config.places, &vm)
        .await
        .map_err(|error| Refusal::host(format!("{} could not be resumed: {error}", vm.name)))?;
    if why == Pause::ByHand {
        return until(daemon, &vm, |state| !matches!(state, VmState::Paused { .. })).await;
    }
    sleep(TRIES).await;
    match daemon.status.seen(&vm).state {
        VmState::Paused { why, .. } => Err(Refusal::host(format!(
            "{} can not go on: {}",
            vm.name,
            why.sentence()
        ))
        .hint("make room, or mend the disk, and resume it again; what it wrote waits in its QEMU")),
        _ => Ok(()),
    }
}

/// Ends a VM at once, also while someone else waits for its guest to power off.
async fn kill(daemon: &Arc<Daemon>, vm: &Vm) -> Result<(), Refusal> {
    machines::machine_of(vm)?;
    if daemon.status.seen(vm).is_up() {
        daemon.restarts.by_hand(&vm.name);
        machines::stopping(daemon, &vm.name, true);
        daemon.status.live(&vm.name, &LifeEvent::StopAsked);
        machine::kill(&daemon.config.places, vm)
            .await
            .map_err(|error| Refusal::host(format!("{} could not be killed: {error}", vm.name)))?;
    }
    let _held = daemon.lock(vm).await;
    // What was being started meanwhile is ended too, and what it had on the host is cleared away.
    machines::stop_locked(daemon, &daemon.still(vm)?, true, Duration::ZERO).await
}

async fn until(daemon: &Daemon, vm: &Vm, arrived: impl Fn(&VmState) -> bool) -> Result<(), Refusal> {
    let mut bell = daemon.status.bell();
    let waiting = async { while !arrived(&daemon.status.seen(vm).state) && bell.changed().await.is_ok() {} };
    timeout(HEARD, waiting).await.map_err(|_| {
        Refusal::host(format!(
            "QEMU was told, and nothing was heard of {} since",
            vm.name
        ))
        .hint(format!("see `seedbed show {}`", vm.name))
    })
}

fn not_running(vm: &Vm) -> Refusal {
    Refusal::request(format!("{} is not running", vm.name))
        .hint(format!("start it with `seedbed start {}`", vm.name))
}
