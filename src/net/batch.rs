//! Datagrams in batches: many received by one recvmmsg(2), many sent by one sendmmsg(2), nothing allocated on the way.
//!
//! At the rates where it matters a server's time goes into system calls and wake-ups, not into its answers. With one
//! call for all that has arrived, and one for all that is answered, their price is shared by the batch. An [`Inbox`]
//! and an [`Outbox`] own their room from the start; a socket is lent to them for the call.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _};

/// The most datagrams of one call.
pub const MOST: usize = 64;

/// The longest socket address kept here: `sockaddr_in6`, of 28 octets; `sockaddr_ll` has 20.
const LONGEST_ADDRESS: usize = size_of::<libc::sockaddr_in6>();

/// A socket address as the kernel has it, of any family: `sockaddr_in`, `sockaddr_in6`, `sockaddr_ll`.
///
/// Where a datagram came from is where its answer goes, so on that way it is never taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    bytes: [u8; LONGEST_ADDRESS],
    length: u8,
}

impl Address {
    const NONE: Self = Self {
        bytes: [0; LONGEST_ADDRESS],
        length: 0,
    };

    /// The address with these octets, such as those of a `sockaddr_ll`; `None` when they are more than 28.
    pub fn from_bytes(octets: &[u8]) -> Option<Self> {
        let mut address = Self::NONE;
        address.bytes.get_mut(..octets.len())?.copy_from_slice(octets);
        address.length = u8::try_from(octets.len()).ok()?;
        Some(address)
    }

    /// Its octets.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// As an internet address; `None` when it is of another family.
    pub fn internet(&self) -> Option<SocketAddr> {
        let (family, rest) = self.as_bytes().split_first_chunk::<2>()?;
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let ip = match i32::from(u16::from_ne_bytes(*family)) {
            libc::AF_INET => IpAddr::V4(Ipv4Addr::from(*rest.first_chunk::<4>()?)),
            // The flow label stands before the address, the scope behind it.
            libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?)),
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let mut octets = [0; LONGEST_ADDRESS];
        let mut end = 0;
        let mut put = |part: &[u8]| {
            if let Some(room) = octets.get_mut(end..end + part.len()) {
                room.copy_from_slice(part);
                end += part.len();
            }
        };
        let family = |number: i32| u16::try_from(number).unwrap_or_default().to_ne_bytes();
        match address {
            SocketAddr::V4(v4) => {
                put(&family(libc::AF_INET));
                put(&v4.port().to_be_bytes());
                put(&v4.ip().octets());
                put(&[0; 8]);
            }
            SocketAddr::V6(v6) => {
                put(&family(libc::AF_INET6));
                put(&v6.port().to_be_bytes());
                put(&v6.flowinfo().to_ne_bytes());
                put(&v6.ip().octets());
                put(&v6.scope_id().to_ne_bytes());
            }
        }
        Self {
            bytes: octets,
            length: u8::try_from(end).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.internet() {
            Some(address) => write!(f, "{address}"),
            None => write!(f, "{:02x?}", self.as_bytes()),
        }
    }
}

/// Whether a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until there is one datagram, and then no longer. On a non-blocking socket it is as [`Wait::Never`].
    ForOne,
    /// Not at all: with nothing there the call fails with [`io::ErrorKind::WouldBlock`].
    Never,
}

/// Room for a batch of datagrams that come in.
pub struct Inbox {
    bytes: Box<[u8]>,
    each: usize,
    slots: Box<[Slot]>,
    filled: usize,
}

/// What the kernel said about one datagram.
#[derive(Clone, Copy)]
struct Slot {
    source: Address,
    length: usize,
    truncated: bool,
}

/// A datagram that came in.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Its content, as far as there was room for it.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub source: &'a Address,
    /// Whether it was longer than the room.
    pub truncated: bool,
}

