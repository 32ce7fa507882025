//! Starting a VM's QEMU, watching it until it ends, and finding it again after a restart of the daemon.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Once;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping, FdMappingCollision};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::cgroup::{self, Cgroup, Limits};
use super::command::{self, MEDIA_FD, SERIAL_FD, TAP_FD};
use super::confinement::{self, Confinement};
use super::events::LastWords;
use super::lifecycle::LifeEvent;
use super::process::{self, Found, Process};
use super::qmp::{Qmp, QmpError};
use super::{Accel, SeedDevice, files, nics};
use crate::image::FileError;
use crate::model::{Bytes, Places, Vm, VmName};

/// What is needed to start a VM's QEMU.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Its command line, from [`command::argv`].
    pub argv: Vec<String>,
    /// The VM.
    pub vm: &'a Vm,
    /// Where its files lie.
    pub places: &'a Places,
    /// The user it runs as: [`crate::model::identity::uid`] of its address, by which it is found again.
    pub uid: u32,
    /// The group it runs as: that of `/dev/kvm` where it needs that, else the same number as the user.
    pub gid: u32,
    /// What tells it about itself without the network, the same as in `argv`.
    pub seed: Option<SeedDevice>,
    /// Its tap, or another file descriptor that its `-netdev` can use.
    pub tap: OwnedFd,
    /// The install media in its drive, where its command line has one.
    pub media: Option<OwnedFd>,
    /// The socket it has its serial port at, listening; it waits until someone is connected there.
    pub serial: OwnedFd,
    /// The taps of its NICs beside the first, in their order.
    pub more_taps: Vec<OwnedFd>,
}

/// Why a VM's QEMU does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It does already.
    #[error("{vm} runs already, as process {pid}")]
    AlreadyRunning {
        /// The VM.
        vm: VmName,
        /// Its process.
        pid: u32,
    },
    /// Its files could not be made ready, or processes not be looked at.
    #[error(transparent)]
    File(#[from] FileError),
    /// The program could not be executed.
    #[error("{} can not be started: {source}; install QEMU (package qemu-system-x86)", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("QEMU ended at once with {status}: {said}")]
    Ended {
        /// Its exit status.
        status: ExitStatus,
        /// The end of its log.
        said: String,
    },
    /// It runs, but does not answer; it was killed.
    #[error("QEMU did not answer within {READY:?} and was killed: {said}")]
    Silent {
        /// The end of its log.
        said: String,
    },
    /// It answers, but not as QEMU does; it was killed.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// The file descriptor could not be passed on.
    #[error("the tap, the serial port or the install media can not be passed to QEMU: {0}")]
    Tap(#[from] FdMappingCollision),
}

/// How long QEMU may take until it answers, on a host that starts many VMs at once.
const READY: Duration = Duration::from_secs(60);

/// How soon an attempt to connect is repeated.
const AGAIN: Duration = Duration::from_millis(10);

/// A VM's QEMU that runs. Dropping it leaves QEMU running.
#[derive(Debug)]
pub struct Running {
    /// Its process id.
    pub pid: u32,
    /// What executes the guest.
    pub accel: Accel,
    handle: Handle,
    /// What all of its processes are in, where the host has that.
    cgroup: Option<Cgroup>,
    log: PathBuf,
    log_from: u64,
}

#[derive(Debug)]
enum Handle {
    /// We started it, so the kernel tells us how it ended.
    Child(Child),
    /// An earlier daemon did: that it ended is all there is to know.
    Adopted(Process),
}

/// How a VM's QEMU ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// As it should: the guest powered itself off, or QEMU was told to quit.
    Clean,
    /// With an error, in one sentence.
    Error(String),
    /// Its exit status went to an earlier daemon, and it did not complain.
    Unseen,
}

impl Ended {
    /// How it ended, with what its QEMU said last: one that is told to end says so before it does.
    #[must_use]
    pub fn given(self, words: LastWords) -> Self {
        match self {
            Self::Unseen if words.listened && !words.shut_down => Self::Error(
                "QEMU ended without a word: it was killed, by hand or for want of memory".to_owned(),
            ),
            Self::Unseen => Self::Clean,
            seen => seen,
        }
    }
}

impl From<Ended> for LifeEvent {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Clean | Ended::Unseen => Self::EndedClean,
            Ended::Error(why) => Self::EndedError { why },
        }
    }
}

