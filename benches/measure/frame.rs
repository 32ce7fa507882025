//! DHCP in Ethernet frames, as a guest's client puts it on the wire, and as a server's reply comes back. Pure.

use std::net::Ipv4Addr;

use crate::hosts::Mac;

/// Where the frames' parts begin: Ethernet, IPv4 without options, UDP, the fixed part of BOOTP, then options.
const IP: usize = 14;
const UDP: usize = IP + 20;
const BOOTP: usize = UDP + 8;
const OPTIONS: usize = BOOTP + 240;
/// RFC 1542 section 2.1: a BOOTP message is at least 300 octets.
const SHORTEST: usize = BOOTP + 300;
/// RFC 2131 section 3: the first four octets of the options.
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// RFC 2132 section 9.6.
pub(crate) const DISCOVER: u8 = 1;
pub(crate) const OFFER: u8 = 2;
pub(crate) const REQUEST: u8 = 3;
pub(crate) const ACK: u8 = 5;
pub(crate) const NAK: u8 = 6;

/// Writes a DISCOVER, and says how long it is.
pub(crate) fn discover(frame: &mut [u8], mac: Mac, xid: u32) -> usize {
    client(frame, mac, xid, DISCOVER, None)
}

/// Writes the REQUEST that selects an offer (RFC 2131 section 4.3.2), and says how long it is.
pub(crate) fn request(frame: &mut [u8], mac: Mac, xid: u32, offer: (Ipv4Addr, Ipv4Addr)) -> usize {
    client(frame, mac, xid, REQUEST, Some(offer))
}

/// What `udhcpc` and `systemd-networkd` send at boot: broadcast, no broadcast flag, client identifier, parameter list.
fn client(frame: &mut [u8], mac: Mac, xid: u32, kind: u8, offer: Option<(Ipv4Addr, Ipv4Addr)>) -> usize {
    frame[..SHORTEST].fill(0);
    let options = &mut frame[OPTIONS..];
    let mut end = put(options, 0, 53, &[kind]);
    let [a, b, c, d, e, f] = mac;
    end = put(options, end, 61, &[1, a, b, c, d, e, f]);
    if let Some((address, server)) = offer {
        end = put(options, end, 50, &address.octets());
        end = put(options, end, 54, &server.octets());
    }
    end = put(options, end, 57, &1500_u16.to_be_bytes());
    end = put(options, end, 55, &[1, 3, 6, 12, 15, 26, 28, 42, 121]);
    options[end] = 255;
    let length = (OPTIONS + end + 1).max(SHORTEST);
    let bootp = &mut frame[BOOTP..OPTIONS];
    bootp[..3].copy_from_slice(&[1, 1, 6]);
    bootp[4..8].copy_from_slice(&xid.to_be_bytes());
    bootp[28..34].copy_from_slice(&mac);
    bootp[236..240].copy_from_slice(&COOKIE);
    let addresses = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    envelope(&mut frame[..length], ([0xff; 6], mac), addresses, (68, 67));
    // The kernel's receivers check it, so it is a real one.
    let sum = udp_checksum(&frame[..length]);
    frame[UDP + 6..UDP + 8].copy_from_slice(&sum.to_be_bytes());
    length
}

/// Writes the reply that a server with nothing to think about would send; the kind is patched in later.
pub(crate) fn reply(mac: Mac, ip: Ipv4Addr, server: (Mac, Ipv4Addr)) -> Vec<u8> {
    let (server_mac, server_ip) = server;
    let mut frame = vec![0; SHORTEST + 64];
    let options = &mut frame[OPTIONS..];
    let mut end = put(options, 0, 53, &[OFFER]);
    end = put(options, end, 54, &server_ip.octets());
    end = put(options, end, 51, &43_200_u32.to_be_bytes());
    end = put(options, end, 1, &[255, 240, 0, 0]);
    end = put(options, end, 3, &server_ip.octets());
    end = put(options, end, 6, &server_ip.octets());
    end = put(options, end, 15, b"lab");
    options[end] = 255;
    frame.truncate((OPTIONS + end + 1).max(SHORTEST));
    let bootp = &mut frame[BOOTP..OPTIONS];
    bootp[..3].copy_from_slice(&[2, 1, 6]);
    bootp[16..20].copy_from_slice(&ip.octets());
    bootp[20..24].copy_from_slice(&server_ip.octets());
    bootp[28..34].copy_from_slice(&mac);
    bootp[236..240].copy_from_slice(&COOKIE);
    // RFC 2131 section 4.1: unicast to the hardware address and yiaddr when the broadcast bit is not set.
    envelope(&mut frame, (mac, server_mac), (server_ip, ip), (67, 68));
    frame
}

/// Makes a canned reply the answer to this request: its transaction and its kind.
pub(crate) fn patch(frame: &mut [u8], xid: u32, kind: u8) {
    frame[BOOTP + 4..BOOTP + 8].copy_from_slice(&xid.to_be_bytes());
    // The first option of `reply`.
    frame[OPTIONS + 2] = kind;
}

fn put(options: &mut [u8], at: usize, code: u8, value: &[u8]) -> usize {
    let end = at + 2 + value.len();
    options[at] = code;
    options[at + 1] = u8::try_from(value.len()).unwrap_or(u8::MAX);
    options[at + 2..end].copy_from_slice(value);
    end
}

