//! Where downloads are kept: a directory for each place they come from, that one command at a time works in.
//!
//! ```text
//! /var/cache/seedbed/downloads/8b1a9953c4611296/debian-12.qcow2.xz     a whole file
//!                                               part                   the first bytes of one
//!                                               part.json              of which version of it
//!                                               unpacked               what was in it; not kept
//! ```

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::checksum::Checksum;
use super::compression::Compression;
pub use super::files::{FileError, UnpackError};
use super::files::{Limit, at, fill, room};
use super::reply::Version;

const PART: &str = "part";
const PART_OF: &str = "part.json";
const UNPACKED: &str = "unpacked";

/// As large as a disk can be here, in bytes: 64 TiB.
pub(super) const LARGEST: u64 = 64 << 40;
/// What may be unpacked: 16 GiB of anything, and of what is larger 2,000 times what was read.
const LIMIT: Limit = Limit {
    most: LARGEST,
    always: 16 << 30,
    times: 2_000,
};

/// The directory of one download, which nobody else works in meanwhile.
#[derive(Debug)]
pub struct Entry {
    folder: PathBuf,
    name: String,
    _lock: File,
}

/// Why there is no such directory.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Another command works in it.
    #[error("another command is fetching or unpacking the same file")]
    Busy,
    /// It could not be made, or not be locked.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Entry {
    /// The directory in `cache` of the file called `name` that comes from `origin`, which is its URL, or its place on disk.
    ///
    /// What commands left unpacked that were killed is removed, here and in the other directories.
    pub fn open(cache: &Path, origin: &str, name: &str) -> Result<Self, EntryError> {
        let downloads = cache.join("downloads");
        sweep(&downloads);
        let digest: [u8; 32] = Sha256::digest(origin).into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let folder = downloads.join(format!("{number:016x}"));
        let lock = loop {
            let lock = locked(&folder)?;
            // The command that had it until now may have removed it.
            if lock.metadata().map_err(at("reading", &folder))?.nlink() > 0 {
                break lock;
            }
        };
        Ok(Self {
            folder,
            name: plain(name),
            _lock: lock,
        })
    }

    /// The whole file: it is there after a download.
    pub fn kept(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Removes the whole file, because it is not the right one.
    pub fn discard(&self) -> Result<(), FileError> {
        remove(&self.kept())
    }

    /// The first bytes of the file, or none.
    pub(super) fn part(&self) -> Result<Part<'_>, FileError> {
        Part::open(self)
    }

    /// Whether the cache has room for so many more bytes; what is missing, otherwise.
    pub(super) fn fits(&self, bytes: u64) -> Result<Result<(), u64>, FileError> {
        let room = room(&self.folder).map_err(at("looking for room in", &self.folder))?;
        Ok(match bytes.checked_sub(room) {
            None | Some(0) => Ok(()),
            Some(missing) => Err(missing),
        })
    }

    /// Unpacks a file into the cache; what was unpacked goes with the last of the [`Unpacked`]. `on_read` is told how much of the
    /// packed file was read, in bytes.
    pub fn unpack(
        &self,
        packed: &Path,
        compression: Compression,
        on_read: impl FnMut(u64),
    ) -> Result<Unpacked, UnpackError> {
        self.unpack_within(packed, compression, LIMIT, on_read)
    }

    fn unpack_within(
        &self,
        packed: &Path,
        compression: Compression,
        limit: Limit,
        mut on_read: impl FnMut(u64),
    ) -> Result<Unpacked, UnpackError> {
        let source = File::open(packed).map_err(at("opening", packed))?;
        let unpacked = Unpacked(self.folder.join(UNPACKED));
        let file = File::create(&unpacked.0).map_err(at("creating", &unpacked.0))?;
        let read = std::cell::Cell::new(0);
        let counted = Counted(source, &read);
        let content = compression.unpack(BufReader::with_capacity(1 << 16, counted));
        fill((&unpacked.0, &file), content, limit, || {
            on_read(read.get());
            read.get()
        })?;
        Ok(unpacked)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Where nothing is kept, the directory goes too; it stays, and that is no error, where something is.
        drop(fs::remove_dir(&self.folder));
    }
}

/// The directory, which is made if there is none, opened and locked.
fn locked(folder: &Path) -> Result<File, EntryError> {
    fs::create_dir_all(folder).map_err(at("creating", folder))?;
    let lock = File::open(folder).map_err(at("opening", folder))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => Err(EntryError::Busy),
        Err(error) => Err(at("locking", folder)(error.into()).into()),
    }
}

