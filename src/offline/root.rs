//! A guest's root directory, mounted or unpacked somewhere: its files by the guest's own paths.
//!
//! Whoever wrote the disk chose every name, link and node on it. All paths are therefore resolved by openat2(2) with
//! `RESOLVE_IN_ROOT`: `/etc/hosts` that is a link to `/../../etc/shadow` leads to the guest's own `/etc/shadow`. Only
//! regular files are opened (a named pipe would wait, a device would act), and reading is bounded.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags};
use rustix::io::Errno;

mod remove;

/// The most bytes that [`Root::read`] reads of a file: configuration is far smaller.
pub const READ_MAX: u64 = 1 << 20;
/// The most names that [`Root::list`] lists of a directory.
pub const NAMES_MAX: usize = 10_000;
/// The longest `SELinux` context that is kept.
const LABEL_MAX: usize = 4096;
/// Where a file keeps its `SELinux` context.
const LABEL: &str = "security.selinux";

/// Why a guest's file could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("{action} the guest's {}: {why}", path.escape_debug())]
pub struct RootError {
    /// What was being done, as a verb form: `reading`, `writing`.
    pub action: &'static str,
    /// The guest's path.
    pub path: String,
    /// What was in the way.
    #[source]
    pub why: Why,
}

/// What was in the way.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// A directory, a device, a pipe, a socket.
    #[error("it is no regular file")]
    NotAFile,
    /// More than may be read.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    /// More than may be listed.
    #[error("it has more than {0} names")]
    TooMany(usize),
    /// Deeper than may be gone into.
    #[error("its directories are more than {0} deep")]
    TooDeep(u32),
    /// `/`, or a path that ends in `..`.
    #[error("that is no name of a file")]
    NoName,
    /// What the kernel said.
    #[error(transparent)]
    Kernel(#[from] io::Error),
}

impl From<Errno> for Why {
    fn from(error: Errno) -> Self {
        Self::Kernel(error.into())
    }
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe, a socket.
    Special,
}

/// What is known of a file without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub kind: Kind,
    /// Its permission bits (with set-user-id and the like).
    pub mode: u32,
    /// Its owner, as the guest numbers it.
    pub uid: u32,
    /// Its group, as the guest numbers it.
    pub gid: u32,
    /// Its length in bytes.
    pub len: u64,
}

/// A guest's root directory.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
}

