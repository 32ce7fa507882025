//! Makes a clone of an image without an agent the VM that it is to be: a plan (`plan.rs`) is written into its root directory, in the
//! words of its own distribution.
//!
//! ```text
//!   plan --> system.rs: what is it? --> identity, network, accounts, ssh, swap, leftovers --> draft.rs --> disk
//! ```
//!
//! All of it is changed in memory first and written at the end, so that a system that is not understood is left as it is, and
//! so that a second time changes nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::root::{Root, RootError};

mod accounts;
mod draft;
mod identity;
mod leftovers;
mod network;
pub mod plan;
mod selinux;
mod ssh;
mod swap;
mod system;

pub use plan::Plan;

/// Something that was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// A file that was not there.
    Made(String),
    /// A file that was.
    Changed(String),
    /// A file that is not there any more.
    Removed(String),
    /// What has to be said beside, as a sentence without its subject: `it has no SSH server`.
    Note(String),
}

impl Done {
    /// What has to be said beside.
    pub fn note(&self) -> Option<&str> {
        match self {
            Self::Note(note) => Some(note),
            Self::Made(_) | Self::Changed(_) | Self::Removed(_) => None,
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names of files are the guest's own words.
        let (what, text) = match self {
            Self::Made(path) => ("new     ", path),
            Self::Changed(path) => ("changed ", path),
            Self::Removed(path) => ("removed ", path),
            Self::Note(note) => ("note:   ", note),
        };
        write!(f, "{what} {}", text.escape_debug())
    }
}

/// Why a disk can not be written to. Nothing was, but where a file can not be written.
#[derive(Debug, thiserror::Error)]
pub enum CustomizeError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] RootError),
    /// None of the programs that configure networks is there.
    #[error(
        "nothing is known there that configures its network: neither netplan, NetworkManager, systemd-networkd nor ifupdown, nor \
         the scripts of RHEL or SUSE"
    )]
    NoNetwork,
    /// A table of accounts is missing.
    #[error("there is no {0}: is that the root of a Linux system?")]
    NoTable(&'static str),
    /// An entry of passwd(5) that can not be used.
    #[error("the entry of {} in /etc/passwd has no number or no home directory", .0.escape_debug())]
    Entry(String),
    /// All numbers are taken.
    #[error("no number is free for {0} between UID_MIN and UID_MAX of /etc/login.defs")]
    NoId(String),
}

/// Writes a plan into a guest's root directory; says what was done.
pub fn apply(root: &Root, plan: &Plan) -> Result<Vec<Done>, CustomizeError> {
    carry_out(root, plan, true)
}

/// What [`apply`] would do.
pub fn preview(root: &Root, plan: &Plan) -> Result<Vec<Done>, CustomizeError> {
    carry_out(root, plan, false)
}

fn carry_out(root: &Root, plan: &Plan, write: bool) -> Result<Vec<Done>, CustomizeError> {
    let mut draft = draft::Draft::of(root);
    let family = system::family(&draft)?;
    // What may be refused comes first.
    network::write(&mut draft, plan, family)?;
    accounts::write(&mut draft, plan, family)?;
    identity::write(&mut draft, plan, family)?;
    ssh::write(&mut draft, plan)?;
    swap::write(&mut draft, plan.swap, family)?;
    leftovers::remove(&mut draft)?;
    selinux::relabel(&mut draft)?;
    Ok(draft.finish(write)?)
}

#[cfg(test)]
mod tests;