/// Ethernet, IPv4 and UDP around what is there; the UDP checksum stays 0, "not computed" (RFC 768).
fn envelope(
    frame: &mut [u8],
    (to, from): (Mac, Mac),
    (source, target): (Ipv4Addr, Ipv4Addr),
    ports: (u16, u16),
) {
    let length = |from: usize, frame: &[u8]| {
        u16::try_from(frame.len() - from)
            .unwrap_or(u16::MAX)
            .to_be_bytes()
    };
    let (ip_length, udp_length) = (length(IP, frame), length(UDP, frame));
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[IP..IP + 2].copy_from_slice(&[0x45, 0]);
    frame[IP + 2..IP + 4].copy_from_slice(&ip_length);
    frame[IP + 8..IP + 10].copy_from_slice(&[64, 17]);
    frame[IP + 12..IP + 16].copy_from_slice(&source.octets());
    frame[IP + 16..IP + 20].copy_from_slice(&target.octets());
    let sum = fold(sum(&frame[IP..UDP]));
    frame[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
    frame[UDP..UDP + 2].copy_from_slice(&ports.0.to_be_bytes());
    frame[UDP + 2..UDP + 4].copy_from_slice(&ports.1.to_be_bytes());
    frame[UDP + 4..UDP + 6].copy_from_slice(&udp_length);
}

/// RFC 768: over the pseudo header (addresses, protocol, length) and the datagram.
fn udp_checksum(frame: &[u8]) -> u16 {
    let datagram = &frame[UDP..];
    let length = u32::try_from(datagram.len()).unwrap_or(0);
    fold(sum(&frame[IP + 12..UDP]) + 17 + length + sum(datagram))
}

fn sum(bytes: &[u8]) -> u32 {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let whole: u32 = pairs
        .iter()
        .map(|pair| u32::from(u16::from_be_bytes(*pair)))
        .sum();
    whole + odd.first().map_or(0, |last| u32::from(*last) << 8)
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    !u16::try_from(twice).unwrap_or(0)
}

/// What matters of a DHCP message, of either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) xid: u32,
    pub(crate) chaddr: Mac,
    pub(crate) yiaddr: Ipv4Addr,
    /// Option 54, where there is one.
    pub(crate) server: Option<Ipv4Addr>,
}

/// Reads a server's reply out of a frame; `None` when it is none, or not for the station it is addressed to.
pub(crate) fn parse_reply(frame: &[u8]) -> Option<Message> {
    let header = usize::from(frame.get(IP)? & 0x0f) * 4;
    let message = parse(frame.get(IP + header + 8..)?, 2)?;
    let to = frame.first_chunk::<6>()?;
    (*to == message.chaddr || *to == [0xff; 6]).then_some(message)
}

/// Reads a DHCP message out of a datagram; `op` is 1 for a client's and 2 for a server's.
pub(crate) fn parse(bootp: &[u8], op: u8) -> Option<Message> {
    if bootp.first() != Some(&op) || bootp.get(236..240) != Some(&COOKIE) {
        return None;
    }
    let mut message = Message {
        kind: 0,
        xid: u32::from_be_bytes(*bootp.get(4..)?.first_chunk()?),
        chaddr: *bootp.get(28..)?.first_chunk()?,
        yiaddr: Ipv4Addr::from(*bootp.get(16..)?.first_chunk::<4>()?),
        server: None,
    };
    let mut rest = bootp.get(240..)?;
    while let [code, tail @ ..] = rest {
        match (code, tail) {
            (255, _) => break,
            (0, _) => rest = tail,
            (_, [length, value @ ..]) => {
                let (value, after) = value.split_at_checked(usize::from(*length))?;
                match (code, value) {
                    (53, [kind]) => message.kind = *kind,
                    (54, [a, b, c, d]) => message.server = Some(Ipv4Addr::new(*a, *b, *c, *d)),
                    _ => {}
                }
                rest = after;
            }
            _ => break,
        }
    }
    (message.kind != 0).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0x5b, 0, 0, 0, 7];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 64, 1, 7);
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);

    #[test]
    fn a_request_reads_back_and_its_checksums_hold() {
        let mut frame = [0xaa; 600];
        let length = request(&mut frame, MAC, 0x1234_5678, (ADDRESS, SERVER));
        let frame = &frame[..length];
        let message = parse(&frame[BOOTP..], 1).unwrap();
        assert_eq!(
            (message.kind, message.xid, message.chaddr),
            (REQUEST, 0x1234_5678, MAC)
        );
        assert_eq!(message.server, Some(SERVER));
        // A sum over something that contains its own right checksum is zero.
        assert_eq!(fold(sum(&frame[IP..UDP])), 0);
        assert_eq!(udp_checksum(frame), 0);
    }

    #[test]
    fn a_canned_reply_is_what_a_guest_accepts() {
        let mut frame = reply(MAC, ADDRESS, ([2, 0, 0, 0, 0, 1], SERVER));
        patch(&mut frame, 9, ACK);
        let expected = Message {
            kind: ACK,
            xid: 9,
            chaddr: MAC,
            yiaddr: ADDRESS,
            server: Some(SERVER),
        };
        assert_eq!(parse_reply(&frame), Some(expected));
    }

    #[test]
    fn a_reply_sent_to_another_station_is_not_taken() {
        let mut frame = reply(MAC, ADDRESS, ([2, 0, 0, 0, 0, 1], SERVER));
        frame[5] ^= 1;
        assert_eq!(parse_reply(&frame), None);
    }
}
