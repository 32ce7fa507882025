//! The DNS server's sockets: UDP and TCP on a bridge's own address.
//!
//! These loops are ours rather than hickory-server's, because that one has no bound on TCP connections, ends its TCP
//! service for good on one aborted connection, and allocates by the counts that a message claims.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::answer::may_ask;
use super::client::Upstream;
pub use super::wire::Protocol;
use super::wire::{Asked, Decision, Forwarded, decide};
use crate::model::Network;
use crate::model::directory::Published;

/// The port of DNS.
const PORT: u16 = 53;
/// The most questions that wait for upstream servers at a time; one more is told SERVFAIL at once.
const MAX_FORWARDED: usize = 512;
/// The most TCP connections at a time, from all and from one address.
const MAX_CONNECTIONS: usize = 128;
const MAX_CONNECTIONS_EACH: usize = 8;
/// How long a TCP connection may be idle, or take over one message (RFC 7766 §6.2.3).
const IDLE: Duration = Duration::from_secs(5);
/// How long a datagram may wait for room in the socket: one slow neighbour must not hold up the others.
const SEND: Duration = Duration::from_millis(50);
/// How long to rest after the kernel refused something, so that a lasting error does not burn a CPU.
const REST: Duration = Duration::from_millis(50);
/// Room for datagrams while others are answered: a thousand guests may start at once.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Why a network's DNS server can not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has the port.
    #[error(
        "DNS can not start: another process has {protocol} {address}; stop it, or tell it to leave that address alone"
    )]
    Taken {
        /// Where.
        address: SocketAddr,
        /// Which of the two.
        protocol: Protocol,
    },
    /// No interface has the address.
    #[error("DNS can not start: no interface has the address of {0}; is the bridge there?")]
    NoAddress(SocketAddr),
    /// Something else, such as a missing right.
    #[error("DNS can not start: {protocol} {address}: {source}")]
    Io {
        /// Where.
        address: SocketAddr,
        /// Which of the two.
        protocol: Protocol,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A network's DNS server whose sockets are bound, and which does not answer yet.
#[derive(Debug)]
pub struct Server {
    network: Arc<Network>,
    address: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
}

/// Binds a network's DNS server to the bridge's own address, and no other.
pub async fn bind(network: &Network) -> Result<Server, BindError> {
    bind_at(
        network,
        SocketAddr::new(IpAddr::V4(network.subnet.gateway()), PORT),
    )
    .await
}

/// Binds a network's DNS server to any address; port 0 takes a free one.
pub async fn bind_at(network: &Network, address: SocketAddr) -> Result<Server, BindError> {
    let refused = |address, protocol| {
        move |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken { address, protocol },
            io::ErrorKind::AddrNotAvailable => BindError::NoAddress(address),
            _ => BindError::Io {
                address,
                protocol,
                source,
            },
        }
    };
    let tcp = TcpListener::bind(address)
        .await
        .map_err(refused(address, Protocol::Tcp))?;
    let address = tcp.local_addr().map_err(refused(address, Protocol::Tcp))?;
    let udp = UdpSocket::bind(address)
        .await
        .map_err(refused(address, Protocol::Udp))?;
    if let Err(error) = socket2::SockRef::from(&udp).set_recv_buffer_size(RECEIVE_BUFFER) {
        debug!(%address, %error, "the DNS socket keeps its small receive buffer");
    }
    Ok(Server {
        network: Arc::new(network.clone()),
        address,
        udp,
        tcp,
    })
}

