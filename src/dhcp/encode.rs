//! [`Reply`] to bytes: the header, the options in as much room as the client has, and the relay agent's own last.

use std::net::Ipv4Addr;

use super::message::{Flags, ReplyKind};
use super::netboot::Firmware;
use super::options::Reply;
use super::value::DhcpOption;

/// RFC 1542 §2.1: at least 300 octets, for old relays and boot ROMs drop less.
const LEAST: usize = 300;
/// More than an Ethernet frame holds is never sent: clients drop fragments.
const MOST: usize = 1500 - 28;
/// The sizes of the header fields `sname` and `file`, and the latter's place.
const SNAME: usize = 64;
const FILE: usize = 128;
const FILE_AT: usize = 108;
const SNAME_AT: usize = 44;
/// Where the value of option 52 is: after the fixed part and the message type.
const OVERLOAD_AT: usize = 240 + 3 + 2;
const MAGIC: [u8; 4] = [99, 130, 83, 99];
const END: u8 = 255;

impl Reply<'_> {
    /// Appends the message as it is sent.
    ///
    /// RFC 2132 §9.3: `file` and `sname` hold options "if the sum of the options exceeds" the room. That is done for
    /// clients that would go without something otherwise, and never for firmware, which takes `file` for a file's name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let complete = Message::begin(self, out).finish(false);
        let firmware = Firmware::of(&self.request.options).is_some();
        if complete || firmware || self.boot.is_some() {
            return;
        }
        out.truncate(start);
        let message = Message::begin(self, out);
        message.out.extend([52, 1, 0]);
        if !message.finish(true) {
            out.truncate(start);
            Message::begin(self, out).finish(false);
        }
    }
}

/// A message that is being written.
struct Message<'r, 'o> {
    reply: &'r Reply<'r>,
    out: &'o mut Vec<u8>,
    /// Where it starts in `out`.
    start: usize,
    /// Where its options have to end.
    limit: usize,
}

impl<'r, 'o> Message<'r, 'o> {
    /// Writes the fixed part and the message type.
    ///
    /// RFC 2131 table 3: `hops` and `secs` are zero, `xid`, `flags`, `giaddr` and `chaddr` are the client's. §4.3.2 of a
    /// NAK: "If 'giaddr' is set in the DHCPREQUEST message [...] the server MUST set the broadcast bit in the DHCPNAK, so
    /// that the relay agent will broadcast the DHCPNAK to the client".
    fn begin(reply: &'r Reply<'r>, out: &'o mut Vec<u8>) -> Self {
        let request = reply.request;
        let start = out.len();
        let relayed_nak = reply.kind == ReplyKind::Nak && !request.giaddr.is_unspecified();
        let Flags(flags) = if relayed_nak {
            Flags(request.flags.0 | 0x8000)
        } else {
            request.flags
        };
        let server = reply
            .boot
            .as_ref()
            .map_or(Ipv4Addr::UNSPECIFIED, |boot| boot.server);
        // BOOTREPLY, Ethernet, six octets, no hops.
        out.extend([2, 1, 6, 0]);
        out.extend(request.xid.to_be_bytes());
        out.extend([0, 0]);
        out.extend(flags.to_be_bytes());
        for address in [reply.ciaddr, reply.yiaddr, server, request.giaddr] {
            out.extend(address.octets());
        }
        out.extend(request.mac.bytes());
        out.resize(start + FILE_AT, 0);
        match &reply.boot {
            Some(boot) => boot.fill(out, FILE),
            None => out.resize(start + FILE_AT + FILE, 0),
        }
        out.extend(MAGIC);
        out.extend([53, 1, reply.kind.number()]);
        // The agent takes its own part out again: it does not count for the client's room.
        let agent = request.options.agent.as_ref().map_or(0, |agent| agent.len() + 2);
        Self {
            limit: start + request.room().min(MOST - agent) - 1,
            reply,
            out,
            start,
        }
    }

    /// Writes the options and the end. Without `overload`: whether all were written. With it: whether a header field
    /// was of use, for else option 52 says what is not true.
    fn finish(self, overload: bool) -> bool {
        let mut spare = overload.then(Spare::default);
        let mut complete = true;
        let reply = self.reply;
        reply.options(&mut |option| {
            complete &=
                put(self.out, &option, self.limit) || spare.as_mut().is_some_and(|spare| spare.put(&option));
        });
        // RFC 3046 §2.2: "The server SHALL echo the entire contents of the Relay Agent Information option in all
        // replies", and it is the last option.
        if let Some(agent) = reply.request.options.agent.as_deref()
            && let Ok(length) = u8::try_from(agent.len())
        {
            self.out.extend([82, length]);
            self.out.extend_from_slice(agent);
        }
        self.out.push(END);
        self.out.resize(self.out.len().max(self.start + LEAST), 0);
        spare.map_or(complete, |spare| spare.place(self.out, self.start))
    }
}

/// The header fields that options may go on in.
#[derive(Debug, Default)]
struct Spare {
    file: Vec<u8>,
    sname: Vec<u8>,
}

impl Spare {
    /// Writes an option where it fits, with an end after it.
    fn put(&mut self, option: &DhcpOption<'_>) -> bool {
        put(&mut self.file, option, FILE - 1) || put(&mut self.sname, option, SNAME - 1)
    }

    /// Copies the fields into the message at `start`, and says in option 52 which are used; whether any is.
    fn place(mut self, out: &mut [u8], start: usize) -> bool {
        let mut used = 0;
        for (bit, field, at) in [(1, &mut self.file, FILE_AT), (2, &mut self.sname, SNAME_AT)] {
            if field.is_empty() {
                continue;
            }
            used |= bit;
            field.push(END);
            if let Some(place) = out.get_mut(start + at..start + at + field.len()) {
                place.copy_from_slice(field);
            }
        }
        if let Some(value) = out.get_mut(start + OVERLOAD_AT) {
            *value = used;
        }
        used != 0
    }
}

/// Writes an option, if `out` stays within `limit`.
///
/// RFC 3396 §5: an option of more than 255 octets is split, its parts following each other.
fn put(out: &mut Vec<u8>, option: &DhcpOption<'_>, limit: usize) -> bool {
    let start = out.len();
    out.extend([option.code, 0]);
    option.value.encode(out);
    let length = out.len() - start - 2;
    if let (Ok(length), Some(place)) = (u8::try_from(length), out.get_mut(start + 1)) {
        *place = length;
    } else {
        let value = out.split_off(start + 2);
        out.truncate(start);
        for part in value.chunks(255) {
            // chunks() keeps every part within an octet's range.
            out.extend([option.code, u8::try_from(part.len()).unwrap_or(u8::MAX)]);
            out.extend_from_slice(part);
        }
    }
    let fits = out.len() <= limit;
    if !fits || length == 0 {
        out.truncate(start);
    }
    fits
}

#[cfg(test)]
mod tests;
