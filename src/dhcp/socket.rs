//! The sockets of one bridge: receive, have it answered, send, tell the ladder. No rules are here.
//!
//! Two sockets, because no single one does both well: a UDP socket bound to the bridge receives (the kernel has
//! checked the packet, and sees that nobody else serves there), and a packet socket sends, to stations that can not
//! answer ARP yet and without a UDP checksum that the bridge would leave half done.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, netdevice, sockopt};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, trace, warn};

use super::frame::SERVER_PORT;
use super::{Arrival, Destination, Malformed, Offers, Response, Scope, respond};
use crate::model::directory::Published;
use crate::model::{BridgeName, Clock, Directory, Event, MacAddress, Network, mac};

/// Room for the DISCOVERs of some thousand guests that are started at once.
const BUFFER: usize = 4 << 20;
/// The longest packet that is read: no client sends one longer than a frame.
const LONGEST: usize = 2048;
/// How many packets are answered before other tasks have their turn.
const BATCH: usize = 256;
/// How long a socket rests after an error that may come again at once.
const PAUSE: Duration = Duration::from_millis(100);
/// The Ethernet type of IPv4.
const ETHERTYPE_IPV4: u16 = 0x0800;

/// Why DHCP can not be served on a bridge.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has the port there.
    #[error(
        "UDP port 67 on bridge {bridge} is taken by another DHCP server: stop it, or keep it off {bridge} \
         (`ss -lunp 'sport = :67'` names it)"
    )]
    Taken {
        /// The bridge.
        bridge: BridgeName,
    },
    /// The bridge is not there.
    #[error("bridge {bridge} does not exist, so DHCP can not be served on it")]
    NoBridge {
        /// The bridge.
        bridge: BridgeName,
    },
    /// Not root, and without the capabilities.
    #[error(
        "serving DHCP on bridge {bridge} is not permitted: run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE"
    )]
    NotPermitted {
        /// The bridge.
        bridge: BridgeName,
    },
    /// Anything else the kernel said.
    #[error("can not {what} for DHCP on bridge {bridge}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The bridge.
        bridge: BridgeName,
        /// What the kernel said.
        source: io::Error,
    },
}

impl BindError {
    fn of(what: &'static str, bridge: &BridgeName, source: io::Error) -> Self {
        let bridge = bridge.clone();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Taken { bridge },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { bridge },
            _ if Errno::from_io_error(&source) == Some(Errno::NODEV) => Self::NoBridge { bridge },
            _ => Self::Io { what, bridge, source },
        }
    }
}

/// The DHCP server of one network, bound to its bridge and not yet serving.
#[derive(Debug)]
pub struct Socket {
    network: Network,
    udp: std::net::UdpSocket,
    link: Link,
}

