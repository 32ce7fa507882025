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
use crate::model::{Bytes, Directory, Image, ImageName, Places, Timestamp, VmName};

/// A base image to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddSource {
    /// Its name.
    pub name: ImageName,
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
    /// Images that are in the store but not in the registry.
    pub images: Vec<ImageName>,
    /// VMs whose disks are in the store, but that are not in the registry.
    pub vms: Vec<VmName>,
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
        Ok(Self { places })
    }

    /// Removes what killed calls left behind, and says how many there were. Only for the start of the daemon.
    pub fn sweep(&self) -> Result<u32, StoreError> {
        Ok(files::sweep(&self.places.images())? + files::sweep(&self.places.vms())?)
    }

    /// What is in the store but not in the directory. Whether to remove it is the caller's decision.
    pub fn orphans(&self, directory: &Directory) -> Result<Orphans, StoreError> {
        let images = files::names(&self.places.images())?;
        let vms = files::names(&self.places.vms())?;
        Ok(Orphans {
            images: images
                .iter()
                .filter_map(|name| name.parse().ok())
                .filter(|name| directory.image(name).is_none())
                .collect(),
            vms: vms
                .iter()
                .filter_map(|name| name.parse().ok())
                .filter(|name| directory.vm(name).is_none())
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
        let place = self.places.image(&source.name);
        let subject = format!("image {}", source.name);
        let (file, len) = files::open_source(&source.file)?;
        measure(source, (&file, &source.file), len)?;
        let draft = draft(&self.places.images(), source.name.as_str(), &place, subject)?;

        let disk = draft.file("disk");
        let copied = files::copy((&source.file, file, len), &disk, &progress)?;
        // The file could change between the first look and the copy: what counts is what was copied.
        let virtual_size = measure(source, (&copied.file, &disk), len)?;
        for (part, name) in [(&source.kernel, "kernel"), (&source.initrd, "initrd")] {
            if let Some(path) = part {
                let (file, len) = files::open_source(path)?;
                files::copy((path, file, len), &draft.file(name), &|_, _| {})?;
            }
        }
        draft.publish(&place)?;
        Ok(Image {
            name: source.name.clone(),
            format: source.format,
            sha256: copied.sha256,
            virtual_size,
            file_size: Bytes(len),
            default_user: source.default_user.clone(),
            view: source.view,
            cloud_init: source.cloud_init,
            boot,
            created: now,
        })
    }

    /// Removes an image's files. The caller has checked that no VM is a clone of it. Says whether there were any.
    pub fn remove(&self, name: &ImageName) -> Result<bool, StoreError> {
        Ok(files::remove(&self.places.images(), name.as_str())?)
    }

    /// Checks cheaply that an image's files are there and as long as they were.
    pub fn verify(&self, image: &Image) -> Result<(), StoreError> {
        let damaged = |path: &Path, what| StoreError::Damaged {
            image: image.name.clone(),
            path: path.to_owned(),
            what,
        };
        let disk = self.places.image_disk(&image.name);
        let mut parts = vec![(disk, Some(image.file_size.0))];
        if let Boot::Kernel { initrd, .. } = &image.boot {
            parts.push((self.places.image_kernel(&image.name), None));
            parts.extend(initrd.then(|| (self.places.image_initrd(&image.name), None)));
        }
        for (path, len) in parts {
            let metadata = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(damaged(&path, "is missing"));
                }
                result => result.map_err(at("reading", &path))?,
            };
            if !metadata.is_file() {
                return Err(damaged(&path, "is not a regular file"));
            }
            if len.is_some_and(|len| len != metadata.len()) {
                return Err(damaged(&path, "changed its length since it was added"));
            }
        }
        Ok(())
    }
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

/// The size of the disk in a file, the source or its copy, that is as declared.
fn measure(source: &AddSource, (file, path): (&File, &Path), len: u64) -> Result<Bytes, StoreError> {
    let head = files::head(file, path, inspect::HEAD)?;
    let size = match source.format {
        DiskFormat::Qcow2 => inspect::qcow2(&head, len).map(|info| info.virtual_size),
        DiskFormat::Raw => format::raw(&head, &files::tail(file, path, format::TAIL, len)?, len),
    };
    size.map_err(|why| StoreError::Refused {
        path: source.file.clone(),
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
