//! Making, growing and removing disks of a VM that is there already.
//!
//! ```text
//!   vms/web1/.tmp-disk-data.qcow2/disk  --rename-->  vms/web1/disk-data.qcow2  --the registry-->  a disk of web1
//!             gone when cut short                     gone when cut short
//! ```

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::image::clone::overlay;
use crate::image::clone::store::write_disk;
use crate::image::error::StoreError;
use crate::image::files::{self, Draft, at};
use crate::image::generation::{FlattenError, header};
use crate::image::process;
use crate::image::store::Store;
use crate::model::{Bytes, DiskName, Image, Machine, Vm, VmName, identity};

impl Store {
    /// Makes an empty disk for a VM, whole or not at all. One of that name that was made and never registered gives way.
    pub fn make_extra_disk(&self, vm: &Vm, name: &DiskName, size: Bytes) -> Result<(), StoreError> {
        let path = self.places.extra_disk(&vm.name, name);
        let bytes = overlay::empty(size)?;
        let place = self.places.vm(&vm.name);
        let draft = Draft::start(&place, &format!("disk-{name}"), 0o711)?;
        let disk = draft.file("disk");
        write_disk(&disk, &bytes, None, identity::uid(vm.address))?;
        fs::rename(&disk, &path).map_err(at("naming", &path))?;
        Ok(files::sync_directory(&place)?)
    }

    /// Removes the files of extra disks that a VM's record does not have: those that were taken away, and those that a launch or
    /// a change that was cut short made. Says which.
    pub fn sweep_extra_disks(&self, vm: &VmName, machine: &Machine) -> Result<Vec<DiskName>, StoreError> {
        let place = self.places.vm(vm);
        if !place.exists() {
            return Ok(Vec::new());
        }
        let mut swept = Vec::new();
        for disk in files::names(&place)?.iter().filter_map(|file| named(file)) {
            if machine.extra_disks().iter().any(|kept| kept.name == disk) {
                continue;
            }
            let path = self.places.extra_disk(vm, &disk);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result.map_err(at("removing", &path))?,
            }
            swept.push(disk);
        }
        if !swept.is_empty() {
            files::sync_directory(&place)?;
        }
        Ok(swept)
    }

    /// Makes the disks of a stopped VM as large as its record says, where they are smaller. `image` is what its own is a clone of.
    pub fn grow_disks(&self, vm: &Vm, machine: &Machine, image: &Image) -> Result<(), FlattenError> {
        let base = vm.install().is_none().then_some(image);
        self.grow(vm, &self.places.disk(&vm.name), base, machine.disk)?;
        for disk in machine.extra_disks() {
            self.grow(vm, &self.places.extra_disk(&vm.name, &disk.name), None, disk.size)?;
        }
        Ok(())
    }

    fn grow(&self, vm: &Vm, disk: &Path, base: Option<&Image>, size: Bytes) -> Result<(), FlattenError> {
        if header(disk)?.virtual_size >= size {
            return Ok(());
        }
        let (chain, size) = (format!("json:{}", self.chain(disk, base)?), size.0.to_string());
        let words = ["resize", "-q", &chain, &size].map(OsStr::new);
        process::qemu_img(identity::uid(vm.address), &words, &mut |_| {}).map_err(|error| {
            FlattenError::Tool {
                path: disk.to_owned(),
                error,
            }
        })?;
        let synced = File::open(disk).and_then(|file| file.sync_all());
        Ok(synced.map_err(at("syncing", disk))?)
    }
}

/// The extra disk whose file has this name.
fn named(file: &str) -> Option<DiskName> {
    file.strip_prefix("disk-")?.strip_suffix(".qcow2")?.parse().ok()
}

#[cfg(test)]
mod tests;
