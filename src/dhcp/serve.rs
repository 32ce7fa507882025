//! The DHCP server of one interface: receive, have it answered, send, tell the others; in batches. No rules are here.
//!
//! Each port has a thread of its own that waits in recvmmsg(2): no event loop is asked first, and what has arrived
//! together is answered by one sendmmsg(2). Nothing of this waits for a disk; what has to be written first goes to the
//! clerk.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, trace, warn};

use super::clerk::{self, Errand, Ledger};
use super::interface::Interface;
use super::socket::{Link, Socket};
use super::{Arrival, Destination, Malformed, Offers, Response, Scope, Verdict, respond};
use crate::model::directory::Published;
use crate::model::{BridgeName, Clock, Directory, Event, MacAddress, Timestamp, mac};
use crate::net::{Address, Inbox, Outbox, Wait, batch};

/// The longest packet that is read: no client sends one longer than a frame.
const LONGEST: usize = 1_600;
/// How long a thread rests after an error that may come again at once.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a thread may take to end when it is told to.
const LAST_BATCH: Duration = Duration::from_secs(1);

/// Which way a reply leaves.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// As a frame to a station on the wire.
    Link(Address),
    /// As a datagram to a relay agent, or to a client behind one.
    Internet(SocketAddr),
}

/// What a serving socket reads from and tells.
#[derive(Clone)]
pub struct Backing {
    /// What is answered from.
    pub directory: Arc<Published>,
    /// Who hears what VMs do.
    pub events: mpsc::Sender<Event>,
    /// Who writes leases.
    pub ledger: Arc<dyn Ledger>,
    /// What tells the time of leases.
    pub clock: Clock,
}

impl std::fmt::Debug for Backing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backing").finish_non_exhaustive()
    }
}

impl Socket {
    /// Serves until `stop`. Survives every error; an event that nobody takes in time is dropped.
    pub async fn serve(self, backing: Backing, stop: CancellationToken) {
        let Self {
            interface,
            ports,
            link,
        } = self;
        let name = interface.name.clone();
        let (errands, waiting) = clerk::office();
        let sending = ports
            .first()
            .map(|(_, udp)| udp.try_clone())
            .transpose()
            .and_then(|udp| Ok((udp, link.share()?)));
        let (udp, shared) = match sending {
            Ok((Some(udp), shared)) => (udp, shared),
            Ok((None, _)) => return,
            Err(error) => return error!(%name, %error, "DHCP can not be served on {name}: {error}."),
        };
        let office = clerk::work(
            Arc::clone(&backing.ledger),
            Arc::clone(&backing.directory),
            waiting,
            move |way, packet| {
                if let Err(error) = send_one(&udp, &shared, way, packet) {
                    debug!(%error, "a DHCP reply could not be sent; the client will ask again");
                }
            },
        );
        let clerk = tokio::spawn(office);
        let ended = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (port, udp) in ports {
            let started = link.share().and_then(|link| {
                let waker = udp.try_clone()?;
                let server = Server::new(&interface, (port, udp), link, (backing.clone(), errands.clone()));
                Ok((waker, server.start(Arc::clone(&ended))?))
            });
            match started {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    error!(%name, %error, "DHCP can not be served on {name}: {error}.");
                    end(threads, &ended, &name).await;
                    return clerk.abort();
                }
            }
        }
        drop(errands);
        info!(%name, "serving DHCP");
        stop.cancelled().await;
        end(threads, &ended, &name).await;
        // What waits is written yet; a thread that did not end would keep the clerk waiting for ever.
        if tokio::time::timeout(LAST_BATCH, clerk).await.is_err() {
            warn!(%name, "the last dynamic leases on {name} were not written in time.");
        }
    }
}

/// Tells the threads to end, and waits for them.
async fn end(
    threads: Vec<(std::net::UdpSocket, oneshot::Receiver<()>)>,
    ended: &AtomicBool,
    name: &BridgeName,
) {
    ended.store(true, Ordering::Relaxed);
    for (waker, done) in threads {
        // Who waits in recvmmsg is woken, although the kernel calls it an error: the socket is not connected.
        drop(socket2::SockRef::from(&waker).shutdown(Shutdown::Both));
        if tokio::time::timeout(LAST_BATCH, done).await.is_err() {
            warn!(%name, "a DHCP thread did not end in time.");
        }
    }
}

