//! Files from elsewhere: over HTTP, checked against their published checksums, and unpacked.
//!
//! It runs in the command line client and not in the daemon, which has no way out and no need of one.

pub mod checksum;
pub mod client;
pub mod compression;
pub mod download;
mod files;
mod reply;
pub mod store;
pub mod sums;

pub use reqwest::Url;
