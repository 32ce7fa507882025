//! Makes one whole disk of a clone and its base. Both files are named to `qemu-img` as JSON with their formats, so that no header
//! leads it to a third one, and the clone's header is looked at before.

use std::ffi::OsStr;
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::image::error::StoreError;
use crate::image::files::{self, FileError, at};
use crate::image::format::Refused;
use crate::image::inspect::{self, Qcow2Info};
use crate::image::process::{self, ToolError};
use crate::image::store::Store;
use crate::model::image::DiskFormat;
use crate::model::{Image, Vm, identity};

/// Why no whole disk was made.
#[derive(Debug, thiserror::Error)]
pub enum FlattenError {
    /// The clone is not what a clone of ours is.
    #[error("{} {why}", path.display())]
    Refused {
        /// The clone.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        why: Refused,
    },
    /// A file was in the way.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A path that JSON can not hold.
    #[error("the path {} is not UTF-8", .0.display())]
    Path(PathBuf),
    /// The tool failed.
    #[error("of {} and its base, no other disk was made: {error}", path.display())]
    Tool {
        /// The clone.
        path: PathBuf,
        /// Why.
        #[source]
        error: ToolError,
    },
}

impl From<FileError> for FlattenError {
    fn from(error: FileError) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Writes the disk of a stopped VM, a clone of `image` or what was installed to become that, into the new file `to`, which the
    /// VM's user has to reach by its name. `progress` gets per cent.
    pub fn flatten(
        &self,
        vm: &Vm,
        image: &Image,
        to: &Path,
        mut progress: impl FnMut(u32),
    ) -> Result<(), FlattenError> {
        let overlay = self.places.disk(&vm.name);
        check(&overlay)?;
        // What was installed has no base.
        let base = vm.install().is_none().then_some(image);
        let source = self.chain(&overlay, base)?;
        let user = identity::uid(vm.address);
        let target = files::create(to, 0o600)?;
        fchown(&target, Some(user), Some(user)).map_err(at("giving away", to))?;
        let source = format!("json:{source}");
        let words = ["convert", "-p", "-O", "qcow2", &source].map(OsStr::new);
        process::qemu_img(user, &[&words[..], &[to.as_os_str()]].concat(), &mut progress)
            .map_err(|error| FlattenError::Tool { path: overlay, error })
    }
}

impl Store {
    /// A clone and its base, if it has one, as QEMU's tools are to open them, whatever their headers say.
    pub(in crate::image) fn chain(
        &self,
        overlay: &Path,
        base: Option<&Image>,
    ) -> Result<Value, FlattenError> {
        let path = |image: &Image| file(&self.places.image_disk(&image.id));
        let base = match base {
            None => Value::Null,
            Some(image) if image.format == DiskFormat::Raw => json!({"driver": "raw", "file": path(image)?}),
            Some(image) => json!({"driver": "qcow2", "file": path(image)?, "backing": null}),
        };
        Ok(json!({"driver": "qcow2", "file": file(overlay)?, "backing": base}))
    }
}

/// A clone may have a base, which is ours to name; nothing else it could name is opened.
pub(in crate::image) fn check(overlay: &Path) -> Result<(), FlattenError> {
    header(overlay).map(drop)
}

/// What the header of a disk of ours says, when it is one.
pub(in crate::image) fn header(overlay: &Path) -> Result<Qcow2Info, FlattenError> {
    let (file, len) = files::open_source(overlay).map_err(StoreError::from)?;
    let head = files::head(&file, overlay, inspect::HEAD)?;
    inspect::overlay(&head, len).map_err(|why| FlattenError::Refused {
        path: overlay.to_owned(),
        why,
    })
}

fn file(path: &Path) -> Result<Value, FlattenError> {
    let name = path.to_str().ok_or_else(|| FlattenError::Path(path.to_owned()))?;
    Ok(json!({"driver": "file", "filename": name}))
}
