//! What is read from hostile bytes, and what a foreign decoder reads from ours.

use std::collections::BTreeMap;

use dhcproto::Decodable as _;
use dhcproto::v4::OptionCode;
use dhcproto::v4::borrowed::DhcpOptionIterator;

use super::super::sample::Packet;
use super::*;

/// A reply as a foreign decoder reads it.
#[derive(Debug)]
pub(in crate::dhcp) struct Decoded {
    pub(in crate::dhcp) kind: u8,
    pub(in crate::dhcp) xid: u32,
    pub(in crate::dhcp) flags: u16,
    pub(in crate::dhcp) mac: MacAddress,
    pub(in crate::dhcp) ciaddr: Ipv4Addr,
    pub(in crate::dhcp) yiaddr: Ipv4Addr,
    pub(in crate::dhcp) siaddr: Ipv4Addr,
    pub(in crate::dhcp) giaddr: Ipv4Addr,
    pub(in crate::dhcp) file: Vec<u8>,
    /// The codes in the options field, in order.
    pub(in crate::dhcp) order: Vec<u8>,
    pub(in crate::dhcp) options: BTreeMap<u8, Vec<u8>>,
}

/// The lengths of an option's parts in a reply with its IPv4 and UDP headers, as they stand in the options field.
pub(in crate::dhcp) fn parts(packet: &[u8], code: u8) -> Vec<u8> {
    let (mut lengths, mut at) = (Vec::new(), 28 + FIXED);
    while packet[at] != 255 {
        if packet[at] == 0 {
            at += 1;
            continue;
        }
        if packet[at] == code {
            lengths.push(packet[at + 1]);
        }
        at += 2 + usize::from(packet[at + 1]);
    }
    lengths
}

/// Decodes a reply by dhcproto's owned and borrowed readers, which must agree.
pub(in crate::dhcp) fn decode(bytes: &[u8]) -> Decoded {
    let owned = dhcproto::v4::Message::from_bytes(bytes).unwrap();
    let message = Message::new(bytes).unwrap();
    assert_eq!(owned.opcode(), Opcode::BootReply);
    assert_eq!((owned.htype(), owned.hlen(), owned.hops()), (HType::Eth, 6, 0));
    let mut options: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    let mut order = Vec::new();
    let mut add = |field: DhcpOptionIterator<'_>| {
        for option in field {
            let code = u8::from(option.code());
            let joined = options.entry(code).or_default();
            // Only a part that is full goes on (RFC 3396).
            let continues = !joined.is_empty() && joined.len().is_multiple_of(255);
            assert!(joined.is_empty() || continues, "option {code} is there twice");
            joined.extend_from_slice(option.data());
            order.push(code);
        }
    };
    add(message.opts());
    let overload = message
        .opts()
        .find(|option| option.code() == OptionCode::OptionOverload)
        .map_or(0, |option| option.data()[0]);
    let used = |bit: u8| overload & bit != 0;
    if used(1) {
        add(DhcpOptionIterator::new(&bytes[108..236]));
    }
    if used(2) {
        add(DhcpOptionIterator::new(&bytes[44..108]));
    }
    let file: Vec<u8> = if used(1) {
        Vec::new()
    } else {
        bytes[108..236]
            .iter()
            .copied()
            .take_while(|octet| *octet != 0)
            .collect()
    };
    Decoded {
        kind: owned.opts().msg_type().unwrap().into(),
        xid: owned.xid(),
        flags: owned.flags().into(),
        mac: MacAddress::new(owned.chaddr().try_into().unwrap()),
        ciaddr: owned.ciaddr(),
        yiaddr: owned.yiaddr(),
        siaddr: owned.siaddr(),
        giaddr: owned.giaddr(),
        file,
        order,
        options,
    }
}

const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

fn kind(packet: Packet) -> Result<Kind, Malformed> {
    Request::parse(&packet.bytes()).map(|request| request.kind)
}

#[test]
fn a_request_has_the_state_that_table_4_gives_it() {
    let request = || Packet::new(3);
    let cases = [
        (
            request().option(54, &B.octets()).option(50, &A.octets()),
            Ok(Asking::Selecting { server: B, wanted: A }),
        ),
        (
            request().option(54, &B.octets()).ciaddr(A),
            Ok(Asking::Selecting { server: B, wanted: A }),
        ),
        (
            request().option(50, &A.octets()),
            Ok(Asking::InitReboot { wanted: A }),
        ),
        (request().ciaddr(A), Ok(Asking::Extending { current: A })),
        (
            request().ciaddr(A).option(50, &B.octets()),
            Ok(Asking::Extending { current: A }),
        ),
        (request(), Err(Malformed::State)),
        (request().option(54, &B.octets()), Err(Malformed::State)),
    ];
    for (packet, expected) in cases {
        assert_eq!(kind(packet.clone()), expected.map(Kind::Request), "{packet:?}");
    }
}

