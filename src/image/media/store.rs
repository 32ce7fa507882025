//! Install media on disk: looked into, and made ready for the VM that a system is installed in.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::iso::{Extent, Iso};
use super::{Installer, MediaError};
use crate::image::clone::overlay;
use crate::image::clone::store::write_disk;
use crate::image::error::StoreError;
use crate::image::files::{self, at};
use crate::image::store::{Store, draft};
use crate::model::workshop::Family;
use crate::model::{Machine, Vm, identity};

/// An installer, from where it can be started.
#[derive(Debug)]
pub enum Media {
    /// An ISO image.
    Iso {
        /// The file, opened.
        file: File,
        /// Where it is.
        path: PathBuf,
        /// What is on it.
        installer: Installer,
    },
    /// A kernel and an initrd of their own, which get the rest over the network.
    Files {
        /// Whose installer it is.
        family: Family,
        /// The kernel.
        kernel: PathBuf,
        /// The initrd.
        initrd: PathBuf,
    },
}

impl Media {
    /// Looks into an ISO image, which is a regular file and no link.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let (file, _) = files::open_source(path)?;
        let refused = |why| StoreError::Media {
            path: path.to_owned(),
            why,
        };
        let installer = Iso::open(&file)
            .map_err(MediaError::from)
            .and_then(|mut iso| Installer::find(&mut iso))
            .map_err(refused)?;
        Ok(Self::Iso {
            file,
            path: path.to_owned(),
            installer,
        })
    }

    /// Whose installer it is.
    pub const fn family(&self) -> Family {
        match self {
            Self::Iso { installer, .. } => installer.family,
            Self::Files { family, .. } => *family,
        }
    }

    /// The label of its volume; empty without one.
    pub fn label(&self) -> &str {
        match self {
            Self::Iso { installer, .. } => &installer.label,
            Self::Files { .. } => "",
        }
    }

    /// Whether there is something for a drive.
    pub const fn has_drive(&self) -> bool {
        matches!(self, Self::Iso { .. })
    }

    fn into_drive(self) -> Option<File> {
        match self {
            Self::Iso { file, .. } => Some(file),
            Self::Files { .. } => None,
        }
    }
}

impl Store {
    /// Makes the disk of a VM that a system is installed in, which is empty, and puts the installer's kernel and initrd beside it.
    /// Returns what is to be in its drive.
    pub fn make_installation(
        &self,
        vm: &Vm,
        machine: &Machine,
        media: Media,
    ) -> Result<Option<File>, StoreError> {
        let disk = overlay::empty(machine.disk)?;
        let place = self.places.vm(&vm.name);
        let subject = format!("the disk of {}", vm.name);
        let draft = draft(&self.places.vms(), vm.name.as_str(), &place, subject)?;
        write_disk(&draft.file("disk.qcow2"), &disk, None, identity::uid(vm.address))?;
        let folder = draft.file("installer");
        DirBuilder::new()
            .mode(0o711)
            .create(&folder)
            .and_then(|()| std::fs::set_permissions(&folder, Permissions::from_mode(0o711)))
            .map_err(at("creating", &folder))?;
        media.unpack(&folder.join("kernel"), &folder.join("initrd"))?;
        draft.publish(&place)?;
        Ok(media.into_drive())
    }
}

impl Media {
    fn unpack(&self, kernel: &Path, initrd: &Path) -> Result<(), StoreError> {
        match self {
            Self::Iso {
                file,
                path,
                installer,
            } => {
                let refused = |why: super::IsoError| StoreError::Media {
                    path: path.clone(),
                    why: why.into(),
                };
                let mut iso = Iso::open(file).map_err(refused)?;
                let mut part = |extent: Extent, to: &Path| -> Result<(), StoreError> {
                    copy(iso.read(extent).map_err(refused)?, to, extent.len)
                };
                part(installer.kernel, kernel)?;
                part(installer.initrd, initrd)
            }
            Self::Files {
                kernel: from_kernel,
                initrd: from_initrd,
                ..
            } => {
                for (from, to) in [(from_kernel, kernel), (from_initrd, initrd)] {
                    let (file, len) = files::open_source(from)?;
                    copy(file, to, len)?;
                }
                Ok(())
            }
        }
    }
}

/// Copies a part that everybody may read; installers are no secrets. Nothing is synced: a start that is cut short is undone.
fn copy(mut from: impl Read, to: &Path, len: u64) -> Result<(), StoreError> {
    let mut file = files::create(to, 0o444)?;
    let written = io::copy(&mut from, &mut file)
        .and_then(|copied| {
            if copied == len {
                file.set_permissions(Permissions::from_mode(0o444))
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        })
        .map_err(at("writing", to));
    Ok(written?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::media::iso::tests::{tree, written};
    use crate::model::{Hosting, Places, examples};

    fn vm() -> Vm {
        Vm {
            hosting: Hosting::from(examples::machine()),
            ..examples::vm("install-base", "10.77.0.11")
        }
    }

    #[test]
    fn an_installation_has_an_empty_disk_and_its_installer() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root, to give files to another user");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let places = Places::new(folder.path().join("state"), folder.path().join("run"));
        let store = Store::open(places.clone()).unwrap();
        let iso = folder.path().join("x.iso");
        let files = tree(&["/linux", "/initrd.gz"]);
        std::fs::write(&iso, written("xorrisofs", &["-R"], files.path())).unwrap();
        let media = Media::open(&iso).unwrap();
        assert_eq!((media.family(), media.label()), (Family::Debian, "A Volume 9-4"));
        let vm = vm();
        let drive = store
            .make_installation(&vm, vm.machine().unwrap(), media)
            .unwrap();
        assert!(drive.is_some());
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(places.installer_kernel(&vm.name)), "/linux");
        assert_eq!(read(places.installer_initrd(&vm.name)), "/initrd.gz");
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(places.installer_kernel(&vm.name)), 0o444);
        assert_eq!(mode(places.disk(&vm.name)), 0o600);
        // The same of files of their own.
        store.remove_disks(&vm.name).unwrap();
        let media = Media::Files {
            family: Family::Debian,
            kernel: files.path().join("linux"),
            initrd: files.path().join("initrd.gz"),
        };
        let drive = store
            .make_installation(&vm, vm.machine().unwrap(), media)
            .unwrap();
        assert!(drive.is_none());
        assert_eq!(read(places.installer_initrd(&vm.name)), "/initrd.gz");
    }

    #[test]
    fn what_is_no_install_media_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.iso");
        for (bytes, says) in [
            (vec![0; 1 << 20], "is no ISO 9660 image"),
            (
                written("xorrisofs", &["-R"], tree(&["/readme"]).path()),
                "has no installer that is known",
            ),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = Media::open(&path).unwrap_err().to_string();
            assert!(error.contains("x.iso") && error.contains(says), "{error}");
        }
        assert!(
            Media::open(folder.path())
                .unwrap_err()
                .to_string()
                .contains("is not a regular file")
        );
    }
}
