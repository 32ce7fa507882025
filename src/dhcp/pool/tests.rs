//! Clients of the pool, in each state of RFC 2131, and how their addresses are chosen.

use super::super::message::Flags;
use super::super::outcome::Destination;
use super::super::sample::{Answer, Packet, Server, lending, web1};
use super::*;
use crate::model::dhcp::DhcpMode;
use crate::model::{MacAddress, Network};

const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const LEASE: u64 = 43_200;
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

fn server() -> Server {
    Server::of(lending())
}

fn client(last: u8) -> MacAddress {
    MacAddress::new([0x52, 0x54, 0, 0, 1, last])
}

fn at(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, last)
}

fn packet(last: u8, message_type: u8) -> Packet {
    Packet::new(message_type).mac(client(last).bytes())
}

fn discover(last: u8) -> Packet {
    packet(last, 1)
}

fn selecting(last: u8, address: Ipv4Addr) -> Packet {
    packet(last, 3)
        .option(54, &US.octets())
        .option(50, &address.octets())
}

fn init_reboot(last: u8, address: Ipv4Addr) -> Packet {
    packet(last, 3).option(50, &address.octets())
}

fn extending(last: u8, address: Ipv4Addr) -> Packet {
    packet(last, 3).ciaddr(address)
}

fn decline(last: u8, address: Ipv4Addr) -> Packet {
    packet(last, 4)
        .option(54, &US.octets())
        .option(50, &address.octets())
}

fn release(last: u8, address: Ipv4Addr) -> Packet {
    packet(last, 7).option(54, &US.octets()).ciaddr(address)
}

/// DISCOVER to ACK: the address that the client is lent.
fn lease(server: &mut Server, last: u8) -> Ipv4Addr {
    let offered = server.ask(discover(last)).reply().yiaddr;
    let answer = server.ask(selecting(last, offered));
    assert_eq!((answer.reply().kind, answer.reply().yiaddr), (ACK, offered));
    offered
}

fn kind(answer: &Answer) -> Option<u8> {
    answer.reply.as_ref().map(|reply| reply.kind)
}

/// For how many seconds the client was told that it has its address (option 51).
fn told(answer: &Answer) -> u64 {
    let octets = answer.reply().options[&51].as_slice().try_into().unwrap();
    u64::from(u32::from_be_bytes(octets))
}

fn pass(server: &mut Server, seconds: u64) {
    server.now = Timestamp(server.now.0 + seconds);
}

#[test]
fn a_client_is_offered_an_address_and_lent_it_when_it_asks() {
    let mut server = server();
    let offer = server.ask(discover(1));
    assert_eq!((kind(&offer), offer.reply().yiaddr), (Some(OFFER), at(249)));
    assert_eq!(offer.response.lend, None);
    let ack = server.ask(selecting(1, at(249)).option(12, b"laptop\n"));
    assert_eq!((kind(&ack), ack.response.vm.is_none()), (Some(ACK), true));
    let expected = Lease {
        network: "lab".parse().unwrap(),
        mac: client(1),
        address: at(249),
        state: LeaseState::Bound,
        since: server.now,
        expires: Timestamp(server.now.0 + LEASE),
        hostname: Some("laptop?".into()),
    };
    assert_eq!(ack.response.lend, Some(expected));
    assert!(!ack.reply().options.contains_key(&12));
    assert_eq!(ack.response.event, None);
}

#[test]
fn registered_vms_keep_their_addresses_beside_a_pool() {
    let mut server = server();
    assert_eq!(server.ask(Packet::new(1)).reply().yiaddr, web1().address);
}

#[test]
fn a_client_gets_the_address_it_had_then_the_one_it_asks_for_then_a_new_one() {
    // RFC 2131 §4.3.1.
    let mut server = server();
    let wanting = |last, address: Ipv4Addr| discover(last).option(50, &address.octets());
    assert_eq!(server.ask(wanting(1, at(240))).reply().yiaddr, at(240));
    server.ask(selecting(1, at(240)));
    assert_eq!(server.ask(wanting(1, at(241))).reply().yiaddr, at(240));
    pass(&mut server, 10 * LEASE);
    assert_eq!(server.ask(wanting(1, at(241))).reply().yiaddr, at(240));
    // Taken, outside the range, a VM's, and the gateway's.
    for other in [at(240), at(20), web1().address, US, [1, 2, 3, 4].into()] {
        assert!(server.ask(wanting(2, other)).reply().yiaddr > at(241), "{other}");
    }
}

#[test]
fn an_offer_is_repeated_and_not_made_to_another() {
    let mut server = server();
    assert_eq!(server.ask(discover(1)).reply().yiaddr, at(249));
    assert_eq!(server.ask(discover(2)).reply().yiaddr, at(248));
    assert_eq!(server.ask(discover(1)).reply().yiaddr, at(249));
    assert_eq!(kind(&server.ask(selecting(2, at(249)))), Some(NAK));
}

