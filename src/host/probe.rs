//! Who is there: ARP requests and ICMP echoes of our own, for many addresses at once.
//!
//! The kernel's neighbour table does not tell: the entries of VMs that run are permanent, whether anybody answers or not.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Host, HostError};
use crate::model::{BridgeName, MacAddress};
use crate::net::inquiry::ask;
use crate::net::{Address, Datagram, Letter};

/// `ETH_P_ARP` of `linux/if_ether.h`.
const ETHERTYPE_ARP: u16 = 0x0806;
/// An ARP message for Ethernet and IPv4 (RFC 826): the hardware and protocol types and lengths, without the operation.
const ARP_START: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_REQUEST: u8 = 1;
const ARP_REPLY: u8 = 2;
/// ICMP's types (RFC 792).
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;

impl Host {
    /// Asks on a bridge who has these addresses, as the gateway; the hardware addresses that answer for each, in the order they
    /// did. Only what the packet filter lets in is heard.
    pub async fn stations(
        &self,
        bridge: &BridgeName,
        gateway: Ipv4Addr,
        addresses: &[Ipv4Addr],
    ) -> Result<HashMap<Ipv4Addr, Vec<MacAddress>>, HostError> {
        let mac = self.mac_of_bridge(bridge).await?;
        let index = self.index_of(bridge.as_str()).await?;
        let failed = |source| HostError::Netlink {
            doing: format!("ask on `{bridge}` who has an address"),
            source,
        };
        let mut found: HashMap<Ipv4Addr, Vec<MacAddress>> = HashMap::new();
        let everyone = link_address(index, [0xff; 6]).ok_or_else(|| failed(io::ErrorKind::Other.into()))?;
        let letters: Vec<_> = addresses
            .iter()
            .map(|address| Letter {
                to: everyone,
                bytes: arp_request((mac, gateway), *address),
            })
            .collect();
        let numbers: HashMap<_, _> = addresses
            .iter()
            .zip(0..)
            .map(|(address, number)| (*address, number))
            .collect();
        let hear = |datagram: Datagram<'_>| {
            // A packet socket hears all interfaces, and a bridge's ports before its filter.
            let (from, address) = arp_reply(datagram.bytes).filter(|_| is_from(index, datagram.source))?;
            let number: usize = *numbers.get(&address)?;
            let macs = found.entry(address).or_default();
            if !macs.contains(&from) {
                macs.push(from);
            }
            Some(number)
        };
        // SOCK_DGRAM: the kernel writes and takes off the Ethernet header.
        let socket = Socket::new(
            Domain::PACKET,
            Type::DGRAM,
            Some(Protocol::from(i32::from(ETHERTYPE_ARP.to_be()))),
        )
        .map_err(failed)?;
        ask(socket, &letters, hear).await.map_err(failed)?;
        Ok(found)
    }
}

/// Which of these addresses answer an ICMP echo.
pub async fn echoes(addresses: &[Ipv4Addr]) -> io::Result<Vec<Ipv4Addr>> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let letters = addresses.iter().zip(0_u16..).map(|(address, number)| Letter {
        to: Address::from(SocketAddr::new(IpAddr::V4(*address), 0)),
        bytes: echo_request(id, number),
    });
    let letters: Vec<_> = letters.collect();
    let mut heard = Vec::new();
    let hear = |datagram: Datagram<'_>| {
        let (from, number) = echo_reply(datagram.bytes, id)?;
        let number = usize::from(number);
        let asked = addresses.get(number).filter(|asked| **asked == from)?;
        if !heard.contains(asked) {
            heard.push(*asked);
        }
        Some(number)
    };
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    ask(socket, &letters, hear).await?;
    Ok(heard)
}

/// `struct sockaddr_ll` (packet(7)) of a station behind an interface.
fn link_address(index: u32, mac: [u8; 6]) -> Option<Address> {
    let family = u16::try_from(libc::AF_PACKET).ok()?.to_ne_bytes();
    let octets = [
        &family[..],
        &ETHERTYPE_ARP.to_be_bytes(),
        &index.to_ne_bytes(),
        // The hardware type and the packet type are for what is received; then the length of the address.
        &[0, 0, 0, 6],
        &mac,
        &[0, 0],
    ];
    Address::from_bytes(&octets.concat())
}

/// Whether a `struct sockaddr_ll` names this interface.
fn is_from(index: u32, source: &Address) -> bool {
    source.as_bytes().get(4..8) == Some(&index.to_ne_bytes())
}

