//! Requests that come through relay agents, and those that only say so.

use super::super::sample::{AGENT, Packet, Server, network, stranger, web1};
use super::super::{Destination, Reason, Verdict};
use super::*;

const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const INFORMATION: [u8; 8] = [1, 2, 9, 9, 2, 2, 7, 7];

fn server() -> Server {
    Server::of(network()).relaying()
}

/// A packet of the relayed network's VM.
fn packet(message_type: u8) -> Packet {
    Packet::new(message_type).mac(stranger().mac.bytes())
}

fn through_agent(message_type: u8) -> Packet {
    packet(message_type).giaddr(AGENT).option(82, &INFORMATION)
}

#[test]
fn a_relayed_discover_is_answered_from_its_own_network_by_its_agent() {
    let answer = server().ask(through_agent(1).option(55, &[3, 6]));
    let reply = answer.reply();
    assert_eq!(answer.response.to, Some(Destination::Relay { agent: AGENT }));
    assert_eq!(
        (reply.kind, reply.yiaddr, reply.giaddr),
        (2, stranger().address, AGENT)
    );
    assert_eq!(reply.options[&54], US.octets());
    assert_eq!(reply.options[&3], AGENT.octets());
    assert_eq!(
        reply.options.get(&6),
        None,
        "the router there is not our name server"
    );
}

#[test]
fn option_82_is_echoed_as_it_came_and_last() {
    // RFC 3046 §2.2.
    for message in [
        through_agent(1),
        through_agent(3).option(50, &stranger().address.octets()),
        through_agent(3).option(50, &[1, 2, 3, 4]),
    ] {
        let answer = server().ask(message);
        assert_eq!(answer.reply().options[&82], INFORMATION);
        assert_eq!(answer.reply().order.last(), Some(&82));
    }
}

#[test]
fn a_relayed_nak_has_the_broadcast_bit_and_goes_to_the_agent() {
    // RFC 2131 §4.3.2.
    let answer = server().ask(through_agent(3).option(50, &[10, 88, 0, 77]));
    assert_eq!((answer.reply().kind, answer.reply().flags), (6, 0x8000));
    assert_eq!(answer.response.to, Some(Destination::Relay { agent: AGENT }));
}

#[test]
fn the_link_selection_is_the_clients_subnet_when_the_agents_is_another() {
    // RFC 3527 §3.
    let selected = packet(1)
        .giaddr([172, 16, 0, 1].into())
        .option(82, &[5, 4, 10, 88, 0, 0]);
    let answer = server().ask(selected);
    assert_eq!(answer.reply().yiaddr, stranger().address);
    assert_eq!(
        answer.response.to,
        Some(Destination::Relay {
            agent: [172, 16, 0, 1].into()
        })
    );
    for broken in [&[5, 4, 10, 88][..], &[5, 3, 10, 88, 0], &[5], &[]] {
        assert_eq!(link_selection(broken), None, "{broken:?}");
    }
}

#[test]
fn d11_a_relayed_packet_is_dropped_unless_it_comes_from_the_networks_own_agent() {
    let mut bridge = Server::of(network());
    for forged in [
        Packet::new(1).giaddr(AGENT),
        Packet::new(1).option(82, &INFORMATION),
        through_agent(1),
    ] {
        assert_eq!(bridge.receive(&forged.bytes()).err(), Some(Malformed::Relayed));
    }
    let mut server = server();
    assert_eq!(
        server
            .receive(&packet(1).giaddr([10, 99, 0, 1].into()).bytes())
            .err(),
        Some(Malformed::Relayed)
    );
    server.source = SocketAddrV4::new([10, 88, 0, 66].into(), 67);
    assert_eq!(
        server.receive(&through_agent(1).bytes()).err(),
        Some(Malformed::Relayed)
    );
}

#[test]
fn a_renewal_by_unicast_from_behind_the_router_is_answered_to_the_client() {
    // RFC 2131 §4.3.2, RENEWING.
    let mut server = server();
    let own = stranger().address;
    server.source = SocketAddrV4::new(own, 68);
    let answer = server.ask(packet(3).ciaddr(own));
    assert_eq!((answer.reply().kind, answer.reply().yiaddr), (5, own));
    assert_eq!(
        answer.response.to,
        Some(Destination::Client {
            address: own,
            port: 68
        })
    );
}

#[test]
fn a_guest_on_the_bridge_can_not_speak_for_a_client_behind_the_router() {
    let mut server = server();
    server.source = SocketAddrV4::new(web1().address, 68);
    let answer = server.ask(packet(3).ciaddr(stranger().address));
    assert_eq!(answer.response.verdict, Verdict::Ignored(Reason::OtherNetwork));
}

#[test]
fn the_bridges_own_clients_are_answered_beside_relayed_networks() {
    let mut server = server();
    server.source = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
    assert_eq!(server.ask(Packet::new(1)).reply().yiaddr, web1().address);
}
