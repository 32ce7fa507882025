//! Copies of the disks that a VM wrote.

mod store;

pub(in crate::image) use store::{copy, copy_disks, write_swap};
