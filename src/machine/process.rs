//! Finding the QEMU processes of VMs, and holding on to one.
//!
//! There are no pid files. A process is a VM's when it was started with that VM's control socket and runs as the user
//! that socket's directory belongs to; it is held by a pidfd that was opened before that was checked, so a number that is used again does no harm.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::cgroup::{self, Belongs};
use super::{Accel, command};
use crate::image::FileError;
use crate::image::files::at;
use crate::model::{Places, Vm, identity};

/// How long the kernel may take to end a killed process.
pub(super) const KILL: Duration = Duration::from_secs(10);

/// How many look at all processes of the host at once: of a hundred VMs that are stopped together, each is looked for.
static LOOKS: Semaphore = Semaphore::const_new(2);

/// A running QEMU of ours.
#[derive(Debug)]
pub struct Found {
    /// The VM its sockets are named after. That there is a VM of that name is not known here.
    pub vm: String,
    /// Its process id.
    pub pid: u32,
    /// The user it runs as.
    pub uid: u32,
    /// What executes its guest.
    pub accel: Accel,
    /// The process itself.
    pub process: Process,
}

/// A process that stays the same one, whatever becomes of its number.
#[derive(Debug)]
pub struct Process(OwnedFd);

impl Process {
    /// The process that has this number now.
    pub fn open(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        // A pidfd becomes readable when its process ends (pidfd_open(2)).
        poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Ends it at once. That it has ended already is no error.
    pub fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.0, Signal::KILL) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Ends it at once and waits until the kernel has done so, for ten seconds at most.
    pub async fn end(&self) -> io::Result<()> {
        self.kill()?;
        timeout(KILL, self.wait())
            .await
            .unwrap_or_else(|late| Err(late.into()))
    }

    /// Waits until it has ended.
    pub async fn wait(&self) -> io::Result<()> {
        // The replacement that tokio recommends is `unsafe` for the sake of types that may close their descriptor behind
        // its back; an `OwnedFd` does not.
        #[expect(deprecated, reason = "sound for an OwnedFd, and the replacement is unsafe")]
        let watched = AsyncFd::with_interest(self.0.try_clone()?, Interest::READABLE)?;
        watched.readable().await.map(drop)
    }
}

/// The QEMU that runs this VM, if one does.
pub async fn find(places: &Places, vm: &Vm) -> Result<Option<Found>, FileError> {
    let found = all(places).await?;
    Ok(found.into_iter().find(|found| found.vm == vm.name.as_str()))
}

/// Every running QEMU whose control socket is under these places. Those that belong to no VM are strays.
///
/// Looks at every process of the host, off the threads that answer guests.
pub async fn all(places: &Places) -> Result<Vec<Found>, FileError> {
    // The semaphore is never closed.
    let _look = LOOKS.acquire().await.ok();
    let places = places.clone();
    let looked = tokio::task::spawn_blocking(move || look_around(&places)).await;
    looked.unwrap_or_else(|ended| Err(at("reading", Path::new("/proc"))(io::Error::other(ended))))
}

pub(super) fn look_around(places: &Places) -> Result<Vec<Found>, FileError> {
    each(places, |pid, arguments| {
        let vm = Arguments(arguments.to_vec()).vm(places)?;
        let accel = command::accel(arguments.iter().map(String::as_str))?;
        may_be(places, &vm, pid).then_some((vm, (pid, accel)))
    })
    .map(|all| {
        let found = all.into_iter().map(|(claim, (pid, accel))| Found {
            vm: claim.vm,
            pid,
            uid: claim.uid,
            accel,
            process: claim.process,
        });
        found.collect()
    })
}

/// A process that runs for a VM, as its user.
#[derive(Debug)]
pub struct Claim {
    /// The VM it is named after. That there is a VM of that name is not known here.
    pub vm: String,
    /// The user it runs as.
    pub uid: u32,
    /// The process itself.
    pub process: Process,
}

/// Every process of a VM's user in whose arguments `of` sees a VM of these places, with what else it sees there.
///
/// Looks at every process of the host, and so blocks.
pub fn each<T>(
    places: &Places,
    of: impl Fn(u32, &[String]) -> Option<(String, T)>,
) -> Result<Vec<(Claim, T)>, FileError> {
    let proc = Path::new("/proc");
    let mut found = Vec::new();
    for entry in fs::read_dir(proc).map_err(at("reading", proc))? {
        let name = entry.map_err(at("reading", proc))?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        found.extend(pid.and_then(|pid| look(places, pid, &of)));
    }
    Ok(found)
}

