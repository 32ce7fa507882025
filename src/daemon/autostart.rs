//! Starts VMs when the host has started: those that are to be, in their order.
//!
//! That the host has started is told by the kernel's boot id (`/proc/sys/kernel/random/boot_id`), which differs from the one that
//! was kept when that was last done. A daemon that is restarted starts no VM: one that does not run then was stopped.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::{Daemon, order, power};
use crate::export;
use crate::model::Vm;

/// Where the kernel tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Which boot this is, when nobody has started VMs in it yet.
pub(super) fn fresh_boot(daemon: &Daemon) -> Option<String> {
    let now = boot(Path::new(BOOT_ID))?;
    let kept = boot(&daemon.config.places.boot_id());
    (kept.as_ref() != Some(&now)).then_some(now)
}

fn boot(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let id = text.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

/// Starts the VMs that are to start with the host, in a task of its own. A daemon that is killed meanwhile leaves the rest to the
/// next one.
pub(super) fn begin(daemon: &Arc<Daemon>, boot: String) {
    let is_wanted = |vm: &&Arc<Vm>| vm.machine().is_some_and(|machine| machine.policy.autostart);
    let wanted: Vec<_> = daemon.directory().vms().filter(is_wanted).cloned().collect();
    let queued = order::enqueue(daemon, &wanted);
    let daemon = Arc::clone(daemon);
    tokio::spawn(async move {
        if !wanted.is_empty() {
            tracing::info!("the host has started: starting {} VMs.", wanted.len());
        }
        for refusal in power::start_queued(&daemon, &wanted, queued, None)
            .await
            .into_iter()
            .filter_map(Result::err)
        {
            tracing::error!("{refusal}.");
        }
        let line = |out: &mut dyn Write| writeln!(out, "{boot}");
        if let Err(error) = export::write_atomically(&daemon.config.places.boot_id(), 0o600, line) {
            tracing::error!("VMs may be started once more by the next daemon: {error}.");
        }
    });
}
