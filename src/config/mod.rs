//! The configuration as meant: what the daemon runs with, checked as a whole and with nothing left to fill in.
//!
//! [`file::File`] is what was written, [`Config`] what is true. All [`Problem`]s are reported at once, because a
//! person who corrects a file wants to do it once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{Bytes, Network, NetworkName, Places};

mod check;
mod dhcp;
pub mod file;
pub mod init;
mod networks;
pub mod paths;
mod starts;

pub use starts::{Starts, StartsFile};

/// What the daemon runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where everything lies.
    pub places: Places,
    /// The admin socket, as the file means it; `SEEDBED_SOCKET` is judged by [`paths::socket`].
    pub socket: PathBuf,
    /// The networks, at least one, in the order of the file; names, bridges and subnets do not collide.
    pub networks: Vec<Network>,
    /// How QEMU runs guests.
    pub accel: AccelChoice,
    /// The QEMU program: an absolute path, or a name to look up in `PATH`.
    pub qemu: PathBuf,
    /// What a VM gets when the user does not say.
    pub defaults: Defaults,
    /// The operator's own seed templates, where they do not lie in the state directory.
    pub templates_dir: Option<PathBuf>,
    /// What VMs are given as vendor-data besides their templates.
    pub vendor_data: VendorData,
    /// How this host itself finds the VMs' names.
    pub host_names: HostNames,
    /// The hosts file for [`HostNames::Hosts`].
    pub hosts_file: PathBuf,
    /// How long a deleted VM can be undone; zero for not at all.
    pub undo_window: Duration,
    /// How many VMs are started at once.
    pub starts: Starts,
}

/// The files of what VMs are given as vendor-data besides their templates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VendorData {
    /// That of all networks without their own.
    pub everywhere: Option<PathBuf>,
    /// That of single networks.
    pub networks: BTreeMap<NetworkName, PathBuf>,
}

/// How the host itself finds the names of its VMs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HostNames {
    /// By systemd-resolved where it runs, else by the hosts file.
    #[default]
    Auto,
    /// By systemd-resolved: each bridge's domain is asked there.
    Resolved,
    /// By a managed block in the hosts file.
    Hosts,
    /// Not at all.
    Off,
}

/// How QEMU is asked to run guests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccelChoice {
    /// KVM where it really runs guests, else TCG.
    #[default]
    Auto,
    /// KVM, or an error.
    Kvm,
    /// Emulation.
    Tcg,
}

/// What a VM gets when the user does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// Virtual CPUs.
    pub cpus: u16,
    /// Memory.
    pub memory: Bytes,
    /// The swap disk; zero for none.
    pub swap: Bytes,
    /// How long a guest may take to power off before it is powered off by force.
    pub stop_deadline: Duration,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            cpus: 1,
            memory: Bytes::mib(512),
            swap: Bytes::mib(512),
            stop_deadline: Duration::from_secs(60),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The file, for the message.
    pub file: PathBuf,
    /// Line and column, counted from one, when the document itself can not be read.
    pub position: Option<(usize, usize)>,
    /// Where in the document: `networks[0].subnet`; empty for all of it.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl Config {
    /// Where the operator's own seed templates lie.
    pub fn templates(&self) -> PathBuf {
        self.templates_dir
            .clone()
            .unwrap_or_else(|| self.places.templates())
    }

    /// Reads a configuration's text. `path` is only for the messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Vec<Problem>> {
        let file = serde_yaml::from_str::<Option<file::File>>(text)
            .map_err(|error| vec![unreadable(&error, path)])?
            .unwrap_or_default();
        let mut problems = check::Problems::default();
        let config = check::config(&file, &mut problems);
        let problems: Vec<Problem> = problems
            .into_iter()
            .map(|(place, message)| Problem {
                file: path.to_owned(),
                position: None,
                path: place,
                message,
            })
            .collect();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }
}

/// serde stops at the first mistake in the document's shape, and knows where it is.
fn unreadable(error: &serde_yaml::Error, file: &Path) -> Problem {
    let text = error.to_string();
    let position = error.location().map(|at| (at.line(), at.column()));
    // The position is a field of its own, and the path too where serde names one.
    let text = match position {
        Some((line, column)) => text.replacen(&format!(" at line {line} column {column}"), "", 1),
        None => text,
    };
    let (path, message) = match text.split_once(": ") {
        Some((path, message)) if !path.contains([' ', '`']) => (path, message),
        _ => ("", text.as_str()),
    };
    Problem {
        file: file.to_owned(),
        position,
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
