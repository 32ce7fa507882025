//! The kernel's files of control groups: putting a VM's process into one, and ending whoever is left in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use tokio::time::{Instant, sleep};

use super::{Home, Limits, client};
use crate::model::{Places, VmName};

/// How long what a VM leaves behind may take to end by itself: who reads its console has the last lines to write.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the kernel may take to end what was killed.
const KILL: Duration = Duration::from_secs(10);
/// How soon it is looked again.
const AGAIN: Duration = Duration::from_millis(10);

/// The control group of a VM that runs, or that has just ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::machine) struct Cgroup(PathBuf);

impl Cgroup {
    /// Ends all of its processes at once. That it is gone already is no error.
    pub(in crate::machine) fn kill(&self) -> io::Result<()> {
        unless_gone(fs::write(self.0.join("cgroup.kill"), "1"))
    }

    /// Waits until nobody is left in it, ends whoever stays, and removes it.
    pub(in crate::machine) async fn end(&self) -> io::Result<()> {
        if !self.emptied(LAST_WORDS).await? {
            tracing::warn!(group = %self.0.display(), "ending what was left of a VM in {}.", self.0.display());
            self.kill()?;
            if !self.emptied(KILL).await? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        // A scope is systemd's to remove, and it does so as soon as it is empty.
        if self.0.extension().is_some_and(|kind| kind == "scope") {
            return Ok(());
        }
        unless_gone(fs::remove_dir(&self.0))
    }

    /// Whether it is still there.
    #[cfg(test)]
    pub(in crate::machine) fn exists(&self) -> bool {
        self.0.exists()
    }

    async fn emptied(&self, within: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + within;
        loop {
            let events = match fs::read_to_string(self.0.join("cgroup.events")) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
                events => events?,
            };
            if events.lines().any(|line| line == "populated 0") {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            sleep(AGAIN).await;
        }
    }
}

/// The control group of this daemon's that a process is in.
pub(in crate::machine) fn of(places: &Places, pid: u32) -> Option<Cgroup> {
    member(&home(places)?, pid)
}

/// The directory of the control group that a process is in, whoever's that is.
pub(in crate::machine) fn folder_of(places: &Places, pid: u32) -> Option<PathBuf> {
    let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    home(places)?.folder_of(&membership)
}

/// Puts a process back into the group that it was in before. That it has ended is no error.
pub(in crate::machine) fn give_back(pid: u32, folder: &Path) -> io::Result<()> {
    match fs::write(folder.join("cgroup.procs"), pid.to_string()) {
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
        result => result,
    }
}

/// What the kernel knows of the VM that a process belongs to, whatever the process says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::machine) enum Belongs {
    /// It is in the group of this VM, which it can not leave.
    To(String),
    /// It is in none of our groups.
    Nowhere,
    /// This host has no groups.
    Unknown,
}

/// Which VM a process belongs to.
pub(in crate::machine) fn belongs(places: &Places, pid: u32) -> Belongs {
    let Some(home) = home(places) else {
        return Belongs::Unknown;
    };
    let vm = member(&home, pid).and_then(|group| {
        let name = group.0.file_name()?.to_str()?;
        home.vm(name).map(str::to_owned)
    });
    vm.map_or(Belongs::Nowhere, Belongs::To)
}

/// Puts a process, with all of its threads, into the control group of a VM.
pub(in crate::machine) async fn put(
    places: &Places,
    vm: &VmName,
    pid: u32,
    limits: Limits,
) -> io::Result<Cgroup> {
    let home = home(places).ok_or_else(|| io::Error::other("cgroup v2 is not mounted"))?;
    let name = home.name(vm.as_str(), pid);
    if !home.by_systemd {
        return join(&home, &name, pid, limits);
    }
    client::scope(&name, &home.slice(), pid, limits).await?;
    let deadline = Instant::now() + KILL;
    // systemd answers when it has begun.
    loop {
        if let Some(group) = member(&home, pid) {
            return Ok(group);
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("systemd made no scope {name}")));
        }
        sleep(AGAIN).await;
    }
}

