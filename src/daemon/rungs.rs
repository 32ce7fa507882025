//! Remembers rungs over a restart of the daemon, in the run directory, which a host reboot empties.
//!
//! A VM that Seedbed runs has a file of its own, written at each step. Those that someone else runs may be tens of
//! thousands that all start at once: theirs are in one file, written when they have changed, some seconds later. What can
//! not be kept is only shown lower than it is; nothing depends on it but what people see and wait for.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Daemon;
use crate::export;
use crate::model::{BootStep, Vm, VmName};

/// How long a change of the rungs of external VMs may wait to be written.
const LATE: Duration = Duration::from_secs(2);

/// Whether the rungs of external VMs have changed since they were written.
#[derive(Debug, Default)]
pub(super) struct Changed(AtomicBool);

/// Keeps a VM's rung.
pub(super) fn keep(daemon: &Daemon, vm: &Vm, step: BootStep) {
    if vm.machine().is_none() {
        daemon.rungs_changed.0.store(true, Ordering::Relaxed);
        return;
    }
    let (path, name) = (daemon.config.places.rung(&vm.name), &vm.name);
    if let Err(error) = std::fs::write(&path, step.as_str()) {
        tracing::warn!(vm = %name, "could not keep the rung of {name} in {}: {error}.", path.display());
    }
}

/// The rung a VM of ours was seen on by an earlier daemon, since it was powered on.
pub(super) fn kept(daemon: &Daemon, vm: &VmName) -> Option<BootStep> {
    let text = std::fs::read_to_string(daemon.config.places.rung(vm)).ok()?;
    step_of(&text)
}

/// The rungs that external VMs were seen on by an earlier daemon.
pub(super) fn kept_of_external(daemon: &Daemon) -> HashMap<String, BootStep> {
    let text = std::fs::read_to_string(daemon.config.places.external_rungs()).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (name, step) = line.split_once(' ')?;
            Some((name.to_owned(), step_of(step)?))
        })
        .collect()
}

fn step_of(text: &str) -> Option<BootStep> {
    BootStep::ALL.into_iter().find(|step| step.as_str() == text)
}

/// Writes the rungs of external VMs whenever they have changed, and once more when it is told to stop.
pub(super) async fn keep_external(daemon: Arc<Daemon>, stop: CancellationToken) {
    loop {
        let stopped = tokio::time::timeout(LATE, stop.cancelled()).await.is_ok();
        if daemon.rungs_changed.0.swap(false, Ordering::Relaxed) {
            let writer = Arc::clone(&daemon);
            let written = tokio::task::spawn_blocking(move || write_external(&writer)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!("could not keep the rungs of external VMs: {error}.");
            }
        }
        if stopped {
            return;
        }
    }
}

fn write_external(daemon: &Daemon) -> Result<(), export::WriteError> {
    let directory = daemon.directory();
    let lines = |out: &mut dyn Write| -> io::Result<()> {
        for vm in directory.each_vm().filter(|vm| vm.machine().is_none()) {
            if let Some(progress) = daemon.status.seen(vm).progress {
                writeln!(out, "{} {}", vm.name, progress.step)?;
            }
        }
        Ok(())
    };
    export::write_atomically(&daemon.config.places.external_rungs(), 0o600, lines).map(|_| ())
}

/// Forgets a VM's rung.
pub(super) fn forget(daemon: &Daemon, vm: &VmName) {
    let path = daemon.config.places.rung(vm);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%vm, "could not remove {}: {error}.", path.display());
        }
        _ => {}
    }
}
