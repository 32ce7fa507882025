//! The rows D01 to D18 of the project's list of hostile inputs, as far as they are about one packet's octets: what is
//! dropped, what is answered, and to whom. Those of the wire itself are in `host` and in the system tests.

use std::net::Ipv4Addr;

use super::sample::{Packet, Server, lending, network, web1, web2};
use super::{Destination, Malformed, Reason, Verdict};
use crate::model::MacAddress;

const US: [u8; 4] = [10, 77, 0, 1];

/// The kind of the reply to one packet; `None` for silence, whether it was dropped or ignored.
fn heard(packet: &[u8]) -> Option<u8> {
    Server::of(network())
        .receive(packet)
        .ok()?
        .reply
        .map(|reply| reply.kind)
}

fn discover() -> Packet {
    Packet::new(1)
}

/// A packet whose options field holds exactly these octets.
fn raw(options: &[u8]) -> Vec<u8> {
    let mut bytes = Packet::bootp().bytes();
    bytes.truncate(240);
    bytes.extend(options);
    bytes
}

#[test]
fn d01_a_packet_shorter_than_a_message_is_dropped() {
    let whole = discover().bytes();
    for length in 0..240 {
        let refused = Server::of(network()).receive(&whole[..length]).unwrap_err();
        assert!(
            matches!(refused, Malformed::Short(_) | Malformed::Cookie),
            "{length}: {refused}"
        );
        assert_eq!(heard(&vec![0xff; length]), None, "{length}");
    }
}

#[test]
fn d02_an_option_that_runs_past_the_end_ends_the_parsing() {
    // Answered when the message type stood before it, dropped when it did not.
    assert_eq!(heard(&raw(&[53, 1, 1, 12, 200, b'x'])), Some(2));
    assert_eq!(heard(&raw(&[12, 200, b'x', 53, 1, 1])), None);
    assert_eq!(heard(&raw(&[53, 1])), None);
    assert_eq!(heard(&raw(&[53])), None);
}

#[test]
fn d03_an_option_without_content_is_as_good_as_none() {
    for code in [12, 50, 51, 54, 55, 57, 61, 82] {
        assert_eq!(heard(&discover().option(code, &[]).bytes()), Some(2), "{code}");
    }
    assert_eq!(heard(&raw(&[53, 0, 255])), None, "no message type");
}

#[test]
fn d04_no_cookie_no_options_no_answer() {
    let mut wrong = discover().bytes();
    wrong[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x64]);
    assert_eq!(heard(&wrong), None);
    wrong[236..240].copy_from_slice(&[0; 4]);
    assert_eq!(heard(&wrong), None);
    assert_eq!(heard(&Packet::bootp().bytes()), None, "BOOTP");
    assert_eq!(heard(&raw(&[])), None);
}

#[test]
fn d05_padding_no_end_and_garbage_after_the_end_are_accepted_and_cost_nothing() {
    let mut padded = vec![0; 1_100];
    padded.extend([53, 1, 1]);
    let garbage = [&[53, 1, 1, 255][..], &[0xde; 300]].concat();
    for (what, options) in [
        ("no end", &[53, 1, 1][..]),
        ("padding", &padded),
        ("garbage", &garbage),
    ] {
        assert_eq!(heard(&raw(options)), Some(2), "{what}");
    }
    // The fastest of many: other tests run at the same time.
    let (mut server, packet) = (Server::of(network()), raw(&padded));
    let fastest = (0..500).map(|_| server.time_of(&packet)).min().unwrap();
    assert!(fastest.as_micros() < 100, "{fastest:?}");
}

