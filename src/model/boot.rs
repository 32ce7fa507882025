//! The boot ladder: what a VM is seen to do between power-on and ready, and the state that is shown for it.
//!
//! ```text
//!   started -> dhcp -> metadata -> ready          (each rung is reported by the service that saw it)
//! ```

use std::fmt;

use super::name::VmName;
use super::time::Timestamp;

/// A rung of the boot ladder, in the order a guest climbs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BootStep {
    /// Its QEMU runs, or (external) it was registered.
    Started,
    /// It was sent a DHCPACK.
    Dhcp,
    /// It fetched its meta-data.
    Metadata,
    /// Its first boot finished (phone home), or a later boot answers on its SSH port.
    Ready,
}

impl BootStep {
    /// All rungs, lowest first.
    pub const ALL: [Self; 4] = [Self::Started, Self::Dhcp, Self::Metadata, Self::Ready];

    /// The word commands use for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Dhcp => "dhcp",
            Self::Metadata => "metadata",
            Self::Ready => "ready",
        }
    }
}

impl fmt::Display for BootStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a VM is doing now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmState {
    /// Run by someone else: only its ladder is known.
    External,
    /// Not running; it was never started, was stopped, or powered itself off.
    Stopped,
    /// QEMU is being started.
    Starting,
    /// QEMU runs.
    Running {
        /// QEMU's process id.
        pid: u32,
    },
    /// It was asked to power off.
    Stopping {
        /// QEMU's process id.
        pid: u32,
    },
    /// QEMU ended by itself with an error, or could not be started.
    Failed {
        /// What happened, in one sentence.
        why: String,
    },
    /// QEMU runs, and its guest stands still.
    Paused {
        /// QEMU's process id.
        pid: u32,
        /// What stopped it.
        why: Pause,
    },
}

/// What made a guest stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pause {
    /// Someone asked for it.
    ByHand,
    /// What it writes finds no room on the host.
    DiskFull,
    /// The host can not read or write one of its disks.
    DiskError,
}

impl Pause {
    /// In few words, as tables show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByHand => "by hand",
            Self::DiskFull => "host disk full",
            Self::DiskError => "disk error",
        }
    }

    /// As the end of a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::ByHand => "it was paused by hand",
            Self::DiskFull => "the host has no room left for what it writes",
            Self::DiskError => "the host can not read or write one of its disks",
        }
    }
}

/// How far a VM's current boot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The highest rung it was seen on.
    pub step: BootStep,
    /// When it reached that rung.
    pub since: Timestamp,
}

/// Something a service saw a VM do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Who did it.
    pub vm: VmName,
    /// What.
    pub kind: EventKind,
}

/// What cloud-init reported of one of its stages or modules: the guest's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which: `init-network`, `modules-final/config-scripts-user`.
    pub name: String,
    /// What it says about it.
    pub description: String,
    /// How it ended; `None` when it starts.
    pub outcome: Option<Outcome>,
}

/// How a stage or a module of cloud-init ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Success,
    /// With a warning.
    Warning,
    /// It failed.
    Failure,
}

impl Report {
    /// Whether it says that cloud-init is done with a boot.
    pub fn is_the_end(&self) -> bool {
        self.name == "modules-final" && matches!(self.outcome, Some(Outcome::Success | Outcome::Warning))
    }
}

/// What a VM was seen doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// It was sent a DHCPACK for its address.
    Acknowledged,
    /// It declined its address: another host answers for it (RFC 2131 §4.3.3).
    Declined,
    /// It gave its address back (RFC 2131 §4.3.4); the reservation stays.
    Released,
    /// It fetched one of its documents.
    Fetched {
        /// The document's name.
        document: &'static str,
        /// Whether a secret that belongs into it was withheld.
        withheld: bool,
    },
    /// cloud-init reported how far it is.
    Reported(Report),
    /// It fetched a part of its network boot.
    BootFetched {
        /// Which: `script`, `kernel`, `initrd`, or `loader` for a file of the operator's.
        part: &'static str,
    },
    /// Its installer fetched what it is told instead of asking.
    AnswersFetched {
        /// Which file of it.
        name: &'static str,
    },
    /// It asked for a part of a network boot that it has not.
    BootRefused {
        /// Why, as the end of a sentence.
        why: String,
    },
    /// Somebody else spoke from its address, and was served nothing.
    Impersonated {
        /// What gave it away, as a sentence.
        why: String,
    },
    /// cloud-init finished its first boot and told its host keys.
    PhonedHome {
        /// Its SSH host keys.
        host_keys: Vec<super::SshKey>,
    },
    /// Its SSH server answered.
    SshAnswered,
}
