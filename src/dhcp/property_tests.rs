//! What holds of every reply, whatever was received: it is for the client that asked, and says an address that is its
//! own, or one of the pool's that is nobody's.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use proptest::prelude::*;

use super::sample::{AGENT, Answer, Packet, Server, booting, lending, network, stranger, web1, web2};
use super::{Destination, Malformed};
use crate::model::dhcp::{DhcpMode, Unregistered};
use crate::model::{MacAddress, Timestamp};

/// A client that no VM is known by.
fn nobody(last: u8) -> [u8; 6] {
    [0x52, 0x54, 0, 0, 1, last]
}

fn addresses() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        Just(web1().address),
        Just(web2().address),
        Just(stranger().address),
        Just(network().subnet.gateway()),
        Just(Ipv4Addr::UNSPECIFIED),
        (225u8..255).prop_map(|last| Ipv4Addr::new(10, 77, 0, last)),
        any::<Ipv4Addr>()
    ]
}

fn clients() -> impl Strategy<Value = [u8; 6]> {
    prop_oneof![
        Just(web1().mac.bytes()),
        Just(web2().mac.bytes()),
        Just(stranger().mac.bytes()),
        (0u8..4).prop_map(nobody)
    ]
}

/// Packets near the real ones: every kind, every option, in any mix.
fn packets() -> impl Strategy<Value = Packet> {
    let data = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        Just(b"PXEClient:Arch:00007".to_vec()),
        Just(b"HTTPClient".to_vec()),
        Just(b"iPXE".to_vec()),
        Just(vec![0, 7]),
    ];
    let codes = vec![
        1u8, 12, 50, 52, 53, 54, 55, 57, 60, 61, 77, 81, 82, 93, 97, 118, 175, 255, 0,
    ];
    let option = (prop::sample::select(codes), data);
    let us = Just(network().subnet.gateway());
    (
        (0u8..10, clients(), any::<u16>()),
        (
            addresses(),
            prop_oneof![4 => Just(Ipv4Addr::UNSPECIFIED), 1 => Just(AGENT), 1 => any::<Ipv4Addr>()],
        ),
        prop::option::of(addresses()),
        prop::option::of(prop_oneof![us, addresses()]),
        prop::collection::vec(option, 0..4),
    )
        .prop_map(|((kind, mac, flags), (ciaddr, giaddr), wanted, server, rest)| {
            let mut packet = Packet::new(kind)
                .mac(mac)
                .flags(flags)
                .ciaddr(ciaddr)
                .giaddr(giaddr);
            for (code, address) in [(50, wanted), (54, server)] {
                if let Some(address) = address {
                    packet = packet.option(code, &address.octets());
                }
            }
            rest.iter()
                .fold(packet, |packet, (code, data)| packet.option(*code, data))
        })
}

/// Servers of every policy, at both ports, beside a relayed network or not.
fn servers() -> impl Strategy<Value = Server> {
    (
        prop::sample::select(&DhcpMode::ALL[..]),
        prop::sample::select(&Unregistered::ALL[..]),
        prop::bool::ANY,
        prop_oneof![Just(AGENT), addresses()],
        prop::bool::ANY,
    )
        .prop_map(|(mode, unregistered, relaying, source, asked_as_proxy)| {
            let mut local = lending();
            local.dhcp.mode = mode;
            local.dhcp.unregistered = unregistered;
            local.dhcp.loaders.tftp = Some([10, 77, 0, 9].into());
            local.dhcp.loaders.efi_x64 = Some("ipxe.efi".into());
            let mut server = Server::of(local).with(booting("http://10.77.0.9/web1.ipxe"));
            if relaying {
                server = server.relaying();
            }
            server.source = SocketAddrV4::new(source, 68);
            server.port = if asked_as_proxy { 4011 } else { 67 };
            server
        })
}

/// An address that is given is the client's own, or one of the pool that is nobody's.
fn check_address(server: &Server, client: MacAddress, given: Ipv4Addr) {
    if let Some(vm) = server.directory.vm_by_mac(client) {
        assert_eq!(given, vm.address);
        return;
    }
    assert!(server.local.dhcp.dynamic.contains(given));
    assert_eq!(server.directory.vm_at(given), None);
    let others = server.directory.leases().at(given);
    assert!(others.is_none_or(|lease| lease.mac == client || lease.expires <= server.now));
}

/// What is handed on beside an answer is of the policy that asks for it, and of the client.
fn check_errands(server: &Server, answer: &Answer) {
    let client = answer.response.client;
    let vm = server.directory.vm_by_mac(client);
    if let Some(lease) = &answer.response.lend {
        assert!(vm.is_none() && lease.mac == client, "{lease:?}");
        assert_eq!(server.local.dhcp.unregistered, Unregistered::Pool);
        assert!(server.local.dhcp.dynamic.contains(lease.address));
    }
    if let Some(seen) = &answer.response.seen {
        assert_eq!((seen.mac, vm), (client, None));
        assert_eq!(server.local.dhcp.unregistered, Unregistered::Discover);
    }
}

