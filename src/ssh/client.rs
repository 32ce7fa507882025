//! Asks an SSH server who it is, and leaves.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::exchange::{Begun, KEXINIT, Said, agreed, proposal};
use super::wire::{self, Reader};
use super::{HostKey, Problem};

/// What we call ourselves: it stands in the log of who is asked.
const GREETING: &[u8] = b"SSH-2.0-Seedbed_check";
/// How much a server may say before it greets (RFC 4253 §4.2), and the longest line of it.
const LINES: usize = 32;
const LINE: usize = 255;
/// Messages that may come at any time: `SSH_MSG_DISCONNECT`, `SSH_MSG_IGNORE`, `SSH_MSG_UNIMPLEMENTED`, `SSH_MSG_DEBUG`.
const DISCONNECT: u8 = 1;
const ASIDE: std::ops::RangeInclusive<u8> = 2..=4;

/// Why a server was not heard out.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there, or the connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It was not understood, or is not who it says it is.
    #[error(transparent)]
    Problem(#[from] Problem),
}

/// A server that has greeted.
#[derive(Debug)]
pub struct Server {
    stream: TcpStream,
    greeting: Vec<u8>,
}

impl Server {
    /// Connects, and waits for the greeting. There is no deadline in here: the caller has one.
    pub async fn greet(address: SocketAddr) -> Result<Self, AskError> {
        let mut stream = TcpStream::connect(address).await?;
        let mut before = Vec::new();
        for _ in 0..LINES {
            let line = match line(&mut stream).await {
                // sshd says in one line why it does not: `Not allowed at this time`, `Exceeded MaxStartups`.
                Err(AskError::Io(error))
                    if error.kind() == io::ErrorKind::UnexpectedEof && !before.is_empty() =>
                {
                    return Err(Problem::Ended(wire::shown(&before)).into());
                }
                line => line?,
            };
            if line.starts_with(b"SSH-") {
                return Ok(Self {
                    stream,
                    greeting: line,
                });
            }
            before = line;
        }
        Err(Problem::Malformed("no greeting in its first lines").into())
    }

    /// What it calls itself, such as `SSH-2.0-OpenSSH_9.2p1`, as it may be shown.
    pub fn banner(&self) -> String {
        wire::shown(&self.greeting)
    }

    /// The host key that it proves to have: one of the `expected` types, where it has one.
    pub async fn host_key(&mut self, expected: &[&str]) -> Result<HostKey, AskError> {
        let mut cookie = [0; 16];
        getrandom::fill(&mut cookie).map_err(io::Error::other)?;
        let ours = proposal(cookie, expected);
        let hello = [GREETING, b"\r\n", &wire::packet(&ours)].concat();
        self.stream.write_all(&hello).await?;
        let theirs = self.message().await?;
        let agreed = agreed(&ours, &theirs)?;
        if agreed.has_guessed_wrong {
            self.message().await?;
        }
        let begun = Begun::new(agreed)?;
        self.stream.write_all(&wire::packet(&begun.message())).await?;
        let reply = self.message().await?;
        let said = Said {
            greetings: [GREETING, &self.greeting],
            proposals: [&ours, &theirs],
        };
        let key = begun.verified(said, &reply)?;
        self.leave().await;
        Ok(key)
    }

    /// `SSH_MSG_DISCONNECT`, by application: its log then has no broken connection.
    async fn leave(&mut self) {
        let mut goodbye = vec![DISCONNECT, 0, 0, 0, 11];
        wire::put_string(&mut goodbye, b"checked");
        wire::put_string(&mut goodbye, b"");
        // What is told to somebody who is left makes no difference.
        drop(self.stream.write_all(&wire::packet(&goodbye)).await);
    }

    /// The next message that is one of the exchange.
    async fn message(&mut self) -> Result<Vec<u8>, AskError> {
        for _ in 0..LINES {
            let mut start = [0; 4];
            self.stream.read_exact(&mut start).await?;
            let mut packet = vec![0; wire::length_of_packet(start)?];
            self.stream.read_exact(&mut packet).await?;
            let payload = wire::payload(&packet)?;
            match payload.first() {
                Some(&DISCONNECT) => return Err(Problem::Ended(reason(payload)).into()),
                Some(kind) if ASIDE.contains(kind) => {}
                Some(&(KEXINIT..)) => return Ok(payload.to_vec()),
                _ => return Err(Problem::Malformed("a message that is none of a key exchange").into()),
            }
        }
        Err(Problem::Malformed("it talks aside without end").into())
    }
}

/// The words of `SSH_MSG_DISCONNECT`.
fn reason(payload: &[u8]) -> String {
    let mut reader = Reader(payload.get(5..).unwrap_or_default());
    wire::shown(reader.string().unwrap_or_default())
}

/// A line, without its end. One octet at a time, because what follows the greeting is no line.
async fn line(stream: &mut TcpStream) -> Result<Vec<u8>, AskError> {
    let mut line = Vec::new();
    while line.len() <= LINE {
        match stream.read_u8().await? {
            b'\n' => {
                line.pop_if(|last| *last == b'\r');
                return Ok(line);
            }
            octet => line.push(octet),
        }
    }
    Err(Problem::Malformed("a line longer than 255 octets").into())
}
