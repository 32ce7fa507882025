//! The common questions, answered from bytes to bytes without an allocation: the address of a VM, the name of an
//! address, and that there is no such thing. Pure.
//!
//! Whatever is unusual in a question (a type about the exchange, an alias, an option, another operation) is left to
//! [`wire::decide`](super::wire::decide), and what is answered here is what that would answer: a property test compares
//! the two.

use std::net::{Ipv4Addr, SocketAddr};

use super::data::Kind;
use super::encode::{Name, QUESTION_NAME, Writer};
use super::view::{View, may_ask};
use super::wire::MAX_DATAGRAM;
use super::zone::octet;
use crate::model::{Directory, Network, Vm};

/// An answer that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Its octets.
    pub length: usize,
    /// Whether there is such a name.
    pub exists: bool,
}

const HEADER: usize = 12;
/// RFC 1035 §3.1: a name has 255 octets at most.
const LONGEST_NAME: usize = 255;
const RECURSION_DESIRED: u8 = 0x01;
const CHECKING_DISABLED: u8 = 0x10;
const AUTHENTIC_DATA: u8 = 0x20;

/// A question, with its name in lower case.
struct Asked<'a> {
    id: [u8; 2],
    flags: [u8; 2],
    /// Its octets behind the header: name, type, class.
    question: &'a [u8],
    name: LowerName,
    kind: Kind,
    /// With EDNS: the DO bit.
    edns: Option<bool>,
}

/// A name in lower case, each label with its length before it, and the root's zero at the end.
struct LowerName {
    octets: [u8; LONGEST_NAME],
    length: usize,
}

/// Answers a datagram that came in on `network` into `room`; `None` when that is the other way's.
pub fn answer(
    directory: &Directory,
    network: &Network,
    source: SocketAddr,
    bytes: &[u8],
    room: &mut [u8],
) -> Option<Written> {
    let asked = Asked::read(bytes)?;
    if !may_ask(network, source.ip()) {
        return None;
    }
    let view = View { directory, network };
    let found = in_domain(view, &asked).or_else(|| in_reverse(view, &asked))?;
    let length = asked.write(view, &found, room)?;
    let exists = !matches!(found, Found::NoName { .. });
    Some(Written { length, exists })
}

/// Says "ask again by TCP" (the TC bit) with the question alone; `None` when there is none to repeat.
pub fn by_stream(bytes: &[u8], room: &mut [u8]) -> Option<usize> {
    const RESPONSE: u8 = 0x80;
    const TRUNCATED: u8 = 0x02;
    const RECURSION_AVAILABLE: u8 = 0x80;
    let asked = Asked::read(bytes)?;
    let [first, second] = asked.flags;
    let mut writer = Writer::new(room);
    writer.bytes(&asked.id);
    writer.bytes(&[
        RESPONSE | TRUNCATED | first & RECURSION_DESIRED,
        RECURSION_AVAILABLE | second & CHECKING_DISABLED,
    ]);
    writer.u16s(&[1, 0, 0, asked.edns.is_some().into()]);
    writer.bytes(asked.question);
    asked.write_edns(&mut writer);
    writer.finish()
}