/// Whatever leaves is for the client that asked, and says an address that is its own, one that is nobody's, or none.
fn check(server: &Server, answer: &Answer) {
    let (client, mode) = (answer.response.client, server.local.dhcp.mode);
    check_errands(server, answer);
    let Some(reply) = &answer.reply else { return };
    assert_eq!(reply.mac, client);
    match answer.response.to.unwrap() {
        Destination::Hardware { mac, .. } => assert_eq!(mac, client),
        Destination::Relay { agent } => assert_eq!((agent, *server.source.ip()), (reply.giaddr, AGENT)),
        Destination::Client { address, .. } => assert_eq!(address, *server.source.ip()),
        Destination::Broadcast => {}
    }
    if !reply.yiaddr.is_unspecified() {
        check_address(server, client, reply.yiaddr);
    }
    if mode == DhcpMode::Proxy && answer.response.to.is_some_and(|to| to.link().is_some()) {
        assert!(reply.yiaddr.is_unspecified() && reply.kind != 6);
    }
    assert_eq!(reply.options[&54], network().subnet.gateway().octets());
    assert!((300..=1500).contains(&server.out.len()), "{}", server.out.len());
}

proptest! {
    #[test]
    fn any_bytes_never_panic(mut server in servers(), bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        drop(server.receive(&bytes));
    }

    #[test]
    fn a_mutated_packet_never_panics_and_never_gets_anothers_reply(
        mut server in servers(),
        packet in packets(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = packet.bytes();
        for (index, value) in mutations {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(answer) = server.receive(&bytes) {
            check(&server, &answer);
        }
    }

    /// Any conversation of several clients, through hours: no address is confirmed to two of them at one time.
    #[test]
    fn no_address_is_lent_to_two_clients_at_once(
        mut server in servers(),
        conversation in prop::collection::vec((packets(), 0u64..20_000), 1..40),
    ) {
        let mut holders: HashMap<Ipv4Addr, (MacAddress, Timestamp)> = HashMap::new();
        for (packet, pause) in conversation {
            server.now = Timestamp(server.now.0 + pause);
            let Ok(answer) = server.receive(&packet.bytes()) else { continue };
            check(&server, &answer);
            if let Some(lease) = &answer.response.lend {
                if let Some((holder, until)) = holders.get(&lease.address) {
                    prop_assert!(*holder == lease.mac || *until <= server.now, "{lease:?}");
                }
                holders.insert(lease.address, (lease.mac, lease.expires));
            }
        }
    }

    #[test]
    fn a_registered_vms_discover_is_always_offered_its_address(
        xid: u32,
        flags: u16,
        asked in prop::collection::vec(any::<u8>(), 1..255),
        identifier in prop::collection::vec(any::<u8>(), 1..255),
        size: u16,
    ) {
        let packet = Packet::new(1).xid(xid).flags(flags)
            .option(55, &asked).option(61, &identifier).option(57, &size.to_be_bytes());
        let mut server = Server::of(network());
        let answer = server.ask(packet);
        check(&server, &answer);
        let reply = answer.reply();
        prop_assert_eq!(reply.yiaddr, web1().address);
        prop_assert_eq!((reply.xid, reply.flags), (xid, flags));
        prop_assert_eq!(&reply.options[&61], &identifier);
        // RFC 2132 §9.10: the size counts the IP and UDP headers, and is at least 576.
        prop_assert!(server.out.len() <= usize::from(size).max(576));
    }
}

#[test]
fn hlen_200_is_dropped_not_a_panic() {
    let mut bytes = Packet::new(1).bytes();
    for hlen in [0, 1, 5, 7, 16, 17, 200, 255] {
        bytes[2] = hlen;
        let refused = Server::of(network()).receive(&bytes).err();
        assert_eq!(refused, Some(Malformed::Hardware { htype: 1, hlen }));
    }
}

#[test]
fn a_retransmission_is_answered_with_the_same_bytes() {
    let mut server = Server::of(lending());
    for mac in [web1().mac.bytes(), nobody(1)] {
        for packet in [
            Packet::new(1),
            Packet::new(3)
                .option(54, &[10, 77, 0, 1])
                .option(50, &[10, 77, 0, 249]),
        ] {
            let bytes = packet.mac(mac).xid(7).bytes();
            let first = server.receive(&bytes).unwrap();
            let sent = server.out.clone();
            let again = server.receive(&bytes).unwrap();
            assert!(first.reply.is_some());
            assert_eq!((first.response.to, &sent), (again.response.to, &server.out));
        }
    }
}
