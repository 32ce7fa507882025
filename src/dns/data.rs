//! The nouns of an answer: kinds of records, and what is in them. Free of any library's types.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::{RecordData, Sshfp};

/// The records a question asks for, as far as the difference matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// The name of an address.
    Ptr,
    /// The name servers of a zone.
    Ns,
    /// The start of a zone.
    Soa,
    /// The name that an alias stands for.
    Cname,
    /// Where mail goes.
    Mx,
    /// Where a service is.
    Srv,
    /// A text.
    Txt,
    /// A fingerprint of an SSH host key.
    Sshfp,
    /// Everything there is (RFC 8482).
    Any,
    /// A whole zone (RFC 5936).
    Axfr,
    /// What changed in a zone (RFC 1995).
    Ixfr,
    /// A type that describes the exchange and is never stored (RFC 6895 §3.1).
    Meta,
    /// A type we have no records of.
    Other,
}

impl Kind {
    /// The kind of a QTYPE.
    pub const fn of(number: u16) -> Self {
        match number {
            1 => Self::A,
            2 => Self::Ns,
            5 => Self::Cname,
            6 => Self::Soa,
            12 => Self::Ptr,
            15 => Self::Mx,
            16 => Self::Txt,
            28 => Self::Aaaa,
            33 => Self::Srv,
            44 => Self::Sshfp,
            251 => Self::Ixfr,
            252 => Self::Axfr,
            255 => Self::Any,
            // OPT is 41; RFC 6895 §3.1 keeps 128 to 255 for QTYPEs and meta types.
            41 | 128..=250 | 253..=254 => Self::Meta,
            _ => Self::Other,
        }
    }

    /// Whether records of this kind, or of none that we have, could be at a name: not a question about the exchange.
    pub const fn is_stored(self) -> bool {
        !matches!(self, Self::Any | Self::Axfr | Self::Ixfr | Self::Meta)
    }
}

/// The content of one record. Names are absolute, without the final dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name of an address.
    Ptr(String),
    /// The name server of a zone.
    Ns(String),
    /// The start of a zone.
    Soa(Soa),
    /// The name that an alias stands for.
    Cname(String),
    /// Where mail goes.
    Mx {
        /// Lower is tried first.
        preference: u16,
        /// The host.
        exchange: String,
    },
    /// Where a service is (RFC 2782).
    Srv {
        /// Lower is tried first.
        priority: u16,
        /// The share among equals.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: String,
    },
    /// A text, in strings of at most 255 octets each (RFC 1035 §3.3.14).
    Txt(Vec<Box<[u8]>>),
    /// A fingerprint of an SSH host key (RFC 4255).
    Sshfp(Sshfp),
    /// What stands for "everything there is" (RFC 8482 §4.2).
    Minimal,
}

impl Data {
    /// The kind of question that it answers.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::A(_) => Kind::A,
            Self::Aaaa(_) => Kind::Aaaa,
            Self::Ptr(_) => Kind::Ptr,
            Self::Ns(_) => Kind::Ns,
            Self::Soa(_) => Kind::Soa,
            Self::Cname(_) => Kind::Cname,
            Self::Mx { .. } => Kind::Mx,
            Self::Srv { .. } => Kind::Srv,
            Self::Txt(_) => Kind::Txt,
            Self::Sshfp(_) => Kind::Sshfp,
            Self::Minimal => Kind::Any,
        }
    }
}

impl From<&RecordData> for Data {
    fn from(data: &RecordData) -> Self {
        match data {
            RecordData::A(address) => Self::A(*address),
            RecordData::Aaaa(address) => Self::Aaaa(*address),
            RecordData::Cname(target) => Self::Cname(target.as_str().to_owned()),
            RecordData::Mx { preference, exchange } => Self::Mx {
                preference: *preference,
                exchange: exchange.as_str().to_owned(),
            },
            RecordData::Srv {
                priority,
                weight,
                port,
                target,
            } => Self::Srv {
                priority: *priority,
                weight: *weight,
                port: *port,
                target: target.as_str().to_owned(),
            },
            // RFC 1035 §3.3: a character string has one octet for its length.
            RecordData::Txt(text) => Self::Txt(text.as_bytes().chunks(255).map(Box::from).collect()),
        }
    }
}

/// Whose authority a negative answer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The zone's name.
    pub zone: String,
    /// Its start; the negative answer may be cached for `soa.minimum` seconds.
    pub soa: Soa,
}

/// The start of a zone (RFC 1035 §3.3.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Soa {
    /// The name server.
    pub server: String,
    /// The mailbox of who runs it, as a name.
    pub mailbox: String,
    /// The registry's last revision that may have changed a name.
    pub serial: u32,
    /// How long an absence may be cached, in seconds (RFC 2308 §4).
    pub minimum: u32,
}

impl Soa {
    /// How often a secondary server looks for changes, in seconds.
    pub const REFRESH: u32 = 3_600;
    /// How soon it tries again, in seconds.
    pub const RETRY: u32 = 600;
    /// How long it goes on without having reached us, in seconds.
    pub const EXPIRE: u32 = 86_400;
}
