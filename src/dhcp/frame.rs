//! The IPv4 and UDP headers around a reply, as clients without an address take them.
//!
//! They are written here because the kernel would first ask by ARP for a client that can not answer yet, and would
//! leave a partial UDP checksum that old clients call bad.

use std::net::Ipv4Addr;

/// The server's and the client's UDP ports (RFC 2131 §4.1).
pub(super) const SERVER_PORT: u16 = 67;
pub(super) const CLIENT_PORT: u16 = 68;

/// The octets of the IPv4 and UDP headers before a message.
pub(super) const HEADERS: usize = 28;

/// Makes room for the headers of the message that is written next.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.resize(out.len() + HEADERS, 0);
}

/// Fills in the headers of the one message in `out`, from server to client.
pub(super) fn finish(source: Ipv4Addr, destination: Ipv4Addr, out: &mut [u8]) {
    let length = out.len();
    let Some((header, _)) = out.split_first_chunk_mut::<HEADERS>() else {
        return;
    };
    let (ip, udp) = header.split_at_mut(20);
    // Reply::encode keeps a message far below the 16 bits of the length fields.
    let [total_high, total_low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    // Version 4, 20 octets of header (clients take no IP options), "don't fragment", TTL 64, UDP.
    let fixed = [0x45, 0, total_high, total_low, 0, 0, 0x40, 0, 64, 17, 0, 0];
    let octets = fixed
        .into_iter()
        .chain(source.octets())
        .chain(destination.octets());
    let sum = checksum(octets.clone()).to_be_bytes();
    ip.iter_mut()
        .zip(octets)
        .for_each(|(place, octet)| *place = octet);
    if let Some(field) = ip.get_mut(10..12) {
        field.copy_from_slice(&sum);
    }
    // RFC 768: "An all zero transmitted checksum value means that the transmitter generated no checksum".
    let [length_high, length_low] = u16::try_from(length - 20).unwrap_or(u16::MAX).to_be_bytes();
    let [from, to] = [SERVER_PORT, CLIENT_PORT].map(u16::to_be_bytes);
    let fields = from.into_iter().chain(to).chain([length_high, length_low, 0, 0]);
    udp.iter_mut()
        .zip(fields)
        .for_each(|(place, octet)| *place = octet);
}

/// RFC 1071: the one's complement of the one's complement sum of all 16-bit words.
fn checksum(octets: impl Iterator<Item = u8>) -> u16 {
    let sum: u32 = octets
        .enumerate()
        .map(|(index, octet)| {
            if index % 2 == 0 {
                u32::from(octet) << 8
            } else {
                u32::from(octet)
            }
        })
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(source: Ipv4Addr, destination: Ipv4Addr, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        begin(&mut out);
        out.extend(message);
        finish(source, destination, &mut out);
        out
    }

    #[test]
    fn the_header_checksum_is_the_one_of_the_rfc() {
        // The example most textbooks give: 4500 0073 0000 4000 4011 .... c0a8 0001 c0a8 00c7 -> b861.
        let out = packet(
            [192, 168, 0, 1].into(),
            [192, 168, 0, 199].into(),
            &[0; 0x73 - 28],
        );
        assert_eq!(
            out[..20],
            [
                0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,
                0xc7
            ]
        );
        // A header with its checksum in it sums up to zero.
        assert_eq!(checksum(out[..20].iter().copied()), 0);
    }

    #[test]
    fn the_ports_the_length_and_the_absent_checksum_are_where_clients_look() {
        let out = packet([10, 77, 0, 1].into(), Ipv4Addr::BROADCAST, &[7; 300]);
        assert_eq!(out.len(), 328);
        assert_eq!(out[2..4], 328u16.to_be_bytes());
        assert_eq!(out[16..20], [255; 4]);
        assert_eq!(out[20..28], [0, 67, 0, 68, 1, 52, 0, 0]);
        assert!(out[28..].iter().all(|octet| *octet == 7));
    }
}
