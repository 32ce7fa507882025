//! A network's reverse zones as zone files: the names of its addresses (RFC 1035 §3.5).

use std::io::{self, Write};
use std::net::Ipv4Addr;

use super::zone::Zone;
use crate::model::{Directory, Network, Subnet};

/// One reverse zone of a subnet, cut at an octet as the DNS server cuts them: one for a prefix of 8, 16 or 24 bits,
/// several of the next longer kind in between, and for a longer prefix a part of the zone it lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReverseZone {
    /// The first address whose octets are in the zone's name; the others are zero.
    base: Ipv4Addr,
    /// How many octets those are: 1 to 3.
    octets: u8,
    /// Whether the subnet has all of the zone.
    whole: bool,
}

/// The reverse zones of a subnet: at most 128.
pub fn reverse_zones(subnet: Subnet) -> impl Iterator<Item = ReverseZone> {
    let octets = subnet.prefix().div_ceil(8).min(3);
    let whole = subnet.prefix() <= 8 * octets;
    let count = if whole {
        1_u32 << (8 * octets - subnet.prefix())
    } else {
        1
    };
    let host_bits = 32 - 8 * u32::from(octets);
    let first = subnet.network().to_bits() >> host_bits;
    (first..first + count).map(move |number| ReverseZone {
        base: Ipv4Addr::from_bits(number << host_bits),
        octets,
        whole,
    })
}

impl ReverseZone {
    /// Its name, such as `0.77.10.in-addr.arpa`.
    pub fn name(self) -> String {
        let octets = self.base.octets();
        octets
            .iter()
            .take(usize::from(self.octets))
            .fold("in-addr.arpa".to_owned(), |zone, octet| format!("{octet}.{zone}"))
    }

    /// Whether the subnet has all of it: then nobody else has names there.
    pub const fn is_whole(self) -> bool {
        self.whole
    }

    /// Whether an address has its name in it.
    fn contains(self, address: Ipv4Addr) -> bool {
        let host_bits = 32 - 8 * u32::from(self.octets);
        address.to_bits() >> host_bits == self.base.to_bits() >> host_bits
    }

    /// The name of an address in it: `10` of 10.77.0.10, or `10.0` where the zone is `77.10.in-addr.arpa`.
    fn labels(self, address: Ipv4Addr) -> String {
        let octets = address.octets();
        let own = octets.iter().skip(usize::from(self.octets)).rev();
        own.map(u8::to_string).collect::<Vec<_>>().join(".")
    }
}

/// The whole zone, by address.
///
/// A subnet longer than 24 bits has no zone of its own: whoever has the zone it lies in (or delegates a part of it by
/// RFC 2317) includes the records, which is what is written then.
pub fn reverse_zone(
    directory: &Directory,
    network: &Network,
    zone: ReverseZone,
    out: &mut dyn Write,
) -> io::Result<()> {
    let subnet = network.subnet;
    let view = Zone { directory, network };
    if zone.whole {
        view.start(&zone.name(), out)?;
    } else {
        let name = zone.name();
        writeln!(
            out,
            "; Written by seedbed from its registry: changes made here are lost.\n\
             ; {subnet} is a part of the zone {name} only: put these records into that zone with\n\
             ; $INCLUDE, there where its $ORIGIN is {name}."
        )?;
    }
    let nics = directory
        .vms()
        .flat_map(|vm| vm.nics().map(move |nic| (nic.address, &vm.name)));
    let mut named: Vec<_> = nics
        .filter(|(address, _)| subnet.contains(*address) && zone.contains(*address))
        .collect();
    named.sort_unstable_by_key(|(address, _)| *address);
    if zone.contains(subnet.gateway()) {
        writeln!(out, "{} IN PTR {}.", zone.labels(subnet.gateway()), view.server())?;
    }
    named.into_iter().try_for_each(|(address, name)| {
        let labels = zone.labels(address);
        writeln!(out, "{labels} IN PTR {name}.{}.", network.domain)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::fixture::vm;
    use crate::export::text;
    use crate::model::examples;

    fn zones(subnet: &str) -> Vec<String> {
        reverse_zones(subnet.parse().unwrap())
            .map(ReverseZone::name)
            .collect()
    }

    #[test]
    fn zones_are_cut_at_octets() {
        assert_eq!(zones("10.0.0.1/8"), ["10.in-addr.arpa"]);
        assert_eq!(zones("10.77.0.1/16"), ["77.10.in-addr.arpa"]);
        assert_eq!(
            zones("10.77.2.1/23"),
            ["2.77.10.in-addr.arpa", "3.77.10.in-addr.arpa"]
        );
        assert_eq!(zones("10.77.0.129/25"), ["0.77.10.in-addr.arpa"]);
        assert_eq!(zones("192.0.0.1/9").len(), 128);
        assert_eq!(zones("192.0.0.1/9")[127], "127.192.in-addr.arpa");
    }

    #[test]
    fn a_subnet_of_a_part_of_a_zone_has_its_records_only() {
        let mut directory = Directory::of([examples::network("lab", "10.77.0.129/25")]);
        directory.put_vm(vm("web2", "10.77.0.200"));
        directory.put_vm(vm("web1", "10.77.0.130"));
        let network = directory.networks().next().unwrap();
        let zone = reverse_zones(network.subnet).next().unwrap();
        let text = text(|out| reverse_zone(&directory, network, zone, out));
        let records: Vec<_> = text.lines().filter(|line| !line.starts_with(';')).collect();
        assert_eq!(
            records,
            [
                "129 IN PTR ns.lab.",
                "130 IN PTR web1.lab.",
                "200 IN PTR web2.lab."
            ]
        );
        assert!(text.contains("$INCLUDE"), "{text}");
    }

    proptest! {
        #[test]
        fn every_address_of_a_subnet_is_in_exactly_one_of_its_zones(bits: u32, prefix in 8_u8..=30, host: u32) {
            let base = Ipv4Addr::from_bits((bits & (u32::MAX << (32 - prefix))) | 1);
            let subnet: Subnet = format!("{base}/{prefix}").parse().unwrap();
            let address = Ipv4Addr::from_bits(subnet.network().to_bits() | (host & !subnet.netmask().to_bits()));
            let [a, b, c, d] = address.octets();
            let names: Vec<_> = reverse_zones(subnet)
                .filter(|zone| zone.contains(address))
                .map(|zone| format!("{}.{}", zone.labels(address), zone.name()))
                .collect();
            prop_assert_eq!(names, [format!("{d}.{c}.{b}.{a}.in-addr.arpa")]);
        }
    }
}
