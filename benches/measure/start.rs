//! Starts a server and times its first answer: it is asked every millisecond, and later less often, from before it is executed.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::Serialize;
use socket2::Socket;

use crate::batch::Batch;
use crate::frame::{self, OFFER};
use crate::hosts::Host;
use crate::http::Guest;
use crate::{canned, clock, port};

/// Between two questions, in nanoseconds: a sixty-fourth of the time that has passed, within these bounds. A server that
/// is slow to start must not find a queue of questions that keeps it busy long after.
const GAP: (u64, u64) = (1_000_000, 50_000_000);

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    /// An offer, from the guests' port.
    Dhcp { interface: String },
    /// An A record, from a client of this server.
    Dns { server: Ipv4Addr, domain: String },
    /// A document, from this server.
    Http { server: Ipv4Addr, path: String },
}

/// A server that runs, and how long it took.
#[derive(Debug, Serialize)]
pub(crate) struct Started {
    /// The server's process.
    pub(crate) pid: u32,
    /// From before it was executed to its first right answer.
    pub(crate) first_answer_ms: f64,
}

/// Moves this thread into the guests' network namespace, whose name `ip netns` knows; children stay where the process is
/// when they are started before.
fn enter(namespace: &str) -> io::Result<()> {
    let file = File::open(Path::new("/run/netns").join(namespace))?;
    Ok(move_into_link_name_space(
        file.as_fd(),
        Some(LinkNameSpaceType::Network),
    )?)
}

/// Starts a server in this process's namespace and asks it from that of the guests until it answers, or the time is up;
/// then it is ended. The child is the caller's to end.
pub(crate) fn start(
    command: &[String],
    guests: &str,
    probe: &Probe,
    host: &Host,
    at_most: Duration,
) -> io::Result<(Child, Started)> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| io::Error::other("no command to start"))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    // The thread that asks is elsewhere, and asks already.
    let (ready, waiting) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let asking = scope.spawn(move || {
            let prepared = enter(guests).and_then(|()| Asking::new(probe, host));
            let (asker, error) = match prepared {
                Ok(asker) => (Some(asker), None),
                Err(error) => (None, Some(error)),
            };
            ready.send(()).ok();
            match (asker, error) {
                (Some(mut asker), _) => asker.until_answered(at_most),
                (None, error) => Err(error.unwrap_or_else(|| io::Error::other("nothing to ask with"))),
            }
        });
        waiting.recv().ok();
        let before = clock::now();
        let mut child = command.spawn()?;
        let answered = asking
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the asking thread panicked")));
        match answered {
            Ok(at) => {
                #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
                let first_answer_ms = at.saturating_sub(before) as f64 / 1e6;
                let pid = child.id();
                Ok((child, Started { pid, first_answer_ms }))
            }
            Err(error) => {
                child.kill()?;
                Err(io::Error::other(format!(
                    "{program}: {error}; it ended with {}",
                    child.wait()?
                )))
            }
        }
    })
}

/// Keeps the server until standard input ends, so that it never outlives whoever wanted it, then ends it.
pub(crate) fn keep(mut child: Child) -> io::Result<()> {
    let mut rest = Vec::new();
    io::stdin().read_to_end(&mut rest)?;
    // Politely first: a daemon may have something to put away.
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
    let end = clock::now() + 3_000_000_000;
    while child.try_wait()?.is_none() {
        if clock::now() > end {
            child.kill()?;
        }
        port::wait(&[], Duration::from_millis(2))?;
    }
    Ok(())
}

/// Whoever waits for the first answer.
enum Asking<'a> {
    Datagrams(Box<Asker<'a>>),
    Connections(Guest<'a>),
}

impl<'a> Asking<'a> {
    fn new(probe: &'a Probe, host: &'a Host) -> io::Result<Self> {
        match probe {
            Probe::Dhcp { interface } => Asker::new(port::guests(interface)?, probe, host),
            Probe::Dns { server, .. } => {
                Asker::new(port::connected(SocketAddrV4::new(*server, 53))?, probe, host)
            }
            Probe::Http { server, path } => {
                let server = SocketAddrV4::new(*server, 80);
                return Ok(Self::Connections(Guest::new(host, server, path)));
            }
        }
        .map(|asker| Self::Datagrams(Box::new(asker)))
    }

    fn until_answered(&mut self, at_most: Duration) -> io::Result<u64> {
        match self {
            Self::Datagrams(asker) => asker.until_answered(at_most),
            Self::Connections(guest) => guest.until_answered(at_most),
        }
    }
}

struct Asker<'a> {
    socket: Socket,
    probe: &'a Probe,
    host: &'a Host,
    inbox: Batch,
    outbox: Batch,
    asked: u32,
}

impl<'a> Asker<'a> {
    fn new(socket: Socket, probe: &'a Probe, host: &'a Host) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            probe,
            host,
            inbox: Batch::new(8, false),
            outbox: Batch::new(1, false),
            asked: 0,
        })
    }

    /// When the first right answer came.
    fn until_answered(&mut self, at_most: Duration) -> io::Result<u64> {
        let began = clock::now();
        let mut next = began;
        while u128::from(clock::now() - began) < at_most.as_nanos() {
            let now = clock::now();
            if now >= next {
                self.ask()?;
                next = now + ((now - began) / 64).clamp(GAP.0, GAP.1);
            }
            let received = self.inbox.receive(self.socket.as_fd())?;
            if (0..received).any(|index| self.is_answer(self.inbox.message(index))) {
                return Ok(clock::now());
            }
            port::wait_one(
                &self.socket,
                Duration::from_nanos(next.saturating_sub(clock::now())),
            )?;
        }
        Err(io::Error::other(format!("no answer within {at_most:?}")))
    }

    fn ask(&mut self) -> io::Result<()> {
        self.asked += 1;
        let room = self.outbox.room(0);
        let length = match self.probe {
            Probe::Dhcp { .. } => frame::discover(room, self.host.mac, self.asked),
            Probe::Dns { domain, .. } => {
                let question = canned::question(&format!("{}.{domain}", self.host.name), canned::A);
                room[..12].copy_from_slice(&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
                room[12..12 + question.len()].copy_from_slice(&question);
                12 + question.len()
            }
            // Asked on connections.
            Probe::Http { .. } => return Ok(()),
        };
        self.outbox.set_length(0, length);
        match self.outbox.send(self.socket.as_fd(), 1) {
            // The answer to an earlier question: nobody listens on that port yet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            other => other,
        }
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        match self.probe {
            Probe::Dhcp { .. } => frame::parse_reply(message).is_some_and(|reply| {
                reply.kind == OFFER && reply.chaddr == self.host.mac && reply.yiaddr == self.host.ip
            }),
            // NOERROR, one answer at least, and the address at the end of it (or before an OPT record, not asked for).
            Probe::Dns { .. } => {
                message.get(3).is_some_and(|flags| flags % 16 == 0)
                    && message.get(7).is_some_and(|count| *count > 0)
                    && message.windows(4).any(|bytes| bytes == self.host.ip.octets())
            }
            Probe::Http { .. } => false,
        }
    }
}
