//! Listens to each running VM's QEMU for as long as it runs: pauses, reboots, and who wanted the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::quiet::Quiet;
use super::{Daemon, cards, rungs};
use crate::machine::events::{self, Ear, Heard, LastWords};
use crate::machine::qmp::{Qmp, QmpError};
use crate::machine::{Accel, LifeEvent};
use crate::model::{BootStep, Pause, Progress, Timestamp, Vm, VmName, identity};

/// How soon an attempt to listen is repeated.
const AGAIN: Duration = Duration::from_millis(100);
/// How long what QEMU last said may take to arrive after its end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the log was told of lately: guests reboot and meet broken disks as often as they like, and a QEMU that its guest took over
/// says whatever it likes.
#[derive(Debug, Default)]
pub(super) struct Told {
    pauses: Quiet,
    faults: Quiet,
    reboots: Quiet,
    disk_errors: Quiet,
}

impl Told {
    fn is_news(&self, vm: &VmName, heard: Heard, now: Timestamp) -> bool {
        let quiet = match heard {
            Heard::Paused(Pause::ByHand) => &self.pauses,
            Heard::Paused(Pause::DiskFull | Pause::DiskError) => &self.faults,
            Heard::Rebooted => &self.reboots,
            Heard::DiskError => &self.disk_errors,
            Heard::Stopped | Heard::Resumed | Heard::Unplugged => return false,
        };
        quiet.is_news(vm, now)
    }

    /// A VM was deleted.
    pub(super) fn forget(&self, vm: &VmName) {
        for quiet in [&self.pauses, &self.faults, &self.reboots, &self.disk_errors] {
            quiet.forget(vm);
        }
    }
}

/// Somebody who listens to a VM's QEMU.
#[derive(Debug)]
pub(super) struct Listener {
    task: JoinHandle<LastWords>,
    ended: CancellationToken,
}

impl Listener {
    /// Listens to a VM that has just started, or was found running.
    pub(super) fn start(daemon: &Arc<Daemon>, vm: &Arc<Vm>, accel: Accel) -> Self {
        let ended = CancellationToken::new();
        let (daemon, vm, token) = (Arc::clone(daemon), Arc::clone(vm), ended.clone());
        Self {
            task: tokio::spawn(async move { listen(&daemon, &vm, accel, &token).await }),
            ended,
        }
    }

    /// What was said last by a QEMU that has ended.
    pub(super) async fn last_words(mut self) -> LastWords {
        self.ended.cancel();
        let said = timeout(LAST_WORDS, &mut self.task).await;
        self.task.abort();
        said.ok().and_then(Result::ok).unwrap_or_default()
    }
}

async fn listen(daemon: &Daemon, vm: &Vm, accel: Accel, ended: &CancellationToken) -> LastWords {
    let mut ear = Ear::default();
    loop {
        let socket = daemon.config.places.events(&vm.name);
        let connecting = Qmp::connect(&socket, identity::uid(vm.address));
        let heard = tokio::select! {
            () = ended.cancelled() => return ear.words(),
            connected = connecting => match connected {
                // What it said before its end is read to the end, also when it has ended meanwhile.
                Ok(qmp) => hear(daemon, (vm, accel), &mut ear, qmp).await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = heard {
            tracing::debug!(vm = %vm.name, %error, "nobody listens to {} now", vm.name);
        }
        tokio::select! {
            () = ended.cancelled() => return ear.words(),
            () = sleep(AGAIN) => {}
        }
    }
}

/// Takes in what is said on one connection, until it breaks.
async fn hear(
    daemon: &Daemon,
    (vm, accel): (&Vm, Accel),
    ear: &mut Ear,
    mut qmp: Qmp,
) -> Result<(), QmpError> {
    ear.begin();
    let mut heard = Some(events::now(&mut qmp).await?);
    loop {
        if heard == Some(Heard::Stopped) {
            heard = Some(events::now(&mut qmp).await?);
        }
        if heard == Some(Heard::Unplugged) {
            cards::gone(daemon, vm, &mut qmp).await?;
        }
        if let Some(heard) = heard {
            take(daemon, (vm, accel), heard);
        }
        heard = ear.hear(&qmp.event().await?);
    }
}

fn take(daemon: &Daemon, (vm, accel): (&Vm, Accel), heard: Heard) {
    let (name, now) = (&vm.name, daemon.clock.now());
    match heard {
        Heard::Paused(why) => {
            daemon.status.live(name, &LifeEvent::Paused { why });
        }
        Heard::Resumed => {
            daemon.status.live(name, &LifeEvent::Resumed);
        }
        Heard::Rebooted if !begins(daemon, vm, now) => return,
        Heard::Rebooted => {
            rungs::forget(daemon, name);
            daemon.heard.power_on(name, now);
            daemon.status.power_on(name, accel, now);
        }
        Heard::DiskError | Heard::Stopped | Heard::Unplugged => {}
    }
    if daemon.told.is_news(name, heard, now) {
        tell(name, heard);
    }
}

/// Whether a reset begins another boot: that of a VM that runs does, unless it has just begun one.
fn begins(daemon: &Daemon, vm: &Vm, now: Timestamp) -> bool {
    let begun = Progress {
        step: BootStep::Started,
        since: now,
    };
    let seen = daemon.status.seen(vm);
    seen.is_up() && seen.progress != Some(begun)
}

fn tell(name: &VmName, heard: Heard) {
    match heard {
        Heard::Paused(Pause::ByHand) => tracing::info!(vm = %name, "{name} is paused."),
        Heard::Paused(why) => tracing::error!(
            vm = %name,
            "{name} is paused, because {}; mend that, and let it go on: seedbed resume {name}.",
            why.sentence()
        ),
        Heard::Rebooted => tracing::info!(vm = %name, "{name} reboots."),
        Heard::DiskError => tracing::warn!(
            vm = %name,
            "the host could not read or write a disk of {name}, and its guest was told so."
        ),
        Heard::Resumed | Heard::Stopped | Heard::Unplugged => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_that_a_qemu_says_is_told_once_a_minute() {
        let (told, web1): (_, VmName) = (Told::default(), "web1".parse().unwrap());
        let all = [
            Heard::Paused(Pause::ByHand),
            Heard::Paused(Pause::DiskFull),
            Heard::Rebooted,
            Heard::DiskError,
        ];
        for heard in all {
            assert!(told.is_news(&web1, heard, Timestamp(100)), "{heard:?}");
            assert!(!told.is_news(&web1, heard, Timestamp(159)), "{heard:?}");
            assert!(told.is_news(&web1, heard, Timestamp(160)), "{heard:?}");
        }
        told.forget(&web1);
        assert!(
            all.iter()
                .all(|heard| told.is_news(&web1, *heard, Timestamp(161)))
        );
    }
}
