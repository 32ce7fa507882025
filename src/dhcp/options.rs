//! What goes into a reply: the options of a VM on its network, most important first.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::message::Request;
use crate::model::{Network, Route, Vm};

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
    /// A domain name in its labels (RFC 3397).
    Domain(&'a str),
    /// Classless routes (RFC 3442) and the default route's router.
    Routes(&'a [Route], Ipv4Addr),
    /// What the client sent, as it sent it.
    Echo(&'a [u8]),
}

/// The codes that a client gets without a parameter request list.
const UNASKED: [u8; 5] = [3, 6, 12, 15, 28];

/// Every code that [`offered`] may leave out when it is not asked for.
pub(super) const ON_REQUEST: [u8; 11] = [3, 6, 12, 15, 26, 28, 42, 58, 59, 119, 121];

/// The options of an OFFER or of the ACK of a lease.
pub(super) fn leased<'a>(network: &'a Network, vm: &'a Vm, request: &'a Request) -> Vec<DhcpOption<'a>> {
    let lease = seconds(network.dhcp.lease);
    let mut options = identity(network, request);
    options.insert(
        1,
        DhcpOption {
            code: 51,
            value: Value::Seconds(lease),
        },
    );
    options.extend(offered(network, vm).filter(|option| asked(request, option.code)));
    options
}

/// The options of the ACK of an INFORM.
///
/// RFC 2131 §4.3.5: "The server MUST NOT send a lease expiration time to the client"; so no renewal times either.
pub(super) fn informed<'a>(network: &'a Network, vm: &'a Vm, request: &'a Request) -> Vec<DhcpOption<'a>> {
    let mut options = identity(network, request);
    options.extend(
        offered(network, vm).filter(|option| !matches!(option.code, 58 | 59) && asked(request, option.code)),
    );
    options
}

/// The options of a NAK.
///
/// Clients ignore one without the server's identifier; a message is what table 3 says SHOULD be there.
pub(super) fn refused<'a>(network: &'a Network, request: &'a Request, why: &'a str) -> Vec<DhcpOption<'a>> {
    let mut options = identity(network, request);
    options.retain(|option| option.code != 1);
    options.push(DhcpOption {
        code: 56,
        value: Value::Text(why),
    });
    options
}

/// What every answer says: who the server is, the netmask, and the client's own identifier.
///
/// RFC 6842 §3: "If the 'client identifier' option is present in a message received from a DHCP client, the server MUST
/// return the 'client identifier' option, unaltered, in its response message."
fn identity<'a>(network: &'a Network, request: &'a Request) -> Vec<DhcpOption<'a>> {
    let mut options = Vec::with_capacity(16);
    options.push(DhcpOption {
        code: 54,
        value: Value::Address(network.subnet.gateway()),
    });
    options.push(DhcpOption {
        code: 1,
        value: Value::Address(network.subnet.netmask()),
    });
    if let Some(identifier) = &request.client_id {
        options.push(DhcpOption {
            code: 61,
            value: Value::Echo(identifier),
        });
    }
    options
}

/// What a VM can be told beside that, most important first: a small client loses the last ones.
///
/// RFC 3442: a client that knows option 121 "MUST ignore the Router option", so the default route is in both.
/// RFC 2131 §4.4.5: "T1 defaults to (0.5 * `duration_of_lease`). T2 defaults to (0.875 *
/// `duration_of_lease`)."
fn offered<'a>(network: &'a Network, vm: &'a Vm) -> impl Iterator<Item = DhcpOption<'a>> {
    let gateway = network.subnet.gateway();
    let lease = seconds(network.dhcp.lease);
    let some = |wanted: bool, value| wanted.then_some(value);
    [
        (3, Some(Value::Address(gateway))),
        (6, Some(Value::Address(gateway))),
        (12, Some(Value::Text(vm.name.as_str()))),
        (
            121,
            some(
                !network.dhcp.settings.routes.is_empty(),
                Value::Routes(&network.dhcp.settings.routes, gateway),
            ),
        ),
        (15, Some(Value::Text(network.domain.as_str()))),
        (28, Some(Value::Address(network.subnet.broadcast()))),
        (26, network.dhcp.settings.mtu.map(Value::Number)),
        (58, Some(Value::Seconds(part(lease, 4)))),
        (59, Some(Value::Seconds(part(lease, 7)))),
        (119, Some(Value::Domain(network.domain.as_str()))),
        (
            42,
            some(
                !network.dhcp.settings.ntp.is_empty(),
                Value::Addresses(&network.dhcp.settings.ntp),
            ),
        ),
    ]
    .into_iter()
    .filter_map(|(code, value)| value.map(|value| DhcpOption { code, value }))
}

/// RFC 2131 §4.3.1: the server returns the "parameters requested by the client"; one that sent no list gets what any host
/// needs.
fn asked(request: &Request, code: u8) -> bool {
    request.asked.as_deref().unwrap_or(&UNASKED).contains(&code)
}

/// RFC 2131 §3.3 takes 0xffffffff for "infinity"; a longer lease than fits is that too.
fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