impl<'a> Asked<'a> {
    /// Reads a plain query; `None` for whatever has more to it.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, body) = bytes.split_first_chunk::<HEADER>()?;
        let [id, id_low, first, second, counts @ ..] = *header;
        let plain = first & !RECURSION_DESIRED == 0
            && second & !(CHECKING_DISABLED | AUTHENTIC_DATA) == 0
            && matches!(counts, [0, 1, 0, 0, 0, 0, 0, 0..=1]);
        if !plain {
            return None;
        }
        let name = LowerName::read(body)?;
        let (question, rest) = body.split_at_checked(name.length + 4)?;
        let kind = match question.last_chunk::<4>()? {
            // The class IN.
            [kind, kind_low, 0, 1] => Kind::of(u16::from_be_bytes([*kind, *kind_low])),
            _ => return None,
        };
        let edns = match (counts.last(), rest) {
            (Some(0), []) => None,
            // RFC 6891 §6.1.2: the root's name, type 41, size, extended code 0, version 0, flags, no options.
            (Some(1), [0, 0, 41, _, _, 0, 0, flags, _, 0, 0]) => Some(flags & 0x80 != 0),
            _ => return None,
        };
        Some(Self {
            id: [id, id_low],
            flags: [first, second],
            question,
            name,
            kind,
            edns,
        })
    }

    fn write(&self, view: View<'_>, found: &Found<'_>, room: &mut [u8]) -> Option<usize> {
        const RESPONSE_AND_AUTHORITATIVE: u8 = 0x84;
        const RECURSION_AVAILABLE: u8 = 0x80;
        const NO_NAME: u8 = 3;
        let [first, second] = self.flags;
        let (answers, authorities, code) = match found {
            Found::Address(_) | Found::Pointer(_) => (1, 0, 0),
            Found::Nothing { .. } => (0, 1, 0),
            Found::NoName { .. } => (0, 1, NO_NAME),
        };
        let mut writer = Writer::new(room);
        writer.bytes(&self.id);
        writer.bytes(&[
            RESPONSE_AND_AUTHORITATIVE | first & RECURSION_DESIRED,
            RECURSION_AVAILABLE | second & CHECKING_DISABLED | code,
        ]);
        writer.u16s(&[1, answers, authorities, self.edns.is_some().into()]);
        writer.bytes(self.question);
        let owner = Name::At(QUESTION_NAME);
        match *found {
            Found::Address(address) => writer.a(owner, view.ttl(), address),
            Found::Pointer(vm) => writer.record(owner, 12, view.ttl(), |to| {
                to.labels(vm.name.as_str());
                to.name(Name::Whole(view.network.domain.as_str()));
            }),
            Found::Nothing { zone } | Found::NoName { zone } => write_start(&mut writer, view, zone),
        }
        self.write_edns(&mut writer);
        writer.finish()
    }

    /// RFC 6891 §6.1.1: an OPT is answered by one; RFC 3225 §3: with the same DO bit.
    fn write_edns(&self, writer: &mut Writer<'_>) {
        if let Some(dnssec_ok) = self.edns {
            writer.bytes(&[0, 0, 41]);
            writer.u16(MAX_DATAGRAM);
            writer.bytes(&[0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
        }
    }
}

/// The start of a zone whose name is the end of the question's, from that place on.
fn write_start(writer: &mut Writer<'_>, view: View<'_>, zone: Zone) {
    let (Zone::Domain(owner) | Zone::Reverse(owner)) = zone;
    let numbers = (view.serial(), view.ttl());
    let server = view.server_label();
    writer.soa(Name::At(owner), numbers, |to| {
        let mut domain = owner;
        if let Zone::Domain(place) = zone {
            to.name(Name::Below(server, place));
        } else {
            // The domain is not in the message yet: the mailbox points to where it is written now.
            to.labels(server);
            domain = u16::try_from(to.end()).unwrap_or(QUESTION_NAME);
            to.name(Name::Whole(view.network.domain.as_str()));
        }
        to.name(Name::Below("hostmaster", domain));
    });
}

/// What a question is answered.
#[derive(Clone, Copy)]
enum Found<'a> {
    Address(Ipv4Addr),
    Pointer(&'a Vm),
    /// The name is there, without such records.
    Nothing {
        zone: Zone,
    },
    NoName {
        zone: Zone,
    },
}

/// The zone a name is in, by the place in the message where its name begins.
#[derive(Clone, Copy)]
enum Zone {
    Domain(u16),
    Reverse(u16),
}

/// A name of one label in our domain.
fn in_domain<'a>(view: View<'a>, asked: &Asked<'_>) -> Option<Found<'a>> {
    let (label, rest) = asked.name.split_first()?;
    if !asked.kind.is_stored() || !is_name(rest, view.network.domain.as_str()) {
        return None;
    }
    let label = std::str::from_utf8(label).ok()?;
    // Another network's domain may lie inside ours.
    let is_domain = |other: &Network| is_name(asked.name.octets(), other.domain.as_str());
    if view.others().any(is_domain) || view.registered(label).next().is_some() {
        return None;
    }
    let place = QUESTION_NAME + u16::try_from(label.len()).ok()? + 1;
    let zone = Zone::Domain(place);
    match view.vm(label) {
        Some((_, nic)) if asked.kind == Kind::A => Some(Found::Address(nic.address)),
        Some((vm, _)) if asked.kind == Kind::Sshfp && !vm.host_keys().is_empty() => None,
        Some(_) => Some(Found::Nothing { zone }),
        None if label == view.server_label() || view.aliased(label).is_some() || view.is_above(label) => None,
        None => Some(Found::NoName { zone }),
    }
}

/// The name of an address of our subnet.
fn in_reverse<'a>(view: View<'a>, asked: &Asked<'_>) -> Option<Found<'a>> {
    if !asked.kind.is_stored() {
        return None;
    }
    let subnet = view.network.subnet;
    let mut rest = asked.name.octets();
    let mut octets = [0; 4];
    // Where the name of the zone begins, which is cut at the first octet border behind the prefix, at the third at most.
    let labels_before_zone = 4 - usize::from(subnet.prefix().div_ceil(8)).min(3);
    let mut place = 0;
    for (index, octet_of) in octets.iter_mut().rev().enumerate() {
        if index == labels_before_zone {
            place = asked.name.length - rest.len();
        }
        let (label, behind) = split_label(rest)?;
        *octet_of = octet(label)?;
        rest = behind;
    }
    let address = Ipv4Addr::from(octets);
    if !is_name(rest, "in-addr.arpa") || !subnet.contains(address) || address == subnet.gateway() {
        return None;
    }
    let zone = Zone::Reverse(QUESTION_NAME + u16::try_from(place).ok()?);
    match view.directory.vm_at(address) {
        Some(vm)
            if vm
                .nic_at(address)
                .is_none_or(|nic| *nic.network != view.network.name) =>
        {
            None
        }
        Some(vm) if asked.kind == Kind::Ptr => Some(Found::Pointer(vm)),
        Some(_) => Some(Found::Nothing { zone }),
        None => Some(Found::NoName { zone }),
    }
}

impl LowerName {
    /// Reads a name that is written out; `None` for one that is not, or is too long.
    fn read(body: &[u8]) -> Option<Self> {
        let mut length = 0;
        loop {
            let label = usize::from(*body.get(length)?);
            length += 1;
            match label {
                0 => break,
                1..=63 => length += label,
                _ => return None,
            }
        }
        let mut octets = [0; LONGEST_NAME];
        let room = octets.get_mut(..length)?;
        room.copy_from_slice(body.get(..length)?);
        // A length is below 64, and so is no letter.
        room.make_ascii_lowercase();
        Some(Self { octets, length })
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    /// The first label, and what follows it.
    fn split_first(&self) -> Option<(&[u8], &[u8])> {
        split_label(self.octets())
    }
}

fn split_label(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = name.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// Whether octets with lengths in them are this name.
fn is_name(octets: &[u8], text: &str) -> bool {
    // Each dot stands for a length; one more length and the root's zero are not in the text.
    if octets.len() != text.len() + 2 {
        return false;
    }
    let mut rest = octets;
    for label in text.split('.') {
        match split_label(rest) {
            Some((own, behind)) if own == label.as_bytes() => rest = behind,
            _ => return false,
        }
    }
    rest == [0]
}

#[cfg(test)]
mod tests;
