//! The forms that an option's value has, as octets and as text.

use std::fmt;
use std::net::Ipv4Addr;

use super::netboot::Location;
use crate::model::{Domain, Route, VmName};

/// One option of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DhcpOption<'a> {
    /// Its number (RFC 2132).
    pub code: u8,
    /// What it says.
    pub value: Value<'a>,
}

/// The forms an option's value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// One address.
    Address(Ipv4Addr),
    /// Several addresses.
    Addresses(&'a [Ipv4Addr]),
    /// A span of time, in seconds; all ones is forever.
    Seconds(u32),
    /// A 16-bit number.
    Number(u16),
    /// A text, without an end mark.
    Text(&'a str),
    /// Domain names in their labels (RFC 3397).
    Domains(&'a [Domain]),
    /// Classless routes (RFC 3442) and the default route's router; without one, no default route.
    Routes(&'a [Route], Option<Ipv4Addr>),
    /// A host's full name (RFC 4702), with the flags in the client's own option.
    FullName(u8, &'a VmName, &'a Domain),
    /// Where something is to be loaded from.
    Location(Location<'a>),
    /// Octets as they are: the client's own, sent back, or the operator's.
    Octets(&'a [u8]),
}

impl DhcpOption<'_> {
    /// The option's name, as RFC 2132 and its successors call it.
    pub const fn name(&self) -> &'static str {
        match self.code {
            1 => "subnet mask",
            3 => "router",
            6 => "domain name server",
            12 => "host name",
            15 => "domain name",
            26 => "interface MTU",
            28 => "broadcast address",
            42 => "NTP servers",
            51 => "lease time",
            54 => "server identifier",
            56 => "message",
            58 => "renewal time (T1)",
            59 => "rebinding time (T2)",
            61 => "client identifier",
            119 => "domain search",
            121 => "classless static routes",
            43 => "vendor-specific information",
            60 => "vendor class",
            66 => "TFTP server",
            67 => "boot file",
            81 => "full host name",
            97 => "machine identifier",
            150 => "TFTP server addresses",
            175 => "iPXE options",
            249 => "routes (Microsoft)",
            _ => "option",
        }
    }
}

impl Value<'_> {
    /// Writes the value's octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Address(address) => out.extend(address.octets()),
            Self::Addresses(addresses) => out.extend(addresses.iter().flat_map(Ipv4Addr::octets)),
            Self::Seconds(seconds) => out.extend(seconds.to_be_bytes()),
            Self::Number(number) => out.extend(number.to_be_bytes()),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Domains(domains) => domains
                .iter()
                .for_each(|domain| encode_name([domain.as_str()], out)),
            Self::FullName(flags, name, domain) => {
                encode_full_name(flags, [name.as_str(), domain.as_str()], out);
            }
            Self::Location(location) => location.encode(out),
            Self::Routes(routes, gateway) => {
                for route in with_default(routes, gateway) {
                    encode_route(route, out);
                }
            }
            Self::Octets(octets) => out.extend_from_slice(octets),
        }
    }
}

