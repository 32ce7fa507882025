//! Many datagrams in one system call: `recvmmsg` and `sendmmsg` over buffers that are allocated once. The unsafe code
//! of the sockets is here. Not that of `src/net`: what measures must not share a fault or a cost with what is measured.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use rustix::net::AddressFamily;
use socket2::{SockAddr, SockAddrStorage};

/// Room for one datagram or frame: more than a DHCP or DNS message over UDP needs here.
const ROOM: usize = 2048;

/// Buffers for a number of messages, with the headers that the kernel wants.
pub(crate) struct Batch {
    // The headers point into the three others, which are never resized: what they point to lives as long as they do.
    rooms: Box<[[u8; ROOM]]>,
    peers: Box<[libc::sockaddr_in]>,
    _slices: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    /// Whether messages carry their peer's address: not those of a connected or packet socket.
    addressed: bool,
}

/// The length of a socket address, as the kernel counts it.
const PEER: u32 = 16;
const _: () = assert!(size_of::<libc::sockaddr_in>() == 16);

#[expect(
    unsafe_code,
    reason = "neither rustix nor socket2 has recvmmsg, nor a sockaddr_ll"
)]
impl Batch {
    /// Room for `capacity` messages.
    pub(crate) fn new(capacity: usize, addressed: bool) -> Self {
        let mut rooms = vec![[0; ROOM]; capacity].into_boxed_slice();
        // SAFETY: both are plain C structures for which all bytes zero is a value.
        let (no_peer, no_header): (libc::sockaddr_in, libc::mmsghdr) = unsafe { std::mem::zeroed() };
        let mut peers = vec![no_peer; capacity].into_boxed_slice();
        let slice_of = |room: &mut [u8; ROOM]| libc::iovec {
            iov_base: room.as_mut_ptr().cast(),
            iov_len: ROOM,
        };
        let mut slices: Box<[libc::iovec]> = rooms.iter_mut().map(slice_of).collect();
        let mut headers = vec![no_header; capacity].into_boxed_slice();
        for ((header, slice), peer) in headers.iter_mut().zip(&mut slices).zip(&mut peers) {
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            if addressed {
                header.msg_hdr.msg_name = ptr::from_mut(peer).cast();
                header.msg_hdr.msg_namelen = PEER;
            }
        }
        Self {
            rooms,
            peers,
            _slices: slices,
            headers,
            addressed,
        }
    }

    /// How many messages fit.
    pub(crate) const fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// The whole buffer of one message, to write into; then say the length with [`Self::set_length`].
    pub(crate) fn room(&mut self, index: usize) -> &mut [u8; ROOM] {
        &mut self.rooms[index]
    }

    /// How much of one message's buffer is to be sent.
    pub(crate) fn set_length(&mut self, index: usize, length: usize) {
        assert!(length <= ROOM, "a message of {length} octets");
        // SAFETY: `new` made it point to its iovec, which lives and stays where it is as long as `self`.
        unsafe { (*self.headers[index].msg_hdr.msg_iov).iov_len = length }
    }

    /// A message that [`Self::receive`] has brought.
    pub(crate) fn message(&self, index: usize) -> &[u8] {
        &self.rooms[index][..(self.headers[index].msg_len as usize).min(ROOM)]
    }

    /// Who sent a message that was received.
    pub(crate) fn peer(&self, index: usize) -> SocketAddrV4 {
        let peer = &self.peers[index];
        SocketAddrV4::new(
            Ipv4Addr::from(peer.sin_addr.s_addr.to_ne_bytes()),
            u16::from_be(peer.sin_port),
        )
    }

    /// To whom a message is to be sent.
    pub(crate) fn set_peer(&mut self, index: usize, to: SocketAddrV4) {
        let peer = &mut self.peers[index];
        peer.sin_family = AddressFamily::INET.as_raw();
        peer.sin_port = to.port().to_be();
        peer.sin_addr.s_addr = u32::from_ne_bytes(to.ip().octets());
    }

    /// Takes what has arrived, without waiting; 0 when nothing has.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for index in 0..self.headers.len() {
            self.set_length(index, ROOM);
            if self.addressed {
                self.headers[index].msg_hdr.msg_namelen = PEER;
            }
        }
        let count = u32::try_from(self.headers.len()).unwrap_or(u32::MAX);
        // SAFETY: the headers, and the buffers they point to, are `self`'s own and as many and long as is said.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        match counted(received) {
            // A datagram socket also tells of an ICMP error here: nobody listens there yet.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(0)
            }
            other => other,
        }
    }

    /// Sends the first `count` messages; waits for room in the socket's buffer.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, count: usize) -> io::Result<()> {
        let mut sent = 0;
        while sent < count {
            let rest = &mut self.headers[sent..count];
            let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            // SAFETY: as in `receive`; `rest` is within the headers.
            match counted(unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), length, 0) }) {
                Ok(more) => sent += more,
                // ENOBUFS is a full queue of the device; as on a wire, the frame is lost.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => sent += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn counted(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// The address of a packet socket on an interface (packet(7)), for one Ethernet type or for none.
#[expect(
    unsafe_code,
    reason = "neither socket2 nor rustix can make a sockaddr_ll safely"
)]
pub(crate) fn link_address(index: u32, ethertype: u16) -> io::Result<SockAddr> {
    let index = i32::try_from(index).map_err(io::Error::other)?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is smaller than the storage (view_as asserts it), and the length is that of what was written.
    unsafe {
        let address = storage.view_as::<libc::sockaddr_ll>();
        address.sll_family = AddressFamily::PACKET.as_raw();
        address.sll_protocol = ethertype.to_be();
        address.sll_ifindex = index;
        Ok(SockAddr::new(storage, length))
    }
}
