//! A table of cases for each client state of RFC 2131.

use super::super::sample::{Answer, Packet, Server, network, stranger, web1, web2};
use super::super::wire::tests::Decoded;
use super::*;

const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 6);
const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

struct Seen {
    reply: Option<(Decoded, Destination)>,
    event: Option<EventKind>,
    verdict: Verdict,
}

fn seen(packet: Packet) -> Seen {
    seen_by(&mut Server::of(network()), packet)
}

fn seen_by(server: &mut Server, packet: Packet) -> Seen {
    let Answer { response, reply } = server.ask(packet);
    Seen {
        reply: reply.zip(response.to),
        event: response.event.map(|event| event.kind),
        verdict: response.verdict,
    }
}

fn selecting(server: Ipv4Addr, wanted: Ipv4Addr) -> Packet {
    Packet::new(3)
        .option(54, &server.octets())
        .option(50, &wanted.octets())
}

fn init_reboot(wanted: Ipv4Addr) -> Packet {
    Packet::new(3).option(50, &wanted.octets())
}

fn own() -> Destination {
    Destination::Hardware {
        mac: web1().mac,
        address: OWN,
    }
}

#[test]
fn a_discover_is_offered_the_reserved_address_whatever_it_asks_for() {
    for packet in [
        Packet::new(1),
        Packet::new(1).option(50, &OTHER.octets()),
        Packet::new(1).ciaddr(OTHER),
    ] {
        let seen = seen(packet);
        let (reply, to) = seen.reply.unwrap();
        assert_eq!(
            (reply.kind, reply.yiaddr, reply.ciaddr, to),
            (2, OWN, NONE, own())
        );
        assert_eq!((seen.event, seen.verdict), (None, Verdict::Offered));
    }
}

#[test]
fn each_state_gets_its_address_acknowledged() {
    for (packet, ciaddr) in [
        (selecting(US, OWN), NONE),
        (init_reboot(OWN), NONE),
        (Packet::new(3).ciaddr(OWN), OWN),
    ] {
        let seen = seen(packet);
        let (reply, to) = seen.reply.unwrap();
        assert_eq!(
            (reply.kind, reply.yiaddr, reply.ciaddr, to),
            (5, OWN, ciaddr, own())
        );
        assert_eq!(reply.options[&51], 43_200u32.to_be_bytes());
        assert_eq!(
            (seen.event, seen.verdict),
            (Some(EventKind::Acknowledged), Verdict::Acknowledged)
        );
    }
}

#[test]
fn a_request_for_anothers_address_is_refused_by_broadcast_in_each_state() {
    let far = Ipv4Addr::new(192, 168, 1, 9);
    for wanted in [OTHER, far] {
        for packet in [
            selecting(US, wanted),
            init_reboot(wanted),
            Packet::new(3).ciaddr(wanted),
        ] {
            let seen = seen(packet.option(61, &[1, 2, 3]));
            let (reply, to) = seen.reply.unwrap();
            assert_eq!((reply.kind, reply.yiaddr, reply.ciaddr), (6, NONE, NONE));
            assert_eq!(to, Destination::Broadcast);
            let codes: Vec<u8> = reply.options.keys().copied().collect();
            assert_eq!(codes, [53, 54, 56, 61]);
            assert_eq!(reply.options[&54], US.octets());
            assert_eq!((seen.event, seen.verdict), (None, Verdict::Refused { wanted }));
        }
    }
}

#[test]
fn a_client_that_took_another_servers_offer_is_left_alone() {
    for wanted in [OWN, OTHER] {
        let seen = seen(selecting([10, 77, 0, 250].into(), wanted));
        assert!(seen.reply.is_none() && seen.event.is_none());
        assert_eq!(seen.verdict, Verdict::Ignored(Reason::OtherServer));
    }
}

