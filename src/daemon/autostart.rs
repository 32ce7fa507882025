//! Starts VMs when the host has started: those that are to be, in their order.
//!
//! That the host has started is told by the kernel's boot id (`/proc/sys/kernel/random/boot_id`), which differs from the one that
//! was kept. With it is kept who is still to be started in this boot, so that a daemon that is killed or upgraded on the way leaves
//! the rest to the next one, and nobody is started a second time who was stopped meanwhile.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;

use super::order::{self, Queued};
use super::{Daemon, power};
use crate::export;
use crate::model::{Vm, VmName};

/// Where the kernel tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Who is to be started with the host, and has not been in this boot.
pub(super) struct Due {
    boot: String,
    vms: Vec<Arc<Vm>>,
    /// Whether the host has not been restarted since the daemon before.
    pub(super) same_boot: bool,
}

/// Looks who is due; nobody where the kernel does not tell which boot this is.
pub(super) fn due(daemon: &Daemon) -> Due {
    let Ok(boot) = std::fs::read_to_string(BOOT_ID).map(|text| text.trim().to_owned()) else {
        return Due {
            boot: String::new(),
            vms: Vec::new(),
            same_boot: true,
        };
    };
    let left = left(&daemon.config.places.boot_id(), &boot);
    let is_due = |vm: &&Arc<Vm>| match &left {
        Some(names) => names.contains(&vm.name),
        None => vm.machine().is_some_and(|machine| machine.policy().autostart),
    };
    Due {
        vms: daemon.directory().vms().filter(is_due).cloned().collect(),
        same_boot: left.is_some(),
        boot,
    }
}

/// Who is left to be started of those that were due in this boot; `None` when it is another boot.
fn left(kept: &Path, boot: &str) -> Option<Vec<VmName>> {
    let text = std::fs::read_to_string(kept).ok()?;
    let mut lines = text.lines();
    (lines.next()? == boot).then(|| lines.filter_map(|line| line.parse().ok()).collect())
}

/// Starts those that are due, in a task of its own.
pub(super) fn begin(daemon: &Arc<Daemon>, due: Due) {
    let names = due.vms.iter().map(|vm| vm.name.clone()).collect();
    let left = Left {
        daemon: Arc::clone(daemon),
        boot: due.boot,
        names: Mutex::new(names),
    };
    if !due.same_boot {
        left.keep();
    }
    if due.vms.is_empty() {
        return;
    }
    let count = due.vms.len();
    if due.same_boot {
        tracing::info!(
            "the daemon before was starting VMs with the host: starting the {count} that are left."
        );
    } else {
        tracing::info!("the host has started: starting {count} VMs.");
    }
    let queued = order::enqueue(daemon, &due.vms);
    tokio::spawn(async move {
        let starts = due.vms.iter().zip(queued);
        join_all(starts.map(|(vm, queued)| left.start(vm, queued))).await;
    });
}

/// Who has not been started yet.
struct Left {
    daemon: Arc<Daemon>,
    boot: String,
    names: Mutex<Vec<VmName>>,
}

impl Left {
    async fn start(&self, vm: &Arc<Vm>, queued: Queued) {
        let started = power::start_queued(&self.daemon, std::slice::from_ref(vm), vec![queued], None).await;
        for refusal in started.into_iter().filter_map(Result::err) {
            tracing::error!("{refusal}.");
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|name| *name != vm.name);
        drop(names);
        self.keep();
    }

    fn keep(&self) {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = |out: &mut dyn Write| {
            writeln!(out, "{}", self.boot)?;
            names.iter().try_for_each(|name| writeln!(out, "{name}"))
        };
        if let Err(error) = export::write_atomically(&self.daemon.config.places.boot_id(), 0o600, lines) {
            tracing::error!("VMs may be started once more by the next daemon: {error}.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_left_is_of_this_boot_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let names = |text: &str, boot: &str| {
            std::fs::write(file.path(), text).unwrap();
            left(file.path(), boot).map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(names("a\n", "a"), Some(vec![]));
        assert_eq!(
            names("a\ndb1\n/\nweb1\n", "a"),
            Some(vec!["db1".to_owned(), "web1".to_owned()])
        );
        assert_eq!(names("a\ndb1\n", "b"), None);
        assert_eq!(names("", "b"), None);
        assert_eq!(left(Path::new("/nowhere"), "b"), None);
    }
}
