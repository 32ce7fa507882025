//! Remembers rungs over a restart of the daemon: one word per VM in the run directory, which a host reboot empties.
//!
//! What can not be kept is only shown lower than it is; nothing depends on it but what people see and wait for.

use std::io::ErrorKind;

use super::Daemon;
use crate::model::{BootStep, VmName};

/// Keeps a VM's rung.
pub(super) fn keep(daemon: &Daemon, vm: &VmName, step: BootStep) {
    let path = daemon.config.places.rung(vm);
    if let Err(error) = std::fs::write(&path, step.as_str()) {
        tracing::warn!(%vm, "could not keep the rung of {vm} in {}: {error}.", path.display());
    }
}

/// The rung a VM was seen on by an earlier daemon, since it was powered on.
pub(super) fn kept(daemon: &Daemon, vm: &VmName) -> Option<BootStep> {
    let text = std::fs::read_to_string(daemon.config.places.rung(vm)).ok()?;
    BootStep::ALL.into_iter().find(|step| step.as_str() == text)
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