#[test]
fn an_unknown_client_and_one_of_another_network_hear_nothing_in_any_state() {
    let nobody = [0x52, 0x54, 0, 0, 0, 0x99];
    for (mac, reason) in [
        (nobody, Reason::Unregistered),
        (stranger().mac.bytes(), Reason::OtherNetwork),
    ] {
        for packet in [
            Packet::new(1),
            selecting(US, OWN),
            init_reboot(OWN),
            init_reboot([192, 168, 1, 9].into()),
            Packet::new(3).ciaddr(OWN),
            Packet::new(4).option(54, &US.octets()).option(50, &OWN.octets()),
            Packet::new(7).option(54, &US.octets()).ciaddr(OWN),
            Packet::new(8).ciaddr(OWN),
        ] {
            let seen = seen(packet.mac(mac));
            assert!(seen.reply.is_none() && seen.event.is_none());
            assert_eq!(seen.verdict, Verdict::Ignored(reason));
        }
    }
}

#[test]
fn a_decline_and_a_release_are_told_and_change_nothing() {
    let decline = |server: Ipv4Addr, address: Ipv4Addr| {
        Packet::new(4)
            .option(54, &server.octets())
            .option(50, &address.octets())
    };
    let release = |server: Ipv4Addr, address| Packet::new(7).option(54, &server.octets()).ciaddr(address);
    let elsewhere = Ipv4Addr::new(10, 77, 0, 250);
    for (packet, event, verdict) in [
        (
            decline(US, OWN),
            Some(EventKind::Declined),
            Verdict::Declined { alarm: true },
        ),
        (release(US, OWN), Some(EventKind::Released), Verdict::Released),
        (decline(US, OTHER), None, Verdict::Ignored(Reason::OtherAddress)),
        (release(US, OTHER), None, Verdict::Ignored(Reason::OtherAddress)),
        (
            decline(elsewhere, OWN),
            None,
            Verdict::Ignored(Reason::OtherServer),
        ),
        (
            release(elsewhere, OWN),
            None,
            Verdict::Ignored(Reason::OtherServer),
        ),
    ] {
        let seen = seen(packet);
        assert!(seen.reply.is_none());
        assert_eq!((seen.event, seen.verdict), (event, verdict));
    }
}

#[test]
fn an_inform_is_told_the_options_at_the_address_it_has() {
    let manual = Ipv4Addr::new(10, 77, 0, 200);
    for address in [OWN, manual] {
        let seen = seen(Packet::new(8).ciaddr(address).flags(0x8000));
        let (reply, to) = seen.reply.unwrap();
        assert_eq!((reply.kind, reply.yiaddr, reply.ciaddr), (5, NONE, address));
        assert_eq!(
            to,
            Destination::Hardware {
                mac: web1().mac,
                address
            }
        );
        assert!([51, 58, 59].iter().all(|code| !reply.options.contains_key(code)));
        assert_eq!((seen.event, seen.verdict), (None, Verdict::Informed));
    }
    for outside in [Ipv4Addr::new(192, 168, 1, 9), Ipv4Addr::new(10, 77, 0, 255), US] {
        assert_eq!(
            seen(Packet::new(8).ciaddr(outside)).verdict,
            Verdict::Ignored(Reason::OtherAddress)
        );
    }
}

#[test]
fn the_broadcast_flag_is_honoured_and_echoed_until_the_client_has_its_address() {
    for packet in [Packet::new(1), selecting(US, OWN), init_reboot(OWN)] {
        let (reply, to) = seen(packet.flags(0x8000)).reply.unwrap();
        assert_eq!((reply.flags, to), (0x8000, Destination::Broadcast));
    }
    let (_, to) = seen(Packet::new(3).ciaddr(OWN).flags(0x8000)).reply.unwrap();
    assert_eq!(to, own());
}

#[test]
fn two_clones_with_one_client_identifier_each_get_their_own_address() {
    let identifier = [0xff, 1, 2, 3, 4, 0, 2, 0, 0, 0xab, 0x11, 9, 9, 9, 9, 9, 9, 9, 9];
    for vm in [web1(), web2()] {
        let (reply, _) = seen(Packet::new(1).mac(vm.mac.bytes()).option(61, &identifier))
            .reply
            .unwrap();
        assert_eq!((reply.mac, reply.yiaddr), (vm.mac, vm.address));
        assert_eq!(reply.options[&12], vm.name.as_str().as_bytes());
        assert_eq!(reply.options[&61], identifier);
    }
}