/// RFC 3397 §2 by RFC 1035 §3.1: each label after its length, then an empty one.
fn encode_name<'a>(parts: impl IntoIterator<Item = &'a str>, out: &mut Vec<u8>) {
    for label in parts.into_iter().flat_map(|part| part.split('.')) {
        // A model::Domain has labels of 63 octets at most.
        out.push(u8::try_from(label.len()).unwrap_or(0));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
}

/// Bits of the flags field of option 81 (RFC 4702 §2.1): the server updates the A record; it overrode the client's wish
/// that it should not; the name is in labels.
const S: u8 = 1;
const O: u8 = 2;
const E: u8 = 4;

/// RFC 4702 §4: the server sets "S" when it answers for the A record, as our DNS always does, and "O" when the client
/// wanted otherwise; "the server MUST copy the 'E' bit". §2.2: both RCODE fields are 255.
fn encode_full_name(asked: u8, [name, domain]: [&str; 2], out: &mut Vec<u8>) {
    let overridden = if asked & S == 0 { O } else { 0 };
    out.extend([S | overridden | asked & E, 255, 255]);
    if asked & E == 0 {
        for part in [name, ".", domain] {
            out.extend_from_slice(part.as_bytes());
        }
    } else {
        encode_name([name, domain], out);
    }
}

/// RFC 3442: the prefix length, the significant octets of the destination, the router.
fn encode_route(route: Route, out: &mut Vec<u8>) {
    let significant = usize::from(route.prefix.div_ceil(8));
    out.push(route.prefix);
    out.extend(route.destination.octets().into_iter().take(significant));
    out.extend(route.router.octets());
}

/// The routes and, unless one of them is it, the default route by `gateway`; those alone that are none where there is no
/// `gateway`.
fn with_default(routes: &[Route], gateway: Option<Ipv4Addr>) -> impl Iterator<Item = Route> {
    let default = gateway.map(|router| Route {
        destination: Ipv4Addr::UNSPECIFIED,
        prefix: 0,
        router,
    });
    let missing = !routes.iter().any(|route| route.prefix == 0);
    let told = routes
        .iter()
        .copied()
        .filter(move |route| gateway.is_some() || route.prefix > 0);
    told.chain(default.filter(|_| missing))
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Addresses(addresses) => list(f, addresses.iter()),
            Self::Seconds(u32::MAX) => f.write_str("forever"),
            Self::Seconds(seconds) => write!(f, "{seconds} s"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Domains(domains) => list(f, domains.iter()),
            Self::FullName(_, name, domain) => write!(f, "{name}.{domain}"),
            Self::Location(location) => location.fmt(f),
            Self::Routes(routes, gateway) => list(
                f,
                with_default(routes, gateway)
                    .map(|route| format!("{}/{} via {}", route.destination, route.prefix, route.router)),
            ),
            Self::Octets(octets) => octets.iter().try_for_each(|octet| write!(f, "{octet:02x}")),
        }
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = T>) -> fmt::Result {
    for (index, item) in items.enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(value: Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        value.encode(&mut out);
        out
    }

    #[test]
    fn domains_are_written_in_labels_one_after_the_other() {
        let domains = ["lab.example".parse().unwrap(), "b".parse().unwrap()];
        assert_eq!(octets(Value::Domains(&domains)), b"\x03lab\x07example\0\x01b\0");
        assert_eq!(Value::Domains(&domains).to_string(), "lab.example, b");
    }

    #[test]
    fn a_full_name_has_the_flags_that_rfc_4702_gives_it() {
        let (name, domain) = ("web1".parse().unwrap(), "lab.example".parse().unwrap());
        let written = |asked| octets(Value::FullName(asked, &name, &domain));
        assert_eq!(written(0), b"\x03\xff\xffweb1.lab.example");
        assert_eq!(written(1), b"\x01\xff\xffweb1.lab.example");
        // N is the client's alone, and cleared.
        assert_eq!(written(8), b"\x03\xff\xffweb1.lab.example");
        assert_eq!(written(5), b"\x05\xff\xff\x04web1\x03lab\x07example\0");
    }

    #[test]
    fn classless_routes_hold_the_default_route_once() {
        let route = |destination: [u8; 4], prefix| Route {
            destination: destination.into(),
            prefix,
            router: [10, 77, 0, 9].into(),
        };
        let gateway = Ipv4Addr::new(10, 77, 0, 1);
        // The destinations are RFC 3442's own examples.
        let routes = [
            route([10, 0, 0, 0], 8),
            route([10, 17, 0, 0], 16),
            route([10, 229, 0, 128], 25),
            route([10, 198, 122, 47], 32),
        ];
        let mut expected = vec![
            8, 10, 10, 77, 0, 9, 16, 10, 17, 10, 77, 0, 9, 25, 10, 229, 0, 128, 10, 77, 0, 9,
        ];
        expected.extend([32, 10, 198, 122, 47, 10, 77, 0, 9, 0, 10, 77, 0, 1]);
        assert_eq!(octets(Value::Routes(&routes, Some(gateway))), expected);
        let own = [route([0, 0, 0, 0], 0)];
        assert_eq!(octets(Value::Routes(&own, Some(gateway))), [0, 10, 77, 0, 9]);
        assert_eq!(octets(Value::Routes(&own, None)), [0_u8; 0]);
    }
}
