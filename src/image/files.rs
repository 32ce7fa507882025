//! Files that are whole or absent: directories are built under a temporary name, synced, and renamed into place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt,
};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::model::image::FileStamp;

/// An I/O error with the file it happened to.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}: {source}", path.display())]
pub struct FileError {
    /// What was being done, as a verb form: `reading`, `writing`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// Adds the action and the path to an I/O error.
pub(crate) fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| FileError {
        action,
        path: path.to_owned(),
        source,
    }
}

/// What every temporary name starts with; no image or VM name can.
const TEMPORARY: &str = ".tmp-";

/// A directory that is being built; dropped before [`Draft::publish`], it is removed again.
#[derive(Debug)]
pub(in crate::image) struct Draft {
    parent: PathBuf,
    path: PathBuf,
    published: bool,
}

impl Draft {
    /// Starts `<parent>/.tmp-<name>`. Fails with `AlreadyExists` while another draft of that name is being built.
    pub(in crate::image) fn start(parent: &Path, name: &str, mode: u32) -> Result<Self, FileError> {
        let path = parent.join(format!("{TEMPORARY}{name}"));
        DirBuilder::new()
            .mode(mode)
            .create(&path)
            .map_err(at("creating", &path))?;
        let draft = Self {
            parent: parent.to_owned(),
            path,
            published: false,
        };
        // The umask took its share of the mode.
        fs::set_permissions(&draft.path, PermissionsExt::from_mode(mode))
            .map_err(at("opening up", &draft.path))?;
        Ok(draft)
    }

    /// The path of a file in it.
    pub(in crate::image) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Gives the directory its final name; once this returns, a power cut can not take it away.
    pub(in crate::image) fn publish(mut self, place: &Path) -> Result<(), FileError> {
        sync_directory(&self.path)?;
        fs::rename(&self.path, place).map_err(at("naming", place))?;
        self.published = true;
        sync_directory(&self.parent)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What can not be removed now is swept at the next start; the error that led here is the one to report.
        if !self.published {
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

/// Removes a directory so that a kill half-way leaves only a temporary name; that it does not exist is no error.
pub(in crate::image) fn remove(parent: &Path, name: &str) -> Result<bool, FileError> {
    let (place, doomed) = (parent.join(name), parent.join(format!("{TEMPORARY}gone-{name}")));
    discard(&doomed)?;
    match fs::rename(&place, &doomed) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result.map_err(at("removing", &place))?,
    }
    sync_directory(parent)?;
    discard(&doomed)?;
    Ok(true)
}

/// Removes what killed builds and removals left in a directory.
pub(in crate::image) fn sweep(parent: &Path) -> Result<u32, FileError> {
    let mut swept = 0;
    for entry in names(parent)?
        .into_iter()
        .filter(|name| name.starts_with(TEMPORARY))
    {
        discard(&parent.join(entry))?;
        swept += 1;
    }
    Ok(swept)
}

/// The names in a directory, in order.
pub(in crate::image) fn names(parent: &Path) -> Result<Vec<String>, FileError> {
    let read = || -> io::Result<Vec<String>> {
        fs::read_dir(parent)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    };
    let mut names = read().map_err(at("reading", parent))?;
    names.sort();
    Ok(names)
}

fn discard(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(at("removing", path)),
    }
}

/// Makes a directory, and those above it that are missing, which any user may pass through but only root may list:
/// QEMU runs as a user of its own and has to reach its files.
pub(crate) fn passage(path: &Path) -> Result<(), FileError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        passage(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result.map_err(at("creating", path))?,
    }
    open_up(path)
}

/// Lets any user pass through a directory of ours, whatever the umask says.
pub(in crate::image) fn open_up(path: &Path) -> Result<(), FileError> {
    fs::set_permissions(path, PermissionsExt::from_mode(0o711)).map_err(at("opening up", path))
}

/// Makes a directory that only root may look into and pass through.
pub(in crate::image) fn closed(path: &Path) -> Result<(), FileError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result.map_err(at("creating", path))?,
    }
    fs::set_permissions(path, PermissionsExt::from_mode(0o700)).map_err(at("closing", path))
}

/// Has what was renamed in a directory on disk.
pub(in crate::image) fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(at("syncing", path))
}

