//! Disks that no guest is running on: looked into, and changed, without being booted.
//!
//! What a guest wrote is hostile: [`root::Root`] opens its files so that no link leads out of them.

pub mod customize;
pub mod root;
