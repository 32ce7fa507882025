//! A viewer's line to a broker.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::frame::{Attach, Decoder, End, FromViewer, ToViewer, Welcome};

/// How long a broker may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Why a viewer is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Nobody is there, or nobody answers.
    #[error(transparent)]
    Line(#[from] io::Error),
    /// The broker has as many viewers as it takes.
    #[error("it has as many viewers as it takes")]
    Full,
    /// The VM has just ended.
    #[error("it has just been powered off")]
    Ended,
}

/// A line to a broker, both ways.
#[derive(Debug)]
pub struct Line {
    /// How we were let in.
    pub welcome: Welcome,
    incoming: Incoming,
    outgoing: OwnedWriteHalf,
    unsent: VecDeque<u8>,
}

#[derive(Debug)]
struct Incoming {
    half: OwnedReadHalf,
    decoder: Decoder,
    part: Vec<u8>,
}

impl Incoming {
    /// What comes next; `None` at the end. Nothing is lost when this is not waited for to its end.
    async fn next(&mut self) -> io::Result<Option<ToViewer>> {
        loop {
            while let Some(frame) = self.decoder.take() {
                if let Some(told) = ToViewer::decode(&frame) {
                    return Ok(Some(told));
                }
            }
            let count = self.half.read(&mut self.part).await?;
            match self.part.get(..count) {
                Some(bytes) if !bytes.is_empty() => self.decoder.push(bytes),
                _ => return Ok(None),
            }
        }
    }
}

impl Line {
    /// Attaches to the broker at `path`.
    pub async fn attach(path: &Path, attach: Attach) -> Result<Self, AttachError> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "nobody answers");
        timeout(ANSWER, Self::attach_at_once(path, attach))
            .await
            .map_err(late)?
    }

    async fn attach_at_once(path: &Path, attach: Attach) -> Result<Self, AttachError> {
        let (half, mut outgoing) = UnixStream::connect(path).await?.into_split();
        let mut sent = Vec::new();
        FromViewer::Attach(attach).encode(&mut sent);
        outgoing.write_all(&sent).await?;
        let mut incoming = Incoming {
            half,
            decoder: Decoder::default(),
            part: vec![0; 16 << 10],
        };
        match incoming.next().await? {
            Some(ToViewer::Welcome(welcome)) => Ok(Self {
                welcome,
                incoming,
                outgoing,
                unsent: VecDeque::new(),
            }),
            Some(ToViewer::End(End::Full)) => Err(AttachError::Full),
            Some(ToViewer::End(End::Vm)) => Err(AttachError::Ended),
            Some(_) => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
            None => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
        }
    }

    /// Sends something, as soon as [`Line::next`] is waited for.
    pub fn send(&mut self, said: &FromViewer) {
        let mut bytes = Vec::new();
        said.encode(&mut bytes);
        self.unsent.extend(bytes);
    }

    /// How many octets wait to be sent.
    pub fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// What the broker says next; `None` at the end. Nothing is lost when this is not waited for to its end.
    pub async fn next(&mut self) -> io::Result<Option<ToViewer>> {
        loop {
            let waiting = !self.unsent.is_empty();
            tokio::select! {
                told = self.incoming.next() => return told,
                sent = self.outgoing.write(self.unsent.as_slices().0), if waiting => {
                    // A broker that takes nothing more may still have something to say.
                    let count = sent.unwrap_or(self.unsent.len());
                    self.unsent.drain(..count.min(self.unsent.len()));
                }
            }
        }
    }

    /// Waits until all is sent.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.outgoing.write_all(self.unsent.make_contiguous()).await?;
        self.unsent.clear();
        Ok(())
    }
}