impl Root {
    /// The root that is at a path of the host. The path is trusted: it is ours.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { directory })
    }

    /// A regular file's bytes, at most [`READ_MAX`]; `None` where nothing is.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, RootError> {
        self.read_up_to(path, READ_MAX)
    }

    /// A regular file's bytes; one with more than `most` is an error, and `None` is where nothing is.
    pub fn read_up_to(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, RootError> {
        let read = || -> Result<Vec<u8>, Why> {
            let file = self.open_file(path)?;
            let mut bytes = Vec::new();
            // By what comes and not by its length: that is the guest's word too.
            file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > most {
                return Err(Why::TooLarge(most));
            }
            Ok(bytes)
        };
        absent(read()).map_err(at("reading", path))
    }

    /// A regular file's text, at most [`READ_MAX`] bytes; what is not UTF-8 in it is replaced.
    pub fn read_text(&self, path: &str) -> Result<Option<String>, RootError> {
        let bytes = self.read(path)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Whether something is there, at the end of all links.
    pub fn exists(&self, path: &str) -> bool {
        self.resolve(path, OFlags::PATH).is_ok()
    }

    /// What is there, not following a link at the end; `None` where nothing is.
    pub fn status(&self, path: &str) -> Result<Option<Status>, RootError> {
        let status = || -> Result<Status, Why> {
            let file = self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW)?;
            Ok(status_of(&file)?)
        };
        absent(status()).map_err(at("looking at", path))
    }

    /// Where a symbolic link points, as it is written; `None` where nothing is, or something else.
    pub fn read_link(&self, path: &str) -> Result<Option<String>, RootError> {
        let read = || -> Result<String, Why> {
            let link = self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW)?;
            let target = rustix::fs::readlinkat(&link, "", Vec::new())?;
            Ok(target.to_string_lossy().into_owned())
        };
        match self.status(path)? {
            Some(status) if status.kind == Kind::Link => absent(read()).map_err(at("reading", path)),
            _ => Ok(None),
        }
    }

    /// The names in a directory in order, at most [`NAMES_MAX`]; none where no directory is. Names that are not UTF-8 are left
    /// out: no program of a guest's configuration has such.
    pub fn list(&self, path: &str) -> Result<Vec<String>, RootError> {
        let list = || -> Result<Vec<String>, Why> {
            let directory = self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::new(directory)? {
                let entry = entry?;
                match entry.file_name().to_str() {
                    Ok("." | "..") | Err(_) => {}
                    Ok(_) if names.len() == NAMES_MAX => return Err(Why::TooMany(NAMES_MAX)),
                    Ok(name) => names.push(name.to_owned()),
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        let names = absent(list()).map_err(at("listing", path))?;
        Ok(names.unwrap_or_default())
    }

    /// Writes a file that is there whole or not at all. One that was there keeps its owner, mode and `SELinux` context; a new
    /// one is root's and has `mode`. A link is replaced, not followed; the directory has to be there.
    pub fn write(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), RootError> {
        let write = || -> Result<(), Why> {
            let (parent, name) = self.parent(path)?;
            let old = self.replaced(path)?;
            let draft = format!(".seedbed-{:08x}", random()?);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&parent, &*draft, flags, Mode::from_raw_mode(0o600))?;
            let filled = fill(File::from(file), bytes, mode, old)
                .and_then(|()| Ok(rustix::fs::renameat(&parent, &*draft, &parent, name)?));
            if filled.is_err() {
                // The error that led here is the one to report.
                rustix::fs::unlinkat(&parent, &*draft, AtFlags::empty()).ok();
            }
            filled
        };
        write().map_err(at("writing", path))
    }

    /// Makes a directory of root's and those above it that are missing; that it is there already is no error.
    pub fn make_dir(&self, path: &str, mode: u32) -> Result<(), RootError> {
        let mut made = PathBuf::from("/");
        for name in Path::new(path)
            .components()
            .skip_while(|part| part.as_os_str() == "/")
        {
            made.push(name);
            let step = || -> Result<(), Why> {
                let path = made.to_string_lossy();
                let (parent, name) = self.parent(&path)?;
                match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode)) {
                    Err(Errno::EXIST) => Ok(()),
                    result => Ok(result?),
                }
            };
            step().map_err(at("making", path))?;
        }
        Ok(())
    }

    /// Makes a symbolic link at `path`, in place of a file or link that is there.
    pub fn symlink(&self, target: &str, path: &str) -> Result<(), RootError> {
        let link = || -> Result<(), Why> {
            let (parent, name) = self.parent(path)?;
            let draft = format!(".seedbed-{:08x}", random()?);
            rustix::fs::symlinkat(target, &parent, &*draft)?;
            let renamed = rustix::fs::renameat(&parent, &*draft, &parent, name);
            if renamed.is_err() {
                rustix::fs::unlinkat(&parent, &*draft, AtFlags::empty()).ok();
            }
            Ok(renamed?)
        };
        link().map_err(at("linking", path))
    }

    /// Gives a file or directory another owner and group, not following a link at the end.
    pub fn chown(&self, path: &str, uid: u32, gid: u32) -> Result<(), RootError> {
        let chown = || -> Result<(), Why> {
            let file = self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW)?;
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            Ok(rustix::fs::chownat(
                &file,
                "",
                Some(uid),
                Some(gid),
                AtFlags::EMPTY_PATH,
            )?)
        };
        chown().map_err(at("changing the owner of", path))
    }

    /// Gives a regular file or a directory other permission bits.
    pub fn chmod(&self, path: &str, mode: u32) -> Result<(), RootError> {
        let chmod = || -> Result<(), Why> {
            let named = self.resolve(path, OFlags::PATH)?;
            let file = match status_of(&named)?.kind {
                Kind::File => OwnedFd::from(self.open_file(path)?),
                Kind::Directory => self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)?,
                Kind::Link | Kind::Special => return Err(Why::NotAFile),
            };
            Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?)
        };
        chmod().map_err(at("changing the mode of", path))
    }

    /// Opens below the root, whatever the links on the way say.
    fn resolve(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { "/" } else { path };
        rustix::fs::openat2(
            self.directory.as_fd(),
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    }

    /// A regular file. What it is, is seen before it is opened: that alone wakes some devices.
    fn open_file(&self, path: &str) -> Result<File, Why> {
        let named = self.resolve(path, OFlags::PATH)?;
        if status_of(&named)?.kind != Kind::File {
            return Err(Why::NotAFile);
        }
        Ok(File::from(self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK)?))
    }

    /// The directory that a path's last name is in, and that name.
    fn parent<'a>(&self, path: &'a str) -> Result<(OwnedFd, &'a OsStr), Why> {
        let path = Path::new(path);
        let name = path.file_name().ok_or(Why::NoName)?;
        let parent = path.parent().and_then(Path::to_str).unwrap_or("/");
        Ok((self.resolve(parent, OFlags::PATH | OFlags::DIRECTORY)?, name))
    }

    /// What a written file takes over from the regular file that it replaces.
    fn replaced(&self, path: &str) -> Result<Option<(Status, Vec<u8>)>, Why> {
        let named = match self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            result => result?,
        };
        let status = status_of(&named)?;
        if status.kind != Kind::File {
            return Ok(None);
        }
        let file = self.resolve(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
        let mut label = vec![0; LABEL_MAX];
        // No context, or a file system without any.
        let len = rustix::fs::fgetxattr(&file, LABEL, &mut *label).unwrap_or(0);
        label.truncate(len);
        Ok(Some((status, label)))
    }
}

fn fill(mut file: File, bytes: &[u8], mode: u32, old: Option<(Status, Vec<u8>)>) -> Result<(), Why> {
    file.write_all(bytes)?;
    let mut mode = mode;
    if let Some((status, label)) = old {
        mode = status.mode;
        rustix::fs::fchown(
            &file,
            Some(Uid::from_raw(status.uid)),
            Some(Gid::from_raw(status.gid)),
        )?;
        if !label.is_empty() {
            rustix::fs::fsetxattr(&file, LABEL, &label, XattrFlags::empty())?;
        }
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    Ok(file.sync_all()?)
}

fn status_of(file: &OwnedFd) -> rustix::io::Result<Status> {
    let stat = rustix::fs::fstat(file)?;
    Ok(Status {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Special,
        },
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        len: stat.st_size.cast_unsigned(),
    })
}

fn random() -> io::Result<u32> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u32::from_le_bytes(bytes))
}

/// That nothing is there is an answer, not an error.
fn absent<T>(result: Result<T, Why>) -> Result<Option<T>, Why> {
    const NOTHING: [io::ErrorKind; 2] = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    match result {
        Err(Why::Kernel(error)) if NOTHING.contains(&error.kind()) => Ok(None),
        result => result.map(Some),
    }
}

fn at<'a>(action: &'static str, path: &'a str) -> impl FnOnce(Why) -> RootError + 'a {
    move |why| RootError {
        action,
        path: path.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests;
