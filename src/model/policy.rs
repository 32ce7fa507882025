//! When a VM is started without being asked for by name: after it ended by itself, when the host starts, and after which others.

use std::fmt;
use std::str::FromStr;

use super::boot::BootStep;
use super::name::{NameError, VmName};

/// What an operator wants of a managed VM's life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether it is started again when it ended by itself.
    pub restart: Restart,
    /// Whether it is started when the host is.
    pub autostart: bool,
    /// What has to be reached before it is started. The registry keeps this without circles.
    pub after: Box<[Dependency]>,
}

/// Whether a VM is started again when it ended by itself. One that was stopped stays so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Restart {
    /// It stays as it is.
    #[default]
    No,
    /// When its QEMU ended with an error.
    OnFailure,
    /// Also when its guest powered itself off.
    Always,
}

/// Another VM, and how far it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Which.
    pub vm: VmName,
    /// How far.
    pub step: BootStep,
}

/// A text that is none of the words that stand for a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No such restart policy.
    #[error("`{0}` is not a restart policy: use no, on-failure or always")]
    Restart(String),
    /// No such rung.
    #[error("`{0}` is not how far a VM can be: use started, ip, metadata or ready")]
    Step(String),
    /// Not the name of a VM.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Restart {
    /// The word commands use for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }
}

impl FromStr for Restart {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        [Self::No, Self::OnFailure, Self::Always]
            .into_iter()
            .find(|restart| restart.as_str() == text)
            .ok_or_else(|| PolicyError::Restart(shown(text)))
    }
}

/// The words for a rung where it is waited for.
const fn word(step: BootStep) -> &'static str {
    match step {
        BootStep::Dhcp => "ip",
        BootStep::Started | BootStep::Metadata | BootStep::Ready => step.as_str(),
    }
}

impl FromStr for Dependency {
    type Err = PolicyError;

    /// Reads `db1:ready`; a name alone means that it is started.
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let (name, rung) = text.split_once(':').unwrap_or((text, "started"));
        let step = BootStep::ALL
            .into_iter()
            .find(|step| word(*step) == rung || step.as_str() == rung)
            .ok_or_else(|| PolicyError::Step(shown(rung)))?;
        Ok(Self {
            vm: name.parse()?,
            step,
        })
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.vm, word(self.step))
    }
}

/// What of a refused text may be printed.
fn shown(text: &str) -> String {
    text.escape_debug().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_written_as_they_are_read() {
        for (text, shown) in [
            ("db1", "db1:started"),
            ("db1:ready", "db1:ready"),
            ("db1:dhcp", "db1:ip"),
            ("db1:ip", "db1:ip"),
        ] {
            let read: Dependency = text.parse().unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(shown.parse::<Dependency>(), Ok(read));
        }
        for (bad, says) in [
            ("db1:soon", "started, ip, metadata or ready"),
            ("-x:ready", "-x"),
            (":ready", "empty"),
        ] {
            let error = bad.parse::<Dependency>().unwrap_err().to_string();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn restart_policies_are_words() {
        for restart in [Restart::No, Restart::OnFailure, Restart::Always] {
            assert_eq!(restart.as_str().parse(), Ok(restart));
        }
        let error = "maybe".parse::<Restart>().unwrap_err().to_string();
        assert!(error.contains("no, on-failure or always"), "{error}");
    }
}
