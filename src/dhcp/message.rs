//! A client's request and the server's reply as values: what [`super::wire`] reads and writes.

use std::net::Ipv4Addr;

use super::options::DhcpOption;
use crate::model::MacAddress;

/// The octets of the IPv4 and UDP headers before a message.
const HEADERS: usize = 28;

/// What a client sent, checked: its state is one [`Kind`], so that no mix that RFC 2131 forbids can be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The client's hardware address (`chaddr`): who it is.
    pub mac: MacAddress,
    /// The transaction, chosen by the client.
    pub xid: u32,
    /// The flags, echoed.
    pub flags: Flags,
    /// What it wants.
    pub kind: Kind,
    /// Option 61, echoed (RFC 6842) and otherwise ignored.
    pub client_id: Option<Vec<u8>>,
    /// Option 55: the options it asked for; `None` when it did not say.
    pub asked: Option<Vec<u8>>,
    /// Option 57: the largest IP datagram it takes, as it says.
    pub max_size: Option<u16>,
}

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

impl Request {
    /// How many octets a reply may have.
    ///
    /// RFC 2132 §9.10: "The minimum legal value is 576 octets"; it counts the headers (RFC 2131 §2). More than an
    /// Ethernet frame holds is never sent: clients drop fragments.
    pub fn room(&self) -> usize {
        usize::from(self.max_size.unwrap_or(576)).clamp(576, 1500) - HEADERS
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

/// What is sent back to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Which message it is; option 53 is written from this.
    pub kind: ReplyKind,
    /// The client's transaction.
    pub xid: u32,
    /// The client's flags.
    pub flags: Flags,
    /// The client's hardware address.
    pub mac: MacAddress,
    /// The address the client said it uses, or zero.
    pub ciaddr: Ipv4Addr,
    /// The address it is given, or zero.
    pub yiaddr: Ipv4Addr,
    /// The options, most important first.
    pub options: Vec<DhcpOption<'a>>,
    /// The most octets that the client takes; options that do not fit are left out.
    pub room: usize,
}
