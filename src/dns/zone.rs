//! Names and addresses: which zone a name lies in, where in it, and the other way round.

pub mod records;

use std::fmt;
use std::net::Ipv4Addr;

use crate::model::Subnet;

/// A name that was asked for: its labels, leftmost first, ASCII letters in lower case (RFC 4343).
///
/// Labels are bytes: a question may hold anything in them, dots included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryName(Vec<Box<[u8]>>);

impl QueryName {
    /// The name of these labels.
    pub fn of<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let lower = |label: &[u8]| label.to_ascii_lowercase().into_boxed_slice();
        Self(labels.into_iter().map(lower).collect())
    }

    /// What stands before `zone` in this name; `None` when the name is not in that zone.
    pub fn before(&self, zone: &str) -> Option<&[Box<[u8]>]> {
        let mut rest = self.0.as_slice();
        for label in zone.rsplit('.') {
            let (last, before) = rest.split_last()?;
            if **last != *label.as_bytes() {
                return None;
            }
            rest = before;
        }
        Some(rest)
    }
}

/// Where a name lies in the reverse zones of a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reverse {
    /// The zone, such as `0.77.10.in-addr.arpa`.
    pub zone: String,
    /// The addresses that have their names in it.
    pub block: Block,
    /// The place in it.
    pub place: ReversePlace,
}

/// The addresses of one reverse zone: those that share the first one, two or three octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    first: Ipv4Addr,
    octets: usize,
}

impl Block {
    /// The labels of an address within the zone, such as `10` for 10.77.0.10 in `0.77.10.in-addr.arpa`; `None` when the
    /// address has its name in another zone.
    pub fn labels_of(self, address: Ipv4Addr) -> Option<String> {
        let (zone, own) = (self.first.octets(), address.octets());
        let (zone, _) = zone.split_at_checked(self.octets)?;
        let (shared, rest) = own.split_at_checked(self.octets)?;
        let labels: Vec<_> = rest.iter().rev().map(u8::to_string).collect();
        (zone == shared).then(|| labels.join("."))
    }
}

/// A place in a reverse zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReversePlace {
    /// The zone's own name.
    Apex,
    /// Between the zone's name and an address: it exists, and has no records.
    Between,
    /// The name of an address of the subnet.
    Address(Ipv4Addr),
    /// No address's name.
    Nothing,
}

/// Where a name lies in the reverse zones of the subnet; `None` when it is none of the subnet's names.
///
/// Zones are cut at octet borders: one for a prefix of 8, 16 or 24 bits, several of the next longer kind in between. A
/// subnet longer than 24 bits owns the names of its addresses, and not the zone they are in (others have the rest).
pub fn reverse(name: &QueryName, subnet: Subnet) -> Option<Reverse> {
    let rest = name.before("in-addr.arpa")?;
    let octets: Vec<u8> = rest
        .iter()
        .rev()
        .map_while(|label| octet(label))
        .take(4)
        .collect();
    let known = usize::from(subnet.prefix().div_ceil(8));
    if octets.len() < known {
        return None;
    }
    let mut padded = [0; 4];
    for (place, octet) in padded.iter_mut().zip(&octets) {
        *place = *octet;
    }
    let address = Ipv4Addr::from(padded);
    if !subnet.contains(address) {
        return None;
    }
    let cut = known.min(3);
    let place = if octets.len() < rest.len() {
        ReversePlace::Nothing
    } else if octets.len() == 4 {
        ReversePlace::Address(address)
    } else if octets.len() == cut {
        ReversePlace::Apex
    } else {
        ReversePlace::Between
    };
    let zone = octets
        .iter()
        .take(cut)
        .fold("in-addr.arpa".to_owned(), |zone, octet| format!("{octet}.{zone}"));
    let block = Block {
        first: address,
        octets: cut,
    };
    Some(Reverse { zone, block, place })
}

