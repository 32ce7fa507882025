//! The files that must lie ready before QEMU starts: an empty socket directory, and fresh logs.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown, fchown};
use std::path::Path;

use crate::image::FileError;
use crate::image::files::{at, passage};
use crate::model::{Places, VmName};

/// Makes everything ready for a QEMU that runs as this user, and returns the log for what it says itself.
///
/// The VM's directory belongs to root, so QEMU can write its logs but not put anything else in their place.
pub(super) fn prepare(places: &Places, name: &VmName, uid: u32) -> Result<File, FileError> {
    passage(&places.sockets())?;
    let sockets = places.vm_sockets(name);
    clear(places, name)?;
    DirBuilder::new()
        .mode(0o700)
        .create(&sockets)
        .map_err(at("creating", &sockets))?;
    chown(&sockets, Some(uid), Some(uid)).map_err(at("giving away", &sockets))?;
    // The user is derived from the VM's address, which may have changed since its disks were made.
    for disk in [places.disk(name), places.swap(name)] {
        match chown(&disk, Some(uid), Some(uid)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(at("giving away", &disk))?,
        }
    }
    let console = places.console_log(name);
    let file = fresh(&console)?;
    fchown(&file, Some(uid), Some(uid)).map_err(at("giving away", &console))?;
    fresh(&places.qemu_log(name))
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
        .filter(|line| !line.trim().is_empty())
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

    #[test]
    fn the_tail_is_the_last_lines_escaped_and_short() {
        let log = tempfile::NamedTempFile::new().unwrap();
        fs::write(log.path(), "old\none\n\ntwo\nthree\n\u{1b}[2Jfour\n").unwrap();
        assert_eq!(tail(log.path(), 0), "two; three; \\u{1b}[2Jfour");
        assert_eq!(tail(log.path(), 9), "two; three; \\u{1b}[2Jfour");
        assert_eq!(tail(log.path(), 19), "\\u{1b}[2Jfour");
        assert_eq!(tail(log.path(), 1000), "");
        fs::write(log.path(), "x".repeat(100_000)).unwrap();
        assert!(tail(log.path(), 0).len() <= 600);
        assert_eq!(tail(Path::new("/nonexistent/log"), 0), "");
    }
}