/// Starts a VM's QEMU and waits until it answers. Failed or cancelled, it leaves no process behind.
///
/// QEMU gets a session and a control group of its own, an empty environment, and no file descriptor but the tap, install media, its
/// serial port and its log, so that neither a signal to the daemon nor its end reaches the guest. What it can reach is in
/// the module `confinement`.
pub async fn spawn(launch: Launch<'_>) -> Result<Running, StartError> {
    let Launch { vm, places, .. } = launch;
    if let Some(found) = process::find(places, vm).await? {
        return Err(StartError::AlreadyRunning {
            vm: vm.name.clone(),
            pid: found.pid,
        });
    }
    let (log, uid) = (places.qemu_log(&vm.name), launch.uid);
    let accel = command::accel(launch.argv.iter().map(String::as_str)).unwrap_or(Accel::Tcg);
    let mut child = execute(launch).await?;
    let pid = child.id().unwrap_or_default();
    let mut unready = Unready(Process::open(pid).ok());
    let cgroup = grouped(places, vm, pid).await;
    let answered = timeout(READY, answers(&mut child, &places.qmp(&vm.name), uid, &log)).await;
    let ready = answered.unwrap_or_else(|_| {
        Err(StartError::Silent {
            said: files::tail(&log, 0),
        })
    });
    if let Err(error) = ready {
        // Whoever is told that it did not start may take its tap's rules away: it has to be gone by then.
        unready.end().await;
        end_group(cgroup.as_ref()).await;
        return Err(error);
    }
    unready.0 = None;
    Ok(Running {
        pid,
        accel,
        handle: Handle::Child(child),
        cgroup,
        log_from: 0,
        log,
    })
}

/// Puts a VM's process into its control group. Where the host has none for it, that is said once, and it runs without.
async fn grouped(places: &Places, vm: &Vm, pid: u32) -> Option<Cgroup> {
    static SAID: Once = Once::new();
    let limits = Limits::generous(vm.machine().map_or(Bytes(0), |machine| machine.memory));
    let put = cgroup::put(places, &vm.name, pid, limits).await;
    put.inspect_err(|error| {
        SAID.call_once(|| tracing::warn!("VMs run without control groups of their own: {error}."));
    })
    .ok()
}

/// [`grouped`], of a process that nobody keeps from ending, so that its number may be another's by now: nobody else is to end with
/// the VM.
async fn grouped_again(places: &Places, vm: &Vm, found: &Found) -> Option<Cgroup> {
    let before = cgroup::folder_of(places, found.pid)?;
    let cgroup = grouped(places, vm, found.pid).await?;
    if found.process.ended()
        && let Err(error) = cgroup::give_back(found.pid, &before)
    {
        tracing::warn!(
            pid = found.pid,
            "a process could not be put back into {}: {error}.",
            before.display()
        );
        return None;
    }
    Some(cgroup)
}

/// Ends what a VM left behind; what stands in the way is only logged, as the VM itself has ended.
async fn end_group(cgroup: Option<&Cgroup>) {
    let Some(cgroup) = cgroup else { return };
    if let Err(error) = cgroup.end().await {
        tracing::error!("a control group of a VM could not be removed: {error}.");
    }
}

/// Kills the process it holds when it is dropped.
struct Unready(Option<Process>);

impl Unready {
    async fn end(&mut self) {
        if let Some(process) = self.0.take() {
            end(&process).await;
        }
    }
}

/// Ends a process; what stands in the way is only logged, because nothing else can be done about it here.
async fn end(process: &Process) {
    if let Err(error) = process.end().await {
        tracing::error!("a QEMU could not be ended (a host disk that does not answer?): {error}.");
    }
}

impl Drop for Unready {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(Process::kill) {
            tracing::warn!(%error, "a QEMU that did not become ready could not be killed");
        }
    }
}