/// So many eighths of a lease; an infinite one is never renewed.
fn part(lease: u32, eighths: u64) -> u32 {
    if lease == u32::MAX {
        return lease;
    }
    u32::try_from(u64::from(lease) * eighths / 8).unwrap_or(lease)
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
            Self::Domain(domain) => encode_domain(domain, out),
            Self::Routes(routes, gateway) => {
                for route in with_default(routes, gateway) {
                    encode_route(route, out);
                }
            }
            Self::Echo(octets) => out.extend_from_slice(octets),
        }
    }
}

/// RFC 3397 §2 by RFC 1035 §3.1: each label after its length, then an empty one.
fn encode_domain(domain: &str, out: &mut Vec<u8>) {
    for label in domain.split('.') {
        // A model::Domain has labels of 63 octets at most.
        out.push(u8::try_from(label.len()).unwrap_or(0));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
}

/// RFC 3442: the prefix length, the significant octets of the destination, the router.
fn encode_route(route: Route, out: &mut Vec<u8>) {
    let significant = usize::from(route.prefix.div_ceil(8));
    out.push(route.prefix);
    out.extend(route.destination.octets().into_iter().take(significant));
    out.extend(route.router.octets());
}

/// The routes and, unless one of them is it, the default route by `gateway`.
fn with_default(routes: &[Route], gateway: Ipv4Addr) -> impl Iterator<Item = Route> {
    let default = Route {
        destination: Ipv4Addr::UNSPECIFIED,
        prefix: 0,
        router: gateway,
    };
    let missing = !routes.iter().any(|route| route.prefix == 0);
    routes.iter().copied().chain(missing.then_some(default))
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Addresses(addresses) => list(f, addresses.iter()),
            Self::Seconds(u32::MAX) => f.write_str("forever"),
            Self::Seconds(seconds) => write!(f, "{seconds} s"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) | Self::Domain(text) => f.write_str(text),
            Self::Routes(routes, gateway) => list(
                f,
                with_default(routes, gateway)
                    .map(|route| format!("{}/{} via {}", route.destination, route.prefix, route.router)),
            ),
            Self::Echo(octets) => octets.iter().try_for_each(|octet| write!(f, "{octet:02x}")),
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
    use super::super::sample::{Packet, network, web1};
    use super::*;
    use crate::model::DhcpSettings;

    fn request(packet: Packet) -> Request {
        Request::parse(&packet.bytes()).unwrap()
    }

    fn codes(options: &[DhcpOption<'_>]) -> Vec<u8> {
        let mut codes: Vec<u8> = options.iter().map(|option| option.code).collect();
        codes.sort_unstable();
        codes
    }

    fn octets(value: Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        value.encode(&mut out);
        out
    }

    #[test]
    fn a_client_without_a_list_gets_what_any_host_needs() {
        let (network, vm, request) = (network(), web1(), request(Packet::new(1)));
        assert_eq!(
            codes(&leased(&network, &vm, &request)),
            [1, 3, 6, 12, 15, 28, 51, 54]
        );
    }

    #[test]
    fn a_client_gets_what_it_asks_for_once_and_the_lease_always() {
        let (network, vm) = (network(), web1());
        let one = request(Packet::new(1).option(55, &[119, 26, 119, 252, 43]));
        assert_eq!(codes(&leased(&network, &vm, &one)), [1, 26, 51, 54, 119]);
        let every: Vec<u8> = (0..=255).collect();
        let all = request(Packet::new(1).option(55, &every));
        let mut expected = ON_REQUEST.to_vec();
        expected.extend([1, 51, 54]);
        expected.sort_unstable();
        assert_eq!(codes(&leased(&network, &vm, &all)), expected);
    }

    #[test]
    fn an_inform_is_told_nothing_of_a_lease() {
        let (network, vm) = (network(), web1());
        let request = request(Packet::new(8).ciaddr(vm.address).option(55, &[1, 3, 51, 58, 59]));
        assert_eq!(codes(&informed(&network, &vm, &request)), [1, 3, 54]);
    }

    #[test]
    fn what_a_network_does_not_set_is_not_sent() {
        let mut network = network();
        network.dhcp.settings = DhcpSettings::default();
        let request = request(Packet::new(1).option(55, &[26, 42, 121]));
        assert_eq!(codes(&leased(&network, &web1(), &request)), [1, 51, 54]);
    }

    #[test]
    fn the_renewal_times_are_a_half_and_seven_eighths_of_the_lease() {
        let times = |lease| {
            let mut network = network();
            network.dhcp.lease = Duration::from_secs(lease);
            let request = request(Packet::new(1).option(55, &[58, 59]));
            let vm = web1();
            let options = leased(&network, &vm, &request);
            [51, 58, 59].map(|code| {
                options
                    .iter()
                    .find(|option| option.code == code)
                    .unwrap()
                    .value
                    .to_string()
            })
        };
        assert_eq!(times(43_200), ["43200 s", "21600 s", "37800 s"]);
        assert_eq!(times(u64::from(u32::MAX) + 5), ["forever", "forever", "forever"]);
    }

    #[test]
    fn a_domain_is_written_in_labels() {
        assert_eq!(octets(Value::Domain("lab.example")), b"\x03lab\x07example\0");
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
        assert_eq!(octets(Value::Routes(&routes, gateway)), expected);
        let own = [route([0, 0, 0, 0], 0)];
        assert_eq!(octets(Value::Routes(&own, gateway)), [0, 10, 77, 0, 9]);
    }
}
