//! The files that must lie ready before QEMU starts: an empty socket directory, a fresh log, and what the VM is told.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown, fchown};
use std::path::Path;

use super::SeedDevice;
use crate::image::FileError;
use crate::image::files::{at, passage};
use crate::model::{Machine, Places, Vm, VmName};

/// Makes everything ready for a QEMU that runs as this user, and returns the log for what it says itself.
///
/// The VM's directory belongs to root, so QEMU can write its disks but not put anything else in their place.
pub(super) fn prepare(places: &Places, vm: &Vm, uid: u32) -> Result<File, FileError> {
    let name = &vm.name;
    passage(&places.sockets())?;
    let sockets = places.vm_sockets(name);
    clear(places, name)?;
    DirBuilder::new()
        .mode(0o700)
        .create(&sockets)
        .map_err(at("creating", &sockets))?;
    chown(&sockets, Some(uid), Some(uid)).map_err(at("giving away", &sockets))?;
    // The user is derived from the VM's address, which may have changed since its disks were made.
    let extra = vm.machine().map_or(&[][..], Machine::extra_disks).iter();
    let extra = extra.map(|disk| places.extra_disk(name, &disk.name));
    for disk in [places.disk(name), places.swap(name)].into_iter().chain(extra) {
        match chown(&disk, Some(uid), Some(uid)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(at("giving away", &disk))?,
        }
    }
    fresh(&places.qemu_log(name))
}

/// Puts the files of a device into a folder that has nothing else in it, each for this user alone: they can hold secrets.
/// Without a device there is no folder.
///
/// The folder is whole or absent. Nothing is synced: at the next start it is made anew, from what is true then.
pub(super) fn put_seed(folder: &Path, device: Option<&SeedDevice>, uid: u32) -> Result<(), FileError> {
    let draft = folder.with_extension("new");
    for old in [folder, &draft] {
        match fs::remove_dir_all(old) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(at("removing", old))?,
        }
    }
    let Some(device) = device else { return Ok(()) };
    passage(&draft)?;
    for (name, bytes) in device.files() {
        let path = draft.join(name);
        let mut file = fresh(&path)?;
        file.write_all(bytes).map_err(at("writing", &path))?;
        fchown(&file, Some(uid), Some(uid)).map_err(at("giving away", &path))?;
    }
    fs::rename(&draft, folder).map_err(at("naming", folder))
}

/// Removes a VM's sockets; that there are none is no error.
pub(super) fn clear(places: &Places, name: &VmName) -> Result<(), FileError> {
    let sockets = places.vm_sockets(name);
    match fs::remove_dir_all(&sockets) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(at("removing", &sockets)),
    }
}

/// A new, empty file in the place of whatever was there.
fn fresh(path: &Path) -> Result<File, FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result.map_err(at("removing", path))?,
    }
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(at("creating", path))
}

/// The length of a log; zero when there is none.
pub(super) fn length(log: &Path) -> u64 {
    fs::symlink_metadata(log).map_or(0, |metadata| metadata.len())
}

/// What every QEMU says before it takes its console's broker.
const WAITING: &str = "QEMU waiting for connection on:";

/// The last lines that were written to a log after its first `from` bytes, escaped, as one short text.
pub(super) fn tail(log: &Path, from: u64) -> String {
    const MOST: u64 = 2000;
    const LINES: usize = 3;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let start = from.max(file.metadata()?.len().saturating_sub(MOST));
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<_> = text
        .lines()
        .rev()
        .filter(|line| !line.trim().is_empty() && !line.contains(WAITING))
        .take(LINES)
        .collect();
    lines.reverse();
    lines
        .join("; ")
        .chars()
        .flat_map(char::escape_debug)
        .take(600)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_vms_seed_is_what_its_device_has_now_and_nobody_elses_to_read() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("seed");
        // What a test may give a file to: another user where it runs as root, and itself where not.
        let own = rustix::process::geteuid();
        let uid = if own.is_root() {
            1_900_000_000
        } else {
            own.as_raw()
        };
        let names = || {
            let mut names: Vec<_> = fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let strings = SeedDevice::Strings(vec!["one\n".to_owned(), "two".to_owned()]);
        put_seed(&folder, Some(&strings), uid).unwrap();
        assert_eq!(names(), ["string-0", "string-1"]);
        assert_eq!(fs::read(folder.join("string-0")).unwrap(), b"one\n");
        for name in names() {
            let metadata = fs::metadata(folder.join(name)).unwrap();
            assert_eq!(
                (metadata.mode() & 0o777, metadata.uid(), metadata.gid()),
                (0o600, uid, uid)
            );
        }
        // One that was killed half-way left its draft; the next start has other contents.
        fs::create_dir(folder.with_extension("new")).unwrap();
        put_seed(&folder, Some(&SeedDevice::Disk(vec![7; 10])), uid).unwrap();
        assert_eq!(names(), ["cidata.img"]);
        assert_eq!(fs::read(folder.join("cidata.img")).unwrap(), [7; 10]);
        put_seed(&folder, None, uid).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_tail_is_the_last_lines_escaped_and_short() {
        let log = tempfile::NamedTempFile::new().unwrap();
        fs::write(log.path(), "old\none\n\ntwo\nthree\n\u{1b}[2Jfour\n").unwrap();
        assert_eq!(tail(log.path(), 0), "two; three; \\u{1b}[2Jfour");
        assert_eq!(tail(log.path(), 9), "two; three; \\u{1b}[2Jfour");
        assert_eq!(tail(log.path(), 19), "\\u{1b}[2Jfour");
        assert_eq!(tail(log.path(), 1000), "");
        fs::write(
            log.path(),
            "one\nqemu: info: QEMU waiting for connection on: disconnected:unix:/s\n",
        )
        .unwrap();
        assert_eq!(tail(log.path(), 0), "one");
        fs::write(log.path(), "x".repeat(100_000)).unwrap();
        assert!(tail(log.path(), 0).len() <= 600);
        assert_eq!(tail(Path::new("/nonexistent/log"), 0), "");
    }
}
