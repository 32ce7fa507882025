//! The serial log: two files of bounded length. What the second no longer holds, the first one did.
//!
//! `console.log` is written; when it is full, its text becomes that of `console.log.1`, and it begins anew. Their names and
//! their places stay, so that a broker needs no right to make or rename files.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::image::FileError;
use crate::image::files::at;
use crate::model::{Places, VmName};

/// The most octets of each of the two files.
pub const LONGEST: u64 = 4 << 20;

/// Where the text goes that `log` has no more room for.
pub fn before(log: &Path) -> PathBuf {
    log.with_extension("log.1")
}

/// The two files of a log, open.
#[derive(Debug)]
pub struct Files {
    /// What is written.
    pub current: File,
    /// What was written before that.
    pub before: File,
}

impl Files {
    /// New, empty files in the place of whatever was there, for root alone.
    pub fn create(places: &Places, name: &VmName) -> Result<(), FileError> {
        let log = places.console_log(name);
        for path in [before(&log), log] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result.map_err(at("removing", &path))?,
            }
            opened(OpenOptions::new().create_new(true), &path)?;
        }
        Ok(())
    }

    /// Opens them, to be read and to be added to.
    pub fn open(places: &Places, name: &VmName) -> Result<Self, FileError> {
        let log = places.console_log(name);
        let mut options = OpenOptions::new();
        let options = options.create(true);
        Ok(Self {
            before: opened(options, &before(&log))?,
            current: opened(options, &log)?,
        })
    }
}

fn opened(options: &mut OpenOptions, path: &Path) -> Result<File, FileError> {
    options
        .read(true)
        .append(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(at("opening", path))
}

/// A log that is written.
#[derive(Debug)]
pub struct Log {
    files: Files,
    length: u64,
    longest: u64,
}

impl Log {
    /// Goes on with these files, of at most so many octets each.
    pub fn new(files: Files, longest: u64) -> io::Result<Self> {
        let length = files.current.metadata()?.len();
        Ok(Self {
            files,
            length,
            longest,
        })
    }

    /// Adds what came. What the disk does not take is left out: a full disk is no reason for a guest to wait.
    pub fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.length >= self.longest && self.turn().is_err() {
                return;
            }
            let room = usize::try_from(self.longest.saturating_sub(self.length)).unwrap_or(usize::MAX);
            let (part, rest) = bytes.split_at(room.min(bytes.len()));
            if self.files.current.write_all(part).is_err() {
                self.length = self
                    .files
                    .current
                    .metadata()
                    .map_or(self.length, |facts| facts.len());
                return;
            }
            self.length += part.len() as u64;
            bytes = rest;
        }
    }

    /// The last octets of it, at most so many.
    pub fn tail(&self, most: usize) -> Vec<u8> {
        let mut tail = end_of(&self.files.current, most).unwrap_or_default();
        let missing = most.saturating_sub(tail.len());
        let mut whole = end_of(&self.files.before, missing).unwrap_or_default();
        whole.append(&mut tail);
        whole
    }

    /// Begins anew. Killed on the way, it only has a part twice.
    fn turn(&mut self) -> io::Result<()> {
        // A copy that the disk has no room for is not worth more than what comes.
        drop(self.copy());
        self.files.current.set_len(0)?;
        self.length = 0;
        Ok(())
    }

    fn copy(&mut self) -> io::Result<()> {
        self.files.before.set_len(0)?;
        let mut part = vec![0; 32 << 10];
        let mut from = 0;
        loop {
            let count = self.files.current.read_at(&mut part, from)?;
            if count == 0 {
                return Ok(());
            }
            self.files
                .before
                .write_all(part.get(..count).unwrap_or_default())?;
            from += count as u64;
        }
    }
}

fn end_of(file: &File, most: usize) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let most = usize::try_from(length).unwrap_or(usize::MAX).min(most);
    let mut bytes = vec![0; most];
    file.read_exact_at(&mut bytes, length - most as u64)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt as _;
    use tempfile::TempDir;

    struct World {
        _directory: TempDir,
        places: Places,
        name: VmName,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let places = Places::new(directory.path(), directory.path());
            let name: VmName = "web1".parse().unwrap();
            std::fs::create_dir_all(places.vm(&name)).unwrap();
            Self {
                _directory: directory,
                places,
                name,
            }
        }

        fn log(&self, longest: u64) -> Log {
            Log::new(Files::open(&self.places, &self.name).unwrap(), longest).unwrap()
        }

        fn text(&self) -> (Vec<u8>, Vec<u8>) {
            let log = self.places.console_log(&self.name);
            (std::fs::read(before(&log)).unwrap(), std::fs::read(log).unwrap())
        }
    }

    proptest! {
        #[test]
        fn the_files_are_the_end_of_all_that_was_said_and_never_longer_than_they_may_be(
            parts in vec(vec(any::<u8>(), 0..100), 0..20), longest in 1_u64..64, again in 0_usize..20,
        ) {
            let world = World::new();
            let mut log = world.log(longest);
            let mut all: Vec<u8> = Vec::new();
            for (number, part) in parts.iter().enumerate() {
                if number == again {
                    // The next broker goes on with what is there.
                    log = world.log(longest);
                }
                log.write(part);
                all.extend(part);
                let (before, current) = world.text();
                prop_assert!(before.len() as u64 <= longest && current.len() as u64 <= longest);
                let kept = [before, current].concat();
                prop_assert!(all.ends_with(&kept));
                prop_assert!(kept.len() as u64 >= longest.min(all.len() as u64));
                prop_assert_eq!(log.tail(10), &kept[kept.len().saturating_sub(10)..]);
            }
        }
    }

    #[test]
    fn a_new_log_is_empty_for_root_alone_and_no_link_is_followed() {
        let world = World::new();
        let log = world.places.console_log(&world.name);
        let elsewhere = world.places.state().join("elsewhere");
        std::fs::write(&elsewhere, "precious").unwrap();
        std::fs::write(before(&log), "old").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &log).unwrap();
        Files::open(&world.places, &world.name).unwrap_err();
        Files::create(&world.places, &world.name).unwrap();
        world.log(100).write(b"new");
        assert_eq!(world.text(), (Vec::new(), b"new".to_vec()));
        assert_eq!(std::fs::read(elsewhere).unwrap(), b"precious");
        let mode = std::fs::metadata(log).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_disk_that_takes_nothing_stops_nobody() {
        let full = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/full")
                .unwrap()
        };
        let files = Files {
            current: full(),
            before: full(),
        };
        let mut log = Log::new(files, 10).unwrap();
        log.write(b"a line that finds no room");
        assert_eq!(log.length, 0);
    }
}