impl Inbox {
    /// Room for `slots` datagrams (at most [`MOST`]) of `each` octets.
    pub fn new(slots: usize, each: usize) -> Self {
        let (slots, each) = (slots.clamp(1, MOST), each.max(1));
        let empty = Slot {
            source: Address::NONE,
            length: 0,
            truncated: false,
        };
        Self {
            bytes: vec![0; slots * each].into(),
            each,
            slots: vec![empty; slots].into(),
            filled: 0,
        }
    }

    /// Receives what has arrived, as far as there is room, in place of what was there before; says how many.
    ///
    /// Who waits here while the socket is shut down gets one empty datagram from nobody.
    pub fn receive(&mut self, socket: impl AsFd, wait: Wait) -> io::Result<usize> {
        self.filled = 0;
        let mut vectors = [NO_VECTOR; MOST];
        let mut headers = no_headers();
        let rooms = self.bytes.chunks_exact_mut(self.each).zip(&mut self.slots);
        for ((header, vector), (room, slot)) in headers.iter_mut().zip(&mut vectors).zip(rooms) {
            point(header, vector, room.as_mut_ptr(), room.len());
            header.msg_hdr.msg_name = slot.source.bytes.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = u32::try_from(LONGEST_ADDRESS).unwrap_or_default();
        }
        let flags = match wait {
            Wait::ForOne => libc::MSG_WAITFORONE,
            Wait::Never => libc::MSG_DONTWAIT,
        };
        let most = u32::try_from(self.slots.len()).unwrap_or_default();
        let filled = receive_into(socket, &mut headers, most, flags)?;
        for (slot, header) in self.slots.iter_mut().zip(&headers).take(filled) {
            slot.length = usize::try_from(header.msg_len).unwrap_or_default().min(self.each);
            slot.truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            let length = header
                .msg_hdr
                .msg_namelen
                .min(u32::try_from(LONGEST_ADDRESS).unwrap_or_default());
            slot.source.length = u8::try_from(length).unwrap_or_default();
        }
        self.filled = filled;
        Ok(filled)
    }

    /// The datagrams of the last call, in the order they came.
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = Datagram<'_>> {
        let filled = self.slots.iter().zip(self.bytes.chunks_exact(self.each));
        filled.take(self.filled).map(|(slot, room)| Datagram {
            bytes: room.get(..slot.length).unwrap_or_default(),
            source: &slot.source,
            truncated: slot.truncated,
        })
    }
}

/// Room for a batch of datagrams that go out.
pub struct Outbox {
    bytes: Box<[u8]>,
    each: usize,
    slots: Box<[Parcel]>,
    /// The slots before this one are sent, those from it to `filled` are not yet.
    sent: usize,
    filled: usize,
}

#[derive(Clone, Copy)]
struct Parcel {
    to: Address,
    length: usize,
}

impl Outbox {
    /// Room for `slots` datagrams (at most [`MOST`]) of `each` octets.
    pub fn new(slots: usize, each: usize) -> Self {
        let (slots, each) = (slots.clamp(1, MOST), each.max(1));
        let empty = Parcel {
            to: Address::NONE,
            length: 0,
        };
        Self {
            bytes: vec![0; slots * each].into(),
            each,
            slots: vec![empty; slots].into(),
            sent: 0,
            filled: 0,
        }
    }

    /// Whether nothing waits to be sent.
    pub const fn is_empty(&self) -> bool {
        self.sent == self.filled
    }

    /// Whether no further datagram fits before the next [`Self::send`].
    pub const fn is_full(&self) -> bool {
        self.filled == self.slots.len()
    }

    /// The room for the next datagram, with whatever was there before; `None` when full. [`Self::push`] makes it one.
    pub fn room(&mut self) -> Option<&mut [u8]> {
        self.bytes.chunks_exact_mut(self.each).nth(self.filled)
    }

    /// Makes the first `length` octets of [`Self::room`] a datagram for `to`; nothing when full or longer than the room.
    pub fn push(&mut self, to: &Address, length: usize) {
        if length <= self.each
            && let Some(parcel) = self.slots.get_mut(self.filled)
        {
            *parcel = Parcel { to: *to, length };
            self.filled += 1;
        }
    }

