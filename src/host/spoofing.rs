//! The ruleset against real frames: taps as guests, the kernel's own bridge between them.
//!
//! No test waits for a frame that should not come: each case is followed by an honest frame that must arrive, and the
//! kernel keeps the order.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::frame::{BROADCAST, Mac, arp, bootp, ethernet, ipv4, ipv6, syn, udp};
use super::namespace::{self, ip};
use super::wire::{GATEWAY, IPV4, NONE, Port, WORLD_ROUTER, Wire};

#[test]
fn an_honest_guest_is_heard() {
    namespace::inside("host::spoofing::an_honest_guest_is_heard", async |host| {
        let mut wire = Wire::new(&host).await;
        let (web, db) = (wire.web.station(), wire.db.station());
        let hello = udp((web.1, 5000), (db.1, 5000), b"hello");
        for (what, frame) in [
            ("own packet", ethernet(db.0, web.0, IPV4, &hello)),
            ("own packet to all", ethernet(BROADCAST, web.0, IPV4, &hello)),
            ("own ARP request", arp(1, web, db.1)),
            ("own ARP reply", arp(2, web, db.1)),
            ("probe for its own address", arp(1, (web.0, NONE), web.1)),
        ] {
            assert!(wire.web_reaches_db(&frame), "{what} was dropped");
        }
    });
}

#[test]
fn a_guest_speaks_only_as_itself() {
    namespace::inside("host::spoofing::a_guest_speaks_only_as_itself", async |host| {
        let mut wire = Wire::new(&host).await;
        let (web, db) = (wire.web.station(), wire.db.station());
        let foreign = [0x52, 0x54, 0, 9, 9, 9];
        let packet = |from: Ipv4Addr| udp((from, 5000), (db.1, 5000), b"hello");
        let sent_as = |mac: Mac, from: Ipv4Addr| ethernet(BROADCAST, mac, IPV4, &packet(from));
        let tagged = [&[0, 0], &IPV4.to_be_bytes()[..], &packet(web.1)].concat();
        for (what, frame) in [
            ("another MAC", sent_as(foreign, web.1)),
            ("the neighbour's MAC", sent_as(db.0, web.1)),
            ("another IP", sent_as(web.0, Ipv4Addr::new(10, 77, 0, 50))),
            ("the neighbour's IP", sent_as(web.0, db.1)),
            ("the gateway's IP", sent_as(web.0, GATEWAY)),
            (
                "the metadata address",
                sent_as(web.0, Ipv4Addr::new(169, 254, 169, 254)),
            ),
            ("no IP", sent_as(web.0, NONE)),
            ("IPv6", ethernet(db.0, web.0, 0x86dd, &ipv6())),
            ("a VLAN tag", ethernet(db.0, web.0, 0x8100, &tagged)),
            ("PPPoE", ethernet(db.0, web.0, 0x8863, &[0x11; 46])),
            ("LLC", ethernet(db.0, web.0, 46, &[0x42; 46])),
            (
                "spanning tree",
                ethernet([1, 0x80, 0xc2, 0, 0, 0], web.0, 38, &[0x42; 46]),
            ),
        ] {
            assert!(!wire.web_reaches_db(&frame), "{what} passed");
        }
    });
}

#[test]
fn a_guest_answers_arp_only_for_itself() {
    namespace::inside(
        "host::spoofing::a_guest_answers_arp_only_for_itself",
        async |host| {
            let mut wire = Wire::new(&host).await;
            let (web, db) = (wire.web.station(), wire.db.station());
            let mut another_inside = arp(2, db, GATEWAY);
            another_inside[6..12].copy_from_slice(&web.0);
            let mut own_inside = arp(2, web, GATEWAY);
            own_inside[6..12].copy_from_slice(&db.0);
            // The sender's address lies elsewhere when the lengths say so.
            let with = |at: usize, octet: u8| {
                let mut frame = arp(1, web, db.1);
                frame[at] = octet;
                frame
            };
            for (what, frame) in [
                ("the gateway", arp(2, (web.0, GATEWAY), db.1)),
                (
                    "the gateway and its MAC",
                    arp(2, (wire.gateway_mac, GATEWAY), db.1),
                ),
                ("the neighbour", arp(2, (web.0, db.1), GATEWAY)),
                ("the neighbour's MAC inside", another_inside),
                ("the neighbour's MAC outside", own_inside),
                ("a probe for the neighbour's address", arp(1, (web.0, NONE), db.1)),
                ("a probe with the neighbour's MAC", arp(1, (db.0, NONE), web.1)),
                ("reverse ARP", arp(3, web, db.1)),
                ("another hardware type", with(15, 6)),
                ("another protocol", with(16, 9)),
                ("longer hardware addresses", with(18, 8)),
                ("longer protocol addresses", with(19, 16)),
            ] {
                assert!(!wire.web_reaches_db(&frame), "{what} passed");
            }
        },
    );
}