/// Looks at one process; `None` also when it ends meanwhile.
fn look<T>(
    places: &Places,
    pid: u32,
    of: impl Fn(u32, &[String]) -> Option<(String, T)>,
) -> Option<(Claim, T)> {
    let seen = || of(pid, &Arguments::of(pid)?.0);
    let (vm, _) = seen()?;
    let process = Process::open(pid).ok()?;
    // Between the look and the handle the number may have passed to another process: what counts is read again.
    let (again, more) = seen()?;
    let uid = user(pid).filter(|uid| ours(*uid) && may_serve(places, &vm, *uid))?;
    let same = again == vm && !process.ended();
    same.then_some((Claim { vm, uid, process }, more))
}

/// A user that only a VM's processes run as, so that nobody else's process is ever taken for one.
fn ours(uid: u32) -> bool {
    (identity::uid([0; 4].into())..=identity::uid([255; 4].into())).contains(&uid)
}

/// Whether this user is the one the VM's sockets were made for. The address that the user was derived from may have
/// changed since, and a QEMU that its guest took over can write another VM's name over its own arguments.
fn may_serve(places: &Places, vm: &str, uid: u32) -> bool {
    match fs::symlink_metadata(places.sockets().join(vm)) {
        Ok(sockets) => sockets.uid() == uid,
        // The run directory was wiped under a running VM: better found than forgotten.
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Whether a QEMU that calls itself this VM's can be: it can call itself what it likes, but not leave its control group, and
/// where there are groups, it is in one or has the VM's sockets.
fn may_be(places: &Places, vm: &str, pid: u32) -> bool {
    match cgroup::belongs(places, pid) {
        Belongs::To(whose) => whose == vm,
        Belongs::Nowhere => places.sockets().join(vm).exists(),
        Belongs::Unknown => true,
    }
}

/// A process's command line.
struct Arguments(Vec<String>);

impl Arguments {
    fn of(pid: u32) -> Option<Self> {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        Some(Self(text.split_terminator('\0').map(str::to_owned).collect()))
    }

    /// The VM whose control socket is among the arguments.
    fn vm(&self, places: &Places) -> Option<String> {
        let path = self.0.iter().find_map(|arg| command::qmp_path(arg))?;
        let directory = Path::new(&path).strip_prefix(places.sockets()).ok()?.parent()?;
        let name = directory.to_str()?;
        (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
    }
}

/// The user a process runs as, when all four of its user ids agree (proc(5)).
fn user(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let mut ids = line.split_whitespace().map(str::parse::<u32>);
    let first = ids.next()?.ok()?;
    ids.all(|id| id == Ok(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::process::{Child, Command, Stdio};

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[tokio::test]
    async fn a_process_is_held_until_it_ends_and_killed_once() {
        let mut child = sleeper();
        let process = Process::open(child.id()).unwrap();
        assert!(!process.ended());
        process.kill().unwrap();
        process.wait().await.unwrap();
        assert!(process.ended());
        child.wait().unwrap();
        process.kill().unwrap();
        Process::open(child.id()).unwrap_err();
    }

    #[test]
    fn a_process_that_only_mentions_a_socket_is_nobodys_qemu() {
        let places = Places::new("/s", "/run/of-this-test");
        let argument = "socket,id=qmp,path=/run/of-this-test/vms/web1/qmp,server=on,wait=off";
        let mut child = Command::new("sh")
            .args(["-c", "echo; read line", "-accel", "tcg", argument])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let seen = Arguments::of(child.id()).and_then(|arguments| arguments.vm(&places));
        let found = look_around(&places).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen.as_deref(), Some("web1"));
        assert!(found.is_empty(), "it does not run as a VM's user: {found:?}");
    }

    #[test]
    fn only_a_socket_of_these_places_names_a_vm() {
        let places = Places::new("/s", "/run/seedbed");
        let vm =
            |path: &str| Arguments(vec![format!("socket,id=qmp,path={path},server=on,wait=off")]).vm(&places);
        assert_eq!(vm("/run/seedbed/vms/web1/qmp"), Some("web1".into()));
        for other in [
            "/run/other/vms/web1/qmp",
            "/run/seedbed/vms/qmp",
            "/run/seedbed/vms/a/b/qmp",
            "web1/qmp",
        ] {
            assert_eq!(vm(other), None, "{other}");
        }
    }
}
