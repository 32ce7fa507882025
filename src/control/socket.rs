//! The admin socket itself: opened so that only root can use it, and so that only one daemon can have it.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;

/// Why the admin socket can not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Someone answers there.
    #[error("another seedbed daemon already answers at {}: stop it first, or set another `socket`", .0.display())]
    Taken(PathBuf),
    /// There is something, but no socket; it is not ours to remove.
    #[error("{} is in the way of the admin socket and is not a socket: move it away", .0.display())]
    NotASocket(PathBuf),
    /// The operating system refused.
    #[error("can not open the admin socket {}: {source}", path.display())]
    Io {
        /// The socket, or its directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Opens the admin socket, for root only. Must be called inside a tokio runtime.
///
/// Makes its directory (mode 0755) where it is missing. What a killed daemon left behind is removed, but only after
/// nobody answered there; a lock on the directory keeps two daemons from doing this at the same time.
pub fn bind(path: &Path) -> Result<UnixListener, BindError> {
    let io_error = |source: io::Error| BindError::Io {
        path: path.to_owned(),
        source,
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let in_directory = |source: io::Error| BindError::Io {
        path: directory.to_owned(),
        source,
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(in_directory)?;
    let lock = std::fs::File::open(directory).map_err(in_directory)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Err(BindError::Taken(path.to_owned())),
        locked => locked.map_err(|errno| in_directory(errno.into()))?,
    }
    remove_stale(path)?;
    let listener = listen(path).map_err(io_error)?;
    UnixListener::from_std(listener).map_err(io_error)
}

/// Removes a socket that nobody answers on.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let io_error = |source: io::Error| BindError::Io {
        path: path.to_owned(),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => (),
    }
    match StdUnixStream::connect(path) {
        Ok(_answered) => Err(BindError::Taken(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(io_error)
        }
        Err(error) => Err(io_error(error)),
    }
}

/// A listening socket at `path` with mode 0600 from its first moment on: the mode is set before the name exists.
fn listen(path: &Path) -> io::Result<StdUnixListener> {
    let address = SocketAddrUnix::new(path)?;
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, 128)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn the_socket_is_for_its_owner_only_and_a_second_daemon_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/seedbed.sock");
        let first = bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        match bind(&path) {
            Err(BindError::Taken(named)) => assert_eq!(named, path),
            other => panic!("{other:?}"),
        }
        // What a killed daemon leaves behind is no daemon.
        drop(first);
        bind(&path).unwrap();
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_named_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seedbed.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(BindError::NotASocket(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_path_longer_than_a_socket_may_have_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x".repeat(120));
        assert!(matches!(bind(&path), Err(BindError::Io { .. })));
    }
}