#[test]
fn no_other_port_speaks_as_a_guest_or_the_gateway() {
    namespace::inside(
        "host::spoofing::no_other_port_speaks_as_a_guest_or_the_gateway",
        async |host| {
            let mut wire = Wire::new(&host).await;
            let (web, db) = (wire.web.station(), wire.db.mac);
            let own = wire.other.station();
            let gateway = (wire.gateway_mac, GATEWAY);
            let packet = |mac: Mac, from: Ipv4Addr| {
                ethernet(
                    db,
                    mac,
                    IPV4,
                    &udp((from, 5000), (Ipv4Addr::new(10, 77, 0, 12), 5000), b"hello"),
                )
            };
            assert!(
                wire.other_reaches_db(&packet(own.0, own.1)),
                "an external VM's own packet"
            );
            assert!(
                wire.other_reaches_db(&packet(own.0, Ipv4Addr::new(192, 0, 2, 7))),
                "a routed packet"
            );
            assert!(wire.other_reaches_db(&arp(1, own, GATEWAY)), "its own ARP");
            let mut inside = arp(2, (web.0, own.1), GATEWAY);
            inside[6..12].copy_from_slice(&own.0);
            for (what, frame) in [
                ("a guest's MAC", packet(web.0, own.1)),
                ("a guest's IP", packet(own.0, web.1)),
                ("ARP as a guest", arp(2, (own.0, web.1), GATEWAY)),
                ("a guest's MAC inside ARP", inside),
                ("the gateway's MAC", packet(gateway.0, own.1)),
                ("the gateway's IP", packet(own.0, GATEWAY)),
                ("ARP as the gateway", arp(2, (own.0, GATEWAY), own.1)),
                ("IPv6 towards a guest", ethernet(db, own.0, 0x86dd, &ipv6())),
            ] {
                assert!(!wire.other_reaches_db(&frame), "{what} passed");
            }
        },
    );
}

/// A reserved group address is handled before the filter's first hook: its source must still not be learnt.
#[test]
fn a_control_frame_does_not_move_a_neighbours_mac() {
    namespace::inside(
        "host::spoofing::a_control_frame_does_not_move_a_neighbours_mac",
        async |host| {
            let mut wire = Wire::new(&host).await;
            let hello = wire.db.honest(1);
            wire.db.send(&hello);
            drop(wire.web.until(&hello));
            for group in 0..16 {
                let control = ethernet([1, 0x80, 0xc2, 0, 0, group], wire.db.mac, 0x88cc, &[0; 46]);
                wire.web.send(&control);
                wire.other.send(&control);
            }
            let table = std::process::Command::new("bridge")
                .args(["fdb", "show", "br", "lab0"])
                .output();
            let table = String::from_utf8(table.unwrap().stdout).unwrap();
            let entry = table
                .lines()
                .find(|line| line.starts_with("52:54:00:00:00:0c"))
                .unwrap();
            assert!(entry.contains("dev tap-db1"), "{table}");
        },
    );
}

