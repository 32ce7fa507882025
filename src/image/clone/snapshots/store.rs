//! Taking snapshots, and making disks of them again.
//!
//! ```text
//!   vms/web1/disk.qcow2 --copy--> vms/web1/snapshots/.tmp-s1/ --rename--> vms/web1/snapshots/s1/     then the registry knows it
//!   vms/web1/snapshots/s1/disk.qcow2 --copy--> vms/web1/next/                                        as with any exchange of disks
//! ```

use std::io;

use crate::image::clone::twin::{copy_disks, write_swap};
use crate::image::error::StoreError;
use crate::image::files::{self, Draft};
use crate::image::generation::FlattenError;
use crate::image::store::Store;
use crate::model::name::SnapshotName;
use crate::model::{Machine, Vm};

impl Store {
    /// Copies all that a VM's guest keeps, while nobody writes to it.
    pub fn take_snapshot(&self, vm: &Vm, name: &SnapshotName) -> Result<(), FlattenError> {
        let folder = self.places.snapshots(&vm.name);
        // Only root passes: what a guest can not reach, it can not change afterwards.
        files::closed(&folder)?;
        let draft = match Draft::start(&folder, name.as_str(), 0o700) {
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StoreError::Busy(format!("snapshot {name} of {}", vm.name)).into());
            }
            draft => draft?,
        };
        copy_disks(&self.places.vm(&vm.name), &draft, vm)?;
        Ok(draft.publish(&self.places.snapshot(&vm.name, name))?)
    }

    /// Makes disks beside those of a VM that are copies of a snapshot's, and a fresh swap disk.
    pub fn restore_next_disks(
        &self,
        vm: &Vm,
        machine: &Machine,
        name: &SnapshotName,
    ) -> Result<(), FlattenError> {
        let draft = self.next_draft(&vm.name)?;
        copy_disks(&self.places.snapshot(&vm.name, name), &draft, vm)?;
        write_swap(&draft, vm, machine)?;
        Ok(draft.publish(&self.places.next_disks(&vm.name))?)
    }

    /// Removes the files of a snapshot. Says whether there were any.
    pub fn remove_snapshot(&self, vm: &Vm, name: &SnapshotName) -> Result<bool, StoreError> {
        Ok(files::remove(&self.places.snapshots(&vm.name), name.as_str())?)
    }

    /// Removes what killed calls left of snapshots that a VM does not have, and says how much that was.
    pub fn sweep_snapshots(&self, vm: &Vm) -> Result<u32, StoreError> {
        let folder = self.places.snapshots(&vm.name);
        let Some(machine) = vm.machine().filter(|_| folder.exists()) else {
            return Ok(0);
        };
        let mut swept = files::sweep(&folder)?;
        for left in files::names(&folder)? {
            let known = left
                .parse()
                .is_ok_and(|name: SnapshotName| machine.snapshot(&name).is_some());
            if !known {
                files::remove(&folder, &left)?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

#[cfg(test)]
mod tests;
