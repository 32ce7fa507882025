//! The sockets: a packet socket on the guests' side of the bridge, and what the canned responders listen on.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{netdevice, sockopt};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::batch::link_address;
use crate::hosts::Mac;

/// Room for the replies to some thousand guests at once, so that a loss is the server's and never the driver's.
const BUFFER: usize = 64 << 20;
const ETHERTYPE_IPV4: u16 = 0x0800;

/// Sends and receives the frames of all guests behind one port of the bridge.
pub(crate) fn guests(interface: &str) -> io::Result<Socket> {
    let socket = packet_socket(interface, ETHERTYPE_IPV4)?;
    // Else the kernel would hand back each frame that we send.
    socket.attach_filter(&to_dhcp_clients())?;
    sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    Ok(socket)
}

/// Sends frames on an interface; receives nothing (protocol 0, packet(7)).
pub(crate) fn transmitter(interface: &str) -> io::Result<Socket> {
    packet_socket(interface, 0)
}

fn packet_socket(interface: &str, ethertype: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    sockopt::set_socket_send_buffer_size_force(&socket, BUFFER)?;
    let index = netdevice::name_to_index(&socket, interface)
        .map_err(|error| io::Error::other(format!("interface {interface}: {error}")))?;
    socket.bind(&link_address(index, ethertype)?)?;
    Ok(socket)
}

/// Accepts IPv4 UDP to port 68 and nothing else (a classic BPF program).
fn to_dhcp_clients() -> [SockFilter; 9] {
    // Load a byte, a half word, a half word at X; the length of the IPv4 header into X; jump if equal; return.
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_HALF_AT: u16 = 0x48;
    const HEADER: u16 = 0xb1;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_HALF, 0, 0, 12),
        SockFilter::new(EQUAL, 0, 6, ETHERTYPE_IPV4.into()),
        SockFilter::new(LOAD_BYTE, 0, 0, 23),
        SockFilter::new(EQUAL, 0, 4, 17),
        SockFilter::new(HEADER, 0, 0, 14),
        SockFilter::new(LOAD_HALF_AT, 0, 0, 16),
        SockFilter::new(EQUAL, 0, 1, 68),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// A UDP socket on a port, on all addresses of one interface.
pub(crate) fn listener(interface: &str, port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_broadcast(true)?;
    sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
    Ok(socket)
}

/// A UDP socket that talks to one server only.
pub(crate) fn connected(to: SocketAddrV4) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.connect(&to.into())?;
    Ok(socket)
}

/// The hardware address of an interface.
pub(crate) fn hardware_address(interface: &str) -> io::Result<Mac> {
    let path = Path::new("/sys/class/net").join(interface).join("address");
    let text = std::fs::read_to_string(&path)?;
    crate::hosts::parse_mac(text.trim())
        .ok_or_else(|| io::Error::other(format!("{}: {text}", path.display())))
}

/// Waits until something can be read from one of the sockets, or the time is up.
pub(crate) fn wait(sockets: &[BorrowedFd<'_>], at_most: Duration) -> io::Result<()> {
    let mut polled: Vec<PollFd<'_>> = sockets
        .iter()
        .map(|socket| PollFd::from_borrowed_fd(*socket, PollFlags::IN))
        .collect();
    wait_for(&mut polled, at_most)
}

/// As [`wait`], for one socket, without allocating.
pub(crate) fn wait_one(socket: &Socket, at_most: Duration) -> io::Result<()> {
    wait_for(
        &mut [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)],
        at_most,
    )
}

fn wait_for(polled: &mut [PollFd<'_>], at_most: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(at_most).map_err(io::Error::other)?;
    match poll(polled, Some(&timeout)) {
        Err(error) if error != rustix::io::Errno::INTR => Err(error.into()),
        _ => Ok(()),
    }
}
