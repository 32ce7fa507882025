//! What the registry asks of whatever keeps its records: load all, and compare-and-commit.
//!
//! The trait is narrow so that a store shared by several hosts fits behind it: `commit` names the revision it was
//! judged against, and a store that moved on refuses.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::change::{Batch, RecordSet};
use crate::model::{Image, Lease, Revision, Site, Vm};

/// Keeps the records.
pub(super) trait Store: Send {
    /// All records at the newest revision.
    fn load(&self) -> Result<Snapshot, StoreError>;

    /// Writes the batch as the revision after `expected`, and returns only when it is on stable storage.
    fn commit(&mut self, expected: Revision, batch: &Batch) -> Result<Revision, StoreError>;
}

/// All records at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) revision: Revision,
    pub(super) vms: Vec<Arc<Vm>>,
    pub(super) images: Vec<Arc<Image>>,
    pub(super) leases: Vec<Arc<Lease>>,
    pub(super) records: Vec<RecordSet>,
    pub(super) site: Site,
}

/// Why records could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// What is stored is not what was written, or makes no sense.
    #[error("{0}")]
    Corrupt(String),
    /// It holds something, but not our records.
    #[error("{0}")]
    Foreign(String),
    /// Stored by a release that knows more.
    #[error("schema {found} is newer than {known}, the newest this release knows")]
    Newer {
        /// What is stored.
        found: u64,
        /// The newest we know.
        known: u64,
    },
    /// Somebody else committed in between.
    #[error("revision {} was expected, but the store is at {}", .expected.0, .found.0)]
    Moved {
        /// What the change was judged against.
        expected: Revision,
        /// What is stored.
        found: Revision,
    },
    /// The storage failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Why a registry can not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon holds it.
    #[error(
        "registry {} is held by another seedbed daemon{}: only one can run on a state directory; \
         stop that one, or give this one another state_dir",
        .path.display(),
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Held {
        /// The registry.
        path: PathBuf,
        /// The other daemon's process id, where the kernel tells.
        pid: Option<u32>,
    },
    /// Something else lies where the registry should be.
    #[error(
        "{} is not a registry of seedbed ({why}): restore it from a backup, or move it away to begin with an empty one",
        .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It was written by a newer release.
    #[error(
        "registry {} has schema {found}, but this release knows only up to {known}: \
         start the release that wrote it, or a newer one",
        .path.display()
    )]
    Newer {
        /// The registry.
        path: PathBuf,
        /// Its schema.
        found: u64,
        /// The newest we know.
        known: u64,
    },
    /// It is damaged. Nothing is served from it, because that would be a guess.
    #[error("registry {} is damaged: {what}; restore it from a backup", .path.display())]
    Corrupt {
        /// The registry.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Its VMs do not fit the configuration.
    #[error(
        "registry {} does not fit the configuration: {what}; put the network back, or start with it and delete or \
         change those VMs first",
        .path.display()
    )]
    Misfit {
        /// The registry.
        path: PathBuf,
        /// Which VMs, and why not.
        what: String,
    },
    /// The file system failed.
    #[error("can not {doing} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn of(path: PathBuf, error: StoreError) -> Self {
        match error {
            StoreError::Newer { found, known } => Self::Newer { path, found, known },
            StoreError::Corrupt(what) => Self::Corrupt { path, what },
            StoreError::Foreign(why) => Self::Foreign { path, why },
            StoreError::Moved { .. } => Self::Corrupt {
                path,
                what: error.to_string(),
            },
            StoreError::Io(source) => Self::Io {
                doing: "read the registry",
                path,
                source,
            },
        }
    }
}
