//! Guests that read a document over HTTP: each from its own port, hardware address and IPv4 address, on a new connection for
//! each request, as cloud-init does, or on one that stays open.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock;
use crate::drive::quantile;
use crate::hosts::Host;

/// How long a guest waits for a connection, and for a piece of an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts at a server that starts.
const GAP: Duration = Duration::from_millis(1);
/// More than any server's header and document.
const ROOM: usize = 64 << 10;

/// What is asked, of whom, and how.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// The server.
    pub(crate) server: SocketAddrV4,
    /// The document; `{ip}` in it is the guest's address.
    pub(crate) path: String,
    /// How many connections are open at any time.
    pub(crate) connections: usize,
    /// Whether a connection is used again.
    pub(crate) keep: bool,
    /// For how long, in nanoseconds.
    pub(crate) nanoseconds: u64,
}

/// What came of a run. Times of one request are in microseconds, and of a new connection with its handshake.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    /// Requests answered with the guest's own document.
    right: u64,
    /// Requests answered with anything else.
    wrong: u64,
    /// Requests that were not answered.
    lost: u64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    driver_cpu_us: f64,
}

/// What one connection after the other saw.
#[derive(Debug, Default)]
struct Tally {
    wrong: u64,
    lost: u64,
    latencies: Vec<u64>,
}

/// A guest behind a port that has its name.
#[derive(Debug)]
pub(crate) struct Guest<'a> {
    host: &'a Host,
    server: SocketAddrV4,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// Lets the guests of these hosts ask until the time is up.
pub(crate) fn run(load: &Load, hosts: &[Host]) -> io::Result<Outcome> {
    let (began, cpu) = (clock::now(), clock::cpu());
    let end = began + load.nanoseconds;
    let tallies: Vec<io::Result<Tally>> = std::thread::scope(|scope| {
        let asking: Vec<_> = hosts
            .iter()
            .cycle()
            .take(load.connections)
            .map(|host| scope.spawn(move || Guest::new(host, load.server, &load.path).ask(load.keep, end)))
            .collect();
        asking
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("an asking thread panicked")))
            })
            .collect()
    });
    let nanoseconds = clock::now() - began;
    let mut all = Tally::default();
    for tally in tallies {
        let tally = tally?;
        all.wrong += tally.wrong;
        all.lost += tally.lost;
        all.latencies.extend(tally.latencies);
    }
    Ok(all.outcome(nanoseconds, clock::cpu() - cpu))
}

impl Tally {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn outcome(mut self, nanoseconds: u64, cpu: u64) -> Outcome {
        self.latencies.sort_unstable();
        let right = self.latencies.len();
        Outcome {
            right: u64::try_from(right).unwrap_or(u64::MAX),
            wrong: self.wrong,
            lost: self.lost,
            per_second: right as f64 * 1e9 / nanoseconds.max(1) as f64,
            p50_us: quantile(&self.latencies, 0.50) / 1e3,
            p99_us: quantile(&self.latencies, 0.99) / 1e3,
            driver_cpu_us: cpu as f64 / 1e3 / right.max(1) as f64,
        }
    }
}

impl<'a> Guest<'a> {
    /// The guest of this host, asking for this document.
    pub(crate) fn new(host: &'a Host, server: SocketAddrV4, path: &str) -> Self {
        let path = path.replace("{ip}", &host.ip.to_string());
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Cloud-Init/25.1\r\nAccept-Encoding: identity\r\n\
             Accept: */*\r\nConnection: keep-alive\r\n\r\n",
            server.ip()
        );
        Self {
            host,
            server,
            request: request.into_bytes(),
            answer: vec![0; ROOM],
        }
    }

    /// When the first right answer came.
    pub(crate) fn until_answered(&mut self, at_most: Duration) -> io::Result<u64> {
        let began = clock::now();
        while u128::from(clock::now() - began) < at_most.as_nanos() {
            if let Ok(true) = self.connect().and_then(|mut stream| self.fetch(&mut stream)) {
                return Ok(clock::now());
            }
            std::thread::park_timeout(GAP);
        }
        Err(io::Error::other(format!("no document within {at_most:?}")))
    }

    fn ask(&mut self, keep: bool, end: u64) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let mut kept: Option<TcpStream> = None;
        while clock::now() < end {
            let asked = clock::now();
            let used = kept.is_some();
            let opened = kept.take().map_or_else(|| self.connect(), Ok);
            let fetched = opened.and_then(|mut stream| Ok((self.fetch(&mut stream)?, stream)));
            match fetched {
                Ok((right, stream)) => {
                    kept = keep.then_some(stream);
                    if right {
                        tally.latencies.push(clock::now() - asked);
                    } else {
                        tally.wrong += 1;
                    }
                }
                // RFC 9112 section 9.3.1: a server may close a connection at any time between two requests.
                Err(error) if used && is_closed(&error) => {}
                // The port is missing, or may not be used: that is not the server's doing.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        || error.raw_os_error() == Some(libc::ENODEV) =>
                {
                    return Err(io::Error::other(format!("interface {}: {error}", self.host.name)));
                }
                Err(_) => tally.lost += 1,
            }
        }
        Ok(tally)
    }

    /// A connection from the guest's own port, whose address the kernel then takes.
    fn connect(&self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind_device(Some(self.host.name.as_bytes()))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect_timeout(&self.server.into(), PATIENCE)?;
        Ok(socket.into())
    }

    /// Asks once; whether the answer is the guest's own document: 200, and its name in it.
    fn fetch(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        stream.write_all(&self.request)?;
        let mut length = 0;
        loop {
            let received = stream.read(self.answer.get_mut(length..).unwrap_or_default())?;
            if received == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            length += received;
            let answer = &self.answer[..length];
            if let Some((status, document)) = whole(answer) {
                return Ok(status == b"200" && contains(document, self.host.name.as_bytes()));
            }
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// The status and the content of an answer whose content has come to its end (RFC 9112 section 6.2).
fn whole(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, content) = (&answer[..end], &answer[end + 4..]);
    let mut lines = head.split(|octet| *octet == b'\n');
    let status = lines.next()?.split(|octet| *octet == b' ').nth(1)?;
    let length = lines.find_map(|line| {
        let colon = line.iter().position(|octet| *octet == b':')?;
        let (name, value) = line.split_at(colon);
        name.eq_ignore_ascii_case(b"content-length").then_some(())?;
        std::str::from_utf8(&value[1..])
            .ok()?
            .trim()
            .parse::<usize>()
            .ok()
    })?;
    (content.len() >= length).then_some((status, content))
}

fn contains(document: &[u8], name: &[u8]) -> bool {
    document.windows(name.len().max(1)).any(|window| window == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_content_is() {
        let answer = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\nh0001";
        assert_eq!(whole(answer), Some((&b"200"[..], &b"h0001"[..])));
        for end in 0..answer.len() {
            assert_eq!(whole(&answer[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_document_is_the_guests_own_when_its_name_is_in_it() {
        assert!(contains(b"local-hostname: h0001\n", b"h0001"));
        assert!(!contains(b"local-hostname: h0002\n", b"h0001"));
        assert!(!contains(b"", b"h0001"));
    }
}
