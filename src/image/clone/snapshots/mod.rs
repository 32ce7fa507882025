//! Snapshots of a VM's disks: copies that lie beside them.

mod store;
