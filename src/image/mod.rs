//! Base images and the disks that are cloned from them.
//!
//! ```text
//!   a file the user names --inspect--> images/<name>/disk (read-only, hashed) <--backed by-- vms/<name>/disk.qcow2
//!                                                                                            vms/<name>/swap.raw
//! ```
//!
//! Our own reader decides what a file is before any QEMU tool sees it, and the few clusters of a clone are written directly, so a
//! clone costs one write and one `fsync`. `qemu-img` takes part only where another disk is made of what is on a clone.

pub mod build;
pub mod clone;
mod error;
#[cfg(test)]
mod examples;
pub(crate) mod files;
pub mod format;
mod generation;
pub mod inspect;
pub mod media;
mod process;
pub mod store;

pub use error::StoreError;
pub use files::{FileError, SourceError};
pub use format::Refused;
pub use generation::{FlattenError, Making};
pub use inspect::Qcow2Info;
pub use process::ToolError;
pub use store::{AddSource, Orphans, Store};
