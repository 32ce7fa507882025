//! Copying the disks of a VM: shared where the file system can share, else as thin as they are. A copy is an overlay on the same
//! image, and what a guest did not write takes no room.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::fchown;
use std::path::Path;

use rustix::fs::SeekFrom as Sparse;
use rustix::io::Errno;

use crate::image::clone::store::write_disk;
use crate::image::clone::swap;
use crate::image::error::StoreError;
use crate::image::files::{self, Draft, at};
use crate::image::generation::{FlattenError, check};
use crate::image::store::{Store, draft};
use crate::model::{Machine, Vm, identity};

/// What of a VM's files its guest wrote and keeps: disks, and what its firmware remembers. Swap is not kept over a start.
fn is_kept(name: &str) -> bool {
    [".qcow2", ".fd"].iter().any(|ending| name.ends_with(ending))
}

impl Store {
    /// Makes the disks of a VM as copies of another's, on which nobody writes meanwhile.
    pub fn make_twin(&self, source: &Vm, vm: &Vm, machine: &Machine) -> Result<(), FlattenError> {
        let place = self.places.vm(&vm.name);
        let draft = draft(
            &self.places.vms(),
            vm.name.as_str(),
            &place,
            format!("the disk of {}", vm.name),
        )
        .map_err(FlattenError::from)?;
        copy_disks(&self.places.vm(&source.name), &draft, vm)?;
        write_swap(&draft, vm, machine)?;
        Ok(draft.publish(&place)?)
    }
}

/// Copies all that a guest keeps out of a folder, for the user of this VM; disks are looked at first.
pub(in crate::image) fn copy_disks(from: &Path, draft: &Draft, vm: &Vm) -> Result<(), FlattenError> {
    let user = identity::uid(vm.address);
    for name in files::names(from)?.iter().filter(|name| is_kept(name)) {
        let copied = draft.file(name);
        copy(&from.join(name), &copied, user)?;
        if name == "disk.qcow2" {
            check(&copied)?;
        }
    }
    Ok(())
}

/// Writes a fresh swap disk where the machine has one.
pub(in crate::image) fn write_swap(draft: &Draft, vm: &Vm, machine: &Machine) -> Result<(), StoreError> {
    if machine.swap.0 == 0 {
        return Ok(());
    }
    let header = swap::header(machine.swap, vm.uuid)?;
    let user = identity::uid(vm.address);
    Ok(write_disk(
        &draft.file("swap.raw"),
        &header,
        Some(machine.swap),
        user,
    )?)
}

/// Copies a disk that its VM wrote, for this user, and has it on disk; without writing it twice where the file system can share
/// it, and without its holes where it can not.
pub(in crate::image) fn copy(from: &Path, to: &Path, user: u32) -> Result<(), StoreError> {
    let (mut source, len) = files::open_source(from)?;
    let mut target = files::create(to, 0o600)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        copy_data((&mut source, len), &mut target).map_err(at("copying", from))?;
    }
    fchown(&target, Some(user), Some(user)).map_err(at("giving away", to))?;
    Ok(target.sync_all().map_err(at("syncing", to))?)
}

/// Copies what of a file is no hole.
fn copy_data((source, len): (&mut File, u64), target: &mut File) -> io::Result<()> {
    target.set_len(len)?;
    let mut end = 0;
    while end < len {
        let start = match rustix::fs::seek(&*source, Sparse::Data(end)) {
            Ok(start) => start,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        end = rustix::fs::seek(&*source, Sparse::Hole(start))?.min(len);
        source.seek(SeekFrom::Start(start))?;
        target.seek(SeekFrom::Start(start))?;
        io::copy(&mut source.take(end.saturating_sub(start)), target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