#[test]
fn addresses_are_used_again_when_none_is_new_the_one_that_ran_out_first_before() {
    let mut server = server();
    let lent: Vec<Ipv4Addr> = (0..20)
        .map(|last| {
            pass(&mut server, 10);
            lease(&mut server, last)
        })
        .collect();
    assert_eq!(lent, (230..250).rev().map(at).collect::<Vec<_>>());
    server.ask(release(7, lent[7]));
    assert_eq!(server.ask(discover(30)).reply().yiaddr, lent[7]);
    pass(&mut server, LEASE);
    // The one that was declined comes last of all.
    server.ask(extending(0, lent[0]));
    server.ask(decline(0, lent[0]));
    pass(&mut server, LEASE);
    let again: Vec<Ipv4Addr> = (40..60).map(|last| lease(&mut server, last)).collect();
    let mut expected: Vec<Ipv4Addr> = lent.clone();
    expected.rotate_left(1);
    let released = expected.remove(6);
    expected.insert(0, released);
    assert_eq!(again, expected);
}

#[test]
fn a_reserved_address_is_never_lent_even_when_it_is_in_the_range() {
    let reserved = |last| crate::model::Vm {
        address: at(last),
        ..crate::model::examples::vm(&format!("vm{last}"), "10.77.0.9")
    };
    let mut server = (230..249).fold(server(), |server, last| server.with(reserved(last)));
    assert_eq!(lease(&mut server, 1), at(249));
    assert_eq!(kind(&server.ask(discover(2))), None);
    assert_eq!(kind(&server.ask(selecting(2, at(240)))), Some(NAK));
}

#[test]
fn an_offer_is_acknowledged_after_a_restart_when_its_address_is_free() {
    // RFC 2131 §4.3.2; the offers are lost, the leases are not.
    let mut server = server();
    server.ask(discover(1));
    server.offers = Offers::default();
    assert_eq!(kind(&server.ask(selecting(1, at(249)))), Some(ACK));
    server.offers = Offers::default();
    assert_eq!(kind(&server.ask(selecting(2, at(249)))), Some(NAK));
}

#[test]
fn a_client_that_takes_another_servers_offer_gives_ours_back() {
    // RFC 2131 §3.1.
    let mut server = server();
    server.ask(discover(1));
    let other = packet(1, 3)
        .option(54, &[10, 77, 0, 250])
        .option(50, &at(10).octets());
    let answer = server.ask(other);
    assert_eq!(answer.response.verdict, Verdict::Ignored(Reason::OtherServer));
    assert_eq!(server.offers.holder(at(249), server.now), None);
}

#[test]
fn init_reboot_is_acknowledged_refused_or_met_with_silence() {
    // RFC 2131 §4.3.2: a record and the right address, a record and a wrong one, a wrong network, no record.
    let mut server = server();
    let own = lease(&mut server, 1);
    lease(&mut server, 2);
    let far = Ipv4Addr::new(192, 168, 1, 9);
    for (packet, expected) in [
        (init_reboot(1, own), Some(ACK)),
        (init_reboot(1, at(240)), Some(NAK)),
        (init_reboot(1, far), Some(NAK)),
        (init_reboot(9, far), Some(NAK)),
        (init_reboot(9, own), Some(NAK)),
        (init_reboot(9, web1().address), Some(NAK)),
        (init_reboot(9, at(240)), None),
    ] {
        assert_eq!(kind(&server.ask(packet.clone())), expected, "{packet:?}");
    }
    let nak = server.ask(init_reboot(9, far));
    assert_eq!(nak.response.to, Some(Destination::Broadcast));
    assert_eq!(nak.reply().order, [53, 54, 56]);
}

#[test]
fn a_lease_is_extended_and_its_beginning_is_remembered() {
    let mut server = server();
    let began = server.now;
    let own = lease(&mut server, 1);
    pass(&mut server, LEASE / 2);
    let answer = server.ask(extending(1, own).flags(Flags(0x8000).0));
    assert_eq!((answer.reply().kind, answer.reply().ciaddr), (ACK, own));
    assert_eq!(
        answer.response.to,
        Some(Destination::Hardware {
            mac: client(1),
            address: own
        })
    );
    let lease = answer.response.lend.unwrap();
    assert_eq!(
        (lease.since, lease.expires),
        (began, Timestamp(server.now.0 + LEASE))
    );
}

#[test]
fn an_address_in_use_without_a_record_is_lent_to_its_user_if_it_is_free() {
    let mut server = server();
    let anothers = lease(&mut server, 1);
    assert_eq!(kind(&server.ask(extending(9, at(240)))), Some(ACK));
    for wrong in [anothers, web1().address, at(20), [192, 168, 1, 9].into()] {
        assert_eq!(kind(&server.ask(extending(9, wrong))), Some(NAK), "{wrong}");
    }
}

