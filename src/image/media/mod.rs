//! Install media: what is read out of an ISO image so that its installer can be started in a text console.
//!
//! ```text
//!   debian.iso --iso.rs, record.rs--> its files --installer.rs--> kernel, initrd, and the words of their command line
//! ```
//!
//! The kernel and the initrd are loaded by QEMU: the boot loader of the ISO, which wants a screen, is never run.

pub mod installer;
pub mod iso;
mod record;
mod store;

pub use installer::{Installer, MediaError, command_line};
pub use iso::{Extent, Iso, IsoError};
pub use store::Media;
