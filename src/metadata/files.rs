//! Files as bodies: read in pieces as the client takes them, so that memory does not grow with files, clients or patience.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::netboot::BootFile;
use super::range::Part;
use crate::model::Places;
use crate::net::{Seat, Seats};

/// Files that are sent at one time; who comes later waits in line. More would not be faster, and each holds two pieces.
const AT_ONCE: usize = 64;
/// Files that one guest is sent at one time. Firmware fetches one after the other.
const PER_SOURCE: usize = 4;
/// How long a request waits in line before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where files are sent from, and how many at one time.
#[derive(Debug)]
pub(super) struct Outlet {
    places: Places,
    line: Arc<Semaphore>,
    seats: Arc<Seats>,
}

/// What a request wants of a file.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Whether only its length is wanted.
    pub(super) head: bool,
    /// The Range header, where it counts.
    pub(super) range: Option<String>,
}

/// A file on its way.
#[derive(Debug)]
pub(super) struct Sending {
    /// 200, 206 or 416.
    pub(super) status: u16,
    /// The length of what is sent, in octets.
    pub(super) len: u64,
    /// Where in the file that is, as its header says it.
    pub(super) content_range: Option<String>,
    /// What is sent; nothing for a HEAD.
    pub(super) body: Option<FileBody>,
}

/// Why a file is not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSent {
    /// It can not be opened.
    #[error("can not send {}: {source}", path.display())]
    Open {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too many files are sent already, to this guest or in all.
    #[error("too many boot files are sent at this moment")]
    Busy,
}

impl Outlet {
    /// The outlet of one network's service.
    pub(super) fn new(places: Places) -> Self {
        Self {
            places,
            line: Arc::new(Semaphore::new(AT_ONCE)),
            seats: Seats::new(usize::MAX, PER_SOURCE),
        }
    }

    /// Opens a file and waits for its turn. `progress` is told whenever the client took a piece.
    pub(super) async fn send(
        &self,
        file: &BootFile,
        wanted: &Wanted,
        source: Ipv4Addr,
        progress: &Arc<Notify>,
    ) -> Result<Sending, NotSent> {
        let path = self.path(file);
        let opened = open(&path)
            .await
            .map_err(|source| NotSent::Open { path, source })?;
        let whole = opened.len;
        let part = wanted
            .range
            .as_deref()
            .map_or(Part::Whole, |range| Part::of(range, whole));
        let (status, first, len, content_range) = match part {
            Part::Whole => (200, 0, whole, None),
            Part::Range { first, last } => {
                let range = format!("bytes {first}-{last}/{whole}");
                (206, first, last - first + 1, Some(range))
            }
            Part::Unsatisfiable => (416, 0, 0, Some(format!("bytes */{whole}"))),
        };
        let body = if wanted.head || len == 0 {
            None
        } else {
            let held = self.held(source, progress).await.ok_or(NotSent::Busy)?;
            Some(opened.body(first, len, held))
        };
        Ok(Sending {
            status,
            len,
            content_range,
            body,
        })
    }

    fn path(&self, file: &BootFile) -> PathBuf {
        match file {
            BootFile::Kernel(image) => self.places.image_kernel(image),
            BootFile::Initrd(image) => self.places.image_initrd(image),
            BootFile::Loader(name) => self.places.boot_files().join(name.as_str()),
        }
    }

    async fn held(&self, source: Ipv4Addr, progress: &Arc<Notify>) -> Option<Held> {
        let seat = self.seats.take(source)?;
        let place = timeout(PATIENCE, Arc::clone(&self.line).acquire_owned()).await;
        Some(Held {
            _place: place.ok()?.ok()?,
            _seat: seat,
            progress: Arc::clone(progress),
        })
    }
}

/// What is read at once. A guest that does not read holds this much, and what the connection has buffered.
const PIECE: u64 = 32 << 10;

/// A file that can be sent.
#[derive(Debug)]
struct Opened {
    file: File,
    len: u64,
}

/// Opens a regular file. A symbolic link is refused: it could lead out of the directory.
async fn open(path: &Path) -> io::Result<Opened> {
    let path = path.to_owned();
    spawn_blocking(move || {
        let file = File::options()
            .read(true)
            // A FIFO would hold up the opening.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() {
            let len = metadata.len();
            Ok(Opened { file, len })
        } else {
            Err(io::Error::other("it is not a regular file"))
        }
    })
    .await?
}

impl Opened {
    /// The octets from `first` on, `len` of them, as a body.
    fn body(self, first: u64, len: u64, held: Held) -> FileBody {
        FileBody {
            file: Arc::new(self.file),
            next: first,
            left: len,
            reading: None,
            held,
        }
    }
}

/// What a body holds while it is sent.
#[derive(Debug)]
struct Held {
    /// A place among all that are sent now.
    _place: OwnedSemaphorePermit,
    /// A place among those that one guest is sent now.
    _seat: Seat,
    /// Told whenever the client took a piece.
    progress: Arc<Notify>,
}

/// A part of a file on its way.
#[derive(Debug)]
pub(super) struct FileBody {
    file: Arc<File>,
    next: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    held: Held,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    /// Asked for only when the connection has room, which is when the client took what was before.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let reading = this.reading.get_or_insert_with(|| {
            let (file, at, len) = (Arc::clone(&this.file), this.next, this.left.min(PIECE));
            spawn_blocking(move || read(&file, at, len))
        });
        let read = ready!(Pin::new(reading).poll(context));
        this.reading = None;
        let read = read.map_err(io::Error::from).and_then(|read| read);
        match read {
            Ok(piece) => {
                let len = piece.len() as u64;
                this.next += len;
                this.left = this.left.saturating_sub(len);
                this.held.progress.notify_one();
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Err(error) => {
                this.left = 0;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Reads a piece. A file that became shorter meanwhile is an error: what was promised can not be sent.
fn read(file: &File, at: u64, len: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut piece, at)?;
    Ok(Bytes::from(piece))
}
