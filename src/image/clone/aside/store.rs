//! Moving the files of deleted VMs aside, and back.
//!
//! ```text
//!   vms/web1/  --rename, once the registry says that it is deleted-->  deleted/web1-42/
//!      ^                                                                     |
//!      +----rename, once the registry says that it comes back----------------+
//! ```
//! Each step can be done again after a kill: what is where it belongs is left there.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::Path;

use crate::image::error::StoreError;
use crate::image::files::{self, FileError, at};
use crate::image::store::Store;
use crate::model::{DeletedId, Vm, VmName, identity};

impl Store {
    /// Moves a deleted VM's files aside. Where there are none, a directory says so: a later VM of the name is not taken for it.
    pub fn set_aside(&self, id: &DeletedId) -> Result<(), StoreError> {
        let (place, aside) = (self.places.vm(&id.name), self.places.deleted_vm(id));
        if is_there(&aside)? {
            return Ok(());
        }
        match fs::rename(&place, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => files::closed(&aside)?,
            result => result.map_err(at("setting aside", &place))?,
        }
        files::sync_directory(&self.places.vms())?;
        Ok(files::sync_directory(&self.places.deleted())?)
    }

    /// Moves the files of a deleted VM back, for the VM that it is now, whose address may be another.
    pub fn bring_back(&self, id: &DeletedId, was: &Vm, now: &Vm) -> Result<(), StoreError> {
        let (aside, place) = (self.places.deleted_vm(id), self.places.vm(&now.name));
        if !is_there(&aside)? {
            return Ok(());
        }
        if is_there(&place)? {
            return Err(StoreError::Exists(format!("the disk of {}", now.name)));
        }
        let (old, new) = (identity::uid(was.address), identity::uid(now.address));
        if old != new {
            give_away(&aside, old, new)?;
        }
        fs::rename(&aside, &place).map_err(at("bringing back", &aside))?;
        files::open_up(&place)?;
        files::sync_directory(&self.places.deleted())?;
        Ok(files::sync_directory(&self.places.vms())?)
    }

    /// Takes files that were brought back aside again, because the VM does not come back after all.
    pub fn send_back(&self, id: &DeletedId, by: &VmName) -> Result<(), StoreError> {
        let (aside, place) = (self.places.deleted_vm(id), self.places.vm(by));
        if is_there(&aside)? || !is_there(&place)? {
            return Ok(());
        }
        fs::rename(&place, &aside).map_err(at("setting aside", &place))?;
        files::sync_directory(&self.places.vms())?;
        Ok(files::sync_directory(&self.places.deleted())?)
    }

    /// Removes the files of a deleted VM for good. Says whether there were any.
    pub fn remove_deleted(&self, id: &DeletedId) -> Result<bool, StoreError> {
        Ok(files::remove(&self.places.deleted(), &id.to_string())?)
    }
}

fn is_there(path: &Path) -> Result<bool, FileError> {
    path.try_exists().map_err(at("looking for", path))
}

/// Gives all files of one user to another. What has another owner stays as it is.
fn give_away(folder: &Path, old: u32, new: u32) -> Result<(), FileError> {
    for name in files::names(folder)? {
        let path = folder.join(name);
        let metadata = fs::symlink_metadata(&path).map_err(at("reading", &path))?;
        if metadata.is_dir() {
            give_away(&path, old, new)?;
        }
        if metadata.uid() == old {
            lchown(&path, Some(new), Some(new)).map_err(at("giving away", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
