//! What is to be done about a request: the vocabulary between the rules and the socket.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use super::frame::SERVER_PORT;
use super::message::Request;
use super::options::Reply;
use crate::model::{Event, Lease, MacAddress, Network, NetworkName, Vm};

/// What is to be done about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// What to send, and to whom.
    pub reply: Option<(Reply<'a>, Destination)>,
    /// What the request tells about the VM.
    pub event: Option<Event>,
    /// What has to be in the registry before the reply leaves.
    pub lend: Option<Lease>,
    /// A client that waits to be adopted.
    pub seen: Option<Seen>,
    /// How the request was judged.
    pub verdict: Verdict,
    /// The VM that asked, where it is one of this network's.
    pub vm: Option<&'a Arc<Vm>>,
}

impl<'a> Outcome<'a> {
    /// One with nothing but a verdict.
    pub(super) const fn of(verdict: Verdict) -> Self {
        Self {
            reply: None,
            event: None,
            lend: None,
            seen: None,
            verdict,
            vm: None,
        }
    }

    /// Silence.
    pub(super) const fn ignored(reason: Reason) -> Self {
        Self::of(Verdict::Ignored(reason))
    }

    /// An answer.
    pub(super) fn sent(reply: Reply<'a>, to: Destination, verdict: Verdict) -> Self {
        Self {
            reply: Some((reply, to)),
            ..Self::of(verdict)
        }
    }
}

/// Where a reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To one station on the bridge, which need not answer ARP yet: an IPv4 packet in a frame of ours.
    Hardware {
        /// Its hardware address.
        mac: MacAddress,
        /// The address it has or is given.
        address: Ipv4Addr,
    },
    /// To every station on the bridge: an IPv4 packet in a frame of ours.
    Broadcast,
    /// To a relay agent, port 67: a UDP payload, which the kernel routes.
    Relay {
        /// Its address (`giaddr`).
        agent: Ipv4Addr,
    },
    /// To a client that has its address: a UDP payload, which the kernel routes, from the port it sent to.
    Client {
        /// Its address.
        address: Ipv4Addr,
        /// The port it listens on.
        port: u16,
    },
}

impl Destination {
    /// The station and the address of a packet in a frame of ours; `None` for what the kernel routes.
    pub fn link(self) -> Option<(MacAddress, Ipv4Addr)> {
        match self {
            Self::Hardware { mac, address } => Some((mac, address)),
            Self::Broadcast => Some((MacAddress::new([0xff; 6]), Ipv4Addr::BROADCAST)),
            Self::Relay { .. } | Self::Client { .. } => None,
        }
    }

    /// The UDP address of what the kernel routes; `None` for a packet in a frame of ours.
    pub const fn routed(self) -> Option<SocketAddrV4> {
        match self {
            Self::Relay { agent } => Some(SocketAddrV4::new(agent, SERVER_PORT)),
            Self::Client { address, port } => Some(SocketAddrV4::new(address, port)),
            Self::Hardware { .. } | Self::Broadcast => None,
        }
    }
}

/// How a request was judged, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was offered an address.
    Offered,
    /// Its address was confirmed.
    Acknowledged,
    /// It asked for an address that is not its own.
    Refused {
        /// The address it asked for.
        wanted: Ipv4Addr,
    },
    /// It has an address and was told the rest.
    Informed,
    /// It was told what to boot; another server gives it an address.
    Proxied,
    /// It says another host has its address.
    Declined {
        /// Whether that is news: not again within a minute.
        alarm: bool,
    },
    /// It gave its address back.
    Released,
    /// No address is left for it.
    Exhausted {
        /// Whether that is news: not again within an hour.
        alarm: bool,
    },
    /// It gets no answer.
    Ignored(Reason),
}

/// Why a request gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No VM has this hardware address.
    Unregistered,
    /// The VM is registered on another network.
    OtherNetwork,
    /// No network is served where it came in.
    NoNetwork,
    /// The client speaks to another server.
    OtherServer,
    /// It speaks of an address that is not its own, where no answer is due.
    OtherAddress,
    /// It asks for what is not to be had here: an address of a proxy, or something to boot of a VM that has a disk.
    NotOffered,
}

/// A client that no VM is known by, to be remembered until it is adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The network it is on.
    pub network: NetworkName,
    /// Its hardware address.
    pub mac: MacAddress,
    /// What it calls itself (option 12), as far as it can be printed.
    pub hostname: Option<Box<str>>,
    /// What kind of client it is (option 60), as far as it can be printed.
    pub vendor: Option<Box<str>>,
}

impl Seen {
    pub(super) fn of(network: &Network, request: &Request<'_>) -> Self {
        Self {
            network: network.name.clone(),
            mac: request.mac,
            hostname: printable(request.options.hostname.as_deref()),
            vendor: printable(request.options.vendor.as_deref()),
        }
    }
}

/// What a client says of itself, made harmless: what is not printable ASCII is a question mark, and 64 octets are enough.
pub(super) fn printable(octets: Option<&[u8]>) -> Option<Box<str>> {
    let shown = |octet: &u8| {
        let is_plain = octet.is_ascii_graphic() || *octet == b' ';
        char::from(if is_plain { *octet } else { b'?' })
    };
    octets.map(|octets| octets.iter().take(64).map(shown).collect::<String>().into())
}
