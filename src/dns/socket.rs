//! The datagrams of a DNS server: a thread that takes what has arrived, answers it, and sends the answers, by one system
//! call each way.
//!
//! A thread of its own, and not a task: it sleeps in the call that receives, so that a question costs one wake-up and no
//! trip through an event loop, and a thousand questions at once cost a few calls.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SendFlags, Shutdown, sendto, shutdown};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::fast;
use super::limit::{Limiter, Verdict};
use super::serve::Desk;
use super::view::is_host;
use super::wire::{Asked, Decision, Forwarded, MAX_DATAGRAM, Protocol};
use crate::model::Directory;
use crate::net::batch::MOST;
use crate::net::{Address, Datagram, Inbox, Outbox, Wait};

/// The longest question that is read whole: no resolver sends one longer than it would take as an answer.
const LONGEST: usize = 4_096;
/// How long to rest after the kernel refused to receive, so that a lasting error does not burn a CPU.
const REST: Duration = Duration::from_millis(50);
/// How long answers may wait for room in the socket: one slow neighbour must not hold up the others.
const ROOM: Duration = Duration::from_millis(50);
/// The thread's stack; hickory's reader needs a small part of it.
const STACK: usize = 512 * 1024;

/// The thread; it ends with this value.
pub(super) struct Datagrams {
    udp: Arc<UdpSocket>,
    ended: oneshot::Receiver<()>,
}

impl Datagrams {
    /// Starts to answer what comes to the socket.
    pub(super) fn start(desk: Arc<Desk>, udp: UdpSocket) -> io::Result<Self> {
        let udp = Arc::new(udp);
        let (end, ended) = oneshot::channel();
        let mut worker = Worker {
            runtime: Handle::current(),
            udp: Arc::clone(&udp),
            outbox: Outbox::new(MOST, MAX_DATAGRAM.into()),
            limiter: Limiter::default(),
            since: Instant::now(),
            desk,
        };
        std::thread::Builder::new()
            .name(format!("dns-{}", worker.desk.network.bridge))
            .stack_size(STACK)
            .spawn(move || {
                worker.work();
                // Its socket first: who waits for the end may want the address.
                drop(worker);
                drop(end);
            })?;
        Ok(Self { udp, ended })
    }

    /// Waits until the thread has ended, which it does when it is told to or can not go on.
    pub(super) async fn ended(&mut self) {
        drop((&mut self.ended).await);
    }

    /// Tells the thread to end. The kernel says that a socket without a peer can not be shut down, and wakes who reads it.
    pub(super) fn stop(&self) {
        drop(shutdown(&self.udp, Shutdown::Read).map_err(io::Error::from));
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread has.
struct Worker {
    desk: Arc<Desk>,
    udp: Arc<UdpSocket>,
    outbox: Outbox,
    limiter: Limiter,
    /// What the limiter counts time from.
    since: Instant,
    runtime: Handle,
}

impl Worker {
    fn work(&mut self) {
        let mut inbox = Inbox::new(MOST, LONGEST);
        loop {
            match inbox.receive(&self.udp, Wait::ForOne) {
                Ok(_) => {}
                Err(error) => {
                    debug!(network = %self.desk.network.name, %error, "no DNS datagram could be received");
                    self.runtime.block_on(tokio::time::sleep(REST));
                    continue;
                }
            }
            // One revision for the batch.
            let desk = Arc::clone(&self.desk);
            let directory = desk.directory.load();
            let now = self.since.elapsed();
            for datagram in inbox.datagrams() {
                let Some(source) = datagram.source.internet() else {
                    // Nobody's datagram: the socket was shut down.
                    return;
                };
                self.handle(&directory, &datagram, source, now);
            }
            self.send();
        }
    }

    /// Answers one datagram. No datagram ends the server, whatever is wrong with the code that reads it.
    fn handle(&mut self, directory: &Directory, datagram: &Datagram<'_>, source: SocketAddr, now: Duration) {
        if datagram.truncated {
            return;
        }
        let answering = || self.answer(directory, datagram, source, now);
        if catch_unwind(AssertUnwindSafe(answering)).is_err() {
            error!(network = %self.desk.network.name, ip = %source.ip(), "a DNS message broke its reader: it is dropped");
        }
    }

    fn answer(&mut self, directory: &Directory, datagram: &Datagram<'_>, source: SocketAddr, now: Duration) {
        let (bytes, to) = (datagram.bytes, datagram.source);
        let network = &self.desk.network;
        let Some(room) = self.outbox.room() else { return };
        let written = fast::answer(directory, network, source, bytes, room);
        if let Some(written) = written
            && written.exists
        {
            return self.outbox.push(to, written.length);
        }
        // This host may ask as much as it likes: nobody else can speak from its addresses.
        let verdict = if is_host(network, source.ip()) {
            Verdict::Answer
        } else {
            self.limiter.take(source.ip(), now)
        };
        match (verdict, written) {
            (Verdict::Answer, Some(written)) => self.outbox.push(to, written.length),
            (Verdict::Answer, None) => self.decide(directory, datagram, source),
            (Verdict::ByStream, _) => {
                if let Some(length) = fast::by_stream(bytes, room) {
                    self.outbox.push(to, length);
                }
            }
            (Verdict::Silence, _) => {}
        }
    }

    /// Answers what is not common.
    fn decide(&mut self, directory: &Directory, datagram: &Datagram<'_>, source: SocketAddr) {
        match self
            .desk
            .decide(directory, (source, Protocol::Udp), datagram.bytes)
        {
            Decision::Silence | Decision::Transfer(_) => {}
            Decision::Reply(reply) => {
                self.outbox.put(datagram.source, &reply);
            }
            Decision::Forward(asked) => self.forward(asked, *datagram.source, source),
        }
    }

    /// Sends a question on, from a task of its own.
    fn forward(&mut self, asked: Box<Asked>, to: Address, source: SocketAddr) {
        let Some(seat) = self.desk.seat(source.ip()) else {
            self.outbox.put(&to, &asked.forwarded(Forwarded::Failed));
            return;
        };
        // A server that has stopped has given its address back, whatever questions are still under way.
        let (desk, udp) = (Arc::clone(&self.desk), Arc::downgrade(&self.udp));
        self.runtime.spawn(async move {
            let reply = desk.forward(&asked, source.ip()).await;
            drop(seat);
            let Some(udp) = udp.upgrade() else { return };
            // An answer that finds no room is lost like any datagram: the asker asks again.
            if let Err(error) = sendto(&udp, &reply, SendFlags::DONTWAIT, &source) {
                debug!(ip = %source.ip(), %error, "a DNS answer could not be sent");
            }
        });
    }

    /// Sends the batch's answers; what finds no room in time is lost like any datagram.
    fn send(&mut self) {
        let sent = match self.outbox.send(&self.udp) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait_for_room();
                self.outbox.send(&self.udp)
            }
            sent => sent,
        };
        if let Err(error) = sent {
            let lost = self.outbox.clear();
            debug!(network = %self.desk.network.name, %error, lost, "DNS answers could not be sent");
        }
    }

    fn wait_for_room(&self) {
        let mut polled = [rustix::event::PollFd::new(
            &self.udp,
            rustix::event::PollFlags::OUT,
        )];
        let limit = rustix::event::Timespec::try_from(ROOM).ok();
        if let Err(error) = rustix::event::poll(&mut polled, limit.as_ref()) {
            warn!(network = %self.desk.network.name, %error, "can not wait for room to send DNS answers.");
        }
    }
}
