//! Disks that no guest is running on: looked into, and changed, without being booted.
//!
//! What a guest wrote is hostile: [`root::Root`] opens its files so that no link leads out of them, and only a worker process
//! ([`door`]) ever mounts them.

pub mod customize;
pub mod door;
pub mod job;
pub mod lint;
pub mod root;
pub mod seal;
pub mod volumes;
pub mod worker;
