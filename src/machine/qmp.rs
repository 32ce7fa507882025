//! QEMU's control connection: a small QMP client.
//!
//! A machine has one control socket, and QEMU talks to one client at a time: whoever connects does its errand and leaves.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::message::{self, Garbled, Message, QmpEvent};

/// How long QEMU may take for an answer. A host that starts twenty VMs on two processors makes it wait for seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest line that is read.
const LINE: usize = 1 << 20;

/// How many events are kept for whoever asks; older ones give way.
const EVENTS: usize = 64;

/// How many messages may come before the one that is waited for: a guest can cause events, and an honest QEMU holds back those that
/// a guest could cause in numbers.
const MESSAGES: usize = 10_000;

/// Why QEMU could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// No connection, or it broke.
    #[error("QEMU's control socket {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Someone else listens there.
    #[error("control socket {} belongs to user {found}, not to this VM's user {expected}: it is not spoken to", path.display())]
    Stranger {
        /// The socket.
        path: PathBuf,
        /// Who should listen.
        expected: u32,
        /// Who does.
        found: u32,
    },
    /// No answer in time.
    #[error("QEMU did not answer `{0}` in time")]
    Silent(&'static str),
    /// A command was refused.
    #[error("QEMU refused `{command}`: {why}")]
    Refused {
        /// The command.
        command: &'static str,
        /// QEMU's reason, escaped.
        why: String,
    },
    /// It said something that is not QMP.
    #[error(transparent)]
    Garbled(#[from] Garbled),
    /// A line without an end.
    #[error("QEMU sent a line of more than {LINE} bytes")]
    Endless,
    /// Nothing but other messages.
    #[error("QEMU sent {MESSAGES} other messages instead of its answer to `{0}`")]
    Flooded(&'static str),
}

/// A connection on which commands can be given.
#[derive(Debug)]
pub struct Qmp {
    path: PathBuf,
    stream: BufReader<UnixStream>,
    /// The line that is being read: kept here, so that a cancelled read loses nothing.
    line: Vec<u8>,
    last_id: u64,
    /// How long an answer may take, whatever comes instead of it.
    patience: Duration,
    events: VecDeque<QmpEvent>,
}

impl Qmp {
    /// Connects to the machine whose QEMU runs as `uid`, and leaves negotiation mode. Waits while another client is
    /// connected.
    pub async fn connect(path: &Path, uid: u32) -> Result<Self, QmpError> {
        Self::connect_within(path, uid, PATIENCE).await
    }

    async fn connect_within(path: &Path, uid: u32, patience: Duration) -> Result<Self, QmpError> {
        let stream = UnixStream::connect(path).await.map_err(broken(path))?;
        // The directory is QEMU's to write: a guest that took its QEMU over could put another service's socket there.
        let found = stream.peer_cred().map_err(broken(path))?.uid();
        if found != uid {
            return Err(QmpError::Stranger {
                path: path.to_owned(),
                expected: uid,
                found,
            });
        }
        let mut qmp = Self {
            path: path.to_owned(),
            stream: BufReader::new(stream),
            line: Vec::new(),
            last_id: 0,
            patience,
            events: VecDeque::new(),
        };
        timeout(patience, qmp.greeting())
            .await
            .map_err(|_| QmpError::Silent("connect"))??;
        qmp.execute("qmp_capabilities").await?;
        Ok(qmp)
    }

    /// Gives a command without arguments, and returns its answer.
    pub async fn execute(&mut self, command: &'static str) -> Result<Value, QmpError> {
        timeout(self.patience, self.ask(command, None, None))
            .await
            .map_err(|_| QmpError::Silent(command))?
    }

    /// Gives a command with arguments, an object, and returns its answer.
    pub async fn execute_with(&mut self, command: &'static str, arguments: Value) -> Result<Value, QmpError> {
        timeout(self.patience, self.ask(command, Some(&arguments), None))
            .await
            .map_err(|_| QmpError::Silent(command))?
    }

    /// The same, with a file that QEMU is given a descriptor of.
    pub async fn execute_with_fd(
        &mut self,
        command: &'static str,
        arguments: Value,
        file: BorrowedFd<'_>,
    ) -> Result<Value, QmpError> {
        timeout(self.patience, self.ask(command, Some(&arguments), Some(file)))
            .await
            .map_err(|_| QmpError::Silent(command))?
    }

    /// The machine's state in QEMU's words: `running`, `paused`, `io-error`, ...
    pub async fn status(&mut self) -> Result<String, QmpError> {
        let answer = self.execute("query-status").await?;
        let status = answer.get("status").and_then(Value::as_str).unwrap_or("unknown");
        Ok(status.chars().filter(char::is_ascii_graphic).take(40).collect())
    }

    /// The next event, waiting for it as long as it takes.
    pub async fn event(&mut self) -> Result<QmpEvent, QmpError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let message = self.next().await?;
            self.keep(message);
        }
    }

    async fn greeting(&mut self) -> Result<(), QmpError> {
        for _ in 0..MESSAGES {
            if self.next().await? == Message::Greeting {
                return Ok(());
            }
        }
        Err(QmpError::Flooded("connect"))
    }

    async fn ask(
        &mut self,
        command: &'static str,
        arguments: Option<&Value>,
        file: Option<BorrowedFd<'_>>,
    ) -> Result<Value, QmpError> {
        self.last_id += 1;
        let asked = self.last_id;
        let line = arguments.map_or_else(
            || message::command(command, asked),
            |arguments| message::command_with(command, arguments, asked),
        );
        let sent = match file {
            Some(file) => send_with(self.stream.get_ref(), line.as_bytes(), file).await,
            None => Ok(0),
        };
        let sent = sent.map_err(broken(&self.path))?;
        let rest = line.as_bytes().get(sent..).unwrap_or_default();
        let written = self.stream.get_mut().write_all(rest).await;
        written.map_err(broken(&self.path))?;
        for _ in 0..MESSAGES {
            match self.next().await? {
                Message::Return { id, value } if id == asked => return Ok(value),
                Message::Error { id, why } if id.is_none_or(|id| id == asked) => {
                    return Err(QmpError::Refused { command, why });
                }
                // Events come between, and so may the answer to a command that was given up.
                other => self.keep(other),
            }
        }
        Err(QmpError::Flooded(command))
    }

    fn keep(&mut self, message: Message) {
        if let Message::Event(event) = message {
            if self.events.len() == EVENTS {
                self.events.pop_front();
            }
            self.events.push_back(event);
        }
    }

    /// Reads one line. Cancelling it loses nothing.
    async fn next(&mut self) -> Result<Message, QmpError> {
        loop {
            let available = self.stream.fill_buf().await.map_err(broken(&self.path))?;
            if available.is_empty() {
                return Err(broken(&self.path)(io::ErrorKind::UnexpectedEof.into()));
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let (taken, used) = match end.and_then(|end| available.get(..end)) {
                Some(line) => (line, line.len() + 1),
                None => (available, available.len()),
            };
            if self.line.len() + taken.len() > LINE {
                return Err(QmpError::Endless);
            }
            self.line.extend_from_slice(taken);
            self.stream.consume(used);
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                return Ok(Message::parse(&line)?);
            }
        }
    }
}