/// Puts a process into the group that another one of the same VM is in, where that is in one.
pub fn beside(places: &Places, one: u32, other: u32) -> io::Result<()> {
    of(places, one).map_or(Ok(()), |group| {
        fs::write(group.0.join("cgroup.procs"), other.to_string())
    })
}

/// Ends and removes the groups of VMs that do not run.
pub async fn sweep(places: &Places, runs: impl Fn(&str) -> bool) -> io::Result<()> {
    let Some(home) = home(places) else { return Ok(()) };
    let groups = match fs::read_dir(home.folder()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        groups => groups?,
    };
    for group in groups {
        let group = group?;
        let is_left = group.file_name().to_str().is_some_and(|name| {
            group.file_type().is_ok_and(|kind| kind.is_dir()) && home.vm(name).is_some_and(|vm| !runs(vm))
        });
        if is_left {
            Cgroup(group.path()).end().await?;
        }
    }
    Ok(())
}

fn home(places: &Places) -> Option<Home> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    // The test of sd_booted(3).
    Home::of(places, &mounts, Path::new("/run/systemd/system").is_dir())
}

fn member(home: &Home, pid: u32) -> Option<Cgroup> {
    let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    home.group_of(&membership).map(Cgroup)
}

fn join(home: &Home, name: &str, pid: u32, limits: Limits) -> io::Result<Cgroup> {
    let folder = home.folder();
    let group = folder.join(name);
    fs::create_dir_all(&group)?;
    for parent in [&home.mount, &folder] {
        for controller in ["+memory", "+pids"] {
            // Without it, on a host that has it elsewhere or not at all, the group is there without this limit.
            fs::write(parent.join("cgroup.subtree_control"), controller).ok();
        }
    }
    for (file, limit) in [("memory.max", limits.memory.0), ("pids.max", limits.tasks)] {
        let file = group.join(file);
        if file.exists() {
            fs::write(file, limit.to_string())?;
        }
    }
    fs::write(group.join("cgroup.procs"), pid.to_string())?;
    Ok(Cgroup(group))
}

/// Removes where a test's groups were.
#[cfg(test)]
pub(in crate::machine) fn remove_home(places: &Places) -> io::Result<()> {
    home(places).map_or(Ok(()), |home| unless_gone(fs::remove_dir(home.folder())))
}

fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bytes;
    use std::process::Command;

    /// A place of this test's alone, where groups can be made.
    fn places() -> Option<(tempfile::TempDir, Places)> {
        let run = tempfile::tempdir().unwrap();
        let places = Places::new("/s", run.path());
        let usable =
            rustix::process::geteuid().is_root() && home(&places).is_some_and(|home| !home.by_systemd);
        if !usable {
            println!("skipped: needs root, cgroup v2, and no systemd");
        }
        usable.then_some((run, places))
    }

    #[tokio::test]
    async fn whoever_is_left_in_a_group_ends_with_it() {
        let Some((_run, places)) = places() else { return };
        let vm: VmName = "web1".parse().unwrap();
        let mut left = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(of(&places, left.id()), None);
        assert_eq!(belongs(&places, left.id()), Belongs::Nowhere);
        let group = put(&places, &vm, left.id(), Limits::generous(Bytes::mib(64)))
            .await
            .unwrap();
        assert_eq!(of(&places, left.id()).as_ref(), Some(&group));
        assert_eq!(belongs(&places, left.id()), Belongs::To("web1".to_owned()));

        sweep(&places, |name| name == "web1").await.unwrap();
        assert!(left.try_wait().unwrap().is_none(), "its VM runs");
        let waited = tokio::task::spawn_blocking(move || left.wait());
        sweep(&places, |_| false).await.unwrap();
        assert!(!waited.await.unwrap().unwrap().success());
        assert!(!group.exists());
        group.kill().unwrap();
        group.end().await.unwrap();
        remove_home(&places).unwrap();
    }
}
