//! Bytes to [`Request`]: the only file that names `dhcproto`, and all checks of hostile input.
//!
//! Only its borrowed reader of the header is used. It reads header fields without looking at them, so everything that a later
//! getter relies on is checked first: its `chaddr()` slices by the packet's own `hlen`.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use dhcproto::v4::borrowed::Message;
use dhcproto::v4::{HType, MAGIC, MessageType, Opcode};

use super::message::{Asking, Flags, Kind, Octets, Options, Request};
use crate::model::{MacAddress, mac};

/// The fixed part of a message: the BOOTP header and the magic cookie.
const FIXED: usize = 240;
/// The longest client identifier or relay information that is echoed: what fits one option.
const MAX_ECHO: usize = 255;
/// The options that are one octet: nothing, and the end (RFC 2132 §3.1 and §3.2).
const PAD: u8 = 0;
const END: u8 = 255;

/// Why a packet is dropped unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not even a header and a cookie.
    #[error("{0} octets are too few for a DHCP message")]
    Short(usize),
    /// Not a BOOTREQUEST: a server's own reply, sent to a server's port.
    #[error("it is not a request")]
    NotARequest,
    /// Not an Ethernet address of six octets.
    #[error("hardware type {htype} with {hlen} octets is not Ethernet")]
    Hardware {
        /// The type it says.
        htype: u8,
        /// The length it says.
        hlen: u8,
    },
    /// A group or zero address: no station has it as its own.
    #[error("{0} is not a station's hardware address")]
    Station(MacAddress),
    /// BOOTP, or something else altogether.
    #[error("the magic cookie is missing")]
    Cookie,
    /// It says that it came through a relay, and it did not come from one that is believed.
    #[error("it was relayed, and not by an agent of a relayed network")]
    Relayed,
    /// No message type, or none that a server answers.
    #[error("the message type is missing or not a client's")]
    MessageType,
    /// An option has a length or value it can not have.
    #[error("option {0} is malformed")]
    Option(u8),
    /// Addresses are missing that table 4 or 5 of RFC 2131 demands for its type.
    #[error("it names no address, or no server")]
    State,
}

impl<'a> Request<'a> {
    /// Reads one UDP payload.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let message = Message::new(bytes).map_err(|_| Malformed::Short(bytes.len()))?;
        let mac = sender(&message, bytes)?;
        let parts = Parts::gather(bytes)?;
        let ciaddr = message.ciaddr();
        let message_type = parts.message_type.clone();
        let options = parts.checked()?;
        Ok(Self {
            mac,
            xid: message.xid(),
            flags: Flags(message.flags().into()),
            ciaddr,
            giaddr: message.giaddr(),
            kind: kind(message_type.as_deref(), &options, ciaddr)?,
            options,
        })
    }
}

/// Checks the header and takes the client's hardware address from it.
fn sender(message: &Message<'_>, bytes: &[u8]) -> Result<MacAddress, Malformed> {
    if message.opcode() != Opcode::BootRequest {
        return Err(Malformed::NotARequest);
    }
    // chaddr() below slices by hlen: never before this check.
    if message.htype() != HType::Eth || message.hlen() != 6 {
        return Err(Malformed::Hardware {
            htype: message.htype().into(),
            hlen: message.hlen(),
        });
    }
    let octets = <[u8; 6]>::try_from(message.chaddr()).map_err(|_| Malformed::Short(bytes.len()))?;
    let station = MacAddress::new(octets);
    mac::check(station).map_err(|_| Malformed::Station(station))?;
    if bytes.get(FIXED - MAGIC.len()..FIXED) != Some(MAGIC.as_slice()) {
        return Err(Malformed::Cookie);
    }
    Ok(station)
}

/// The options of a packet, as the octets of all their parts.
#[derive(Debug, Default)]
struct Parts<'a> {
    message_type: Octets<'a>,
    wanted: Octets<'a>,
    server: Octets<'a>,
    max_size: Octets<'a>,
    overload: Octets<'a>,
    rest: Options<'a>,
}

impl<'a> Parts<'a> {
    /// Reads the options field, and the two header fields that may hold more of it.
    ///
    /// RFC 2131 §4.1: "The options in the 'options' field should be interpreted first, so that any 'option overload'
    /// options may be interpreted"; then `file`, then `sname`. An option that runs past the end ends its field.
    fn gather(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut parts = Self::default();
        parts.add(Fields(bytes.get(FIXED..).unwrap_or_default()));
        let (file, sname) = match parts.overload.as_deref() {
            None => (false, false),
            Some([1]) => (true, false),
            Some([2]) => (false, true),
            Some([3]) => (true, true),
            Some(_) => return Err(Malformed::Option(52)),
        };
        for (used, field) in [(file, bytes.get(108..236)), (sname, bytes.get(44..108))] {
            if let (true, Some(field)) = (used, field) {
                parts.add(Fields(field));
            }
        }
        Ok(parts)
    }