    /// Copies a datagram in; whether there was room for it.
    pub fn put(&mut self, to: &Address, bytes: &[u8]) -> bool {
        let room = self.room().and_then(|room| room.get_mut(..bytes.len()));
        let Some(room) = room else { return false };
        room.copy_from_slice(bytes);
        self.push(to, bytes.len());
        true
    }

    /// Forgets what was not sent; says how many that were.
    pub const fn clear(&mut self) -> usize {
        let unsent = self.filled - self.sent;
        (self.sent, self.filled) = (0, 0);
        unsent
    }

    /// Sends what waits, in order, without waiting itself.
    ///
    /// A datagram that the kernel refuses is dropped and the next one tried; the last refusal is told at the end. When
    /// the socket is full ([`io::ErrorKind::WouldBlock`]) the rest stays, to be sent later or cleared.
    pub fn send(&mut self, socket: impl AsFd) -> io::Result<()> {
        let mut refused = Ok(());
        while !self.is_empty() {
            match self.send_once(socket.as_fd()) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(error) => {
                    self.sent += 1;
                    refused = Err(error);
                }
            }
        }
        self.clear();
        refused
    }

    /// One call: how many went out; an error is that of the first one that waits.
    fn send_once(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let mut vectors = [NO_VECTOR; MOST];
        let mut headers = no_headers();
        let parcels = self.bytes.chunks_exact_mut(self.each).zip(&mut self.slots);
        let waiting = parcels.take(self.filled).skip(self.sent);
        let mut most = 0;
        for ((header, vector), (bytes, parcel)) in headers.iter_mut().zip(&mut vectors).zip(waiting) {
            point(header, vector, bytes.as_mut_ptr(), parcel.length);
            header.msg_hdr.msg_name = parcel.to.bytes.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = u32::from(parcel.to.length);
            most += 1;
        }
        send_from(socket, &mut headers, most)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.datagrams()).finish()
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, filled) = (self.sent, self.filled);
        f.debug_struct("Outbox")
            .field("sent", &sent)
            .field("filled", &filled)
            .finish_non_exhaustive()
    }
}

const NO_VECTOR: libc::iovec = libc::iovec {
    iov_base: std::ptr::null_mut(),
    iov_len: 0,
};

/// Makes a header tell of one vector, and that of `length` octets at `start`.
const fn point(header: &mut libc::mmsghdr, vector: &mut libc::iovec, start: *mut u8, length: usize) {
    vector.iov_base = start.cast();
    vector.iov_len = length;
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
}

#[expect(
    unsafe_code,
    reason = "libc's mmsghdr has private padding, so that no literal can make it"
)]
const fn no_headers() -> [libc::mmsghdr; MOST] {
    // SAFETY: mmsghdr is made of integers and raw pointers, for all of which zero is a value.
    unsafe { std::mem::zeroed() }
}

#[expect(unsafe_code, reason = "neither std, socket2 nor rustix has recvmmsg(2)")]
fn receive_into(
    socket: impl AsFd,
    headers: &mut [libc::mmsghdr; MOST],
    most: u32,
    flags: i32,
) -> io::Result<usize> {
    let fd = socket.as_fd();
    counted(|| {
        // SAFETY: the first `most` headers, at most MOST of them, each point to a live vector, and that and the name to
        // live memory of the lengths they give, all exclusively borrowed by the caller until after this call.
        unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                most,
                flags,
                std::ptr::null_mut(),
            )
        }
    })
}

#[expect(
    unsafe_code,
    reason = "std and socket2 have no sendmmsg(2), and rustix's allocates"
)]
fn send_from(socket: impl AsFd, headers: &mut [libc::mmsghdr; MOST], most: u32) -> io::Result<usize> {
    let fd = socket.as_fd();
    counted(|| {
        // SAFETY: as in `receive_into`; the kernel writes to nothing but the headers' own `msg_len`.
        unsafe {
            libc::sendmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                most,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        }
    })
}

/// The count that a system call returns, made again when a signal came in between.
fn counted(mut call: impl FnMut() -> i32) -> io::Result<usize> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests;
