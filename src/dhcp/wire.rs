//! Bytes to [`Request`] and [`Reply`] to bytes: the only file that names `dhcproto`, and all checks of hostile input.
//!
//! Only its borrowed reader is used. It reads header fields without looking at them, so everything that a later
//! getter relies on is checked first: its `chaddr()` slices by the packet's own `hlen`.

use std::net::Ipv4Addr;

use dhcproto::v4::borrowed::{DhcpOptionIterator, Message};
use dhcproto::v4::{HType, MAGIC, MIN_PACKET_SIZE, MessageType, Opcode, OptionCode};

use super::message::{Asking, Flags, Kind, Reply, Request};
use super::options::DhcpOption;
use crate::model::{MacAddress, mac};

/// The fixed part of a message: the BOOTP header and the magic cookie.
const FIXED: usize = 240;
/// The longest client identifier that can be echoed in one option.
const MAX_CLIENT_ID: usize = 255;

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
    /// It came through a relay, or says so: there is none on a bridge.
    #[error("it was relayed")]
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

impl Request {
    /// Reads one UDP payload.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let message = Message::new(bytes).map_err(|_| Malformed::Short(bytes.len()))?;
        let mac = sender(&message, bytes)?;
        let options = Options::gather(&message, bytes)?;
        let kind = options.kind(message.ciaddr())?;
        Ok(Self {
            mac,
            xid: message.xid(),
            flags: Flags(message.flags().into()),
            kind,
            max_size: <[u8; 2]>::try_from(options.max_size.as_slice())
                .ok()
                .map(u16::from_be_bytes),
            client_id: some(options.client_id),
            asked: some(options.asked),
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
    if !message.giaddr().is_unspecified() {
        return Err(Malformed::Relayed);
    }
    Ok(station)
}

/// The options a server looks at, each as the octets of all its parts.
#[derive(Debug, Default)]
struct Options {
    message_type: Vec<u8>,
    wanted: Vec<u8>,
    server: Vec<u8>,
    asked: Vec<u8>,
    max_size: Vec<u8>,
    client_id: Vec<u8>,
    overload: Vec<u8>,
    relayed: bool,
}

impl Options {
    /// Reads the options field, and the two header fields that may hold more of it.
    ///
    /// RFC 2131 §4.1: "The options in the 'options' field should be interpreted first, so that any 'option overload'
    /// options may be interpreted"; then `file`, then `sname`. An option that runs past the end ends its field.
    fn gather(message: &Message<'_>, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut options = Self::default();
        options.add(message.opts());
        let (file, sname) = match options.overload.as_slice() {
            [] => (false, false),
            [1] => (true, false),
            [2] => (false, true),
            [3] => (true, true),
            _ => return Err(Malformed::Option(52)),
        };
        for (used, field) in [(file, bytes.get(108..236)), (sname, bytes.get(44..108))] {
            if let (true, Some(field)) = (used, field) {
                options.add(DhcpOptionIterator::new(field));
            }
        }
        if options.relayed {
            return Err(Malformed::Relayed);
        }
        if options.client_id.len() > MAX_CLIENT_ID {
            return Err(Malformed::Option(61));
        }
        Ok(options)
    }

    /// RFC 3396: an option that appears more than once is one option; its parts are joined in order.
    fn add(&mut self, options: DhcpOptionIterator<'_>) {
        for option in options {
            let joined = match option.code() {
                OptionCode::MessageType => &mut self.message_type,
                OptionCode::RequestedIpAddress => &mut self.wanted,
                OptionCode::ServerIdentifier => &mut self.server,
                OptionCode::ParameterRequestList => &mut self.asked,
                OptionCode::MaxMessageSize => &mut self.max_size,
                OptionCode::ClientIdentifier => &mut self.client_id,
                OptionCode::OptionOverload => &mut self.overload,
                OptionCode::RelayAgentInformation => {
                    self.relayed = true;
                    continue;
                }
                _ => continue,
            };
            joined.extend_from_slice(option.data());
        }
    }

    /// What the client wants; `ciaddr` is the address it uses, or zero.
    fn kind(&self, ciaddr: Ipv4Addr) -> Result<Kind, Malformed> {
        let [message_type] = *self.message_type.as_slice() else {
            return Err(Malformed::MessageType);
        };
        let wanted = address(50, &self.wanted)?;
        let server = address(54, &self.server)?;
        let current = Some(ciaddr).filter(|address| !address.is_unspecified());
        match MessageType::from(message_type) {
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

/// An address option: none when it is absent or empty, malformed when it has another length than four.
fn address(code: u8, octets: &[u8]) -> Result<Option<Ipv4Addr>, Malformed> {
    if octets.is_empty() {
        return Ok(None);
    }
    <[u8; 4]>::try_from(octets)
        .map(|octets| Some(octets.into()))
        .map_err(|_| Malformed::Option(code))
}

fn some(octets: Vec<u8>) -> Option<Vec<u8>> {
    Some(octets).filter(|octets| !octets.is_empty())
}

impl Reply<'_> {
    /// The message as it is sent.
    ///
    /// RFC 2131 table 3: `hops`, `secs` and `siaddr` are zero, for nothing is loaded from the network. RFC 1542 §2.1: at
    /// least 300 octets, for old relays and boot ROMs drop less.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.room.max(MIN_PACKET_SIZE));
        out.extend([u8::from(Opcode::BootReply), u8::from(HType::Eth), 6, 0]);
        out.extend(self.xid.to_be_bytes());
        out.extend([0, 0]);
        out.extend(self.flags.0.to_be_bytes());
        out.extend(self.ciaddr.octets());
        out.extend(self.yiaddr.octets());
        out.extend([0; 8]);
        out.extend(self.mac.bytes());
        out.resize(FIXED - MAGIC.len(), 0);
        out.extend(MAGIC);
        out.extend([u8::from(OptionCode::MessageType), 1, self.kind.number()]);
        for option in &self.options {
            append(&mut out, option, self.room.saturating_sub(1));
        }
        out.push(OptionCode::End.into());
        out.resize(out.len().max(MIN_PACKET_SIZE), 0);
        out
    }
}

/// Writes an option, if `out` stays within `room`.
///
/// RFC 3396: an option of more than 255 octets is split, its parts following each other.
fn append(out: &mut Vec<u8>, option: &DhcpOption<'_>, room: usize) {
    let start = out.len();
    let mut value = Vec::new();
    option.value.encode(&mut value);
    for part in value.chunks(255) {
        // chunks() keeps every part within an octet's range.
        let Ok(length) = u8::try_from(part.len()) else {
            continue;
        };
        out.extend([option.code, length]);
        out.extend_from_slice(part);
    }
    if out.len() > room {
        out.truncate(start);
    }
}

#[cfg(test)]
pub(in crate::dhcp) mod tests;