/// A file that is there as long as this is.
#[derive(Debug)]
pub struct Unpacked(PathBuf);

impl Unpacked {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // What can not be removed now, the next command sweeps.
        drop(fs::remove_file(&self.0));
    }
}

/// Counts the bytes that are read.
struct Counted<'a>(File, &'a std::cell::Cell<u64>);

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.set(self.1.get().saturating_add(count as u64));
        Ok(count)
    }
}

/// The first bytes of a file, and of which version of it they are.
#[derive(Debug)]
pub(super) struct Part<'a> {
    entry: &'a Entry,
    path: PathBuf,
    file: File,
    length: u64,
    version: Version,
}

#[derive(Serialize, Deserialize)]
struct PartOf {
    version: Version,
}

impl<'a> Part<'a> {
    fn open(entry: &'a Entry) -> Result<Self, FileError> {
        let path = entry.folder.join(PART);
        let file = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(at("opening", &path))?;
        let length = file.metadata().map_err(at("reading", &path))?.len();
        let stored = fs::read(entry.folder.join(PART_OF)).unwrap_or_default();
        let mut part = Self {
            entry,
            path,
            file,
            length,
            version: Version::default(),
        };
        match serde_json::from_slice::<PartOf>(&stored) {
            Ok(of) => part.version = of.version,
            // Nobody knows what it is the beginning of.
            Err(_) => part.clear()?,
        }
        Ok(part)
    }

    /// How many bytes there are.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    pub(super) const fn version(&self) -> &Version {
        &self.version
    }

    /// What to ask for, when there is a beginning that can be gone on with: its length, and its version.
    pub(super) fn resumable(&self) -> Option<(u64, &str)> {
        let version = self.version.if_range()?;
        (self.length > 0).then_some((self.length, version))
    }

    /// Throws it away.
    pub(super) fn clear(&mut self) -> Result<(), FileError> {
        self.file.set_len(0).map_err(at("emptying", &self.path))?;
        self.length = 0;
        self.version = Version::default();
        remove(&self.entry.folder.join(PART_OF))
    }

    /// Begins a version anew.
    pub(super) fn begin(&mut self, version: Version) -> Result<(), FileError> {
        self.clear()?;
        self.version = version.clone();
        let path = self.entry.folder.join(PART_OF);
        let text = serde_json::to_vec(&PartOf { version }).unwrap_or_default();
        // Cut short, it is no JSON, and the part is begun anew.
        fs::write(&path, text).map_err(at("writing", &path))
    }

    /// Adds bytes to its end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(at("writing", &self.path))?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Makes it the whole file.
    pub(super) fn finish(self) -> Result<(), FileError> {
        self.file.sync_all().map_err(at("writing", &self.path))?;
        let kept = self.entry.kept();
        fs::rename(&self.path, &kept).map_err(at("naming", &kept))?;
        remove(&self.entry.folder.join(PART_OF))
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        // An empty one is worth nothing; what can not be removed is emptied by the next download.
        if self.length == 0 {
            drop(fs::remove_file(&self.path));
            drop(fs::remove_file(self.entry.folder.join(PART_OF)));
        }
    }
}

/// The checksum of a file by the algorithm of `like`.
pub fn checksum(path: &Path, like: &Checksum, on_read: impl FnMut(u64)) -> Result<Checksum, FileError> {
    let file = File::open(path).map_err(at("opening", path))?;
    like.same_of(file, on_read).map_err(at("reading", path))
}

/// Removes what was unpacked by commands that were killed. What can not be removed is tried again the next time.
fn sweep(downloads: &Path) {
    for folder in fs::read_dir(downloads).into_iter().flatten().flatten() {
        let leftover = folder.path().join(UNPACKED);
        if leftover.exists()
            && let Ok(lock) = File::open(folder.path())
            && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            drop(fs::remove_file(leftover));
            drop(fs::remove_dir(folder.path()));
        }
    }
}

fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("removing", path)(error)),
        _ => Ok(()),
    }
}

/// A file name of harmless characters, which is none of ours.
fn plain(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-+".contains(c) {
                c
            } else {
                '_'
            }
        })
        .take(100)
        .collect();
    if [PART, PART_OF, UNPACKED, "", ".", ".."].contains(&plain.as_str()) {
        return format!("_{plain}");
    }
    plain
}

#[cfg(test)]
mod tests;
