//! The DNS server on a bridge's own address: its sockets, and the connections of TCP (datagrams are socket.rs's).
//!
//! These loops are ours rather than hickory-server's, because that one has no bound on TCP connections, ends its TCP
//! service for good on one aborted connection, and allocates by the counts that a message claims.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::answer::may_ask;
use super::client::Upstream;
use super::socket::Datagrams;
pub use super::wire::Protocol;
use super::wire::{Asked, Decision, Forwarded, decide};
use crate::model::directory::Published;
use crate::model::{Directory, Network};
use crate::net::{Seat, Seats};

/// The port of DNS.
const PORT: u16 = 53;
/// The most questions that wait for upstream servers at a time, from all and from one address; one more is told SERVFAIL
/// at once.
const MAX_FORWARDED: usize = 1_024;
const MAX_FORWARDED_EACH: usize = 64;
/// The most TCP connections at a time, from all and from one address.
const MAX_CONNECTIONS: usize = 128;
const MAX_CONNECTIONS_EACH: usize = 8;
/// The most questions of one connection that are worked on at a time (RFC 7766 §6.2.1.1).
const MAX_PIPELINED: usize = 16;
/// How long a TCP connection may be idle, or take over one message (RFC 7766 §6.2.3).
const IDLE: Duration = Duration::from_secs(5);
/// How long to rest after the kernel refused something, so that a lasting error does not burn a CPU.
const REST: Duration = Duration::from_millis(50);
/// Room for datagrams while others are answered: a thousand guests may start at once.
const RECEIVE_BUFFER: usize = 4 << 20;

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
    let udp = UdpSocket::bind(address).map_err(refused(address, Protocol::Udp))?;
    // Beyond net.core.rmem_max only with CAP_NET_ADMIN; what the kernel grants without it is still more.
    let enlarged = sockopt::set_socket_recv_buffer_size_force(&udp, RECEIVE_BUFFER)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(&udp, RECEIVE_BUFFER));
    if let Err(error) = enlarged {
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
        let desk = Arc::new(Desk {
            upstream: Upstream::of(Arc::clone(&network), address, resolv_conf),
            network,
            directory,
            forwarding: Seats::new(MAX_FORWARDED, MAX_FORWARDED_EACH),
        });
        let mut datagrams = match Datagrams::start(Arc::clone(&desk), udp) {
            Ok(datagrams) => datagrams,
            Err(error) => {
                error!(network = %desk.network.name, %error, "DNS can not be served: no thread could be started.");
                return;
            }
        };
        info!(network = %desk.network.name, %address, "DNS is served");
        tokio::select! {
            () = stop.cancelled() => {}
            () = datagrams.ended() => error!(network = %desk.network.name, "DNS ended: the thread of its datagrams did."),
            () = connections(Arc::clone(&desk), tcp) => {}
        }
        datagrams.stop();
        datagrams.ended().await;
    }
}

/// What datagrams and connections are answered from.
pub(super) struct Desk {
    pub(super) network: Arc<Network>,
    pub(super) directory: Arc<Published>,
    upstream: Upstream,
    forwarding: Arc<Seats>,
}

impl Desk {
    /// Decides on a message. No message ends the server, whatever is wrong with the code that reads it.
    pub(super) fn decide(
        &self,
        directory: &Directory,
        from: (SocketAddr, Protocol),
        bytes: &[u8],
    ) -> Decision {
        let deciding = || decide(directory, &self.network, from, bytes);
        catch_unwind(AssertUnwindSafe(deciding)).unwrap_or_else(|_| {
            error!(network = %self.network.name, ip = %from.0.ip(), "a DNS message broke its reader: it is dropped");
            Decision::Silence
        })
    }

    /// A place for a question that waits for upstream servers.
    pub(super) fn seat(&self, source: IpAddr) -> Option<Seat> {
        match source {
            IpAddr::V4(source) => self.forwarding.take(source),
            IpAddr::V6(_) => None,
        }
    }

