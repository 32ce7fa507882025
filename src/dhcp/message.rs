//! A client's request and the server's reply as values: what [`super::wire`] reads and writes.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use super::frame::HEADERS;
use crate::model::MacAddress;

/// What a client sent, checked: its state is one [`Kind`], so that no mix that RFC 2131 forbids can be held.
///
/// Options are parts of the received packet; one that came in pieces (RFC 3396) is joined, and only then copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The client's hardware address (`chaddr`): who it is.
    pub mac: MacAddress,
    /// The transaction, chosen by the client.
    pub xid: u32,
    /// The flags, echoed.
    pub flags: Flags,
    /// The address the client says it uses, or zero.
    pub ciaddr: Ipv4Addr,
    /// The relay agent that passed it on, or zero.
    pub giaddr: Ipv4Addr,
    /// What it wants.
    pub kind: Kind,
    /// The other options.
    pub options: Options<'a>,
}

/// The options a server looks at, each as the octets of all its parts; one that is absent or empty is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options<'a> {
    /// Option 12: what the client calls itself; shown, never used.
    pub hostname: Octets<'a>,
    /// Option 50: the address it would like.
    pub wanted: Option<Ipv4Addr>,
    /// Option 54: the server it speaks to.
    pub server: Option<Ipv4Addr>,
    /// Option 55: the options it asked for, in its order; `None` when it did not say.
    pub asked: Octets<'a>,
    /// Option 57: the largest IP datagram it takes, as it says.
    pub max_size: Option<u16>,
    /// Option 60: what kind of client it is.
    pub vendor: Octets<'a>,
    /// Option 61, echoed (RFC 6842) and otherwise ignored.
    pub client_id: Octets<'a>,
    /// Option 77: what the user made of it; iPXE says so here.
    pub user_class: Octets<'a>,
    /// Option 81: the name it announces; only its flags are looked at.
    pub fqdn: Octets<'a>,
    /// Option 82: what the relay agent says of the client, echoed.
    pub agent: Octets<'a>,
    /// Option 93: the architectures its firmware starts, two octets each (RFC 4578 §2.1).
    pub architectures: Octets<'a>,
    /// Option 97: the machine's UUID, echoed to firmware.
    pub machine: Octets<'a>,
    /// Option 175: iPXE's own.
    pub ipxe: Octets<'a>,
}

/// An option's value.
pub(super) type Octets<'a> = Option<Cow<'a, [u8]>>;

/// The 16 flag bits of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// Whether the client can not receive unicast before it has an address (RFC 2131 §4.1).
    pub const fn broadcast(self) -> bool {
        self.0 & 0x8000 != 0
    }
}

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// DHCPDISCOVER: any address.
    Discover,
    /// DHCPREQUEST: this address.
    Request(Asking),
    /// DHCPDECLINE: another host has the address it was given.
    Decline {
        /// The server that gave it.
        server: Ipv4Addr,
        /// The address.
        address: Ipv4Addr,
    },
    /// DHCPRELEASE: it gives its address back.
    Release {
        /// The server that gave it.
        server: Ipv4Addr,
        /// The address.
        address: Ipv4Addr,
    },
    /// DHCPINFORM: it has an address and wants the options only.
    Inform {
        /// The address it has.
        address: Ipv4Addr,
    },
}

/// The client states that a DHCPREQUEST comes from (RFC 2131 §4.3.2, table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// SELECTING: it takes a server's offer.
    Selecting {
        /// The server it chose.
        server: Ipv4Addr,
        /// The address it was offered.
        wanted: Ipv4Addr,
    },
    /// INIT-REBOOT: it remembers an address from an earlier boot, or from the base it was cloned from.
    InitReboot {
        /// The address it remembers.
        wanted: Ipv4Addr,
    },
    /// RENEWING (sent to the server alone) or REBINDING (sent to all): it uses the address and wants it longer. The
    /// two differ only in how they were sent; the answer is the same.
    Extending {
        /// The address it uses.
        current: Ipv4Addr,
    },
}

impl Request<'_> {
    /// How many octets a reply may have.
    ///
    /// RFC 2132 §9.10: "The minimum legal value is 576 octets"; it counts the headers (RFC 2131 §2). More than an
    /// Ethernet frame holds is never sent: clients drop fragments.
    pub fn room(&self) -> usize {
        usize::from(self.options.max_size.unwrap_or(576)).clamp(576, 1500) - HEADERS
    }
}

/// The three messages a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    /// DHCPOFFER.
    Offer,
    /// DHCPACK.
    Ack,
    /// DHCPNAK.
    Nak,
}

impl ReplyKind {
    /// Its value in option 53.
    pub const fn number(self) -> u8 {
        match self {
            Self::Offer => 2,
            Self::Ack => 5,
            Self::Nak => 6,
        }
    }

    /// Its name in RFC 2131.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "DHCPOFFER",
            Self::Ack => "DHCPACK",
            Self::Nak => "DHCPNAK",
        }
    }
}