impl Socket {
    /// Takes UDP port 67 on the network's bridge, which must exist.
    ///
    /// The port is not shared (no `SO_REUSEADDR`): a second DHCP server there is an error now, not two answers later.
    pub fn bind(network: &Network) -> Result<Self, BindError> {
        let bridge = &network.bridge;
        let failed = |what| move |source| BindError::of(what, bridge, source);
        let udp = socket2::Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))
            .map_err(failed("open a UDP socket"))?;
        udp.bind_device(Some(bridge.as_str().as_bytes()))
            .map_err(failed("bind a socket to the bridge"))?;
        udp.set_broadcast(true).map_err(failed("allow broadcasts"))?;
        udp.set_nonblocking(true).map_err(failed("set up a socket"))?;
        // Beyond net.core.rmem_max only with CAP_NET_ADMIN; what the kernel grants without it is still more.
        if sockopt::set_socket_recv_buffer_size_force(&udp, BUFFER).is_err() {
            udp.set_recv_buffer_size(BUFFER)
                .map_err(failed("enlarge the receive buffer"))?;
        }
        udp.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, SERVER_PORT).into())
            .map_err(failed("take UDP port 67"))?;
        let link = Link::open(bridge).map_err(failed("open a packet socket"))?;
        Ok(Self {
            network: network.clone(),
            udp: udp.into(),
            link,
        })
    }

    /// Serves until `stop`. Survives every error; an event that nobody takes in time is dropped.
    pub async fn serve(
        self,
        directory: Arc<Published>,
        events: mpsc::Sender<Event>,
        stop: CancellationToken,
    ) {
        let Self { network, udp, link } = self;
        let name = network.name.clone();
        let udp = match UdpSocket::from_std(udp) {
            Ok(udp) => udp,
            Err(error) => return error!(network = %name, %error, "DHCP can not be served: no event loop"),
        };
        info!(network = %name, bridge = %network.bridge, "serving DHCP");
        let mut server = Server {
            network,
            directory,
            events,
            link,
            offers: Offers::default(),
            out: Vec::new(),
            count: Count::default(),
        };
        loop {
            let ready = tokio::select! {
                // In this order: a flood of packets must not keep the server from stopping.
                biased;
                () = stop.cancelled() => break,
                ready = udp.readable() => ready,
            };
            if let Err(error) = ready.and_then(|()| server.drain(&udp)) {
                warn!(network = %name, %error, "receiving DHCP failed; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            tokio::task::yield_now().await;
        }
        info!(network = %name, count = ?server.count, "DHCP stopped");
    }
}

/// What a server has done since it started.
#[derive(Debug, Default)]
struct Count {
    received: u64,
    sent: u64,
    unsent: u64,
    malformed: u64,
    panicked: u64,
    events_lost: u64,
}

/// A serving socket's state.
struct Server {
    network: Network,
    directory: Arc<Published>,
    events: mpsc::Sender<Event>,
    link: Link,
    offers: Offers,
    /// The reply that is being sent.
    out: Vec<u8>,
    count: Count,
}

impl Server {
    /// Answers what has arrived, a batch at most, from one revision of the directory.
    fn drain(&mut self, udp: &UdpSocket) -> io::Result<()> {
        let directory = self.directory.load_full();
        let mut buffer = [0; LONGEST];
        for _ in 0..BATCH {
            match udp.try_recv_from(&mut buffer) {
                Ok((length, SocketAddr::V4(source))) => {
                    self.handle(&directory, source, buffer.get(..length).unwrap_or_default());
                }
                Ok((_, SocketAddr::V6(_))) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Answers one packet. Parser and rules do not panic (property tests); should one ever, this packet alone is lost.
    fn handle(&mut self, directory: &Directory, source: SocketAddrV4, payload: &[u8]) {
        self.count.received += 1;
        let scope = Scope {
            local: Some(&self.network),
            relayed: &[],
            directory,
        };
        let arrival = Arrival {
            payload,
            source,
            port: SERVER_PORT,
        };
        let (offers, out) = (&mut self.offers, &mut self.out);
        let now = Clock.now();
        match catch_unwind(AssertUnwindSafe(|| respond(&scope, offers, &arrival, now, out))) {
            Ok(Ok(response)) => self.obey(response),
            Ok(Err(malformed)) => self.discard(malformed),
            Err(_) => {
                self.count.panicked += 1;
                error!(network = %self.network.name, count = self.count.panicked, "a DHCP packet caused a panic; it was dropped");
            }
        }
    }

    fn discard(&mut self, malformed: Malformed) {
        self.count.malformed += 1;
        trace!(network = %self.network.name, why = %malformed, "dropped a DHCP packet");
    }

    /// Sends before it tells: the guest waits for the one, nobody for the other.
    fn obey(&mut self, response: Response) {
        let Response {
            client,
            vm,
            to,
            event,
            verdict,
            ..
        } = response;
        let mac = mac::text(client);
        if let Some(vm) = vm {
            debug!(vm = %vm.name, network = %self.network.name, mac, ip = %vm.address, "DHCP: {}: {verdict:?}", vm.name);
        } else {
            debug!(network = %self.network.name, mac, "DHCP: {mac}: {verdict:?}");
        }
        if let Some((to, _)) = to.and_then(Destination::link) {
            match self.link.send(to, &self.out) {
                Ok(()) => self.count.sent += 1,
                Err(error) => {
                    self.count.unsent += 1;
                    warn!(network = %self.network.name, mac, %error, "a DHCP reply could not be sent; the client will ask again");
                }
            }
        }
        if let Some(event) = event
            && let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event)
        {
            self.count.events_lost += 1;
            debug!(vm = %event.vm, "the ladder is busy: a DHCP event was dropped");
        }
    }
}

/// A transmit-only packet socket on a bridge.
#[derive(Debug)]
struct Link {
    socket: socket2::Socket,
    /// The bridge's interface index.
    index: i32,
}

impl Link {
    fn open(bridge: &BridgeName) -> io::Result<Self> {
        // SOCK_DGRAM: the kernel writes the Ethernet header, with the source address the bridge has at that moment.
        // Protocol 0: nothing is ever received (packet(7)).
        let socket = socket2::Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        if sockopt::set_socket_send_buffer_size_force(&socket, BUFFER).is_err() {
            socket.set_send_buffer_size(BUFFER)?;
        }
        let index = netdevice::name_to_index(&socket, bridge.as_str())?;
        let index = i32::try_from(index).map_err(|_| io::Error::from(Errno::NODEV))?;
        Ok(Self { socket, index })
    }

    /// Sends an IPv4 packet to a station.
    fn send(&self, to: MacAddress, packet: &[u8]) -> io::Result<()> {
        self.socket
            .send_to(packet, &link_address(self.index, to))
            .map(|_| ())
    }
}

/// `struct sockaddr_ll` (packet(7)).
#[repr(C)]
struct LinkAddress {
    family: u16,
    protocol: u16,
    index: i32,
    hardware_type: u16,
    packet_type: u8,
    length: u8,
    address: [u8; 8],
}

/// The socket address of a station behind an interface, for IPv4.
#[expect(
    unsafe_code,
    reason = "neither socket2 nor rustix can make a sockaddr_ll safely"
)]
fn link_address(index: i32, station: MacAddress) -> SockAddr {
    let [a, b, c, d, e, f] = station.bytes();
    let address = LinkAddress {
        family: AddressFamily::PACKET.as_raw(),
        protocol: ETHERTYPE_IPV4.to_be(),
        index,
        hardware_type: 0,
        packet_type: 0,
        length: 6,
        address: [a, b, c, d, e, f, 0, 0],
    };
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: LinkAddress has the layout of Linux's sockaddr_ll, is smaller than the storage (view_as asserts it) and
    // needs no stricter alignment; the length given is that of what was written, and the family is its own.
    unsafe {
        *storage.view_as::<LinkAddress>() = address;
        SockAddr::new(storage, 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_address_is_as_long_as_the_kernel_says() {
        assert_eq!(size_of::<LinkAddress>(), 20);
        let address = link_address(7, MacAddress::new([2, 0, 0, 0, 0, 1]));
        assert_eq!((address.len(), address.domain()), (20, Domain::PACKET));
    }

    #[test]
    fn an_error_names_the_bridge_and_what_to_do() {
        let bridge: BridgeName = "br-lab".parse().unwrap();
        let text = |errno: Errno| BindError::of("take UDP port 67", &bridge, errno.into()).to_string();
        assert!(text(Errno::ADDRINUSE).contains("br-lab is taken by another DHCP server"));
        assert!(text(Errno::NODEV).contains("br-lab does not exist"));
        assert!(text(Errno::PERM).contains("run as root"));
        assert!(text(Errno::NOBUFS).contains("take UDP port 67"));
    }
}