#[test]
fn guests_leave_by_the_hosts_address_and_never_to_its_own_metadata() {
    let name = "host::spoofing::guests_leave_by_the_hosts_address_and_never_to_its_own_metadata";
    namespace::inside(name, async |host| {
        let mut wire = Wire::new(&host).await;
        let mut world = Port::world();
        let out = |to: Ipv4Addr| {
            let packet = udp((wire.web.address, 5000), (to, 7), b"out");
            ethernet(wire.gateway_mac, wire.web.mac, IPV4, &packet)
        };
        let (metadata, honest) = (out(Ipv4Addr::new(169, 254, 169, 254)), out(world.address));
        wire.web.send(&metadata);
        wire.web.send(&honest);
        let seen = world.receive();
        assert_eq!(seen[26..34], [192, 0, 2, 1, 192, 0, 2, 9], "{seen:02x?}");
    });
}

#[test]
fn strangers_do_not_reach_the_gateways_services() {
    namespace::inside(
        "host::spoofing::strangers_do_not_reach_the_gateways_services",
        async |host| {
            let mut wire = Wire::new(&host).await;
            let mut world = Port::world();
            let dns = UdpSocket::bind((GATEWAY, 53)).unwrap();
            dns.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let ask = |from: Ipv4Addr, what: &[u8]| udp((from, 5000), (GATEWAY, 53), what);
            let stranger = (world.address, 5000);
            let to_host = |packet: &[u8]| ethernet(WORLD_ROUTER, world.mac, IPV4, packet);
            let asked = to_host(&ask(world.address, b"stranger"));
            // A refused TCP connection would be answered with a reset; the unreachable port shows that none is coming.
            let closed = to_host(&udp(stranger, (Ipv4Addr::new(192, 0, 2, 1), 9), b"closed"));
            let refused = [53, 80].map(|port| to_host(&syn(stranger, (GATEWAY, port))));

            world.send(&asked);
            let question = ask(wire.web.address, b"guest");
            let guest = ethernet(wire.gateway_mac, wire.web.mac, IPV4, &question);
            wire.web.send(&guest);
            let mut buffer = [0; 64];
            let length = dns.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"guest");
            for frame in refused {
                world.send(&frame);
            }
            world.send(&closed);
            let answer = world.receive();
            assert_eq!(answer[23], 1, "ICMP: {answer:02x?}");
        },
    );
}

/// A bridge of the user's may have IPv6, and the host would offer it to guests that can not answer.
#[test]
fn the_host_sends_guests_no_ipv6() {
    namespace::inside("host::spoofing::the_host_sends_guests_no_ipv6", async |host| {
        let mut wire = Wire::new(&host).await;
        std::fs::write("/proc/sys/net/ipv6/conf/lab0/disable_ipv6", "0").unwrap();
        ip(&["addr", "add", "fd00::1/64", "dev", "lab0", "nodad"]);
        ip(&[
            "neigh",
            "add",
            "fd00::2",
            "lladdr",
            "52:54:00:00:00:0c",
            "dev",
            "lab0",
        ]);
        let socket = UdpSocket::bind("[fd00::1]:0").unwrap();
        socket.send_to(b"hello", "[fd00::2]:9").unwrap();
        let sentinel = wire.web.honest(1);
        wire.web.send(&sentinel);
        let seen = wire.db.until(&sentinel);
        assert!(
            !seen.iter().any(|frame| frame[12..14] == [0x86, 0xdd]),
            "{seen:02x?}"
        );
    });
}

/// A datagram cut so that its first piece hides `chaddr` from the filter.
#[test]
fn a_fragment_is_no_way_around_the_filter() {
    namespace::inside(
        "host::spoofing::a_fragment_is_no_way_around_the_filter",
        async |host| {
            let mut wire = Wire::new(&host).await;
            let (web, db) = (wire.web.station(), wire.db.station());
            let whole = udp((web.1, 67), (db.1, 68), &bootp(2, db.0));
            let mut first = ipv4(web.1, db.1, 17, &whole[20..28]);
            // The flag "more fragments"; one's complement arithmetic moves the checksum by as much.
            first[6] = 0x20;
            let sum = u16::from_be_bytes([first[10], first[11]]);
            let (sum, borrow) = sum.overflowing_sub(0x2000);
            first[10..12].copy_from_slice(&(sum - u16::from(borrow)).to_be_bytes());
            assert!(!wire.web_reaches_db(&ethernet(db.0, web.0, IPV4, &first)));
        },
    );
}
