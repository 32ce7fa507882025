//! What is heard of a running machine: a control socket of its own for it, and what its events come down to.
//!
//! QEMU talks to one client at a time on each control socket: on the other one, whoever connects does its errand and leaves; on
//! this one the daemon stays for as long as the machine runs.

use super::command::{Args, CommandError, SOCKET_AFTER, socket as checked};
use super::message::QmpEvent;
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
    /// Its guest stands still.
    Paused(Pause),
    /// Its guest goes on.
    Resumed,
    /// Its guest boots anew, in the same QEMU.
    Rebooted,
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

/// Takes in what a machine's QEMU says, one event after the other.
#[derive(Debug, Default)]
pub struct Ear {
    words: LastWords,
    /// The disk trouble that the next stop is for.
    trouble: Option<Pause>,
}

impl Ear {
    /// Begins to listen to a machine that is in this state, in QEMU's words (`RunState` of its `run-state.json`).
    pub fn begin(&mut self, status: &str) -> Heard {
        self.words.listened = true;
        match status {
            "paused" => Heard::Paused(Pause::ByHand),
            // Which trouble it was, only the event said.
            "io-error" => Heard::Paused(self.trouble.take().unwrap_or(Pause::DiskError)),
            _ => Heard::Resumed,
        }
    }

    /// Takes an event in.
    pub fn hear(&mut self, event: &QmpEvent) -> Option<Heard> {
        match event {
            QmpEvent::IoError {
                stops: true,
                disk_full,
            } => {
                self.trouble = Some(if *disk_full {
                    Pause::DiskFull
                } else {
                    Pause::DiskError
                });
                None
            }
            QmpEvent::Stopped => Some(Heard::Paused(self.trouble.take().unwrap_or(Pause::ByHand))),
            QmpEvent::Resumed => Some(Heard::Resumed),
            QmpEvent::Reset => Some(Heard::Rebooted),
            QmpEvent::Shutdown { by_guest } => {
                (self.words.shut_down, self.words.by_guest) = (true, *by_guest);
                None
            }
            QmpEvent::IoError { stops: false, .. } | QmpEvent::Powerdown | QmpEvent::Other(_) => None,
        }
    }

    /// What was said until now.
    pub const fn words(&self) -> LastWords {
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn trouble(disk_full: bool) -> QmpEvent {
        QmpEvent::IoError {
            stops: true,
            disk_full,
        }
    }

    #[test]
    fn a_stop_is_for_the_trouble_that_was_told_before_it_and_else_by_hand() {
        let mut ear = Ear::default();
        assert_eq!(ear.hear(&trouble(true)), None);
        assert_eq!(ear.hear(&QmpEvent::Stopped), Some(Heard::Paused(Pause::DiskFull)));
        assert_eq!(ear.hear(&QmpEvent::Resumed), Some(Heard::Resumed));
        assert_eq!(ear.hear(&QmpEvent::Stopped), Some(Heard::Paused(Pause::ByHand)));
        ear.hear(&trouble(false));
        assert_eq!(
            ear.hear(&QmpEvent::Stopped),
            Some(Heard::Paused(Pause::DiskError))
        );
        // An error that the guest is told of stops nothing.
        ear.hear(&QmpEvent::IoError {
            stops: false,
            disk_full: true,
        });
        assert_eq!(ear.hear(&QmpEvent::Stopped), Some(Heard::Paused(Pause::ByHand)));
    }

    #[test]
    fn a_machine_that_was_paused_while_nobody_listened_is_found_so() {
        assert_eq!(Ear::default().begin("running"), Heard::Resumed);
        assert_eq!(Ear::default().begin("paused"), Heard::Paused(Pause::ByHand));
        assert_eq!(Ear::default().begin("io-error"), Heard::Paused(Pause::DiskError));
    }

    #[test]
    fn who_wanted_the_end_is_known_afterwards() {
        let mut ear = Ear::default();
        assert_eq!(ear.words(), LastWords::default());
        ear.begin("running");
        assert!(ear.words().listened && !ear.words().shut_down);
        ear.hear(&QmpEvent::Reset);
        ear.hear(&QmpEvent::Shutdown { by_guest: true });
        assert!(ear.words().shut_down && ear.words().by_guest);
    }
}
