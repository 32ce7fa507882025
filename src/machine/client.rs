//! Powering a VM off: first the guest is asked, then QEMU, then the kernel.

use std::io;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::cgroup;
use super::process::{Found, KILL, find};
use super::qmp::{Qmp, QmpError};
use crate::image::FileError;
use crate::model::{Places, Vm, identity};

/// How a VM came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowStopped {
    /// It did not run.
    NotRunning,
    /// Its guest powered itself off.
    ByGuest,
    /// QEMU was told to end: the guest did not follow in time, or was not asked.
    ByQemu,
    /// QEMU was killed: it did not follow either.
    Killed,
}

/// Why a VM could not be powered off.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The running processes could not be looked at.
    #[error(transparent)]
    File(#[from] FileError),
    /// The kernel did not let us watch or kill it.
    #[error("QEMU process {pid} of {vm} can not be ended: {source}")]
    Process {
        /// The VM.
        vm: String,
        /// Its process.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// Killed, and still there: it waits within the kernel, for a disk that does not answer.
    #[error(
        "QEMU process {pid} of {vm} was killed but does not end: look for a host disk that does not answer"
    )]
    Stuck {
        /// The VM.
        vm: String,
        /// Its process.
        pid: u32,
    },
}

/// How long a guest may overlook a press of the power button: early in its boot nobody is listening yet.
const PRESS_AGAIN: Duration = Duration::from_secs(3);

/// How long QEMU may take to write back what its disks still hold.
const QUIT: Duration = Duration::from_secs(10);

/// Powers a VM off. Unless `force` is given, its guest is asked and has until `deadline` to follow.
pub async fn power_off(
    places: &Places,
    vm: &Vm,
    force: bool,
    deadline: Duration,
) -> Result<HowStopped, StopError> {
    let Some(found) = find(places, vm).await? else {
        return Ok(HowStopped::NotRunning);
    };
    // Looked up while it runs, as it is the process that leads to it.
    let cgroup = cgroup::of(places, found.pid).filter(|_| !found.process.ended());
    let failed = |source| StopError::Process {
        vm: found.vm.clone(),
        pid: found.pid,
        source,
    };
    if !force
        && ended_while(&found, ask(places, vm, &found), deadline)
            .await
            .map_err(failed)?
    {
        return Ok(HowStopped::ByGuest);
    }
    if ended_while(&found, quit(places, vm, &found), QUIT)
        .await
        .map_err(failed)?
    {
        return Ok(HowStopped::ByQemu);
    }
    found.process.kill().map_err(failed)?;
    if let Some(cgroup) = &cgroup {
        cgroup.kill().map_err(failed)?;
    }
    if ended_while(&found, std::future::ready(()), KILL)
        .await
        .map_err(failed)?
    {
        return Ok(HowStopped::Killed);
    }
    Err(StopError::Stuck {
        vm: found.vm,
        pid: found.pid,
    })
}

/// Ends a VM's QEMU at once, as when a machine's plug is pulled: neither its guest nor QEMU is asked, and what they had not
/// written is lost.
pub async fn kill(places: &Places, vm: &Vm) -> Result<HowStopped, StopError> {
    let Some(found) = find(places, vm).await? else {
        return Ok(HowStopped::NotRunning);
    };
    match found.process.end().await {
        Ok(()) => Ok(HowStopped::Killed),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(StopError::Stuck {
            vm: found.vm,
            pid: found.pid,
        }),
        Err(source) => Err(StopError::Process {
            vm: found.vm,
            pid: found.pid,
            source,
        }),
    }
}

/// Has a guest stand still, with all that it has in memory.
pub async fn pause(places: &Places, vm: &Vm) -> Result<(), QmpError> {
    command(places, vm, identity::uid(vm.address), "stop").await
}

/// Has a guest that stands still go on.
pub async fn resume(places: &Places, vm: &Vm) -> Result<(), QmpError> {
    command(places, vm, identity::uid(vm.address), "cont").await
}

/// Does something while waiting for the process to end, and says whether it did in time.
async fn ended_while(found: &Found, doing: impl Future<Output = ()>, deadline: Duration) -> io::Result<bool> {
    let ended = async {
        tokio::select! {
            ended = found.process.wait() => return ended,
            () = doing => {}
        }
        found.process.wait().await
    };
    timeout(deadline, ended)
        .await
        .map_or(Ok(false), |ended| ended.map(|()| true))
}

/// Presses the power button, again and again.
async fn ask(places: &Places, vm: &Vm, found: &Found) {
    loop {
        if let Err(error) = tell(places, vm, found, "system_powerdown").await {
            tracing::debug!(vm = %vm.name, %error, "the power button was not pressed");
        }
        sleep(PRESS_AGAIN).await;
    }
}

async fn quit(places: &Places, vm: &Vm, found: &Found) {
    if let Err(error) = tell(places, vm, found, "quit").await {
        tracing::debug!(vm = %vm.name, %error, "QEMU was not told to quit");
    }
}

async fn tell(places: &Places, vm: &Vm, found: &Found, what: &'static str) -> Result<(), QmpError> {
    command(places, vm, found.uid, what).await
}

async fn command(places: &Places, vm: &Vm, uid: u32, what: &'static str) -> Result<(), QmpError> {
    let mut qmp = Qmp::connect(&places.qmp(&vm.name), uid).await?;
    qmp.execute(what).await.map(drop)
}