fn arp_request((mac, own): (MacAddress, Ipv4Addr), wanted: Ipv4Addr) -> Vec<u8> {
    [
        &ARP_START[..],
        &[0, ARP_REQUEST],
        &mac.bytes(),
        &own.octets(),
        &[0; 6],
        &wanted.octets(),
    ]
    .concat()
}

/// Who says of itself that it has which address.
fn arp_reply(message: &[u8]) -> Option<(MacAddress, Ipv4Addr)> {
    let rest = message.strip_prefix(&ARP_START)?.strip_prefix(&[0, ARP_REPLY])?;
    let (mac, rest) = rest.split_first_chunk::<6>()?;
    let address = rest.first_chunk::<4>()?;
    Some((MacAddress::new(*mac), Ipv4Addr::from(*address)))
}

fn echo_request([id, id_low]: [u8; 2], number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let mut message = [[ECHO_REQUEST, 0, 0, 0], [id, id_low, high, low]].concat();
    let sum = checksum(&message).to_be_bytes();
    if let Some(room) = message.get_mut(2..4) {
        room.copy_from_slice(&sum);
    }
    message
}

/// Who answers which of our echoes: the IPv4 header comes with it.
fn echo_reply(packet: &[u8], id: [u8; 2]) -> Option<(Ipv4Addr, u16)> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let from: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let (start, rest) = packet.get(header..)?.split_first_chunk::<4>()?;
    let (theirs, rest) = rest.split_first_chunk::<2>()?;
    let number = u16::from_be_bytes(*rest.first_chunk::<2>()?);
    (start.first() == Some(&ECHO_REPLY) && *theirs == id).then_some((Ipv4Addr::from(from), number))
}

/// The Internet checksum (RFC 1071) of an even number of octets.
fn checksum(octets: &[u8]) -> u16 {
    let words = octets
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |word, octet| word << 8 | u32::from(*octet)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::namespace::{self, ip, lab};

    #[test]
    fn a_reply_says_who_has_what() {
        let mac = MacAddress::new([2, 0, 0, 0, 0, 5]);
        let address = Ipv4Addr::new(10, 77, 0, 5);
        let mut message = arp_request((mac, address), Ipv4Addr::new(10, 77, 0, 1));
        assert_eq!(message.len(), 28);
        assert_eq!(arp_reply(&message), None, "that was a request");
        message[7] = ARP_REPLY;
        assert_eq!(arp_reply(&message), Some((mac, address)));
    }

    #[test]
    fn an_echo_is_known_by_its_number() {
        let mut echo = echo_request([1, 2], 0x0304);
        assert_eq!(checksum(&echo), 0);
        echo[0] = ECHO_REPLY;
        let packet = [&[0x45; 12][..], &[10, 77, 0, 5, 0, 0, 0, 0], &echo].concat();
        assert_eq!(
            echo_reply(&packet, [1, 2]),
            Some((Ipv4Addr::new(10, 77, 0, 5), 0x0304))
        );
        assert_eq!(echo_reply(&packet, [1, 3]), None);
    }

    #[test]
    fn a_station_on_the_bridge_answers_and_a_free_address_does_not() {
        namespace::inside(
            "host::probe::tests::a_station_on_the_bridge_answers_and_a_free_address_does_not",
            async |host| {
                let network = lab();
                host.ensure_bridge(&network).await.unwrap();
                // A machine of its own can not be had without a second namespace: a veth pair into one that `ip` makes.
                let peer = format!("probe-{}", std::process::id());
                ip(&["link", "add", "port", "type", "veth", "peer", "name", "eth0"]);
                ip(&["link", "set", "port", "master", network.bridge.as_str(), "up"]);
                ip(&["netns", "add", &peer]);
                ip(&["link", "set", "eth0", "netns", &peer]);
                ip(&[
                    "-n",
                    &peer,
                    "link",
                    "set",
                    "eth0",
                    "up",
                    "address",
                    "52:54:00:00:00:09",
                ]);
                ip(&["-n", &peer, "addr", "add", "10.77.0.9/24", "dev", "eth0"]);
                let there: Ipv4Addr = "10.77.0.9".parse().unwrap();
                let asked = [Ipv4Addr::new(10, 77, 0, 8), there];
                let found = host
                    .stations(&network.bridge, network.subnet.gateway(), &asked)
                    .await;
                let echoed = echoes(&asked).await;
                ip(&["netns", "del", &peer]);
                let expected = HashMap::from([(there, vec![MacAddress::new([0x52, 0x54, 0, 0, 0, 9])])]);
                assert_eq!(found.unwrap(), expected);
                assert_eq!(echoed.unwrap(), [there]);
            },
        );
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_not(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (arp_reply(&octets), echo_reply(&octets, [0, 0]));
        }
    }
}
