//! DHCP on real wires: what a guest's tap lets through to the server, and what of the server's a guest hears. The names
//! are those of the rows of the project's list of hostile inputs.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::frame::{BROADCAST, Mac, bootp, ethernet, udp};
use super::namespace;
use super::nft;
use super::wire::{ALL, GATEWAY, IPV4, NONE, Port, Wire};

/// The UDP socket of a server on the bridge.
fn server() -> UdpSocket {
    let server = UdpSocket::bind("0.0.0.0:67").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    server
}

/// The client's hardware address in the next packet that the server hears.
fn next(server: &UdpSocket) -> Mac {
    let mut buffer = [0; 600];
    server.recv_from(&mut buffer).unwrap();
    buffer[28..34].try_into().unwrap()
}

/// A DISCOVER of a port's station.
fn discover(port: &Port) -> Vec<u8> {
    let (mac, _) = port.station();
    ethernet(BROADCAST, mac, IPV4, &udp((NONE, 68), (ALL, 67), &bootp(1, mac)))
}

/// The IPv4 header's checksum, after a test has changed the header.
fn mend(packet: &mut [u8]) {
    let words = usize::from(packet[0] & 0x0f) * 2;
    packet[10..12].copy_from_slice(&[0, 0]);
    let sum: u32 = packet
        .chunks_exact(2)
        .take(words)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn d20_fragments_ip_options_no_time_to_live_and_false_lengths_are_not_heard() {
    let name =
        "host::dhcp_wire_tests::d20_fragments_ip_options_no_time_to_live_and_false_lengths_are_not_heard";
    namespace::inside(name, async |host| {
        let mut wire = Wire::new(&host).await;
        let server = server();
        let honest = discover(&wire.web);
        let packet = &honest[14..];
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut packet = packet.to_vec();
            change(&mut packet);
            mend(&mut packet);
            ethernet(BROADCAST, wire.web.station().0, IPV4, &packet)
        };
        let with_options = changed(&|packet| {
            // Four octets of "no operation" and "end of list".
            packet.splice(20..20, [1, 1, 1, 0]);
            packet[0] = 0x46;
            let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
            packet[2..4].copy_from_slice(&length);
        });
        let first_fragment = changed(&|packet| packet[6] = 0x20);
        let no_time = changed(&|packet| packet[8] = 0);
        let bad_checksum = changed(&|packet| packet[26..28].copy_from_slice(&[0xde, 0xad]));
        let too_long = changed(&|packet| packet[24..26].copy_from_slice(&[0xff, 0xff]));
        for frame in [with_options, first_fragment, no_time, bad_checksum, too_long] {
            wire.db.send(&discover(&wire.db));
            wire.web.send(&frame);
            assert_eq!(
                next(&server),
                wire.db.station().0,
                "the guest before it was not heard"
            );
        }
        // Had one of them been heard, it would come before this one.
        wire.web.send(&honest);
        assert_eq!(next(&server), wire.web.station().0);
        server.set_nonblocking(true).unwrap();
        let more = server.recv_from(&mut [0; 600]);
        assert_eq!(
            more.unwrap_err().kind(),
            ErrorKind::WouldBlock,
            "one more was heard"
        );
    });
}

#[test]
fn d21_a_discover_in_a_tag_or_an_802_3_frame_is_dropped() {
    let name = "host::dhcp_wire_tests::d21_a_discover_in_a_tag_or_an_802_3_frame_is_dropped";
    namespace::inside(name, async |host| {
        let mut wire = Wire::new(&host).await;
        let server = server();
        let honest = discover(&wire.web);
        let (web, packet) = (wire.web.station().0, &honest[14..]);
        let tagged = |kind: u16, tag: &[u8]| ethernet(BROADCAST, web, kind, &[tag, packet].concat());
        let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], packet].concat();
        let snap = ethernet(BROADCAST, web, u16::try_from(snap.len()).unwrap(), &snap);
        for frame in [
            tagged(0x8100, &[0, 0, 8, 0]),
            tagged(0x8100, &[0, 1, 8, 0]),
            tagged(0x88a8, &[0, 5, 0x81, 0, 0, 6, 8, 0]),
            snap,
        ] {
            assert!(!wire.web_reaches_db(&frame), "a neighbour heard it");
            wire.web.send(&frame);
        }
        wire.db.send(&discover(&wire.db));
        assert_eq!(next(&server), wire.db.station().0, "the server heard one");
    });
}

#[test]
fn d24_a_flood_from_one_tap_does_not_keep_another_from_being_heard() {
    const FLOOD: usize = 20_000;
    let name = "host::dhcp_wire_tests::d24_a_flood_from_one_tap_does_not_keep_another_from_being_heard";
    namespace::inside(name, async |host| {
        let mut wire = Wire::new(&host).await;
        let server = server();
        let (flood, honest) = (discover(&wire.web), discover(&wire.db));
        for count in 0..FLOOD {
            wire.web.send(&flood);
            if count % 1_000 == 999 {
                wire.db.send(&honest);
            }
        }
        let mut heard = (0, 0);
        server.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut buffer = [0; 600];
        while server.recv_from(&mut buffer).is_ok() {
            if buffer[28..34] == wire.db.station().0 {
                heard.1 += 1;
            } else {
                heard.0 += 1;
            }
        }
        assert_eq!(heard.1, FLOOD / 1_000, "the other guest was not heard each time");
        // A burst, and then ten a second for as long as this took.
        assert!(
            (20..1_000).contains(&heard.0),
            "{} of the flood came through",
            heard.0
        );
    });
}

