//! Snapshots as they are asked for and shown.

use serde::{Deserialize, Serialize};

/// Something about the snapshots of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum SnapshotRequest {
    /// Takes one; answered by [`super::Answer::Done`].
    Create {
        /// Of which VM.
        vm: String,
        /// Its name; a number that is free when not given.
        name: Option<String>,
    },
    /// Shows all of a VM; answered by [`super::Answer::Snapshots`].
    List {
        /// Of which VM.
        vm: String,
    },
    /// Goes back to one; answered by [`super::Answer::Done`].
    Restore {
        /// Which VM.
        vm: String,
        /// To which.
        name: String,
        /// Also a VM that runs: power it off first.
        #[serde(default)]
        force: bool,
        /// Whether it is started then.
        #[serde(default)]
        start: bool,
    },
    /// Deletes one; answered by [`super::Answer::Done`].
    Delete {
        /// Of which VM.
        vm: String,
        /// Which.
        name: String,
    },
}

/// A snapshot as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// Its name.
    pub name: String,
    /// When it was taken, RFC 3339.
    pub taken: String,
    /// How long ago that was, in seconds.
    pub age_seconds: u64,
    /// Whether the VM ran.
    pub live: bool,
    /// The generation that its disk is a clone of.
    pub image: String,
    /// The size of its disk, in bytes.
    pub disk: u64,
}