impl Server {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`.
    pub async fn serve(self, directory: Arc<Published>, stop: CancellationToken) {
        self.serve_with(directory, stop, Path::new("/etc/resolv.conf"))
            .await;
    }

    /// As [`Self::serve`], with the host's resolvers taken from that file.
    async fn serve_with(self, directory: Arc<Published>, stop: CancellationToken, resolv_conf: &Path) {
        let Self {
            network,
            address,
            udp,
            tcp,
        } = self;
        info!(network = %network.name, %address, "DNS is served");
        let desk = Arc::new(Desk {
            upstream: Upstream::of(&network, resolv_conf),
            network,
            directory,
            address,
            forwarding: Arc::new(Semaphore::new(MAX_FORWARDED)),
        });
        let both = async {
            tokio::join!(
                datagrams(Arc::clone(&desk), Arc::new(udp)),
                connections(desk, tcp)
            )
        };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = both => {}
        }
    }
}

/// What both loops answer from.
struct Desk {
    network: Arc<Network>,
    directory: Arc<Published>,
    upstream: Upstream,
    address: SocketAddr,
    forwarding: Arc<Semaphore>,
}

impl Desk {
    /// Decides on a message. No message ends the server, whatever is wrong with the code that reads it.
    fn decide(&self, from: (SocketAddr, Protocol), bytes: &[u8]) -> Decision {
        let directory = self.directory.load();
        let deciding = || decide(&directory, &self.network, from, bytes);
        catch_unwind(AssertUnwindSafe(deciding)).unwrap_or_else(|_| {
            error!(network = %self.network.name, ip = %from.0.ip(), "a DNS message broke its reader: it is dropped");
            Decision::Silence
        })
    }

    async fn forward(&self, asked: &Asked) -> Vec<u8> {
        let directory = self.directory.load_full();
        let said = self.upstream.ask(asked.query(), &directory, self.address).await;
        asked.forwarded(said)
    }
}

/// Answers datagrams: ours at once, others from a task of their own.
async fn datagrams(desk: Arc<Desk>, udp: Arc<UdpSocket>) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let (length, source) = match udp.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                debug!(network = %desk.network.name, %error, "no DNS datagram could be received");
                sleep(REST).await;
                continue;
            }
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        let asked = match desk.decide((source, Protocol::Udp), bytes) {
            Decision::Silence => continue,
            Decision::Reply(reply) => {
                send(&udp, source, &reply).await;
                continue;
            }
            Decision::Forward(asked) => asked,
        };
        let Ok(permit) = Arc::clone(&desk.forwarding).try_acquire_owned() else {
            send(&udp, source, &asked.forwarded(Forwarded::Failed)).await;
            continue;
        };
        let (desk, udp) = (Arc::clone(&desk), Arc::clone(&udp));
        tasks.spawn(async move {
            send(&udp, source, &desk.forward(&asked).await).await;
            drop(permit);
        });
    }
}

async fn send(udp: &UdpSocket, to: SocketAddr, reply: &[u8]) {
    match timeout(SEND, udp.send_to(reply, to)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(ip = %to.ip(), %error, "a DNS answer could not be sent"),
        Err(_) => debug!(ip = %to.ip(), "a DNS answer was dropped: the socket is full"),
    }
}

/// Accepts connections, each answered by a task of its own.
async fn connections(desk: Arc<Desk>, tcp: TcpListener) {
    let mut tasks = JoinSet::new();
    let mut open: HashMap<Id, IpAddr> = HashMap::new();
    loop {
        let accepted = tokio::select! {
            Some(ended) = tasks.join_next_with_id() => {
                open.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                continue;
            }
            accepted = tcp.accept() => accepted,
        };
        match accepted {
            Ok((stream, source)) => {
                let same = open.values().filter(|other| **other == source.ip()).count();
                if may_ask(&desk.network, source.ip())
                    && open.len() < MAX_CONNECTIONS
                    && same < MAX_CONNECTIONS_EACH
                {
                    let task = tasks.spawn(connection(Arc::clone(&desk), stream, source));
                    open.insert(task.id(), source.ip());
                }
            }
            Err(error) => {
                warn!(network = %desk.network.name, %error, "a DNS connection could not be accepted");
                sleep(REST).await;
            }
        }
    }
}

/// Answers the messages of one connection, in order, until it is closed, idle or broken.
async fn connection(desk: Arc<Desk>, mut stream: TcpStream, source: SocketAddr) {
    let ended = loop {
        let bytes = match timeout(IDLE, message(&mut stream)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => break error.to_string(),
            Err(_) => break "idle for too long".to_owned(),
        };
        let reply = match desk.decide((source, Protocol::Tcp), &bytes) {
            Decision::Silence => break "not a question".to_owned(),
            Decision::Reply(reply) => reply,
            Decision::Forward(asked) => match desk.forwarding.try_acquire() {
                Ok(_permit) => desk.forward(&asked).await,
                Err(_) => asked.forwarded(Forwarded::Failed),
            },
        };
        match timeout(IDLE, write(&mut stream, &reply)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => break error.to_string(),
            Err(_) => break "it does not read its answers".to_owned(),
        }
    };
    debug!(network = %desk.network.name, ip = %source.ip(), why = ended, "a DNS connection ended");
}

/// One message of a stream (RFC 1035 §4.2.2). Its room grows with what arrives, not with what was announced.
async fn message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut bytes).await?;
    if bytes.len() < usize::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// RFC 7766 §8: the length and the message in one write.
async fn write(stream: &mut TcpStream, reply: &[u8]) -> io::Result<()> {
    let length = u16::try_from(reply.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let framed = [&length.to_be_bytes(), reply].concat();
    stream.write_all(&framed).await
}

#[cfg(test)]
mod tests;
