//! The command line's end of the admin API: one connection, requests out, frames in.

use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::{Answer, Frame, ProgressLine, Refusal, Request};

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    sender: SendRequest<Full<Bytes>>,
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody answers at the socket.
    #[error("the seedbed daemon is not running: nothing answers at {}", .0.display())]
    NotRunning(PathBuf),
    /// The socket is not for this user.
    #[error("only root may talk to the seedbed daemon: {} is closed to you", .0.display())]
    PermissionDenied(PathBuf),
    /// The daemon would not or could not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection broke, or what came over it is not our protocol.
    #[error("the daemon at {} broke off: {why}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What happened.
        why: String,
    },
}

impl Client {
    /// Connects to the daemon behind the socket.
    pub async fn connect(path: &Path) -> Result<Self, CallError> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    CallError::NotRunning(path.to_owned())
                }
                io::ErrorKind::PermissionDenied => CallError::PermissionDenied(path.to_owned()),
                _ => broken(path, &error),
            })?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(path, &error))?;
        // It ends with the sender or the socket; what goes wrong is seen by the call under way.
        drop(tokio::spawn(connection));
        Ok(Self {
            path: path.to_owned(),
            sender,
        })
    }

    /// Sends a request and returns the answer; `on_progress` sees each progress line as it comes.
    ///
    /// One call after the other may use the same connection; the daemon closes one that is silent for half a minute.
    pub async fn call(
        &mut self,
        request: &Request,
        mut on_progress: impl FnMut(ProgressLine),
    ) -> Result<Answer, CallError> {
        let ready = self.sender.ready().await;
        ready.map_err(|error| broken(&self.path, &error))?;
        let body = serde_json::to_vec(request).map_err(|error| broken(&self.path, &error))?;
        let request = hyper::Request::post("/v1")
            .header(HOST, "seedbed")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| broken(&self.path, &error))?;
        let mut body = self
            .sender
            .send_request(request)
            .await
            .map_err(|error| broken(&self.path, &error))?
            .into_body();
        let mut lines = Lines::default();
        while let Some(part) = body.frame().await {
            let part = part.map_err(|error| broken(&self.path, &error))?;
            lines.push(part.data_ref().map_or(&[], |data| data));
            while let Some(line) = lines.next() {
                match serde_json::from_slice(&line).map_err(|error| broken(&self.path, &error))? {
                    Frame::Progress(line) => on_progress(line),
                    Frame::Answer(answer) => return Ok(answer),
                    Frame::Refusal(refusal) => return Err(refusal.into()),
                }
            }
        }
        Err(broken(&self.path, &"it ended without an answer"))
    }
}

fn broken(path: &Path, why: &dyn ToString) -> CallError {
    CallError::Broken {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

/// Cuts what arrives into lines; looks at each byte once, because the list of 10,000 VMs is one long line.
#[derive(Debug, Default)]
struct Lines {
    kept: Vec<u8>,
    searched: usize,
}

impl Lines {
    fn push(&mut self, part: &[u8]) {
        self.kept.extend_from_slice(part);
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let unseen = self.kept.get(self.searched..).unwrap_or_default();
        let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.kept.len();
            return None;
        };
        let rest = self.kept.split_off(self.searched + end + 1);
        self.searched = 0;
        Some(std::mem::replace(&mut self.kept, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"one\n\ntwo three\nrest";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for part in text.chunks(size) {
                lines.push(part);
                seen.extend(std::iter::from_fn(|| lines.next()));
            }
            assert_eq!(seen, [b"one\n".to_vec(), b"\n".to_vec(), b"two three\n".to_vec()]);
            assert_eq!(lines.kept, b"rest");
        }
    }

    #[tokio::test]
    async fn a_missing_socket_and_a_dead_one_mean_that_the_daemon_is_not_running() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let dead = directory.path().join("dead");
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        for path in [missing, dead] {
            match Client::connect(&path).await {
                Err(CallError::NotRunning(named)) => assert_eq!(named, path),
                other => panic!("{other:?}"),
            }
        }
    }
}
