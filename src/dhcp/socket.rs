//! The sockets of one interface, bound and ready to serve.
//!
//! Two for each port, because no single one does both well: a UDP socket bound to the interface receives (the kernel has
//! checked the packet, and sees that nobody else serves there), and a packet socket sends, to stations that can not
//! answer ARP yet and without a UDP checksum that the bridge would leave half done.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use rustix::io::Errno;
use rustix::net::{netdevice, sockopt};
use socket2::{Domain, Protocol, Type};

use super::frame::SERVER_PORT;
use super::interface::Interface;
use crate::model::dhcp::DhcpMode;
use crate::model::{BridgeName, MacAddress};
use crate::net::Address;

/// Room for the DISCOVERs of some thousand guests that are started at once.
const BUFFER: usize = 8 << 20;
/// Where PXE firmware asks a proxy for its boot file (PXE 2.1 §2.2.5, "boot server discovery").
const BOOT_SERVER_PORT: u16 = 4011;
/// The Ethernet type of IPv4.
const ETHERTYPE_IPV4: u16 = 0x0800;

/// Why DHCP can not be served on an interface.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has the port there.
    #[error(
        "UDP port {port} on {interface} is taken by another DHCP server: stop it, or keep it off {interface} \
         (`ss -lunp 'sport = :{port}'` names it)"
    )]
    Taken {
        /// The interface.
        interface: BridgeName,
        /// The port.
        port: u16,
    },
    /// The interface is not there.
    #[error("there is no interface {interface}, so DHCP can not be served on it")]
    NoInterface {
        /// The interface.
        interface: BridgeName,
    },
    /// Not root, and without the capabilities.
    #[error(
        "serving DHCP on {interface} is not permitted: run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE"
    )]
    NotPermitted {
        /// The interface.
        interface: BridgeName,
    },
    /// Anything else the kernel said.
    #[error("can not {what} for DHCP on {interface}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The interface.
        interface: BridgeName,
        /// What the kernel said.
        source: io::Error,
    },
}

impl BindError {
    fn of(what: &'static str, interface: &BridgeName, port: u16, source: io::Error) -> Self {
        let interface = interface.clone();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Taken { interface, port },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { interface },
            _ if Errno::from_io_error(&source) == Some(Errno::NODEV) => Self::NoInterface { interface },
            _ => Self::Io {
                what,
                interface,
                source,
            },
        }
    }
}

/// The DHCP server of one interface, bound to it and not yet serving.
#[derive(Debug)]
pub struct Socket {
    pub(super) interface: Interface,
    /// One for each port.
    pub(super) ports: Vec<(u16, std::net::UdpSocket)>,
    pub(super) link: Link,
}

impl Socket {
    /// Takes UDP port 67 on the interface, which must exist; for a proxy, also the port of boot servers.
    ///
    /// The ports are not shared (no `SO_REUSEADDR`): a second DHCP server there is an error now, not two answers later.
    pub fn bind(interface: Interface) -> Result<Self, BindError> {
        let is_proxy = |mode| matches!(mode, DhcpMode::Proxy);
        let proxies = interface
            .local
            .as_ref()
            .is_some_and(|network| is_proxy(network.dhcp.mode));
        let mut ports = Vec::new();
        for number in [SERVER_PORT, BOOT_SERVER_PORT]
            .into_iter()
            .take(if proxies { 2 } else { 1 })
        {
            ports.push((number, port(&interface.name, number)?));
        }
        let link = Link::open(&interface.name)
            .map_err(|source| BindError::of("open a packet socket", &interface.name, SERVER_PORT, source))?;
        Ok(Self {
            interface,
            ports,
            link,
        })
    }
}

/// A UDP socket on one port of one interface. It blocks: a thread of its own waits at it.
fn port(interface: &BridgeName, port: u16) -> Result<std::net::UdpSocket, BindError> {
    let failed = |what| move |source| BindError::of(what, interface, port, source);
    let udp = socket2::Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))
        .map_err(failed("open a UDP socket"))?;
    udp.bind_device(Some(interface.as_str().as_bytes()))
        .map_err(failed("bind a socket to the interface"))?;
    udp.set_broadcast(true).map_err(failed("allow broadcasts"))?;
    // Beyond net.core.rmem_max only with CAP_NET_ADMIN; what the kernel grants without it is still more.
    if sockopt::set_socket_recv_buffer_size_force(&udp, BUFFER).is_err() {
        udp.set_recv_buffer_size(BUFFER)
            .map_err(failed("enlarge the receive buffer"))?;
    }
    udp.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())
        .map_err(failed("take its UDP port"))?;
    Ok(udp.into())
}

/// A transmit-only packet socket on an interface.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: socket2::Socket,
    /// The interface's index.
    index: i32,
}

impl Link {
    fn open(interface: &BridgeName) -> io::Result<Self> {
        // SOCK_DGRAM: the kernel writes the Ethernet header, with the source address the interface has at that moment.
        // Protocol 0: nothing is ever received (packet(7)).
        let socket = socket2::Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        if sockopt::set_socket_send_buffer_size_force(&socket, BUFFER).is_err() {
            socket.set_send_buffer_size(BUFFER)?;
        }
        let index = netdevice::name_to_index(&socket, interface.as_str())?;
        let index = i32::try_from(index).map_err(|_| io::Error::from(Errno::NODEV))?;
        Ok(Self { socket, index })
    }

    /// Another handle on the same socket.
    pub(super) fn share(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            index: self.index,
        })
    }

    /// The socket address of a station behind the interface, for IPv4: `struct sockaddr_ll` (packet(7)).
    pub(super) fn station(&self, mac: MacAddress) -> Option<Address> {
        let family = u16::try_from(libc::AF_PACKET).ok()?;
        let mut octets = [0; 20];
        let parts: [&[u8]; 6] = [
            &family.to_ne_bytes(),
            &ETHERTYPE_IPV4.to_be_bytes(),
            &self.index.to_ne_bytes(),
            // The hardware type and the packet type are for what is received; then the length of the address.
            &[0, 0, 0, 6],
            &mac.bytes(),
            &[0, 0],
        ];
        let mut rest = octets.as_mut_slice();
        for part in parts {
            let (start, end) = rest.split_at_mut_checked(part.len())?;
            start.copy_from_slice(part);
            rest = end;
        }
        Address::from_bytes(&octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_interface_and_what_to_do() {
        let interface: BridgeName = "br-lab".parse().unwrap();
        let text =
            |errno: Errno| BindError::of("take its UDP port", &interface, 67, errno.into()).to_string();
        assert!(text(Errno::ADDRINUSE).contains("port 67 on br-lab is taken by another DHCP server"));
        assert!(text(Errno::NODEV).contains("no interface br-lab"));
        assert!(text(Errno::PERM).contains("run as root"));
        assert!(text(Errno::NOBUFS).contains("take its UDP port"));
    }

    #[test]
    fn a_stations_address_is_a_sockaddr_ll() {
        let link = Link {
            socket: socket2::Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap(),
            index: 7,
        };
        let address = link.station(MacAddress::new([2, 0, 0, 0, 0, 1])).unwrap();
        assert_eq!(address.as_bytes().len(), size_of::<libc::sockaddr_ll>());
        assert_eq!(address.as_bytes()[2..4], [8, 0]);
        assert_eq!(address.as_bytes()[4..8], 7_i32.to_ne_bytes());
        assert_eq!(address.as_bytes()[11..18], [6, 2, 0, 0, 0, 0, 1]);
    }
}