#[test]
fn a_polite_server_refuses_only_those_that_chose_it() {
    let mut network: Network = lending();
    network.dhcp.mode = DhcpMode::Polite;
    let mut server = Server::of(network);
    let own = lease(&mut server, 1);
    let far = Ipv4Addr::new(192, 168, 1, 9);
    for packet in [
        init_reboot(1, far),
        init_reboot(9, far),
        extending(1, far),
        extending(9, at(240)),
    ] {
        assert_eq!(kind(&server.ask(packet.clone())), None, "{packet:?}");
    }
    assert_eq!(kind(&server.ask(selecting(1, far))), Some(NAK));
    assert_eq!(kind(&server.ask(init_reboot(1, own))), Some(ACK));
    assert_eq!(kind(&server.ask(extending(1, own))), Some(ACK));
}

#[test]
fn a_declined_address_is_not_lent_for_an_hour_and_the_client_gets_another() {
    // RFC 2131 §4.3.3.
    let mut server = server();
    let own = lease(&mut server, 1);
    let answer = server.ask(decline(1, own));
    assert_eq!(
        (kind(&answer), answer.response.verdict),
        (None, Verdict::Declined { alarm: true })
    );
    let lend = answer.response.lend.unwrap();
    assert_eq!(
        (lend.state, lend.expires),
        (LeaseState::Declined, Timestamp(server.now.0 + 3600))
    );
    assert_ne!(lease(&mut server, 1), own);
    pass(&mut server, 3599);
    assert_eq!(kind(&server.ask(selecting(2, own))), Some(NAK));
    pass(&mut server, 1);
    assert_eq!(kind(&server.ask(selecting(2, own))), Some(ACK));
}

#[test]
fn nobody_declines_or_releases_what_another_has() {
    let mut server = server();
    let own = lease(&mut server, 1);
    for packet in [
        decline(2, own),
        release(2, own),
        decline(2, web1().address),
        release(1, at(240)),
    ] {
        let answer = server.ask(packet);
        assert_eq!(answer.response.verdict, Verdict::Ignored(Reason::OtherAddress));
        assert_eq!(answer.response.lend, None);
    }
    assert_eq!(kind(&server.ask(extending(1, own))), Some(ACK));
}

#[test]
fn a_released_address_is_free_for_others_and_still_known_to_be_its_clients() {
    // RFC 2131 §4.3.4.
    let mut server = server();
    let own = lease(&mut server, 1);
    let answer = server.ask(release(1, own));
    assert_eq!(
        (kind(&answer), answer.response.verdict),
        (None, Verdict::Released)
    );
    assert_eq!(answer.response.lend.unwrap().expires, server.now);
    assert_eq!(server.ask(discover(1)).reply().yiaddr, own);
    server.offers = Offers::default();
    assert_eq!(kind(&server.ask(selecting(2, own))), Some(ACK));
}

#[test]
fn a_client_with_an_address_of_its_own_is_informed() {
    let mut server = server();
    let answer = server.ask(packet(1, 8).ciaddr(at(200)));
    assert_eq!(
        (answer.reply().kind, answer.reply().yiaddr),
        (ACK, Ipv4Addr::UNSPECIFIED)
    );
    assert!(!answer.reply().options.contains_key(&51));
}

#[test]
fn d23_an_exhausted_pool_is_silent_to_new_clients_alarms_once_and_registered_vms_are_served() {
    let mut server = server();
    let lent: Vec<Ipv4Addr> = (0..20).map(|last| lease(&mut server, last)).collect();
    for (seconds, alarm) in [(0, true), (0, false), (5, false), (3600, true)] {
        pass(&mut server, seconds);
        let answer = server.ask(discover(99));
        assert_eq!(
            (kind(&answer), answer.response.verdict),
            (None, Verdict::Exhausted { alarm })
        );
        assert_eq!(server.ask(Packet::new(1)).reply().yiaddr, web1().address);
    }
    // Whom the next DISCOVER would get nothing is not refused; who has a lease is.
    assert_eq!(kind(&server.ask(init_reboot(99, [192, 168, 1, 9].into()))), None);
    assert_eq!(kind(&server.ask(init_reboot(0, lent[1]))), Some(NAK));
    server.ask(release(3, lent[3]));
    pass(&mut server, 1);
    assert_eq!(server.ask(discover(99)).reply().yiaddr, lent[3]);
}