#[test]
fn d06_overloaded_fields_are_read_once_and_never_within_themselves() {
    // RFC 2131 §4.1: `file`, then `sname`.
    let with_field = |at: usize, field: &[u8], overload: &[u8]| {
        let mut bytes = Packet::bootp().option(52, overload).bytes();
        bytes[at..at + field.len()].copy_from_slice(field);
        bytes
    };
    let (sname, file) = (44, 108);
    let kind = [53, 1, 1, 255];
    assert_eq!(heard(&with_field(file, &kind, &[1])), Some(2));
    assert_eq!(heard(&with_field(sname, &kind, &[2])), Some(2));
    assert_eq!(heard(&with_field(file, &kind, &[3])), Some(2));
    assert_eq!(heard(&with_field(sname, &kind, &[1])), None, "sname is not named");
    // Option 52 inside `file` does not open `sname`: there is no recursion.
    let mut nested = with_field(file, &[52, 1, 2, 255], &[1]);
    nested[sname..sname + 4].copy_from_slice(&kind);
    assert_eq!(heard(&nested), None);
    for invalid in [0, 4, 255] {
        assert_eq!(heard(&with_field(file, &kind, &[invalid])), None, "{invalid}");
    }
    assert_eq!(heard(&with_field(file, &kind, &[1, 1])), None, "two octets");
}

#[test]
fn d07_an_option_that_is_there_twice_is_joined_and_then_too_long() {
    for (code, first, second) in [(53, &[1][..], &[3][..]), (50, &US, &US), (54, &US, &[9, 9, 9, 9])] {
        let packet = if code == 53 { Packet::bootp() } else { discover() };
        let twice = packet.option(code, first).option(code, second);
        assert_eq!(heard(&twice.bytes()), None, "{code}");
    }
}

#[test]
fn d08_an_option_split_64_ways_is_joined_or_dropped_whole() {
    let mut packet = discover();
    for part in 0..64_u8 {
        packet = packet.option(61, &[part; 3]);
    }
    let answer = Server::of(network()).receive(&packet.clone().bytes()).unwrap();
    let expected: Vec<u8> = (0..64_u8).flat_map(|part| [part; 3]).collect();
    assert_eq!(
        answer.reply().options[&61],
        expected,
        "192 octets are a client identifier"
    );
    for part in 0..64_u8 {
        packet = packet.option(61, &[part; 3]);
    }
    assert_eq!(heard(&packet.bytes()), None, "384 are none");
}

#[test]
fn d09_another_hardware_type_or_length_is_dropped() {
    for hlen in [0, 1, 5, 7, 16, 17, 255] {
        assert_eq!(heard(&discover().at(2, &[hlen]).bytes()), None, "hlen {hlen}");
    }
    for htype in [0, 2, 6, 32, 255] {
        assert_eq!(heard(&discover().at(1, &[htype]).bytes()), None, "htype {htype}");
    }
}

#[test]
fn d10_a_reply_to_the_servers_port_is_dropped() {
    for op in [0, 2, 3, 255] {
        let refused = Server::of(network()).receive(&discover().at(0, &[op]).bytes());
        assert_eq!(refused.unwrap_err(), Malformed::NotARequest, "{op}");
    }
}

#[test]
fn d12_a_hardware_address_no_station_can_have_is_dropped() {
    for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
        let refused = Server::of(lending()).receive(&discover().mac(mac).bytes());
        assert_eq!(refused.unwrap_err(), Malformed::Station(MacAddress::new(mac)));
    }
}

#[test]
fn d13_a_client_identifier_is_echoed_and_says_nothing_of_who_asks() {
    let of_web2 = [&[1][..], &web2().mac.bytes()].concat();
    for identifier in [&of_web2[..], &[7], &[0xab; 255]] {
        let answer = Server::of(network()).ask(discover().option(61, identifier));
        assert_eq!(answer.reply().yiaddr, web1().address);
        assert_eq!(answer.reply().options[&61], identifier, "RFC 6842 §3");
    }
}

