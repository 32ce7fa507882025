//! Making and removing the disks of a VM.

use std::io::Write as _;
use std::os::unix::fs::fchown;
use std::path::Path;

use super::{overlay, swap};
use crate::image::error::StoreError;
use crate::image::files::{self, Draft, FileError, at};
use crate::image::store::{Store, draft};
use crate::model::{Bytes, Image, Machine, Vm, VmName, identity};

impl Store {
    /// Makes the disks of a VM: a clone of its image, a swap disk where it has one, and those it has besides. Only its QEMU can read them.
    pub fn make_disks(&self, vm: &Vm, machine: &Machine, image: &Image) -> Result<(), StoreError> {
        let place = self.places.vm(&vm.name);
        let draft = draft(
            &self.places.vms(),
            vm.name.as_str(),
            &place,
            format!("the disk of {}", vm.name),
        )?;
        write_fresh(self, &draft, (vm, machine), image)?;
        for disk in machine.extra_disks() {
            let path = draft.file(&format!("{}.qcow2", disk.node()));
            write_disk(
                &path,
                &overlay::empty(disk.size)?,
                None,
                identity::uid(vm.address),
            )?;
        }
        Ok(draft.publish(&place)?)
    }

    /// Removes a VM's disks and logs. Says whether there were any.
    pub fn remove_disks(&self, name: &VmName) -> Result<bool, StoreError> {
        Ok(files::remove(&self.places.vms(), name.as_str())?)
    }
}

/// Writes a clone of an image, and where the machine has them a swap disk and the variables of its UEFI, into a directory.
pub(in crate::image) fn write_fresh(
    store: &Store,
    draft: &Draft,
    (vm, machine): (&Vm, &Machine),
    image: &Image,
) -> Result<(), StoreError> {
    if machine.disk < image.virtual_size {
        return Err(StoreError::TooSmall {
            asked: machine.disk,
            image: image.id.clone(),
            needed: image.virtual_size,
        });
    }
    store.check_present(image)?;
    let base = store.places.image_disk(&image.id);
    let overlay = overlay::file(&base, image.format, machine.disk)?;
    let swap = (machine.swap.0 > 0)
        .then(|| swap::header(machine.swap, vm.uuid))
        .transpose()?;
    let uid = identity::uid(vm.address);
    write_disk(&draft.file("disk.qcow2"), &overlay, None, uid)?;
    if let Some(header) = swap {
        write_disk(&draft.file("swap.raw"), &header, Some(machine.swap), uid)?;
    }
    if let Some(uefi) = machine.uefi() {
        let variables = std::fs::read(&uefi.template).map_err(at("reading", &uefi.template))?;
        write_disk(&draft.file("uefi-vars.fd"), &variables, None, uid)?;
    }
    Ok(())
}

/// Writes a disk that only this user can open; `len` extends it with a hole.
pub(in crate::image) fn write_disk(
    path: &Path,
    bytes: &[u8],
    len: Option<Bytes>,
    uid: u32,
) -> Result<(), FileError> {
    let mut file = files::create(path, 0o600)?;
    file.write_all(bytes)
        .and_then(|()| len.map_or(Ok(()), |len| file.set_len(len.0)))
        .map_err(at("writing", path))?;
    fchown(&file, Some(uid), Some(uid)).map_err(at("giving away", path))?;
    file.sync_all().map_err(at("syncing", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::image::DiskFormat;
    use crate::model::{Hosting, Places, Timestamp, examples};
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
    use std::process::Command;
    use tempfile::TempDir;

    /// A store with one image of 8 MiB in it.
    fn store() -> (TempDir, Store, Image) {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::new(directory.path().join("state"), directory.path().join("run"));
        let store = Store::open(places).unwrap();
        let file = directory.path().join("source.raw");
        File::create(&file).unwrap().set_len(8 << 20).unwrap();
        let source = crate::image::examples::source("base@1", file, DiskFormat::Raw);
        let image = store.add(&source, Timestamp(7), |_, _| {}).unwrap();
        (directory, store, image)
    }

    fn left(store: &Store) -> Vec<String> {
        files::names(&store.places.vms()).unwrap()
    }

    fn vm() -> (Vm, Machine) {
        let machine = Machine {
            image: "base@1".parse().unwrap(),
            disk: Bytes::gib(4),
            swap: Bytes::mib(64),
            ..examples::machine()
        };
        let vm = Vm {
            hosting: Hosting::from(machine.clone()),
            ..examples::vm("web1", "10.77.0.11")
        };
        (vm, machine)
    }

    fn root() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            println!("skipped: needs root, to give files to another user");
        }
        root
    }

    #[test]
    fn a_clone_is_sound_has_its_swap_and_belongs_to_its_own_user() {
        if !root() {
            return;
        }
        let (_directory, store, image) = store();
        let (vm, machine) = vm();
        store.make_disks(&vm, &machine, &image).unwrap();
        let (disk, swap) = (store.places.disk(&vm.name), store.places.swap(&vm.name));
        let check = Command::new("qemu-img")
            .args(["check", "-q", "-f", "qcow2"])
            .arg(&disk)
            .status()
            .unwrap();
        assert!(check.success());
        let uid = identity::uid(vm.address);
        for path in [&disk, &swap] {
            let metadata = fs::metadata(path).unwrap();
            assert_eq!(
                (metadata.uid(), metadata.gid(), metadata.mode() & 0o777),
                (uid, uid, 0o600)
            );
        }
        let metadata = fs::metadata(&swap).unwrap();
        assert!(metadata.len() == 64 << 20 && metadata.blocks() * 512 <= 64 << 10);
        assert!(matches!(
            store.make_disks(&vm, &machine, &image),
            Err(StoreError::Exists(_))
        ));
        assert!(store.remove_disks(&vm.name).unwrap());
        assert!(!store.remove_disks(&vm.name).unwrap());
        assert_eq!(left(&store), Vec::<String>::new());
    }

    #[test]
    fn no_disk_is_made_that_could_not_work() {
        let (_directory, store, image) = store();
        let (vm, mut machine) = vm();
        machine.disk = Bytes::mib(7);
        let text = store.make_disks(&vm, &machine, &image).unwrap_err().to_string();
        assert!(
            text.contains("7MiB is too small") && text.contains("at least 8MiB"),
            "{text}"
        );
        machine.disk = Bytes::gib(1);
        machine.swap = Bytes(1);
        assert!(matches!(
            store.make_disks(&vm, &machine, &image),
            Err(StoreError::Swap(_))
        ));
        machine.swap = Bytes(0);
        let disk = store.places.image_disk(&image.id);
        fs::set_permissions(&disk, PermissionsExt::from_mode(0o644)).unwrap();
        fs::write(&disk, "shorter").unwrap();
        assert!(matches!(
            store.make_disks(&vm, &machine, &image),
            Err(StoreError::Damaged { .. })
        ));
        assert_eq!(left(&store), Vec::<String>::new());
    }
}
