//! Makes one whole disk of a clone and its base, by `qemu-img`: the only image tool that is run on what a guest wrote.
//!
//! It runs as the clone's own user, so that it can open what that VM's QEMU could open and nothing else; both files are named as
//! JSON with their formats, so that no header leads it to a third one; and the clone's header is looked at before.

use std::io::{self, Read as _};
use std::os::unix::fs::{PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::image::error::StoreError;
use crate::image::files::{self, FileError, at};
use crate::image::format::Refused;
use crate::image::inspect;
use crate::image::store::Store;
use crate::model::image::DiskFormat;
use crate::model::{Image, Vm, identity};

/// What it may take of the host's memory: QEMU's tables for a disk of 64 TiB fit.
const MEMORY: &str = "--as=1610612736";

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
    /// The programs are not there.
    #[error("setpriv, prlimit (of the package util-linux) and qemu-img (qemu-utils) are needed: {0}")]
    Programs(io::Error),
    /// It failed.
    #[error("qemu-img could not make one disk of {} and its base: {said}", path.display())]
    Failed {
        /// The clone.
        path: PathBuf,
        /// Its last words.
        said: String,
    },
}

impl From<FileError> for FlattenError {
    fn from(error: FileError) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Writes the disk of a stopped VM, a clone of `image` or what was installed to become that, into the new file `to`. `progress` gets per cent.
    pub fn flatten(
        &self,
        vm: &Vm,
        image: &Image,
        to: &Path,
        mut progress: impl FnMut(u32),
    ) -> Result<(), FlattenError> {
        let overlay = self.places.disk(&vm.name);
        check(&overlay)?;
        let source = json!({
            "driver": "qcow2",
            "file": file(&overlay)?,
            "backing": match image.format {
                // What was installed has no base.
                _ if vm.install().is_some() => Value::Null,
                DiskFormat::Qcow2 => json!({
                    "driver": "qcow2", "file": file(&self.places.image_disk(&image.id))?, "backing": null,
                }),
                DiskFormat::Raw => json!({"driver": "raw", "file": file(&self.places.image_disk(&image.id))?}),
            },
        });
        let user = identity::uid(vm.address);
        let target = files::create(to, 0o600)?;
        fchown(&target, Some(user), Some(user)).map_err(at("giving away", to))?;
        // The user has to reach the file by its name.
        let folder = to.parent().unwrap_or(Path::new("/"));
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))
            .map_err(at("opening up", folder))?;
        convert(user, &source, to, &mut progress).map_err(|error| match error {
            FlattenError::Failed { said, .. } => FlattenError::Failed { path: overlay, said },
            other => other,
        })
    }
}

/// A clone may have a base, which is ours to name; nothing else it could name is opened.
fn check(overlay: &Path) -> Result<(), FlattenError> {
    let (file, len) = files::open_source(overlay).map_err(StoreError::from)?;
    let head = files::head(&file, overlay, inspect::HEAD)?;
    inspect::overlay(&head, len).map_err(|why| FlattenError::Refused {
        path: overlay.to_owned(),
        why,
    })?;
    Ok(())
}

fn file(path: &Path) -> Result<Value, FlattenError> {
    let name = path.to_str().ok_or_else(|| FlattenError::Path(path.to_owned()))?;
    Ok(json!({"driver": "file", "filename": name}))
}

fn convert(user: u32, source: &Value, to: &Path, progress: &mut dyn FnMut(u32)) -> Result<(), FlattenError> {
    let mut program = Command::new("setpriv")
        // It ends with whoever waits for it, and can not outlive the file it writes.
        .args(["--pdeathsig", "KILL", "--clear-groups"])
        .args([format!("--reuid={user}"), format!("--regid={user}")])
        .args(["--no-new-privs", "--", "prlimit", MEMORY, "--core=0", "--"])
        .args(["qemu-img", "convert", "-p", "-O", "qcow2"])
        .arg(format!("json:{source}"))
        .arg(to)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(FlattenError::Programs)?;
    let complaints = program.stderr.take().map(|stderr| {
        std::thread::spawn(move || {
            let mut said = Vec::new();
            // What could be read of the complaint is what is shown.
            stderr.take(4096).read_to_end(&mut said).ok();
            said
        })
    });
    if let Some(mut stdout) = program.stdout.take() {
        let mut bytes = [0; 256];
        while let Ok(read @ 1..) = stdout.read(&mut bytes) {
            if let Some(done) = bytes.get(..read).and_then(percent) {
                progress(done);
            }
        }
    }
    let status = program.wait().map_err(FlattenError::Programs)?;
    let said = complaints
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    Err(FlattenError::Failed {
        path: to.to_owned(),
        said: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

/// The last `(12.34/100%)` of what `qemu-img -p` says.
fn percent(said: &[u8]) -> Option<u32> {
    let text = str::from_utf8(said).ok()?;
    let (_, last) = text.rsplit_once('(')?;
    last.split(['.', '/']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_what_qemu_img_says() {
        assert_eq!(percent(b"    (0.00/100%)\r    (41.20/100%)\r"), Some(41));
        assert_eq!(percent(b"    (100.00/100%)\r\n"), Some(100));
        assert_eq!(percent(b"nothing"), None);
    }
}
