//! The disks that a VM has beside its own, and disks that grow.

mod store;
