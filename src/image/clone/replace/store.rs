//! Other disks for a VM: made beside its own, and put in place when the registry says that they are its disks.
//!
//! ```text
//!   vms/web1/.tmp-next/  --rename-->  vms/web1/next/  --the registry: Replacing-->  vms/web1/disk.qcow2, swap.raw
//!          gone when cut short              gone when cut short              gone on with when cut short
//! ```

use std::ffi::OsStr;
use std::fs::{self, File};

use crate::image::clone::store::write_fresh;
use crate::image::clone::twin::copy;
use crate::image::error::StoreError;
use crate::image::files::{self, Draft, at};
use crate::image::generation::{FlattenError, check};
use crate::image::process;
use crate::image::store::Store;
use crate::model::{Image, Machine, Vm, VmName, identity};

const NEXT: &str = "next";

impl Store {
    /// Makes fresh disks beside those of a VM: a clone of `image`, and a swap disk where it has one.
    pub fn make_next_disks(&self, vm: &Vm, machine: &Machine, image: &Image) -> Result<(), StoreError> {
        let draft = self.next_draft(&vm.name)?;
        write_fresh(self, &draft, (vm, machine), image)?;
        Ok(draft.publish(&self.places.next_disks(&vm.name))?)
    }

    /// Makes a disk beside that of a stopped VM, a clone of `from`, that reads the same and is a clone of `to`. `progress` gets
    /// per cent.
    pub fn rebase_next_disk(
        &self,
        vm: &Vm,
        (from, to): (&Image, &Image),
        mut progress: impl FnMut(u32),
    ) -> Result<(), FlattenError> {
        let draft = self.next_draft(&vm.name)?;
        let disk = draft.file("disk.qcow2");
        let user = identity::uid(vm.address);
        copy(&self.places.disk(&vm.name), &disk, user)?;
        check(&disk)?;
        let base = self.places.image_disk(&to.id);
        let chain = format!("json:{}", self.chain(&disk, Some(from))?);
        let words = ["rebase", "-p", "-F", to.format.as_str(), "-b"].map(OsStr::new);
        let words = [&words[..], &[base.as_os_str(), OsStr::new(&chain)]].concat();
        process::qemu_img(user, &words, &mut progress).map_err(|error| FlattenError::Tool {
            path: self.places.disk(&vm.name),
            error,
        })?;
        // What it wrote has to be on disk before anything says that it is the VM's.
        File::open(&disk)
            .and_then(|file| file.sync_all())
            .map_err(at("syncing", &disk))?;
        Ok(draft.publish(&self.places.next_disks(&vm.name))?)
    }

    /// Puts the disks that lie beside a VM's in place. Cut short anywhere, it is done again from the start.
    pub fn put_next_disks(&self, name: &VmName) -> Result<(), StoreError> {
        let (place, next) = (self.places.vm(name), self.places.next_disks(name));
        let made = if next.exists() {
            files::names(&next)?
        } else {
            Vec::new()
        };
        for disk in made {
            fs::rename(next.join(&disk), place.join(&disk))
                .map_err(at("putting in place", &place.join(&disk)))?;
        }
        files::sync_directory(&place)?;
        self.discard_next_disks(name)
    }

    /// Removes disks that lie beside a VM's, made or half made.
    pub fn discard_next_disks(&self, name: &VmName) -> Result<(), StoreError> {
        let place = self.places.vm(name);
        files::remove(&place, NEXT)?;
        files::sweep(&place)?;
        Ok(())
    }

    pub(in crate::image) fn next_draft(&self, name: &VmName) -> Result<Draft, StoreError> {
        self.discard_next_disks(name)?;
        Ok(Draft::start(&self.places.vm(name), NEXT, 0o711)?)
    }
}

#[cfg(test)]
mod tests;