/// Tells people what a packet calls for, once each time that it is news.
fn alarm(name: &BridgeName, client: MacAddress, verdict: Verdict) {
    match verdict {
        Verdict::Exhausted { alarm: true } => {
            let mac = mac::text(client);
            warn!(%name, mac, "the pool of dynamic leases on {name} is full: {mac} and others get no address (registered VMs do).");
        }
        Verdict::Declined { alarm: true } => {
            let mac = mac::text(client);
            warn!(%name, mac, "{mac} on {name} declined its address: another host answers for it.");
        }
        _ => {}
    }
}

fn send_one(udp: &std::net::UdpSocket, link: &Link, way: &Way, packet: &[u8]) -> io::Result<()> {
    match way {
        Way::Internet(to) => udp.send_to(packet, to).map(|_| ()),
        Way::Link(to) => {
            let mut outbox = Outbox::new(1, packet.len());
            outbox.put(to, packet);
            outbox.send(&link.socket)
        }
    }
}

/// What a server has done since it started.
#[derive(Debug, Default)]
struct Count {
    received: u64,
    answered: u64,
    unsent: u64,
    malformed: u64,
    panicked: u64,
    events_lost: u64,
    errands_lost: u64,
}

/// One port's state.
struct Server {
    interface: Interface,
    port: u16,
    udp: std::net::UdpSocket,
    link: Link,
    backing: Backing,
    errands: mpsc::Sender<Errand>,
    outbox: Outbox,
    offers: Offers,
    /// Where a reply is written.
    reply: Vec<u8>,
    /// What is told when the replies of a batch are on their way: whoever hears it takes the processor from them.
    untold: Vec<Event>,
    count: Count,
}

impl Server {
    fn new(
        interface: &Interface,
        (port, udp): (u16, std::net::UdpSocket),
        link: Link,
        (backing, errands): (Backing, mpsc::Sender<Errand>),
    ) -> Self {
        Self {
            interface: interface.clone(),
            port,
            udp,
            link,
            backing,
            errands,
            outbox: Outbox::new(batch::MOST, LONGEST),
            offers: Offers::default(),
            reply: Vec::with_capacity(LONGEST),
            untold: Vec::with_capacity(batch::MOST),
            count: Count::default(),
        }
    }

    /// Starts the thread; the receiver hears when it ended.
    fn start(mut self, ended: Arc<AtomicBool>) -> io::Result<oneshot::Receiver<()>> {
        let (done, hears) = oneshot::channel();
        std::thread::Builder::new()
            .name(format!("dhcp-{}", self.interface.name))
            .stack_size(256 << 10)
            .spawn(move || {
                self.run(&ended);
                // Nobody may wait any more.
                let _: Result<(), ()> = done.send(());
            })?;
        Ok(hears)
    }

    fn run(&mut self, ended: &AtomicBool) {
        let name = self.interface.name.clone();
        let mut inbox = Inbox::new(batch::MOST, LONGEST);
        loop {
            let received = inbox.receive(&self.udp, Wait::ForOne);
            if ended.load(Ordering::Relaxed) {
                break;
            }
            match received {
                Ok(_) => self.answer_all(&inbox),
                Err(error) => {
                    warn!(%name, %error, "receiving DHCP failed; trying again");
                    std::thread::park_timeout(PAUSE);
                }
            }
        }
        info!(%name, count = ?self.count, "DHCP stopped");
    }

    /// Answers what has arrived, from one revision of the directory.
    fn answer_all(&mut self, inbox: &Inbox) {
        let directory = self.backing.directory.load_full();
        let now = self.backing.clock.now();
        for datagram in inbox.datagrams() {
            if let Some(SocketAddr::V4(source)) = datagram.source.internet() {
                let arrival = Arrival {
                    payload: datagram.bytes,
                    source,
                    port: self.port,
                };
                self.answer(&directory, &arrival, now);
            }
        }
        self.flush();
        self.tell();
    }