/// An octet as reverse names write it: decimal, without leading zeros (RFC 1035 §3.5).
pub(super) fn octet(label: &[u8]) -> Option<u8> {
    if label.is_empty() || (label.len() > 1 && label.first() == Some(&b'0')) {
        return None;
    }
    label.iter().try_fold(0_u8, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

impl fmt::Display for QueryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in &self.0 {
            write!(f, "{}.", label.escape_ascii())?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl std::str::FromStr for QueryName {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::of(text.split('.').map(str::as_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(name: &str, subnet: &str) -> Option<(String, ReversePlace)> {
        reverse(&name.parse().unwrap(), subnet.parse().unwrap()).map(|found| (found.zone, found.place))
    }

    #[test]
    fn a_name_is_in_a_zone_by_whole_labels_and_whatever_its_case() {
        let before = |name: &str, zone: &str| name.parse::<QueryName>().unwrap().before(zone).map(<[_]>::len);
        assert_eq!(before("WEB1.Lab", "lab"), Some(1));
        assert_eq!(before("lab", "lab"), Some(0));
        assert_eq!(before("web1.collab", "lab"), None);
        assert_eq!(before("b.lab", "a.b.lab"), None);
        let dotted = QueryName::of([b"web1.lab".as_slice()]);
        assert_eq!(dotted.before("lab"), None, "a dot inside a label is no border");
    }

    #[test]
    fn a_prefix_of_24_bits_has_one_reverse_zone() {
        let (zone, net) = ("0.77.10.in-addr.arpa".to_owned(), "10.77.0.1/24");
        let at = |place| Some((zone.clone(), place));
        assert_eq!(place("0.77.10.in-addr.arpa", net), at(ReversePlace::Apex));
        assert_eq!(
            place("9.0.77.10.IN-ADDR.arpa", net),
            at(ReversePlace::Address(Ipv4Addr::new(10, 77, 0, 9)))
        );
        for name in [
            "x.0.77.10",
            "x.9.0.77.10",
            "09.0.77.10",
            "256.0.77.10",
            "+9.0.77.10",
        ] {
            assert_eq!(
                place(&format!("{name}.in-addr.arpa"), net),
                at(ReversePlace::Nothing),
                "{name}"
            );
        }
        for name in ["77.10", "9.1.77.10", "10"] {
            assert_eq!(place(&format!("{name}.in-addr.arpa"), net), None, "{name}");
        }
    }

    #[test]
    fn a_shorter_prefix_is_cut_at_the_next_octet() {
        let net = "10.77.16.1/20";
        assert_eq!(
            place("31.77.10.in-addr.arpa", net),
            Some(("31.77.10.in-addr.arpa".to_owned(), ReversePlace::Apex))
        );
        assert_eq!(place("32.77.10.in-addr.arpa", net), None);
        assert_eq!(place("77.10.in-addr.arpa", net), None);
        assert_eq!(
            place("5.77.10.in-addr.arpa", "10.77.0.1/16"),
            Some(("77.10.in-addr.arpa".to_owned(), ReversePlace::Between))
        );
    }

    #[test]
    fn a_longer_prefix_owns_only_the_names_of_its_addresses() {
        let net = "10.77.0.129/25";
        assert_eq!(
            place("130.0.77.10.in-addr.arpa", net).map(|found| found.1),
            Some(ReversePlace::Address(Ipv4Addr::new(10, 77, 0, 130)))
        );
        assert_eq!(place("5.0.77.10.in-addr.arpa", net), None);
        assert_eq!(place("0.77.10.in-addr.arpa", net), None);
    }

    proptest! {
        #[test]
        fn every_address_of_a_subnet_has_its_name_in_it(bits: u32, prefix in 8_u8..=30, host: u32) {
            let base = Ipv4Addr::from_bits((bits & (u32::MAX << (32 - prefix))) | 1);
            let subnet: Subnet = format!("{base}/{prefix}").parse().unwrap();
            let address = Ipv4Addr::from_bits(subnet.network().to_bits() | (host & !subnet.netmask().to_bits()));
            let [a, b, c, d] = address.octets();
            let name: QueryName = format!("{d}.{c}.{b}.{a}.in-addr.arpa").parse().unwrap();
            let found = reverse(&name, subnet).unwrap();
            prop_assert_eq!(found.place, ReversePlace::Address(address));
            prop_assert!(name.before(&found.zone).is_some());
        }

        #[test]
        fn any_labels_have_a_place_or_none(labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..9)) {
            let name = QueryName::of(labels.iter().map(Vec::as_slice));
            prop_assert!(reverse(&name, "10.77.0.1/24".parse().unwrap()).is_none());
            prop_assert!(!name.to_string().contains('\n'));
        }
    }
}
