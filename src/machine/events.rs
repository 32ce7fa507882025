//! What is heard of a running machine: a control socket of its own for it, and what its events come down to.
//!
//! QEMU talks to one client at a time on each control socket: on the other one, whoever connects does its errand and leaves; on
//! this one the daemon stays for as long as the machine runs.

use serde_json::Value;

use super::command::{Args, CommandError, SOCKET_AFTER, socket as checked};
use super::message::QmpEvent;
use super::nics;
use super::qmp::{Qmp, QmpError};
use crate::model::{Pause, Places, VmName};

/// Gives QEMU the socket at which it tells what happens.
pub(super) fn socket(args: &mut Args, vm: &VmName, places: &Places) -> Result<(), CommandError> {
    let path = checked(&places.events(vm))?;
    args.pair("-chardev", format!("socket,id=events,path={path}{SOCKET_AFTER}"));
    args.pair("-mon", "chardev=events,mode=control");
    Ok(())
}

/// Something that changes what is known of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Its guest stands still; why, [`now`] tells.
    Stopped,
    /// Its guest stands still.
    Paused(Pause),
    /// Its guest goes on.
    Resumed,
    /// Its guest boots anew, in the same QEMU.
    Rebooted,
    /// The host could not read or write one of its disks, and its guest was told so.
    DiskError,
    /// One of its cards is gone; which it has now, [`Qmp::cards`] tells.
    Unplugged,
}

/// What a machine's QEMU said before it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastWords {
    /// Whether anybody listened.
    pub listened: bool,
    /// Whether it said that it ends.
    pub shut_down: bool,
    /// Whether that was its guest's wish: a power-off, or a reboot where that is taken for one.
    pub by_guest: bool,
}

/// Whether a machine's guest goes on now, and why not.
///
/// The events do not tell: the same stop may be for several errors, or for one of before that its guest met again.
pub async fn now(qmp: &mut Qmp) -> Result<Heard, QmpError> {
    let status = qmp.status().await?;
    let disks = match status.as_str() {
        "io-error" => qmp.execute("query-block").await?,
        _ => Value::Null,
    };
    Ok(state(&status, &disks))
}

/// The state in QEMU's words (`RunState` of its `run-state.json`), and its disks (`BlockInfo` of `block-core.json`).
fn state(status: &str, disks: &Value) -> Heard {
    let is_full = |disk: &Value| disk.get("io-status").and_then(Value::as_str) == Some("nospace");
    match status {
        "paused" => Heard::Paused(Pause::ByHand),
        "io-error" if disks.as_array().is_some_and(|disks| disks.iter().any(is_full)) => {
            Heard::Paused(Pause::DiskFull)
        }
        "io-error" => Heard::Paused(Pause::DiskError),
        _ => Heard::Resumed,
    }
}

/// Takes in what a machine's QEMU says, one event after the other.
#[derive(Debug, Default)]
pub struct Ear(LastWords);

impl Ear {
    /// Somebody listens from now on.
    pub fn begin(&mut self) {
        self.0.listened = true;
    }

    /// Takes an event in.
    pub fn hear(&mut self, event: &QmpEvent) -> Option<Heard> {
        match event {
            QmpEvent::Stopped => Some(Heard::Stopped),
            QmpEvent::Resumed => Some(Heard::Resumed),
            QmpEvent::Reset => Some(Heard::Rebooted),
            QmpEvent::IoError { stops: false } => Some(Heard::DiskError),
            QmpEvent::Shutdown { by_guest } => {
                (self.0.shut_down, self.0.by_guest) = (true, *by_guest);
                None
            }
            QmpEvent::Unplugged(device) => nics::slot_of(device).map(|_| Heard::Unplugged),
            QmpEvent::IoError { stops: true } | QmpEvent::Powerdown | QmpEvent::Other(_) => None,
        }
    }

    /// What was said until now.
    pub const fn words(&self) -> LastWords {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn why_a_guest_stands_still_is_told_by_its_machine() {
        let disks = json!([{"device": "", "io-status": "ok"}, {"device": "", "io-status": "nospace"}]);
        assert_eq!(state("io-error", &disks), Heard::Paused(Pause::DiskFull));
        let failed = json!([{"device": "", "io-status": "failed"}, {"device": ""}]);
        assert_eq!(state("io-error", &failed), Heard::Paused(Pause::DiskError));
        assert_eq!(state("io-error", &json!(7)), Heard::Paused(Pause::DiskError));
        assert_eq!(state("paused", &Value::Null), Heard::Paused(Pause::ByHand));
        assert_eq!(state("running", &disks), Heard::Resumed);
    }

    #[test]
    fn who_wanted_the_end_is_known_afterwards() {
        let mut ear = Ear::default();
        assert_eq!(ear.words(), LastWords::default());
        ear.begin();
        assert!(ear.words().listened && !ear.words().shut_down);
        assert_eq!(ear.hear(&QmpEvent::Reset), Some(Heard::Rebooted));
        // One that stops the machine is told by the stop.
        assert_eq!(ear.hear(&QmpEvent::IoError { stops: true }), None);
        ear.hear(&QmpEvent::Shutdown { by_guest: true });
        assert!(ear.words().shut_down && ear.words().by_guest);
    }
}
