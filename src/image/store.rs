//! The store: base images under `images/`, read-only and hashed.
//!
//! Everything here blocks; an async caller wraps it in `spawn_blocking`. Each call either leaves its whole result behind
//! or, failed or killed at any point, nothing but a temporary directory that [`Store::sweep`] removes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::files::{self, Draft, at};
use super::{format, inspect};
use crate::model::cloud_init::Release;
use crate::model::image::{Boot, DiskFormat, View};
use crate::model::{
    Bytes, DeletedId, Directory, Generation, Image, ImageId, ImageRef, Places, Timestamp, VmName,
};

/// A base image to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddSource {
    /// Which generation of which image it becomes.
    pub id: ImageId,
    /// Where it comes from, in a few words.
    pub origin: String,
    /// The disk file.
    pub file: PathBuf,
    /// How the disk is stored.
    pub format: DiskFormat,
    /// A kernel for direct boot.
    pub kernel: Option<PathBuf>,
    /// The initrd that belongs to it.
    pub initrd: Option<PathBuf>,
    /// Its command line.
    pub cmdline: Option<String>,
    /// The account that gets the keys.
    pub default_user: String,
    /// How it learns who it is.
    pub view: View,
    /// The release of its cloud-init, where it is known.
    pub cloud_init: Option<Release>,
}

/// Directories that no record names: a kill or a power cut came between the files and the registry.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Orphans {
    /// Generations that are in the store but not in the registry.
    pub images: Vec<ImageId>,
    /// VMs whose disks are in the store, but that are not in the registry.
    pub vms: Vec<VmName>,
    /// Deleted VMs whose disks are kept, but of which nothing else is.
    pub deleted: Vec<DeletedId>,
}

/// Base images and clones on disk.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) places: Places,
}

impl Store {
    /// The store at these places; makes its directories where they are missing.
    pub fn open(places: Places) -> Result<Self, StoreError> {
        files::passage(&places.images())?;
        files::passage(&places.vms())?;
        files::closed(&places.deleted())?;
        number(&places.images())?;
        Ok(Self { places })
    }

    /// Removes what killed calls left behind, and says how many there were. Only for the start of the daemon.
    pub fn sweep(&self) -> Result<u32, StoreError> {
        let places = [self.places.images(), self.places.vms(), self.places.deleted()];
        places
            .iter()
            .try_fold(0, |swept, place| Ok(swept + files::sweep(place)?))
    }

    /// What is in the store but not in the directory. Whether to remove it is the caller's decision.
    pub fn orphans(&self, directory: &Directory) -> Result<Orphans, StoreError> {
        let images = files::names(&self.places.images())?;
        let vms = files::names(&self.places.vms())?;
        let deleted = files::names(&self.places.deleted())?;
        Ok(Orphans {
            images: images
                .iter()
                .filter_map(|name| name.parse().ok())
                .filter(|id| directory.image(id).is_none())
                .collect(),
            vms: vms
                .iter()
                .filter_map(|name| name.parse().ok())
                .filter(|name| directory.vm(name).is_none())
                .collect(),
            deleted: deleted
                .iter()
                .filter_map(|id| id.parse().ok())
                .filter(|id| !directory.site().deleted.contains_key(id))
                .collect(),
        })
    }

    /// Copies a base image into the store, read-only and hashed. `progress` gets the bytes done and the bytes in all.
    pub fn add(
        &self,
        source: &AddSource,
        now: Timestamp,
        progress: impl Fn(u64, u64),
    ) -> Result<Image, StoreError> {
        let boot = boot(source)?;
        let (file, len) = files::open_source(&source.file)?;
        measure(source.format, (&file, &source.file), &source.file, len)?;
        let making = self.make(&source.id)?;

        let disk = making.disk();
        let copied = files::copy((&source.file, file, len), &disk, &progress)?;
        // The file could change between the first look and the copy: what counts is what was copied.
        let virtual_size = measure(source.format, (&copied.file, &disk), &source.file, len)?;
        for (part, name) in [(&source.kernel, "kernel"), (&source.initrd, "initrd")] {
            if let Some(path) = part {
                making.copy(path, name)?;
            }
        }
        let stamp = files::stamp(&copied.file, &disk)?;
        making.publish()?;
        Ok(Image {
            id: source.id.clone(),
            promoted: 0,
            origin: source.origin.clone(),
            format: source.format,
            sha256: copied.sha256,
            virtual_size,
            file_size: Bytes(len),
            stamp: Some(stamp),
            default_user: source.default_user.clone(),
            view: source.view,
            cloud_init: source.cloud_init,
            boot,
            created: now,
        })
    }

    /// Removes a generation's files. The caller has checked that no VM is a clone of it. Says whether there were any.
    pub fn remove(&self, id: &ImageId) -> Result<bool, StoreError> {
        Ok(files::remove(&self.places.images(), &id.to_string())?)
    }
}

/// Gives images that were stored before there were generations the number of the first. (Their overlays name the old place in
/// their headers, which nobody reads: QEMU is told where a base lies.)
fn number(images: &Path) -> Result<(), StoreError> {
    for name in files::names(images)? {
        let Ok(ImageRef {
            name,
            generation: None,
        }) = name.parse()
        else {
            continue;
        };
        let generation = Generation::FIRST;
        let old = images.join(name.as_str());
        let new = images.join(ImageId::new(name, generation).to_string());
        fs::rename(&old, &new).map_err(at("renaming", &old))?;
    }
    Ok(())
}

fn boot(source: &AddSource) -> Result<Boot, StoreError> {
    match (&source.kernel, &source.initrd, &source.cmdline) {
        (None, None, None) => Ok(Boot::Disk),
        (None, _, _) => Err(StoreError::NoKernel),
        (Some(_), initrd, cmdline) => Ok(Boot::Kernel {
            initrd: initrd.is_some(),
            cmdline: cmdline.clone().unwrap_or_default(),
        }),
    }
}

/// The size of the disk in a file of `len` bytes that is as declared; a refusal names the file `told`, which it is a copy of.
pub(super) fn measure(
    declared: DiskFormat,
    (file, path): (&File, &Path),
    told: &Path,
    len: u64,
) -> Result<Bytes, StoreError> {
    let head = files::head(file, path, inspect::HEAD)?;
    let size = match declared {
        DiskFormat::Qcow2 => inspect::qcow2(&head, len).map(|info| info.virtual_size),
        DiskFormat::Raw => format::raw(&head, &files::tail(file, path, format::TAIL, len)?, len),
    };
    size.map_err(|why| StoreError::Refused {
        path: told.to_owned(),
        why,
    })
}

/// Starts a directory whose owner is root, so that an escaped QEMU can neither add to it nor put links in it.
pub(super) fn draft(parent: &Path, name: &str, place: &Path, subject: String) -> Result<Draft, StoreError> {
    if fs::symlink_metadata(place).is_ok() {
        return Err(StoreError::Exists(subject));
    }
    match Draft::start(parent, name, 0o711) {
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => Err(StoreError::Busy(subject)),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests;
