//! The order of starts: a VM that starts after others waits for them, and fails with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Daemon, waiting};
use crate::control::serve::ProgressSink;
use crate::control::{Refusal, Rung};
use crate::model::policy::Dependency;
use crate::model::{BootStep, Vm, VmName};

/// How long a VM waits for another.
const PATIENCE: Duration = Duration::from_secs(600);

/// The VMs that somebody has asked to start and that have not come to it yet.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<HashMap<VmName, Asked>>);

/// How often a VM was asked to start, and what calls all of that off.
#[derive(Debug, Default)]
struct Asked {
    times: u32,
    called_off: CancellationToken,
}

impl Queue {
    /// Whether somebody has asked to start a VM.
    pub(super) fn has(&self, vm: &VmName) -> bool {
        self.all().contains_key(vm)
    }

    /// Somebody does not want a VM to run: who waits to start it waits no longer. Who asks from now on is not meant.
    pub(super) fn call_off(&self, vm: &VmName) {
        if let Some(asked) = self.all().get_mut(vm) {
            std::mem::take(&mut asked.called_off).cancel();
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<VmName, Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A VM's place in the queue; given up when it is dropped.
pub(super) struct Queued {
    daemon: Arc<Daemon>,
    vm: VmName,
    called_off: CancellationToken,
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut all = self.daemon.queue.all();
        if let Some(asked) = all.get_mut(&self.vm) {
            asked.times -= 1;
            if asked.times == 0 {
                all.remove(&self.vm);
            }
        }
        drop(all);
        self.daemon.status.ring();
    }
}

/// Puts VMs that are about to be started into the queue, all before the first of them looks for the others.
pub(super) fn enqueue(daemon: &Arc<Daemon>, vms: &[Arc<Vm>]) -> Vec<Queued> {
    let mut all = daemon.queue.all();
    let queued = vms.iter().map(|vm| {
        let asked = all.entry(vm.name.clone()).or_default();
        asked.times += 1;
        Queued {
            daemon: Arc::clone(daemon),
            vm: vm.name.clone(),
            called_off: asked.called_off.clone(),
        }
    });
    queued.collect()
}

/// Waits until a VM may be started: until all that it starts after is as far as it has to be.
pub(super) async fn turn(
    daemon: &Daemon,
    (vm, queued): (&Vm, &Queued),
    progress: Option<&ProgressSink>,
) -> Result<(), Refusal> {
    tokio::select! {
        biased;
        () = queued.called_off.cancelled() => Err(Refusal::request(format!(
            "{} was stopped while it waited to be started",
            vm.name
        ))),
        waited = dependencies(daemon, vm, progress) => waited,
    }
}

async fn dependencies(daemon: &Daemon, vm: &Vm, progress: Option<&ProgressSink>) -> Result<(), Refusal> {
    let Some(machine) = vm.machine() else {
        return Ok(());
    };
    for dependency in &machine.policy().after {
        if arrived(daemon, vm, dependency)? {
            continue;
        }
        if let Some(progress) = progress {
            progress.line(vm.name.as_str(), format!("waiting for {dependency}"));
        }
        timeout(PATIENCE, climbing(daemon, vm, dependency))
            .await
            .map_err(|_| late(vm, dependency))??;
    }
    Ok(())
}

async fn climbing(daemon: &Daemon, vm: &Vm, dependency: &Dependency) -> Result<(), Refusal> {
    let mut bell = daemon.status.bell();
    loop {
        bell.mark_unchanged();
        if arrived(daemon, vm, dependency)? || bell.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Whether a dependency is as far as it has to be; refused as soon as it can not get there.
fn arrived(daemon: &Daemon, vm: &Vm, dependency: &Dependency) -> Result<bool, Refusal> {
    let other = daemon.directory().vm(&dependency.vm).cloned();
    let Some(other) = other else {
        return Err(failed(
            vm,
            dependency,
            &format!("there is no VM {}", dependency.vm),
        ));
    };
    let seen = daemon.status.seen(&other);
    match waiting::arrived(daemon, &other, &seen, rung(dependency.step)) {
        // It may have failed before: what counts is the start that is to come.
        Ok(false) | Err(_) if daemon.queue.has(&other.name) => Ok(false),
        Ok(arrived) => Ok(arrived),
        Err(refusal) => Err(failed(vm, dependency, &refusal.message)),
    }
}

const fn rung(step: BootStep) -> Rung {
    match step {
        BootStep::Started => Rung::Started,
        BootStep::Dhcp => Rung::Dhcp,
        BootStep::Metadata => Rung::Metadata,
        BootStep::Ready => Rung::Ready,
    }
}

fn failed(vm: &Vm, dependency: &Dependency, why: &str) -> Refusal {
    Refusal::request(format!(
        "{} is not started, because it starts after {dependency}: {why}",
        vm.name
    ))
    .hint(format!(
        "start {} first or with it, or let {} start by itself: seedbed set {} --after ''",
        dependency.vm, vm.name, vm.name
    ))
}

fn late(vm: &Vm, dependency: &Dependency) -> Refusal {
    Refusal::timeout(format!(
        "{} is not started, because it starts after {dependency}, and that did not come within {} s",
        vm.name,
        PATIENCE.as_secs()
    ))
    .hint(format!("see how far it is: seedbed show {}", dependency.vm))
}
