//! The `DHCPv4` server (RFC 2131): tells every registered VM its own address, and nobody else anything.
//!
//! ```text
//!   bytes -> wire::Request -> answer() -> Reply, Event, Verdict -> wire bytes -> frame -> the bridge
//!   '-------------------------- respond(): pure ----------------------------'
//! ```
//!
//! A VM is known by its hardware address alone. Its client identifier (option 61) is echoed but never looked at,
//! because clones of one base send the same one. Everything is answered from the directory, so that a restarted daemon
//! answers as before; nothing is written before an answer leaves.

mod answer;
mod describe;
mod frame;
mod message;
mod options;
#[cfg(test)]
mod sample;
mod socket;
mod wire;

pub use answer::{Destination, Outcome, Reason, Verdict, answer};
pub use describe::render;
pub use message::{Asking, Flags, Kind, Reply, ReplyKind, Request};
pub use options::{DhcpOption, Value};
pub use socket::{BindError, Socket};
pub use wire::Malformed;

use std::net::Ipv4Addr;

use crate::model::{Directory, Event, MacAddress, Network, VmName};

/// What is to be done about one received packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Who sent the packet, by its own word.
    pub client: MacAddress,
    /// The VM it came from and its address, where it is one of this network's.
    pub vm: Option<(VmName, Ipv4Addr)>,
    /// What goes out, if anything.
    pub datagram: Option<Datagram>,
    /// What the ladder should hear.
    pub event: Option<Event>,
    /// How the request was judged.
    pub verdict: Verdict,
}

/// An IPv4 packet and the station on the bridge that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The hardware address to send to.
    pub to: MacAddress,
    /// The packet from its IPv4 header on.
    pub packet: Vec<u8>,
}

/// Answers one received UDP payload on a network's bridge: bytes in, bytes out.
pub fn respond(network: &Network, directory: &Directory, payload: &[u8]) -> Result<Response, Malformed> {
    let request = Request::parse(payload)?;
    let outcome = answer(network, directory, &request);
    let datagram = outcome.reply.map(|(reply, destination)| Datagram {
        to: destination.mac(),
        packet: frame::packet(network.subnet.gateway(), destination.address(), &reply.encode()),
    });
    Ok(Response {
        client: request.mac,
        vm: outcome.vm.map(|vm| (vm.name.clone(), vm.address)),
        datagram,
        event: outcome.event,
        verdict: outcome.verdict,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::sample::{Packet, directory, network, web1};
    use super::wire::tests::decode;
    use super::*;

    /// The DHCP message inside a reply's IPv4 and UDP headers.
    fn message(datagram: &Datagram) -> &[u8] {
        &datagram.packet[28..]
    }

    /// Packets near the real ones: every kind, every option, in any mix.
    fn packets() -> impl Strategy<Value = Vec<u8>> {
        let address = prop_oneof![
            Just(web1().address),
            Just(network().subnet.gateway()),
            Just(Ipv4Addr::UNSPECIFIED),
            any::<Ipv4Addr>()
        ];
        let option = (
            prop::sample::select(vec![1u8, 12, 50, 52, 53, 54, 55, 57, 61, 81, 82, 118, 255, 0]),
            prop::collection::vec(any::<u8>(), 0..300),
        );
        (
            0u8..20,
            prop::bool::ANY,
            address.clone(),
            prop::option::of(address.clone()),
            prop::option::of(address),
            prop::collection::vec(option, 0..4),
        )
            .prop_map(|(kind, registered, ciaddr, wanted, server, rest)| {
                let mut packet = Packet::new(kind).ciaddr(ciaddr);
                if !registered {
                    packet = packet.mac([0x52, 0x54, 0, 0, 0, 0x99]);
                }
                for (code, address) in [(50, wanted), (54, server)] {
                    if let Some(address) = address {
                        packet = packet.option(code, &address.octets());
                    }
                }
                for (code, data) in rest {
                    packet = packet.option(code, &data);
                }
                packet.bytes()
            })
    }

    /// Whatever leaves is for the VM that asked, and says its own address or none.
    fn check(response: &Response) {
        let Some(datagram) = &response.datagram else {
            return;
        };
        let reply = decode(message(datagram));
        let vm = web1();
        assert_eq!((response.client, reply.mac), (vm.mac, vm.mac));
        assert!(
            datagram.to == vm.mac || datagram.to.bytes() == [0xff; 6],
            "to {}",
            datagram.to
        );
        assert!(reply.yiaddr == vm.address || reply.yiaddr.is_unspecified());
        assert_eq!(reply.options[&54], network().subnet.gateway().octets());
        assert!((300..=1472).contains(&message(datagram).len()));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
            drop(respond(&network(), &directory(), &bytes));
        }

        #[test]
        fn a_mutated_packet_never_panics_and_never_gets_anothers_reply(
            mut bytes in packets(),
            mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            for (index, value) in mutations {
                let at = index.index(bytes.len());
                bytes[at] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(response) = respond(&network(), &directory(), &bytes) {
                check(&response);
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
            let bytes = Packet::new(1).xid(xid).flags(flags)
                .option(55, &asked).option(61, &identifier).option(57, &size.to_be_bytes()).bytes();
            let response = respond(&network(), &directory(), &bytes).unwrap();
            check(&response);
            let datagram = response.datagram.unwrap();
            let reply = decode(message(&datagram));
            prop_assert_eq!(reply.yiaddr, web1().address);
            prop_assert_eq!((reply.xid, reply.flags), (xid, flags));
            prop_assert_eq!(&reply.options[&61], &identifier);
            // RFC 2132 §9.10: the size counts the IP and UDP headers, and is at least 576.
            prop_assert!(datagram.packet.len() <= usize::from(size).max(576));
        }
    }

    #[test]
    fn hlen_200_is_dropped_not_a_panic() {
        let mut bytes = Packet::new(1).bytes();
        for hlen in [0, 1, 5, 7, 16, 17, 200, 255] {
            bytes[2] = hlen;
            let refused = respond(&network(), &directory(), &bytes);
            assert_eq!(refused, Err(Malformed::Hardware { htype: 1, hlen }));
        }
    }

    #[test]
    fn a_retransmission_is_answered_with_the_same_bytes() {
        let bytes = Packet::new(1).xid(7).bytes();
        let (first, again) = (
            respond(&network(), &directory(), &bytes),
            respond(&network(), &directory(), &bytes),
        );
        assert!(first.as_ref().unwrap().datagram.is_some());
        assert_eq!(first, again);
    }
}