/// Sends a descriptor of the file along with these bytes, or the first of them; how many it were.
async fn send_with(stream: &UnixStream, bytes: &[u8], file: BorrowedFd<'_>) -> io::Result<usize> {
    let files = [file];
    let send = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut message = SendAncillaryBuffer::new(&mut space);
        if !message.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        let sent = sendmsg(stream, &[IoSlice::new(bytes)], &mut message, SendFlags::NOSIGNAL)?;
        Ok(sent)
    };
    stream.async_io(Interest::WRITABLE, send).await
}

fn broken(path: &Path) -> impl Fn(io::Error) -> QmpError + '_ {
    move |source| QmpError::Socket {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod hostile_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    pub(super) fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    /// A QEMU that says `script` to whoever connects, whatever it is asked, and keeps the connection open.
    async fn against(script: &'static [u8]) -> (Result<Qmp, QmpError>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(script).await.unwrap();
            std::future::pending::<()>().await;
        });
        (Qmp::connect(&path, me()).await, directory)
    }

    const HELLO: &str = "{\"QMP\":{}}\n{\"return\":{},\"id\":1}\n";

    #[tokio::test]
    async fn events_before_an_answer_are_kept_in_order_for_later() {
        let script =
            b"{\"QMP\":{}}\n{\"event\":\"RESUME\"}\n{\"return\":{},\"id\":1}\r\n{\"event\":\"STOP\"}\n\
            {\"return\":{\"status\":\"paused\"},\"id\":2}\n";
        let (qmp, _directory) = against(script).await;
        let mut qmp = qmp.unwrap();
        assert_eq!(qmp.status().await.unwrap(), "paused");
        assert_eq!(qmp.event().await.unwrap(), QmpEvent::Resumed);
        assert_eq!(qmp.event().await.unwrap(), QmpEvent::Stopped);
    }

    #[tokio::test]
    async fn a_refused_command_says_why() {
        let script =
            format!("{HELLO}{{\"id\":2,\"error\":{{\"class\":\"GenericError\",\"desc\":\"not now\"}}}}\n");
        let (qmp, _directory) = against(script.leak().as_bytes()).await;
        let error = qmp.unwrap().execute("quit").await.unwrap_err().to_string();
        assert_eq!(error, "QEMU refused `quit`: GenericError: not now");
    }

    #[tokio::test]
    async fn the_answer_to_another_command_is_not_taken_for_ours() {
        let script = format!("{HELLO}{{\"id\":7,\"return\":1}}\n{{\"id\":2,\"return\":2}}\n");
        let (qmp, _directory) = against(script.leak().as_bytes()).await;
        assert_eq!(qmp.unwrap().execute("query-status").await.unwrap(), 2);
    }

    #[tokio::test]
    async fn nonsense_and_endless_lines_end_the_connection() {
        let (qmp, _directory) = against(b"SSH-2.0-OpenSSH\n").await;
        assert!(matches!(qmp, Err(QmpError::Garbled(_))), "{qmp:?}");
        let (qmp, _directory) = against(vec![b'a'; LINE + 1].leak()).await;
        assert!(matches!(qmp, Err(QmpError::Endless)), "{qmp:?}");
    }

    #[tokio::test]
    async fn a_file_comes_with_the_command_that_names_it() {
        use std::io::{IoSliceMut, Seek as _, Write as _};
        use std::os::fd::AsFd as _;

        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let hello = format!("{HELLO}{{\"return\":{{}},\"id\":2}}\n");
            stream.write_all(hello.as_bytes()).unwrap();
            let (mut said, mut file) = (Vec::new(), None);
            while file.is_none() {
                let mut bytes = [0; 200];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut message = RecvAncillaryBuffer::new(&mut space);
                let mut parts = [IoSliceMut::new(&mut bytes)];
                let got = recvmsg(&stream, &mut parts, &mut message, RecvFlags::CMSG_CLOEXEC).unwrap();
                said.extend_from_slice(&bytes[..got.bytes]);
                for message in message.drain() {
                    if let RecvAncillaryMessage::ScmRights(mut files) = message {
                        file = files.next();
                    }
                }
            }
            (
                String::from_utf8(said).unwrap(),
                std::fs::File::from(file.unwrap()),
            )
        });
        let mut given = tempfile::tempfile().unwrap();
        given.write_all(b"tap").unwrap();
        let mut qmp = Qmp::connect(&path, me()).await.unwrap();
        let name = serde_json::json!({"fdname": "net24"});
        qmp.execute_with_fd("getfd", name, given.as_fd()).await.unwrap();
        let (said, mut file) = other.join().unwrap();
        assert!(said.contains("\"execute\":\"getfd\""), "{said}");
        file.rewind().unwrap();
        assert_eq!(std::io::read_to_string(file).unwrap(), "tap");
    }

    #[tokio::test]
    async fn a_socket_of_another_user_is_not_spoken_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        let _listener = UnixListener::bind(&path).unwrap();
        let qmp = Qmp::connect(&path, me() + 1).await;
        assert!(matches!(qmp, Err(QmpError::Stranger { .. })), "{qmp:?}");
    }
}