#[test]
fn a_thousand_clients_at_once_get_a_thousand_addresses() {
    let mut network = lending();
    network.subnet = "10.77.0.1/20".parse().unwrap();
    network.dhcp.dynamic = crate::model::Pool::parse("10.77.8.0-10.77.15.250", network.subnet).unwrap();
    let mut server = Server::of(network);
    let packet = |number: u16, message_type| {
        let [high, low] = number.to_be_bytes();
        Packet::new(message_type).mac([0x52, 0x54, 0, 2, high, low])
    };
    let offered: Vec<Ipv4Addr> = (0..1000)
        .map(|number| server.ask(packet(number, 1)).reply().yiaddr)
        .collect();
    for (number, address) in (0..1000).zip(&offered) {
        let request = packet(number, 3)
            .option(54, &US.octets())
            .option(50, &address.octets());
        assert_eq!(server.ask(request).reply().kind, ACK);
    }
    assert_eq!(server.directory.leases().iter().len(), 1000);
}

#[test]
fn a_vm_registered_on_another_network_is_no_client_of_the_pool() {
    let mut server = server();
    let vm = crate::model::Vm {
        network: "dmz".parse().unwrap(),
        mac: client(1),
        ..crate::model::examples::vm("roaming", "10.88.0.9")
    };
    server.directory.put_vm(Arc::new(vm));
    assert_eq!(
        server.ask(discover(1)).response.verdict,
        Verdict::Ignored(Reason::OtherNetwork)
    );
}

#[test]
fn a_client_that_finds_every_address_taken_does_not_take_the_pool_away() {
    let mut server = Server::of(lending());
    let stranger = [2, 0, 0, 0, 0, 0x77];
    let us = [10, 77, 0, 1];
    for _ in 0..20 {
        let offered = server.ask(Packet::new(1).mac(stranger)).reply().yiaddr;
        let taken = Packet::new(3)
            .mac(stranger)
            .option(54, &us)
            .option(50, &offered.octets());
        assert_eq!(server.ask(taken).reply().kind, 5);
        server.ask(
            Packet::new(4)
                .mac(stranger)
                .option(54, &us)
                .option(50, &offered.octets()),
        );
    }
    let declined = |lease: &&Arc<Lease>| lease.state == LeaseState::Declined;
    assert_eq!(server.directory.leases().iter().filter(declined).count(), 4);
    // Nor do many clients: a quarter of the 20 addresses is the most that is held back.
    for last in 0..40 {
        let mac = [2, 0, 0, 0, 1, last];
        let offered = server.ask(Packet::new(1).mac(mac)).reply().yiaddr;
        let request = Packet::new(3)
            .mac(mac)
            .option(54, &us)
            .option(50, &offered.octets());
        assert_eq!(server.ask(request).reply().kind, 5);
        server.ask(
            Packet::new(4)
                .mac(mac)
                .option(54, &us)
                .option(50, &offered.octets()),
        );
    }
    assert_eq!(server.directory.leases().iter().filter(declined).count(), 5);
}

#[test]
fn who_asks_again_and_again_is_told_the_rest_of_the_lease_and_nothing_is_written() {
    let mut server = server();
    let own = lease(&mut server, 1);
    for (passed, name) in [(0, &b"one"[..]), (60, b"two"), (LEASE / 16 - 60, b"three")] {
        pass(&mut server, passed);
        let answer = server.ask(extending(1, own).option(12, name));
        assert_eq!(
            (kind(&answer), &answer.response.lend),
            (Some(ACK), &None),
            "{passed}"
        );
        let lease = server.directory.leases().at(own).unwrap();
        assert_eq!(told(&answer), lease.expires.0 - server.now.0);
    }
    pass(&mut server, 1);
    let answer = server.ask(extending(1, own).option(12, b"four"));
    assert_eq!(told(&answer), LEASE);
    let written = answer.response.lend.unwrap();
    assert_eq!(written.expires, Timestamp(server.now.0 + LEASE));
    assert_eq!(written.hostname.as_deref(), Some("four"));
}

#[test]
fn a_lease_that_the_operator_made_shorter_is_given_anew() {
    let mut server = server();
    let own = lease(&mut server, 1);
    let mut network = lending();
    network.dhcp.lease = Duration::from_secs(600);
    server.local = network;
    let answer = server.ask(extending(1, own));
    assert_eq!(told(&answer), 600);
    assert_eq!(answer.response.lend.unwrap().expires.0, server.now.0 + 600);
}

#[test]
fn an_address_whose_lease_was_deleted_is_new_again_at_once() {
    let mut server = server();
    let lent: Vec<Ipv4Addr> = (0..20).map(|last| lease(&mut server, last)).collect();
    assert_eq!(kind(&server.ask(discover(99))), None);
    server.directory.leases_mut().remove(lent[5]);
    pass(&mut server, 1);
    assert_eq!(server.ask(discover(99)).reply().yiaddr, lent[5]);
}
