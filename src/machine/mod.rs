//! One QEMU process per managed VM: its command line, its control connection, its start, its end.
//!
//! ```text
//!   Vm + Machine + Image --command::argv--> QEMU's arguments --supervise::spawn--> Running --watch--> Ended
//!                                                                                  ^
//!   a daemon that was restarted --process::find (/proc, pidfd)--supervise::adopt---+
//! ```
//!
//! A VM outlives the daemon. Whether it runs is always found out by looking for its process, never from a file that
//! says so.

pub mod cgroup;
pub mod client;
pub mod command;
mod confinement;
pub mod emulator;
pub mod events;
#[cfg(test)]
mod examples;
mod files;
pub mod lifecycle;
mod live;
pub mod message;
mod nics;
mod plug;
pub mod process;
pub mod qmp;
pub mod restart;
pub mod seed_device;
pub mod shape;
pub mod supervise;
mod workshop;

use std::fmt;

pub use client::{HowStopped, StopError, kill, pause, power_off, resume};
pub use command::{CommandError, Settings, argv};
pub use emulator::{Emulator, EmulatorError};
pub use lifecycle::{LifeEvent, step};
pub use nics::{Card, cards as cards_of, has_port};
pub use process::Found;
pub use seed_device::SeedDevice;
pub use supervise::{Ended, Launch, Running, StartError, adopt, spawn};

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The processor itself, through `/dev/kvm`.
    Kvm,
    /// QEMU's translator: works everywhere, some ten times slower.
    Tcg,
}

impl Accel {
    /// The word commands use for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