#[test]
fn d12_a_guest_asks_for_its_own_lease_only() {
    namespace::inside(
        "host::dhcp_wire_tests::d12_a_guest_asks_for_its_own_lease_only",
        async |host| {
            let mut wire = Wire::new(&host).await;
            let (web, db) = (wire.web.station(), wire.db.station());
            let server = server();
            let request = |from: (Ipv4Addr, u16), to: Ipv4Addr, to_mac: Mac, chaddr: Mac| {
                ethernet(to_mac, web.0, IPV4, &udp(from, (to, 67), &bootp(1, chaddr)))
            };
            let gateway = wire.gateway_mac;
            let heard = || {
                let mut buffer = [0; 600];
                let (_, from) = server.recv_from(&mut buffer).unwrap();
                (buffer[28..34].to_vec(), from.ip())
            };
            // Dropped ones first: the server then hears the honest ones only, in their order.
            let false_ones = [
                request((NONE, 68), ALL, BROADCAST, db.0),
                request((NONE, 68), ALL, BROADCAST, [0; 6]),
                request((NONE, 68), ALL, BROADCAST, BROADCAST),
                request((NONE, 68), ALL, BROADCAST, [1, 0, 0x5e, 0, 0, 1]),
                request((NONE, 1068), ALL, BROADCAST, web.0),
                request((NONE, 68), GATEWAY, gateway, web.0),
                request((db.1, 68), GATEWAY, gateway, web.0),
                request((web.1, 68), GATEWAY, gateway, db.0),
            ];
            for frame in &false_ones {
                wire.web.send(frame);
            }
            assert_eq!(dropped_by("guest_dhcp").await, false_ones.len());
            let discover = request((NONE, 68), ALL, BROADCAST, web.0);
            assert!(!wire.web_reaches_db(&discover), "a neighbour heard it");
            wire.web.send(&request((web.1, 68), GATEWAY, gateway, web.0));
            assert_eq!(heard(), (web.0.to_vec(), NONE.into()));
            assert_eq!(heard(), (web.0.to_vec(), web.1.into()));
        },
    );
}

#[test]
fn d25_a_storm_of_offers_from_a_guest_or_the_uplink_reaches_nobody() {
    let name = "host::dhcp_wire_tests::d25_a_storm_of_offers_from_a_guest_or_the_uplink_reaches_nobody";
    namespace::inside(name, async |host| {
        let mut wire = Wire::new(&host).await;
        let (web, db) = (wire.web.station(), wire.db.station());
        let uplink = wire.other.station();
        let offer = |from: (Mac, Ipv4Addr), ports: (u16, u16)| {
            let datagram = udp((from.1, ports.0), (ALL, ports.1), &bootp(2, db.0));
            ethernet(BROADCAST, from.0, IPV4, &datagram)
        };
        for ports in [(67, 68), (1067, 68), (67, 1068)] {
            assert!(!wire.web_reaches_db(&offer(web, ports)), "a guest, {ports:?}");
            assert!(
                !wire.other_reaches_db(&offer(uplink, ports)),
                "the uplink, {ports:?}"
            );
            // Nor the uplink's servers: they might give it an address of theirs.
            wire.web.send(&offer(web, ports));
        }
        let sentinel = wire.web.honest(1000);
        wire.web.send(&sentinel);
        let at_uplink = wire.other.until(&sentinel);
        let heard = at_uplink.iter().any(|frame| chaddr(frame) == Some(&db.0[..]));
        assert!(!heard, "the uplink heard a guest's offer");
        drop(wire.db.until(&sentinel));
        for _ in 0..1_000 {
            wire.web.send(&offer(web, (67, 68)));
            wire.other.send(&offer(uplink, (67, 68)));
        }
        let sentinel = wire.other.honest(1001);
        wire.other.send(&sentinel);
        assert_eq!(wire.db.until(&sentinel), [] as [Vec<u8>; 0]);
    });
}

#[test]
fn d19_only_whom_the_server_answers_hears_it() {
    let name = "host::dhcp_wire_tests::d19_only_whom_the_server_answers_hears_it";
    namespace::inside(name, async |host| {
        let mut wire = Wire::new(&host).await;
        let db = wire.db.station();
        // What the kernel itself says on a new bridge comes first.
        let sentinel = wire.web.honest(1000);
        wire.web.send(&sentinel);
        drop(wire.db.until(&sentinel));
        let server = UdpSocket::bind("0.0.0.0:67").unwrap();
        server.set_broadcast(true).unwrap();
        broadcast(&server, &bootp(2, db.0));
        let offered = wire.db.receive();
        assert_eq!(chaddr(&offered), Some(&db.0[..]));
        let sentinel = wire.db.honest(1001);
        wire.db.send(&sentinel);
        let seen = wire.web.until(&sentinel);
        assert!(
            !seen.iter().any(|frame| chaddr(frame) == Some(&db.0[..])),
            "web heard db's offer"
        );
    });
}

/// How many packets the last rule of a chain of ours has dropped.
async fn dropped_by(chain: &str) -> usize {
    let text = nft::list(&["list", "chain", "bridge", "seedbed", chain])
        .await
        .unwrap();
    let last = text
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix("counter packets "));
    let (count, _) = last.unwrap().split_once(' ').unwrap();
    count.parse().unwrap()
}

/// The client's hardware address in a DHCP frame.
fn chaddr(frame: &[u8]) -> Option<&[u8]> {
    frame.get(42 + 28..42 + 34)
}

/// Sends an answer to everyone on the bridge.
fn broadcast(server: &UdpSocket, message: &[u8]) {
    socket2::SockRef::from(server).bind_device(Some(b"lab0")).unwrap();
    server.send_to(message, (ALL, 68)).unwrap();
}
