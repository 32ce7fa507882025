//! A VM's own disks: a qcow2 overlay on its image, and a formatted swap disk.

mod aside;
mod extra;
pub mod overlay;
mod replace;
mod snapshots;
pub(in crate::image) mod store;
pub mod swap;
mod twin;