    /// Answers one packet. Parser and rules do not panic (property tests); should one ever, this packet alone is lost.
    fn answer(&mut self, directory: &Directory, arrival: &Arrival<'_>, now: Timestamp) {
        self.count.received += 1;
        let scope = Scope {
            local: self.interface.local.as_deref(),
            relayed: &self.interface.relayed,
            directory,
        };
        let (offers, reply) = (&mut self.offers, &mut self.reply);
        let answering = || respond(&scope, offers, arrival, now, reply);
        match catch_unwind(AssertUnwindSafe(answering)) {
            Ok(Ok(response)) => self.obey(response),
            Ok(Err(malformed)) => self.discard(malformed),
            Err(_) => {
                self.count.panicked += 1;
                let name = &self.interface.name;
                error!(%name, count = self.count.panicked, "a DHCP packet caused a panic; it was dropped");
            }
        }
    }

    fn discard(&mut self, malformed: Malformed) {
        self.count.malformed += 1;
        trace!(name = %self.interface.name, why = %malformed, "dropped a DHCP packet");
    }

    fn obey(&mut self, response: Response) {
        let Response {
            client,
            vm,
            to,
            event,
            lend,
            seen,
            verdict,
        } = response;
        let name = &self.interface.name;
        // What a VM of ours declines is told where its other events are.
        if vm.is_none() {
            alarm(name, client, verdict);
        }
        if let Some(vm) = &vm {
            debug!(vm = %vm.name, %name, mac = mac::text(client), ip = ?vm.nic_with(client).map(|nic| nic.address), "DHCP: {}: {verdict:?}", vm.name);
        } else {
            debug!(%name, mac = mac::text(client), "DHCP: {}: {verdict:?}", mac::text(client));
        }
        let way = to.and_then(|to| self.way(to));
        if let Some(lease) = lend {
            let reply = way.map(|way| (way, self.reply.clone()));
            self.hand_over(Errand::Lend { lease, reply });
        } else if let Some(way) = way {
            self.send(&way);
        }
        if let Some(seen) = seen {
            self.hand_over(Errand::Seen(seen));
        }
        self.untold.extend(event);
    }

    fn way(&self, to: Destination) -> Option<Way> {
        match to.link() {
            Some((station, _)) => self.link.station(station).map(Way::Link),
            None => to.routed().map(|to| Way::Internet(to.into())),
        }
    }

    fn send(&mut self, way: &Way) {
        match way {
            Way::Link(to) => {
                if self.outbox.is_full() {
                    self.flush();
                }
                if self.outbox.put(to, &self.reply) {
                    self.count.answered += 1;
                } else {
                    self.count.unsent += 1;
                }
            }
            Way::Internet(to) => match self.udp.send_to(&self.reply, to) {
                Ok(_) => self.count.answered += 1,
                Err(error) => {
                    self.count.unsent += 1;
                    debug!(name = %self.interface.name, %to, %error, "a DHCP reply could not be sent through a relay");
                }
            },
        }
    }

    /// Sends what is in the outbox.
    fn flush(&mut self) {
        if let Err(error) = self.outbox.send(&self.link.socket) {
            let unsent = self.outbox.clear().max(1);
            self.count.unsent += u64::try_from(unsent).unwrap_or_default();
            debug!(name = %self.interface.name, %error, unsent, "DHCP replies could not be sent; the clients will ask again");
        }
    }

    /// Tells what VMs did in this batch.
    fn tell(&mut self) {
        for event in self.untold.drain(..) {
            if let Err(mpsc::error::TrySendError::Full(event)) = self.backing.events.try_send(event) {
                self.count.events_lost += 1;
                debug!(vm = %event.vm, "the ladder is busy: a DHCP event was dropped");
            }
        }
    }

    fn hand_over(&mut self, errand: Errand) {
        if self.errands.try_send(errand).is_err() {
            self.count.errands_lost += 1;
        }
    }
}