    /// What an upstream server says to a question from `source`.
    pub(super) async fn forward(&self, asked: &Asked, source: IpAddr) -> Vec<u8> {
        let directory = self.directory.load_full();
        let said = self.upstream.ask(asked.onward(), source, &directory).await;
        asked.forwarded(said)
    }
}

/// Accepts connections, each answered by a task of its own.
async fn connections(desk: Arc<Desk>, tcp: TcpListener) {
    let seats = Seats::new(MAX_CONNECTIONS, MAX_CONNECTIONS_EACH);
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = tasks.join_next() => continue,
            accepted = tcp.accept() => accepted,
        };
        match accepted {
            Ok((stream, source)) => {
                let seat = match source.ip() {
                    IpAddr::V4(ip) if may_ask(&desk.network, source.ip()) => seats.take(ip),
                    _ => None,
                };
                if let Some(seat) = seat {
                    tasks.spawn(connection(Arc::clone(&desk), stream, source, seat));
                }
            }
            Err(error) => {
                warn!(network = %desk.network.name, %error, "a DNS connection could not be accepted.");
                sleep(REST).await;
            }
        }
    }
}

/// Answers the messages of one connection until it is closed, idle or broken.
async fn connection(desk: Arc<Desk>, stream: TcpStream, source: SocketAddr, _seat: Seat) {
    let (read, write) = stream.into_split();
    let (replies, queue) = mpsc::channel(MAX_PIPELINED);
    let reading = reader(Arc::clone(&desk), read, source, replies);
    // Both: what was asked before the asker closed its side is still answered.
    let (why, ()) = tokio::join!(reading, writer(write, queue));
    debug!(network = %desk.network.name, ip = %source.ip(), why, "a DNS connection ended");
}

/// Reads questions and has them answered; says why it ends.
///
/// RFC 7766 §6.2.1.1: what takes long does not hold up what was asked after it.
async fn reader(
    desk: Arc<Desk>,
    mut stream: OwnedReadHalf,
    source: SocketAddr,
    replies: mpsc::Sender<Vec<u8>>,
) -> &'static str {
    let mut waiting = JoinSet::new();
    let why = loop {
        let bytes = match timeout(IDLE, message(&mut stream)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(_)) => break "closed or broken",
            Err(_) => break "idle for too long",
        };
        while waiting.len() >= MAX_PIPELINED {
            waiting.join_next().await;
        }
        let directory = desk.directory.load_full();
        let sent = match desk.decide(&directory, (source, Protocol::Tcp), &bytes) {
            Decision::Silence => break "not a question",
            Decision::Reply(reply) => replies.send(reply).await,
            Decision::Transfer(transfer) => {
                let mut sent = Ok(());
                for reply in transfer.messages(&directory, &desk.network) {
                    sent = replies.send(reply).await;
                    if sent.is_err() {
                        break;
                    }
                }
                sent
            }
            Decision::Forward(asked) => {
                let (desk, replies) = (Arc::clone(&desk), replies.clone());
                waiting.spawn(async move {
                    let reply = match desk.seat(source.ip()) {
                        Some(_seat) => desk.forward(&asked, source.ip()).await,
                        None => asked.forwarded(Forwarded::Failed),
                    };
                    drop(replies.send(reply).await);
                });
                Ok(())
            }
        };
        if sent.is_err() {
            break "it does not read its answers";
        }
    };
    while waiting.join_next().await.is_some() {}
    why
}

/// Writes replies as they come, until there will be no more or the other side does not take them.
async fn writer(mut stream: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(reply) = queue.recv().await {
        let Ok(Ok(())) = timeout(IDLE, write(&mut stream, &reply)).await else {
            return;
        };
    }
}

/// One message of a stream (RFC 1035 §4.2.2). Its room grows with what arrives, not with what was announced.
async fn message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut bytes).await?;
    if bytes.len() < usize::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// RFC 7766 §8: the length and the message in one write.
async fn write(stream: &mut (impl tokio::io::AsyncWrite + Unpin), reply: &[u8]) -> io::Result<()> {
    let length = u16::try_from(reply.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let framed = [&length.to_be_bytes(), reply].concat();
    stream.write_all(&framed).await
}

#[cfg(test)]
mod tests;