#[test]
fn an_offer_made_before_a_restart_is_acknowledged_after_it() {
    // Nothing is remembered between packets: a REQUEST without a DISCOVER before it is that case.
    assert_eq!(seen(selecting(US, OWN)).verdict, Verdict::Acknowledged);
}

#[test]
fn what_a_guest_calls_itself_is_not_repeated() {
    let (reply, _) = seen(
        Packet::new(1)
            .option(12, b"evil; $(reboot)")
            .option(81, &[1, 0, 0, b'x']),
    )
    .reply
    .unwrap();
    assert_eq!(reply.options[&12], b"web1");
    assert_eq!(reply.options[&81], b"\x01\xff\xffweb1.lab.example");
}

#[test]
fn a_polite_server_refuses_only_those_that_chose_it() {
    let mut network = network();
    network.dhcp.mode = DhcpMode::Polite;
    let mut server = Server::of(network);
    for packet in [init_reboot(OTHER), Packet::new(3).ciaddr(OTHER)] {
        let seen = seen_by(&mut server, packet);
        assert!(seen.reply.is_none());
        assert_eq!(seen.verdict, Verdict::Ignored(Reason::OtherAddress));
    }
    let refused = seen_by(&mut server, selecting(US, OTHER));
    assert_eq!(refused.verdict, Verdict::Refused { wanted: OTHER });
    let own = seen_by(&mut server, init_reboot(OWN));
    assert_eq!(own.verdict, Verdict::Acknowledged);
}

#[test]
fn an_unknown_client_waits_to_be_adopted_where_that_is_the_policy() {
    let mut network = network();
    network.dhcp.unregistered = Unregistered::Discover;
    let mut server = Server::of(network);
    let unknown = Packet::new(1).mac([0x52, 0x54, 0, 0, 0, 0x99]);
    let answer = server.ask(unknown.option(12, b"printer").option(60, b"HP"));
    assert!(answer.reply.is_none());
    let seen = answer.response.seen.unwrap();
    assert_eq!(
        (seen.hostname.as_deref(), seen.vendor.as_deref()),
        (Some("printer"), Some("HP"))
    );
    assert_eq!(server.ask(Packet::new(1)).response.seen, None);
}

#[test]
fn rapid_commit_is_answered_by_an_offer() {
    // RFC 4039 §3.1: only a server that is configured for it answers with an ACK.
    let (reply, _) = seen(Packet::new(1).option(80, &[])).reply.unwrap();
    assert_eq!(reply.kind, 2);
    assert!(!reply.options.contains_key(&80));
}

/// `web1` with a NIC on a second network, 10.78.0.0/24.
fn two_nics() -> (Vm, Network) {
    let mut back = crate::model::examples::network("back", "10.78.0.1/24");
    back.domain = "back.example".parse().unwrap();
    let vm = crate::model::examples::with_nic(web1(), "back", "10.78.0.5");
    (vm, back)
}

#[test]
fn each_nic_of_a_vm_gets_its_own_address_on_its_own_network_and_nothing_on_another() {
    let (vm, back) = two_nics();
    let second = vm.more_nics()[0].mac.bytes();
    let mut on_lab = Server::of(network()).with(vm.clone());
    let mut on_back = Server::of(back).with(vm);
    let asked = |server: &mut Server, packet| seen_by(server, packet).reply.map(|(reply, _)| reply.yiaddr);
    assert_eq!(asked(&mut on_lab, Packet::new(1)), Some(OWN));
    assert_eq!(
        asked(&mut on_back, Packet::new(1).mac(second)),
        Some([10, 78, 0, 5].into())
    );
    for (server, packet) in [
        (&mut on_lab, Packet::new(1).mac(second)),
        (&mut on_back, Packet::new(1)),
    ] {
        let seen = seen_by(server, packet);
        assert!(seen.reply.is_none());
        assert_eq!(seen.verdict, Verdict::Ignored(Reason::OtherNetwork));
    }
    // Its other NIC's address is not this one's: a client that takes it there by mistake is set right.
    let wrong = seen_by(&mut on_back, init_reboot(OWN).mac(second));
    assert_eq!(wrong.verdict, Verdict::Refused { wanted: OWN });
}