async fn execute(launch: Launch<'_>) -> Result<Child, StartError> {
    let name = &launch.vm.name;
    let log = files::prepare(launch.places, launch.vm, launch.uid)?;
    files::put_seed(&launch.places.seed(name), launch.seed.as_ref(), launch.uid)?;
    let mut argv = launch.argv.into_iter();
    let program = PathBuf::from(argv.next().unwrap_or_default());
    let unusable = |source| StartError::Program {
        program: program.clone(),
        source,
    };
    let mut command = Command::new(&program);
    command
        .args(argv)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(unusable)?)
        .stderr(log)
        .uid(launch.uid)
        .gid(launch.gid);
    let tap = FdMapping {
        parent_fd: launch.tap,
        child_fd: TAP_FD,
    };
    let media = launch.media.map(|parent_fd| FdMapping {
        parent_fd,
        child_fd: MEDIA_FD,
    });
    let serial = FdMapping {
        parent_fd: launch.serial,
        child_fd: SERIAL_FD,
    };
    let more = nics::more_tap_fds().zip(launch.more_taps);
    let more = more.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
    let all = [tap, serial].into_iter().chain(media).chain(more);
    command.fd_mappings(all.collect())?;
    let confinement = Confinement::of(&program, launch.vm, launch.places);
    confinement::spawn(command, confinement).await.map_err(unusable)
}

/// Waits until QEMU answers on its control socket and its guest runs.
async fn answers(child: &mut Child, socket: &Path, uid: u32, log: &Path) -> Result<(), StartError> {
    loop {
        let attempt = tokio::select! {
            status = child.wait() => return Err(ended_early(status, log)),
            attempt = Qmp::connect(socket, uid) => attempt,
        };
        match attempt {
            Ok(mut qmp) => {
                qmp.status().await?;
                return Ok(());
            }
            // The socket is not there yet, or QEMU is just ending: the next round tells.
            Err(QmpError::Socket { .. } | QmpError::Silent(_)) => sleep(AGAIN).await,
            Err(error) => return Err(error.into()),
        }
    }
}

fn ended_early(status: io::Result<ExitStatus>, log: &Path) -> StartError {
    StartError::Ended {
        status: status.unwrap_or_default(),
        said: files::tail(log, 0),
    }
}

/// Takes a VM's QEMU that an earlier daemon started as our own.
pub async fn adopt(places: &Places, vm: &Vm, found: Found) -> Running {
    let log = places.qemu_log(&vm.name);
    // A daemon that was killed between a start and this left it where it was itself.
    let cgroup = match cgroup::of(places, found.pid) {
        None => grouped_again(places, vm, &found).await,
        // As in `power_off`: it has to be the process that leads to it.
        cgroup => cgroup.filter(|_| !found.process.ended()),
    };
    Running {
        cgroup,
        pid: found.pid,
        accel: found.accel,
        handle: Handle::Adopted(found.process),
        log_from: files::length(&log),
        log,
    }
}

/// Removes the sockets of a VM that is being deleted.
pub fn forget(places: &Places, name: &VmName) -> Result<(), FileError> {
    files::clear(places, name)
}

impl Running {
    /// Waits until QEMU ends, and says how. Cancelled, it leaves QEMU running.
    ///
    /// One that can not be watched any more is killed: nobody would notice its end, and its tap's rules would stay.
    pub async fn watch(mut self) -> Ended {
        let ended = self.end().await;
        end_group(self.cgroup.as_ref()).await;
        ended
    }

    async fn end(&mut self) -> Ended {
        let error = match &mut self.handle {
            Handle::Child(child) => match child.wait().await {
                Ok(status) => return self.ended(status),
                Err(error) => error,
            },
            Handle::Adopted(process) => match process.wait().await {
                Ok(()) => return self.ended_unseen(),
                Err(error) => error,
            },
        };
        match &self.handle {
            Handle::Adopted(process) => end(process).await,
            Handle::Child(_) => {
                if let Ok(process) = Process::open(self.pid) {
                    end(&process).await;
                }
            }
        }
        Ended::Error(format!("QEMU could not be watched and was killed: {error}"))
    }

    fn ended(&self, status: ExitStatus) -> Ended {
        if status.success() {
            return Ended::Clean;
        }
        let said = files::tail(&self.log, self.log_from);
        Ended::Error(
            format!("QEMU ended with {status}: {said}")
                .trim_end_matches([':', ' '])
                .to_owned(),
        )
    }

    /// The exit status of an adopted process went to someone else; what it last complained about is left.
    fn ended_unseen(&self) -> Ended {
        let said = files::tail(&self.log, self.log_from);
        if said.is_empty() || said.contains("warning:") {
            Ended::Unseen
        } else {
            Ended::Error(format!("QEMU ended: {said}"))
        }
    }
}

#[cfg(test)]
mod tests;