#[test]
fn d14_anothers_address_or_server_is_refused_or_left_alone_in_each_state() {
    let (theirs, foreign) = (web2().address.octets(), [9, 9, 9, 9]);
    let request = || Packet::new(3);
    for (what, packet, reply) in [
        (
            "SELECTING, another's address",
            request().option(54, &US).option(50, &theirs),
            Some(6),
        ),
        (
            "SELECTING, another server",
            request().option(54, &foreign).option(50, &theirs),
            None,
        ),
        (
            "INIT-REBOOT, another's address",
            request().option(50, &theirs),
            Some(6),
        ),
        (
            "INIT-REBOOT, another subnet",
            request().option(50, &foreign),
            Some(6),
        ),
        (
            "RENEWING, another's address",
            request().ciaddr(theirs.into()),
            Some(6),
        ),
        (
            "REBINDING, another subnet",
            request().ciaddr(foreign.into()),
            Some(6),
        ),
        ("no state", request(), None),
    ] {
        let bytes = packet.bytes();
        assert_eq!(heard(&bytes), reply, "{what}");
        if reply.is_some() {
            let answer = Server::of(network()).receive(&bytes).unwrap();
            assert_eq!(
                answer.reply().options[&54],
                US,
                "{what}: clients ignore a NAK without it"
            );
            assert_eq!(answer.response.to, Some(Destination::Broadcast), "{what}");
        }
    }
}

#[test]
fn d15_ten_thousand_declines_change_nothing_and_raise_one_alarm_a_minute() {
    let mut server = Server::of(network());
    let decline = |address: Ipv4Addr| Packet::new(4).option(54, &US).option(50, &address.octets());
    let release = |address: Ipv4Addr| Packet::new(7).option(54, &US).ciaddr(address);
    let mut alarms = 0;
    for _ in 0..10_000 {
        let answer = server.ask(decline(web1().address));
        assert!(answer.reply.is_none() && answer.response.lend.is_none());
        alarms += u32::from(answer.response.verdict == Verdict::Declined { alarm: true });
    }
    assert_eq!(alarms, 1);
    for of_a_neighbour in [decline(web2().address), release(web2().address)] {
        let answer = server.ask(of_a_neighbour);
        assert_eq!(answer.response.verdict, Verdict::Ignored(Reason::OtherAddress));
        assert_eq!(answer.response.event, None);
    }
    assert_eq!(
        server.ask(discover()).reply().yiaddr,
        web1().address,
        "never moved"
    );
    let neighbour = discover().mac(web2().mac.bytes());
    assert_eq!(server.ask(neighbour).reply().yiaddr, web2().address);
}

#[test]
fn d16_an_inform_is_told_options_only_and_what_no_server_answers_is_dropped() {
    let answer = Server::of(network()).ask(Packet::new(8).ciaddr(web1().address));
    assert_eq!(
        (answer.reply().kind, answer.reply().yiaddr),
        (5, Ipv4Addr::UNSPECIFIED)
    );
    for code in [51, 58, 59] {
        assert_eq!(answer.reply().options.get(&code), None, "{code}: RFC 2131 §4.3.5");
    }
    // DHCPLEASEQUERY is 10 (RFC 4388); 2, 5 and 6 are a server's own.
    for kind in [0, 2, 5, 6, 9, 10, 11, 255] {
        assert_eq!(heard(&Packet::new(kind).bytes()), None, "{kind}");
    }
    assert_eq!(heard(&Packet::bootp().option(53, &[1, 1]).bytes()), None);
}

#[test]
fn d17_what_a_guest_calls_itself_is_never_a_name_and_never_raw_in_a_log() {
    let mut discovering = network();
    discovering.dhcp.unregistered = crate::model::dhcp::Unregistered::Discover;
    for name in [
        &b"a\0b"[..],
        b"x\ny",
        b";$(reboot)",
        "w\u{e9}b".as_bytes(),
        b"web2...",
        &[0xff; 255],
    ] {
        let packet = |mac: [u8; 6]| {
            let full_name = [&[0, 0, 0][..], &name[..name.len().min(200)]].concat();
            discover().mac(mac).option(12, name).option(81, &full_name)
        };
        let answer = Server::of(network()).ask(packet(web1().mac.bytes()).option(55, &[12]));
        assert_eq!(answer.reply().options[&12], b"web1");
        let seen = Server::of(discovering.clone())
            .ask(packet([2, 0, 0, 0, 0, 9]))
            .response
            .seen;
        let hostname = seen.unwrap().hostname.unwrap();
        assert!(
            hostname
                .bytes()
                .all(|byte| byte == b' ' || byte.is_ascii_graphic()),
            "{hostname:?}"
        );
        assert!(hostname.len() <= 64);
    }
}