/// A file of ours that does not exist yet.
pub(in crate::image) fn create(path: &Path, mode: u32) -> Result<File, FileError> {
    OpenOptions::new()
        .write(true)
        .read(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(at("creating", path))
}

/// Why a file that a user named can not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A link could be pointed elsewhere between the check and the copy.
    #[error("{} is a symbolic link: name the file it points to", .0.display())]
    Link(PathBuf),
    /// A directory, a device, a pipe.
    #[error("{} is not a regular file: only files are copied into the store", .0.display())]
    NotAFile(PathBuf),
    /// Its length changed while it was read.
    #[error("{} changed while it was copied: stop whatever writes to it and add it again", .0.display())]
    Changed(PathBuf),
    /// The kernel refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A regular file that a user named, opened without following a link, and its length. Nothing else is opened: that alone
/// rewinds a tape or starts a watchdog.
pub(in crate::image) fn open_source(path: &Path) -> Result<(File, u64), SourceError> {
    let named = fs::symlink_metadata(path).map_err(at("opening", path))?;
    if named.is_symlink() {
        return Err(SourceError::Link(path.to_owned()));
    }
    if !named.is_file() {
        return Err(SourceError::NotAFile(path.to_owned()));
    }
    // It can be another by now.
    let link = |error: &io::Error| error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    // Without O_NONBLOCK, opening a named pipe would wait for a writer.
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)
    {
        Err(error) if link(&error) => return Err(SourceError::Link(path.to_owned())),
        result => result.map_err(at("opening", path))?,
    };
    let metadata = file.metadata().map_err(at("reading", path))?;
    if metadata.is_file() {
        Ok((file, metadata.size()))
    } else {
        Err(SourceError::NotAFile(path.to_owned()))
    }
}

/// The first bytes of a file, at most `count`.
pub(in crate::image) fn head(file: &File, path: &Path, count: usize) -> Result<Vec<u8>, FileError> {
    read_at(file, 0, count).map_err(at("reading", path))
}

/// The last bytes of a file of `len` bytes, at most `count`.
pub(in crate::image) fn tail(file: &File, path: &Path, count: usize, len: u64) -> Result<Vec<u8>, FileError> {
    read_at(file, len.saturating_sub(count as u64), count).map_err(at("reading", path))
}

fn read_at(file: &File, start: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, start + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// A copy that is on disk: how it is recognised.
#[derive(Debug)]
pub(in crate::image) struct Copied {
    pub(in crate::image) file: File,
    pub(in crate::image) sha256: String,
}

/// Copies a file of `len` bytes to `to` (mode 0444), leaving holes where it reads zero, hashes it, and syncs the copy.
pub(in crate::image) fn copy(
    (from, source, len): (&Path, File, u64),
    to: &Path,
    progress: &dyn Fn(u64, u64),
) -> Result<Copied, SourceError> {
    const CHUNK: usize = 1 << 20;
    let mut target = create(to, 0o444)?;
    let mut source = source.take(len.saturating_add(1));
    let mut hash = Sha256::new();
    let (mut chunk, mut done) = (Vec::with_capacity(CHUNK), 0);
    loop {
        chunk.clear();
        let read = (&mut source)
            .take(CHUNK as u64)
            .read_to_end(&mut chunk)
            .map_err(at("reading", from))?;
        if read == 0 {
            break;
        }
        hash.update(&chunk);
        write_sparse(&mut target, &chunk).map_err(at("writing", to))?;
        done += read as u64;
        progress(done, len);
    }
    if done != len {
        return Err(SourceError::Changed(from.to_owned()));
    }
    target.set_len(len).map_err(at("writing", to))?;
    fs::set_permissions(to, PermissionsExt::from_mode(0o444)).map_err(at("writing", to))?;
    target.sync_all().map_err(at("syncing", to))?;
    let sha256 = hex(&hash.finalize());
    Ok(Copied { file: target, sha256 })
}

/// What a file looks like now: see [`FileStamp`].
pub(in crate::image) fn stamp(file: &File, path: &Path) -> Result<FileStamp, FileError> {
    let seen = file.metadata().map_err(at("reading", path))?;
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Ok(FileStamp {
        inode: seen.ino(),
        len: seen.len(),
        modified: nanoseconds(seen.mtime(), seen.mtime_nsec()),
        changed: nanoseconds(seen.ctime(), seen.ctime_nsec()),
    })
}

/// The SHA-256 of a whole file, in lower-case hexadecimal.
pub(in crate::image) fn sha256(file: &File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        match file.read_at(&mut chunk, at)? {
            0 => return Ok(hex(&hash.finalize())),
            read => {
                hash.update(chunk.get(..read).unwrap_or_default());
                at += read as u64;
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Writes all blocks of a chunk that are not zero, and steps over the others.
fn write_sparse(target: &mut File, chunk: &[u8]) -> io::Result<()> {
    const BLOCK: usize = 64 << 10;
    for block in chunk.chunks(BLOCK) {
        if block.iter().any(|byte| *byte != 0) {
            target.write_all(block)?;
        } else {
            target.seek_relative(block.len().try_into().map_err(io::Error::other)?)?;
        }
    }
    Ok(())
}
