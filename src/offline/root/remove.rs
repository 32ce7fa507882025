//! Removing a guest's files, and whole directories of them, without following a link.

use std::ffi::CStr;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::{Root, RootError, Why, absent, at};

/// The deepest directory that [`Root::remove_tree`] goes into.
const DEPTH_MAX: u32 = 64;

impl Root {
    /// Removes a file, a link (not what it points to) or an empty directory. Says whether it was there.
    pub fn remove(&self, path: &str) -> Result<bool, RootError> {
        let remove = || -> Result<(), Why> {
            let (parent, name) = self.parent(path)?;
            match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => Ok(rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?),
                result => Ok(result?),
            }
        };
        let removed = absent(remove()).map_err(at("removing", path))?;
        Ok(removed.is_some())
    }

    /// Removes a directory with all that is in it, or a file. Says whether it was there.
    pub fn remove_tree(&self, path: &str) -> Result<bool, RootError> {
        let remove = || -> Result<(), Why> {
            let (parent, name) = self.parent(path)?;
            match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => {}
                result => return Ok(result?),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = rustix::fs::openat(&parent, name, flags, Mode::empty())?;
            empty(&Dir::read_from(&directory)?, DEPTH_MAX)?;
            Ok(rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?)
        };
        let removed = absent(remove()).map_err(at("removing", path))?;
        Ok(removed.is_some())
    }
}

/// Removes everything in a directory.
fn empty(directory: &Dir, depth: u32) -> Result<(), Why> {
    let within = directory.fd()?;
    for entry in Dir::read_from(within)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        match rustix::fs::unlinkat(within, name, AtFlags::empty()) {
            Err(Errno::ISDIR) if depth == 0 => return Err(Why::TooDeep(DEPTH_MAX)),
            Err(Errno::ISDIR) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let inner = rustix::fs::openat(within, name, flags, Mode::empty())?;
                empty(&Dir::read_from(&inner)?, depth - 1)?;
                rustix::fs::unlinkat(within, name, AtFlags::REMOVEDIR)?;
            }
            result => result?,
        }
    }
    Ok(())
}