#[test]
fn d18_a_reply_fits_what_the_client_takes_and_says_nothing_twice() {
    let every: Vec<u8> = (0..=254).collect();
    let twice = [&every[..127], &every[..127]].concat();
    for said in [0, 1, 575, 576, 65_535_u16] {
        for asked in [&every, &twice] {
            let mut server = Server::of(network());
            let packet = discover().option(57, &said.to_be_bytes()).option(55, asked);
            // The decoder refuses an option that is there twice.
            let order = server.ask(packet).reply().order.clone();
            assert!(order.len() > 6, "{order:?}");
            assert!(server.out.len() <= usize::from(said).clamp(576, 1500), "{said}");
        }
    }
}

#[test]
fn d19_odd_header_fields_come_back_or_do_not_matter_and_each_client_gets_its_own() {
    // secs and hops are nobody's business; xid is the client's.
    for (at, octets) in [(8, &[0xff, 0xff][..]), (3, &[255]), (4, &[0, 0, 0, 0])] {
        assert_eq!(heard(&discover().at(at, octets).bytes()), Some(2), "at {at}");
    }
    let mut server = Server::of(network());
    for count in 0..1_000_u32 {
        let [_, _, high, low] = count.to_be_bytes();
        let vm = crate::model::Vm {
            mac: MacAddress::new([0x52, 0x54, 1, 0, high, low]),
            ..crate::model::examples::vm(
                &format!("vm{count}"),
                &format!("10.77.{}.{}", 4 + count / 250, 2 + count % 250),
            )
        };
        server = server.with(vm.clone());
        let answer = server.ask(discover().mac(vm.mac.bytes()).xid(7));
        assert_eq!(
            (answer.reply().xid, answer.reply().yiaddr, answer.reply().mac),
            (7, vm.address, vm.mac)
        );
        let to = Destination::Hardware {
            mac: vm.mac,
            address: vm.address,
        };
        assert_eq!(answer.response.to, Some(to));
    }
}

/// A million packets of a million strangers.
fn million(mut server: Server) -> Server {
    let mut packet = discover().bytes();
    for number in 0..1_000_000_u32 {
        packet[30..34].copy_from_slice(&number.to_be_bytes());
        packet[28..30].copy_from_slice(&[2, 0x77]);
        server.answer(&packet).unwrap();
    }
    server
}

#[test]
fn d22_a_million_strangers_leave_nothing_behind_where_they_are_ignored() {
    let mut server = million(Server::of(network()));
    assert_eq!(server.offers.size(), 0);
    assert_eq!(server.ask(discover()).reply().yiaddr, web1().address);
}

#[test]
fn d22_a_million_strangers_are_told_of_and_not_kept_where_they_are_discovered() {
    let mut watching = network();
    watching.dhcp.unregistered = crate::model::dhcp::Unregistered::Discover;
    let mut server = million(Server::of(watching));
    assert_eq!(server.offers.size(), 0);
    assert_eq!(server.ask(discover()).reply().yiaddr, web1().address);
}

#[test]
fn d22_a_million_strangers_fill_a_pool_and_no_more() {
    let mut server = million(Server::of(lending()));
    // The 20 addresses that there are, each offered to one of them.
    assert_eq!(server.offers.size(), 2 * 20 + 20);
    assert_eq!(server.ask(discover()).reply().yiaddr, web1().address);
}