    /// RFC 3396: an option that appears more than once is one option; its parts are joined in order.
    fn add(&mut self, fields: Fields<'a>) {
        for (code, data) in fields {
            let joined = match code {
                12 => &mut self.rest.hostname,
                50 => &mut self.wanted,
                52 => &mut self.overload,
                53 => &mut self.message_type,
                54 => &mut self.server,
                55 => &mut self.rest.asked,
                57 => &mut self.max_size,
                60 => &mut self.rest.vendor,
                61 => &mut self.rest.client_id,
                77 => &mut self.rest.user_class,
                81 => &mut self.rest.fqdn,
                82 => &mut self.rest.agent,
                93 => &mut self.rest.architectures,
                97 => &mut self.rest.machine,
                175 => &mut self.rest.ipxe,
                _ => continue,
            };
            match joined {
                _ if data.is_empty() => {}
                Some(joined) => joined.to_mut().extend_from_slice(data),
                None => *joined = Some(Cow::Borrowed(data)),
            }
        }
    }

    /// The options, where each has a length that it can have.
    fn checked(self) -> Result<Options<'a>, Malformed> {
        for (code, echoed) in [(61, &self.rest.client_id), (82, &self.rest.agent)] {
            if echoed.as_ref().is_some_and(|octets| octets.len() > MAX_ECHO) {
                return Err(Malformed::Option(code));
            }
        }
        Ok(Options {
            wanted: address(50, self.wanted.as_deref())?,
            server: address(54, self.server.as_deref())?,
            max_size: self
                .max_size
                .and_then(|octets| <[u8; 2]>::try_from(&*octets).ok())
                .map(u16::from_be_bytes),
            ..self.rest
        })
    }
}

/// The options in one field: code, length, octets (RFC 2132 §2). dhcproto's reader lends each option's octets for one
/// step only; an answer is made from all of them at once, without a copy.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.0.iter().position(|octet| *octet != PAD)?;
        let (code, rest) = self.0.get(start..)?.split_first()?;
        if *code == END {
            return None;
        }
        let (length, rest) = rest.split_first()?;
        let (data, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        Some((*code, data))
    }
}

/// What the client wants; `ciaddr` is the address it uses, or zero.
fn kind(message_type: Option<&[u8]>, options: &Options<'_>, ciaddr: Ipv4Addr) -> Result<Kind, Malformed> {
    let Some([message_type]) = message_type else {
        return Err(Malformed::MessageType);
    };
    let (wanted, server) = (options.wanted, options.server);
    let current = Some(ciaddr).filter(|address| !address.is_unspecified());
    match MessageType::from(*message_type) {
        MessageType::Discover => Some(Kind::Discover),
        MessageType::Request => asking(server, wanted, current).map(Kind::Request),
        MessageType::Decline => server
            .zip(wanted)
            .map(|(server, address)| Kind::Decline { server, address }),
        MessageType::Release => server
            .zip(current)
            .map(|(server, address)| Kind::Release { server, address }),
        MessageType::Inform => current.map(|address| Kind::Inform { address }),
        _ => return Err(Malformed::MessageType),
    }
    .ok_or(Malformed::State)
}

/// The state of the client that sent a DHCPREQUEST.
///
/// RFC 2131 §4.3.2: "If the DHCPREQUEST message contains a 'server identifier' option, the message is in response to a
/// DHCPOFFER message. Otherwise, the message is a request to verify or extend an existing lease." Of the latter, one
/// with `ciaddr` extends it, and one with a requested address only verifies it (INIT-REBOOT).
const fn asking(
    server: Option<Ipv4Addr>,
    wanted: Option<Ipv4Addr>,
    current: Option<Ipv4Addr>,
) -> Option<Asking> {
    match (server, wanted, current) {
        (Some(server), Some(wanted), _) | (Some(server), None, Some(wanted)) => {
            Some(Asking::Selecting { server, wanted })
        }
        (None, _, Some(current)) => Some(Asking::Extending { current }),
        (None, Some(wanted), None) => Some(Asking::InitReboot { wanted }),
        (_, None, None) => None,
    }
}

/// An address option: malformed when it has another length than four.
fn address(code: u8, octets: Option<&[u8]>) -> Result<Option<Ipv4Addr>, Malformed> {
    let Some(octets) = octets else { return Ok(None) };
    <[u8; 4]>::try_from(octets)
        .map(|octets| Some(octets.into()))
        .map_err(|_| Malformed::Option(code))
}

#[cfg(test)]
pub(in crate::dhcp) mod tests;
