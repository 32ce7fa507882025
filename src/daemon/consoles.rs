//! The brokers of consoles: each running VM has one. They go on without us; what we do is start them, and start them anew.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Daemon;
use crate::console::door;
use crate::control::Refusal;
use crate::image::FileError;
use crate::machine::Found;
use crate::machine::process::{self, Claim, Process};
use crate::model::{Places, Vm, VmName, identity};

/// How soon a broker that ended is followed by another one.
const SOONEST: Duration = Duration::from_millis(100);
/// How late, when one after the other ends.
const LATEST: Duration = Duration::from_secs(60);
/// How long a broker may take to tell its viewers that the VM has ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// The brokers that run.
#[derive(Debug, Default)]
pub(super) struct Consoles(Mutex<HashMap<VmName, Arc<Process>>>);

impl Consoles {
    fn put(&self, vm: &VmName, process: Process) -> Option<Arc<Process>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(vm.clone(), Arc::new(process))
    }

    fn of(&self, vm: &VmName) -> Option<Arc<Process>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(vm).cloned()
    }

    fn take(&self, vm: &VmName) -> Option<Arc<Process>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(vm)
    }
}

/// Begins the console of a VM that is about to start, and returns the socket that its QEMU is to listen on.
pub(super) fn open(daemon: &Daemon, vm: &Vm) -> Result<OwnedFd, Refusal> {
    let serial = door::prepare(&daemon.config.places, &vm.name)?;
    begin(daemon, &vm.name, identity::uid(vm.address))?;
    Ok(serial)
}

fn begin(daemon: &Daemon, vm: &VmName, uid: u32) -> Result<(), FileError> {
    let places = &daemon.config.places;
    let child = door::start(places, vm, uid)?;
    // Until the child is let go, its number is nobody else's.
    let opened = child
        .id()
        .map_or_else(|| Err(ErrorKind::NotFound.into()), Process::open);
    let process = opened.map_err(|source| FileError {
        action: "watching the broker of",
        path: places.console(vm),
        source,
    })?;
    daemon.consoles.put(vm, process);
    Ok(())
}

/// Sees to it that a running VM has a broker, for as long as this is waited for.
pub(super) async fn keep(daemon: &Daemon, vm: &Vm) -> Infallible {
    let mut pause = SOONEST;
    loop {
        let begun = Instant::now();
        if let Some(process) = daemon.consoles.of(&vm.name)
            && let Err(error) = process.wait().await
        {
            tracing::warn!(vm = %vm.name, "the console's broker of {} can not be watched: {error}.", vm.name);
        }
        if begun.elapsed() > LATEST {
            pause = SOONEST;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LATEST);
        match begin(daemon, &vm.name, user(daemon, vm)) {
            Ok(()) => {
                tracing::warn!(vm = %vm.name, "the console of {} had no broker any more: started another one.", vm.name);
            }
            // Its QEMU is just ending.
            Err(error) if error.source.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => {
                tracing::warn!(vm = %vm.name, "the console of {} has no broker: {error}.", vm.name);
                if error.source.kind() == ErrorKind::NotFound {
                    // Started by a release without brokers, or its sockets were wiped: there is none until its next start.
                    return std::future::pending().await;
                }
            }
        }
    }
}

/// The user a running VM's QEMU runs as: its address may have changed since.
fn user(daemon: &Daemon, vm: &Vm) -> u32 {
    let sockets = daemon.config.places.vm_sockets(&vm.name);
    std::fs::symlink_metadata(sockets).map_or_else(|_| identity::uid(vm.address), |facts| facts.uid())
}

/// Ends the console of a VM that has ended. Its broker ends by itself; one that does not is killed.
pub(super) async fn close(daemon: &Daemon, vm: &VmName) {
    if let Some(process) = daemon.consoles.take(vm)
        && !matches!(timeout(FAREWELL, process.wait()).await, Ok(Ok(())))
    {
        end(vm.as_str(), &process).await;
    }
    if let Err(error) = door::clear(&daemon.config.places, vm) {
        tracing::warn!(%vm, "could not remove the console's sockets of {vm}: {error}.");
    }
}

async fn end(vm: &str, process: &Process) {
    if let Err(error) = process.end().await {
        tracing::error!(vm, "the console's broker of {vm} could not be ended: {error}.");
    }
}

/// Takes the brokers of running VMs over from an earlier daemon, and ends all others.
pub(super) async fn recover(daemon: &Daemon, running: &[(Arc<Vm>, Found)]) -> Result<(), Refusal> {
    let places = daemon.config.places.clone();
    let found = tokio::task::spawn_blocking(move || look(&places)).await??;
    for claim in found {
        let vm = running.iter().find(|(vm, _)| vm.name.as_str() == claim.vm);
        let surplus = match vm {
            Some((vm, _)) => daemon.consoles.put(&vm.name, claim.process),
            None => Some(Arc::new(claim.process)),
        };
        if let Some(process) = surplus {
            tracing::warn!(vm = %claim.vm, "ending a console's broker of `{}`, which has none or another one.", claim.vm);
            end(&claim.vm, &process).await;
        }
    }
    sweep(daemon, running)
}

/// Removes the sockets of consoles whose VM does not run.
fn sweep(daemon: &Daemon, running: &[(Arc<Vm>, Found)]) -> Result<(), Refusal> {
    let folder = daemon.config.places.consoles();
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| Refusal::host(format!("{}: {error}", folder.display())))?,
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<VmName>().ok());
    for name in names.filter(|name| running.iter().all(|(vm, _)| vm.name != *name)) {
        door::clear(&daemon.config.places, &name)?;
    }
    Ok(())
}

fn look(places: &Places) -> Result<Vec<Claim>, FileError> {
    let found = process::each(places, |_, arguments| Some((served(places, arguments)?, ())))?;
    Ok(found.into_iter().map(|(claim, ())| claim).collect())
}

/// The VM whose broker has these arguments.
fn served(places: &Places, arguments: &[String]) -> Option<String> {
    let [_, verb, path] = arguments else { return None };
    let rest = Path::new(path).strip_prefix(places.consoles()).ok()?;
    let name = rest.parent()?.to_str()?;
    let is_broker = verb == door::VERB && !name.is_empty() && !name.contains('/');
    is_broker.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_known_by_the_socket_it_was_started_for() {
        let places = Places::new("/s", "/run/seedbed");
        let of = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
            served(&places, &arguments)
        };
        let path = "/run/seedbed/consoles/web1/console";
        assert_eq!(of(&["seedbed", "console-broker", path]).as_deref(), Some("web1"));
        for other in [
            &["seedbed", "console", path][..],
            &["seedbed", "console-broker"],
            &["seedbed", "console-broker", path, "more"],
            &["seedbed", "console-broker", "/run/other/consoles/web1/console"],
            &["seedbed", "console-broker", "/run/seedbed/consoles/console"],
            &["seedbed", "console-broker", "/run/seedbed/consoles/a/b/console"],
        ] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }
}
