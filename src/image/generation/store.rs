//! Making a generation, and knowing it again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::image::error::StoreError;
use crate::image::files::{self, Draft, at};
use crate::image::inspect;
use crate::image::store::{Store, draft};
use crate::model::image::{Boot, DiskFormat, FileStamp};
use crate::model::{Bytes, Image, ImageId, Timestamp};

/// A generation that is being made; dropped before it is finished, nothing of it is left.
#[derive(Debug)]
pub struct Making {
    id: ImageId,
    draft: Draft,
    place: PathBuf,
}

impl Store {
    /// Starts a generation: a directory that nobody sees yet.
    pub fn make(&self, id: &ImageId) -> Result<Making, StoreError> {
        let place = self.places.image(id);
        let draft = draft(
            &self.places.images(),
            &id.to_string(),
            &place,
            format!("image {id}"),
        )?;
        Ok(Making {
            id: id.clone(),
            draft,
            place,
        })
    }

    /// Checks that an image's files are there and as long as they were.
    pub fn check_present(&self, image: &Image) -> Result<(), StoreError> {
        let disk = self.places.image_disk(&image.id);
        let mut parts = vec![(disk, Some(image.file_size.0))];
        if let Boot::Kernel { initrd, .. } = &image.boot {
            parts.push((self.places.image_kernel(&image.id), None));
            parts.extend(initrd.then(|| (self.places.image_initrd(&image.id), None)));
        }
        for (path, len) in parts {
            let metadata = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(damaged(image, &path, "is missing"));
                }
                result => result.map_err(at("reading", &path))?,
            };
            if !metadata.is_file() {
                return Err(damaged(image, &path, "is not a regular file"));
            }
            if len.is_some_and(|len| len != metadata.len()) {
                return Err(damaged(image, &path, "changed its length since it was added"));
            }
        }
        Ok(())
    }

    /// Checks that an image is what was added. A disk that looks as it did is taken for that; one that does not is hashed, which
    /// takes a second for each gigabyte or so. If its content is the same it is made root's and read-only again, and its new look is returned.
    pub fn verify(&self, image: &Image) -> Result<Option<FileStamp>, StoreError> {
        self.check_present(image)?;
        let path = self.places.image_disk(&image.id);
        let (file, _) = files::open_source(&path)?;
        let stamp = files::stamp(&file, &path)?;
        if image.stamp == Some(stamp) {
            return Ok(None);
        }
        let sha256 = files::sha256(&file).map_err(at("reading", &path))?;
        if sha256 != image.sha256 {
            let what = format!(
                "changed since it was added: its SHA-256 is {sha256} and was {}",
                image.sha256
            );
            return Err(damaged(image, &path, &what));
        }
        // Whoever put it back may have put it back as a file of his own.
        let file = own(&path)?;
        Ok(Some(files::stamp(&file, &path)?))
    }
}

fn damaged(image: &Image, path: &Path, what: &str) -> StoreError {
    StoreError::Damaged {
        image: image.id.clone(),
        path: path.to_owned(),
        what: what.to_owned(),
    }
}

impl Making {
    /// Where its disk is written.
    pub fn disk(&self) -> PathBuf {
        self.draft.file("disk")
    }

    /// Copies a file into it.
    pub(in crate::image) fn copy(&self, from: &Path, name: &str) -> Result<(), StoreError> {
        let (file, len) = files::open_source(from)?;
        files::copy((from, file, len), &self.draft.file(name), &|_, _| {})?;
        Ok(())
    }

    /// Gives it its final name.
    pub(in crate::image) fn publish(self) -> Result<(), StoreError> {
        Ok(self.draft.publish(&self.place)?)
    }

    /// Makes the qcow2 disk that somebody wrote into it a generation that is otherwise like `like`: looked at, hashed, root's and
    /// read-only. It is the caller's to register it.
    pub fn finish(
        self,
        store: &Store,
        like: &Image,
        origin: String,
        now: Timestamp,
    ) -> Result<Image, StoreError> {
        let disk = self.disk();
        let file = own(&disk)?;
        let len = file.metadata().map_err(at("reading", &disk))?.len();
        let head = files::head(&file, &disk, inspect::HEAD)?;
        let info = inspect::qcow2(&head, len).map_err(|why| StoreError::Refused {
            path: disk.clone(),
            why,
        })?;
        if let Boot::Kernel { initrd, .. } = like.boot {
            self.copy(&store.places.image_kernel(&like.id), "kernel")?;
            if initrd {
                self.copy(&store.places.image_initrd(&like.id), "initrd")?;
            }
        }
        let image = Image {
            id: self.id.clone(),
            promoted: 0,
            origin,
            format: DiskFormat::Qcow2,
            sha256: files::sha256(&file).map_err(at("reading", &disk))?,
            virtual_size: info.virtual_size,
            file_size: Bytes(len),
            stamp: Some(files::stamp(&file, &disk)?),
            created: now,
            ..like.clone()
        };
        self.publish()?;
        Ok(image)
    }
}

/// Takes a finished disk from whoever wrote it: it is ours, and nobody writes to it any more.
fn own(disk: &Path) -> Result<File, StoreError> {
    let (file, _) = files::open_source(disk)?;
    rustix::fs::fchown(
        &file,
        Some(rustix::process::geteuid()),
        Some(rustix::process::getegid()),
    )
    .map_err(io::Error::from)
    .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o444)))
    .and_then(|()| file.sync_all())
    .map_err(at("taking over", disk))?;
    Ok(file)
}