#[test]
fn the_other_messages_need_the_addresses_of_table_5() {
    let (a, b) = (A.octets(), B.octets());
    let cases = [
        (Packet::new(1), Ok(Kind::Discover)),
        (
            Packet::new(4).option(54, &b).option(50, &a),
            Ok(Kind::Decline {
                server: B,
                address: A,
            }),
        ),
        (Packet::new(4).option(50, &a), Err(Malformed::State)),
        (
            Packet::new(7).option(54, &b).ciaddr(A),
            Ok(Kind::Release {
                server: B,
                address: A,
            }),
        ),
        (Packet::new(7).option(54, &b), Err(Malformed::State)),
        (Packet::new(8).ciaddr(A), Ok(Kind::Inform { address: A })),
        (Packet::new(8), Err(Malformed::State)),
    ];
    for (packet, expected) in cases {
        assert_eq!(kind(packet.clone()), expected, "{packet:?}");
    }
}

#[test]
fn what_no_client_on_a_bridge_sends_is_dropped() {
    let group = MacAddress::new([1, 0, 0x5e, 0, 0, 1]);
    let cases = [
        (Packet::new(1).at(0, &[2]), Malformed::NotARequest),
        (
            Packet::new(1).at(1, &[6]),
            Malformed::Hardware { htype: 6, hlen: 6 },
        ),
        (Packet::new(1).mac(group.bytes()), Malformed::Station(group)),
        (
            Packet::new(1).mac([0; 6]),
            Malformed::Station(MacAddress::new([0; 6])),
        ),
        (Packet::new(1).at(236, &[0]), Malformed::Cookie),
        (Packet::bootp(), Malformed::MessageType),
        (Packet::bootp().option(53, &[]), Malformed::MessageType),
        (Packet::new(1).option(53, &[1]), Malformed::MessageType),
        (Packet::new(3).option(50, &[10, 77, 0]), Malformed::Option(50)),
        (
            Packet::new(3)
                .option(50, &[10, 77, 0, 5])
                .option(12, b"x")
                .option(50, &[10, 77, 0, 6]),
            Malformed::Option(50),
        ),
        (Packet::new(3).option(54, &[1; 8]), Malformed::Option(54)),
        (Packet::new(1).option(52, &[4]), Malformed::Option(52)),
        (Packet::new(1).option(61, &[7; 256]), Malformed::Option(61)),
    ];
    for (packet, expected) in cases {
        assert_eq!(kind(packet.clone()), Err(expected), "{packet:?}");
    }
    for server in [0, 2, 5, 6, 9, 10, 255] {
        assert_eq!(
            kind(Packet::new(server)),
            Err(Malformed::MessageType),
            "type {server}"
        );
    }
}

#[test]
fn every_truncation_before_the_message_type_is_dropped() {
    let bytes = Packet::new(1).bytes();
    for length in 0..243 {
        assert!(
            Request::parse(&bytes[..length]).is_err(),
            "{length} octets were accepted"
        );
    }
    // Without its end mark it is whole.
    assert_eq!(Request::parse(&bytes[..243]).unwrap().kind, Kind::Discover);
}

#[test]
fn an_option_that_runs_past_the_end_ends_the_options() {
    let mut bytes = Packet::new(1).option(55, &[1, 3]).bytes();
    bytes.pop();
    bytes.extend([61, 200, 1, 2]);
    let request = Request::parse(&bytes).unwrap();
    assert_eq!(request.options.asked.as_deref(), Some([1u8, 3].as_slice()));
    assert_eq!(request.options.client_id, None);
}

#[test]
fn empty_options_are_as_good_as_none() {
    let mut packet = Packet::new(1);
    for code in [12, 50, 54, 55, 57, 61] {
        packet = packet.option(code, &[]);
    }
    let bytes = packet.bytes();
    let request = Request::parse(&bytes).unwrap();
    assert_eq!(request.options, Options::default());
    assert_eq!(request.room(), 548);
}

#[test]
fn options_go_on_in_the_fields_that_option_52_names() {
    let overloaded = |value| {
        Packet::new(3)
            .option(52, &[value])
            .at(108, &[50, 4, 10, 77, 0, 5, 52, 1, 3, 255])
            .at(44, &[55, 1, 6, 255])
    };
    let [file, sname, both] = [1, 2, 3].map(|value| overloaded(value).bytes());
    assert_eq!(Request::parse(&file).unwrap().options.asked, None);
    assert_eq!(Request::parse(&sname), Err(Malformed::State));
    let both = Request::parse(&both).unwrap();
    assert_eq!(both.kind, Kind::Request(Asking::InitReboot { wanted: A }));
    assert_eq!(both.options.asked.as_deref(), Some([6].as_slice()));
}

#[test]
fn the_room_for_a_reply_is_what_the_client_takes_and_a_frame_holds() {
    for (said, room) in [
        (0, 548),
        (575, 548),
        (576, 548),
        (1000, 972),
        (1500, 1472),
        (65535, 1472),
    ] {
        let bytes = Packet::new(1).option(57, &u16::to_be_bytes(said)).bytes();
        assert_eq!(Request::parse(&bytes).unwrap().room(), room, "{said}");
    }
}
