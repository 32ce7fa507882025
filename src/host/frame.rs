//! Ethernet frames for tests: what honest guests and spoofers put on the wire.

use std::net::Ipv4Addr;

/// A hardware address.
pub(super) type Mac = [u8; 6];

/// Everyone on the wire.
pub(super) const BROADCAST: Mac = [0xff; 6];

/// An Ethernet II frame.
pub(super) fn ethernet(to: Mac, from: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from[..], &kind.to_be_bytes()[..], payload].concat()
}

/// An ARP message (RFC 826) of operation 1 (request) or 2 (reply) in a broadcast frame from its sender.
pub(super) fn arp(operation: u8, sender: (Mac, Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    let header = [0, 1, 8, 0, 6, 4, 0, operation];
    let body = [
        &header[..],
        &sender.0[..],
        &sender.1.octets()[..],
        &[0; 6][..],
        &target.octets()[..],
    ];
    ethernet(BROADCAST, sender.0, 0x0806, &body.concat())
}

/// A UDP datagram in an IPv4 packet, both with valid checksums (UDP's is zero: none).
pub(super) fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).unwrap();
    let mut datagram = Vec::new();
    for word in [from.1, to.1, length, 0] {
        datagram.extend(word.to_be_bytes());
    }
    datagram.extend(payload);
    ipv4(from.0, to.0, 17, &datagram)
}

/// The first segment of a TCP connection, with a valid checksum: the kernel answers no other.
pub(super) fn syn(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    let mut segment = Vec::new();
    for word in [from.1, to.1, 0, 1, 0, 0, 0x5002, 1024, 0, 0] {
        segment.extend(word.to_be_bytes());
    }
    let (source, target) = (from.0.octets(), to.0.octets());
    let pseudo = [&source[..], &target[..], &[0, 6, 0, 20][..], &segment[..]].concat();
    segment[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    ipv4(from.0, to.0, 6, &segment)
}

/// An IPv6 packet without content, to all nodes of the link.
pub(super) fn ipv6() -> Vec<u8> {
    let header = [0x60, 0, 0, 0, 0, 0, 59, 1];
    let address = |start: [u8; 2]| [&start[..], &[0; 13][..], &[1][..]].concat();
    [&header[..], &address([0xfe, 0x80]), &address([0xff, 0x02])].concat()
}

/// An IPv4 packet.
pub(super) fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 20).unwrap().to_be_bytes();
    let mut header = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0];
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [header.as_slice(), payload].concat()
}

/// A BOOTP message of operation 1 (request) or 2 (reply) about the client with this hardware address.
pub(super) fn bootp(operation: u8, chaddr: Mac) -> Vec<u8> {
    let mut message = vec![0; 300];
    message[..4].copy_from_slice(&[operation, 1, 6, 0]);
    message[28..34].copy_from_slice(&chaddr);
    message[236..240].copy_from_slice(&[99, 130, 83, 99]);
    message
}

/// The Internet checksum (RFC 1071) of an even number of octets.
fn checksum(octets: &[u8]) -> u16 {
    let sum: u32 = octets
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}
