//! What is to be done with a disk, and what came of it: what daemon and worker tell each other, as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::customize::{Done, Plan};
use super::lint::Report;
use crate::model::image::DiskFormat;

/// How a disk file is stored: declared, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// QEMU's copy-on-write format.
    Qcow2,
    /// Plain sectors.
    Raw,
}

impl From<DiskFormat> for Format {
    fn from(format: DiskFormat) -> Self {
        match format {
            DiskFormat::Qcow2 => Self::Qcow2,
            DiskFormat::Raw => Self::Raw,
        }
    }
}

/// A disk file and how it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The file.
    pub path: PathBuf,
    /// How it is stored.
    pub format: Format,
}

/// Whether the disk may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// It is only looked at: not even the journal of its file system is replayed.
    Read,
    /// It is changed.
    Write,
}

/// What is done with the guest's root directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "lowercase")]
pub enum Task {
    /// Says what would hurt a clone, and changes nothing.
    Lint,
    /// Does away with what would hurt a clone, and says what that was.
    Seal,
    /// Makes it the VM that a plan says.
    Customize {
        /// What it is to be.
        plan: Plan,
        /// Whether it is only said what that would change.
        dry_run: bool,
    },
}

impl Task {
    /// What it needs.
    pub const fn access(&self) -> Access {
        match self {
            Self::Lint | Self::Customize { dry_run: true, .. } => Access::Read,
            Self::Seal | Self::Customize { dry_run: false, .. } => Access::Write,
        }
    }
}

/// What is to be done with a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The disk.
    pub disk: Disk,
    /// What it is an overlay of.
    pub backing: Option<Disk>,
    /// What is done with it.
    #[serde(flatten)]
    pub task: Task,
    /// A directory of ours that is there; the worker mounts over it, and nobody else sees that.
    pub scratch: PathBuf,
    /// How long it may take, in seconds.
    pub seconds: u64,
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What was found in the guest, and, where it was sealed, done away with.
    Report(Report),
    /// What was changed in the guest for it to be a VM, or would be.
    Customized(Vec<Done>),
    /// It could not be done: what is wrong, where, and what to do next.
    Failed(String),
}
