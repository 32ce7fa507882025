//! The networks of a configuration: each by itself, and then against each other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::check::{ChoiceError, Problems, choice, directory, number};
use super::dhcp;
use super::file::{DnsFile, MetadataFile, NetworkFile, Text};
use crate::model::network::{AddressRange, DnsPolicy, Ec2Tokens, MetadataPolicy};
use crate::model::{BridgeName, Domain, HostKeyPolicy, Network, NetworkName, Pool, Subnet};

/// The network's name when nothing else is said.
pub(super) const NAME: &str = "lab";
/// The bridge when nothing else is said.
pub(super) const BRIDGE: &str = "br0";
/// The DNS domain when nothing else is said.
pub(super) const DOMAIN: &str = "lab";
/// How long a VM's DNS answer may be cached when nothing else is said: a deleted name is soon forgotten.
pub(super) const DNS_TTL: Duration = Duration::from_secs(5);

/// RFC 2181 §8: a TTL is 31 bits of seconds.
/// How long a VM may be told its secrets: a guest needs some time to ask, and after a day it is not its first boot any more.
const SECRETS_BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
const TTL_BOUNDS: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(i32::MAX as u64));
/// All networks that are well-formed; problems of each and of their combination are noted.
pub(super) fn networks(problems: &mut Problems, written: &[NetworkFile]) -> Vec<Network> {
    if written.is_empty() {
        problems.note(
            "networks",
            "at least one network is needed; `seedbed init` writes a configuration with one",
        );
    }
    let networks: Vec<(String, Network)> = written
        .iter()
        .enumerate()
        .filter_map(|(index, file)| {
            let place = format!("networks[{index}]");
            network(problems, &place, file).map(|network| (place, network))
        })
        .collect();
    check_distinct(problems, &networks, "name", |network| network.name.to_string());
    check_distinct(problems, &networks, "bridge", |network| {
        // Relayed networks may share the interface that their requests come in by, also with a bridge of ours.
        if network.is_local() {
            network.bridge.to_string()
        } else {
            format!("{} for {}", network.bridge, network.name)
        }
    });
    check_overlaps(problems, &networks);
    check_upstreams(problems, &networks);
    networks.into_iter().map(|(_, network)| network).collect()
}

fn network(problems: &mut Problems, place: &str, file: &NetworkFile) -> Option<Network> {
    // `lease`, `ntp`, `mtu`, `routes` and `dhcp` are read by `dhcp::policy`.
    let NetworkFile {
        name,
        bridge,
        subnet,
        pool,
        domain,
        nat,
        dns,
        metadata,
        ssh_host_keys,
        ..
    } = file;
    let at = |key: &str| format!("{place}.{key}");
    // All parts are judged before any is missed, so that all their problems are told.
    let name = named::<NetworkName>(problems, &at("name"), name.as_ref(), NAME);
    let bridge = named::<BridgeName>(problems, &at("bridge"), bridge.as_ref(), BRIDGE);
    let domain = named::<Domain>(problems, &at("domain"), domain.as_ref(), DOMAIN);
    let subnet = required_subnet(problems, &at("subnet"), subnet.as_ref());
    let pool = subnet.and_then(|subnet| match pool {
        Some(Text(text)) => problems.keep(&at("pool"), Pool::parse(text, subnet)),
        None => Some(default_pool(subnet)),
    });
    let dns = dns_policy(problems, &at("dns"), dns.as_ref());
    let metadata = metadata_policy(problems, &at("metadata"), metadata.as_ref());
    let host_keys = problems.parsed(
        &at("ssh_host_keys"),
        ssh_host_keys.as_ref(),
        HostKeyPolicy::default(),
    );
    let dhcp = dhcp::policy(problems, place, file, subnet.zip(pool));
    Some(Network {
        name: name?,
        bridge: bridge?,
        subnet: subnet?,
        pool: pool?,
        domain: domain?,
        nat: nat.unwrap_or(true),
        dns,
        dhcp: dhcp?,
        metadata,
        host_keys,
    })
}

/// The files of the networks' own vendor-data.
pub(super) fn vendor_data(
    problems: &mut Problems,
    written: &[NetworkFile],
) -> BTreeMap<NetworkName, PathBuf> {
    let mut files = BTreeMap::new();
    for (index, network) in written.iter().enumerate() {
        let place = format!("networks[{index}].vendor_data");
        let file = directory(problems, &place, network.vendor_data.as_ref());
        // A name that is none is told where the network is judged.
        let name = network.name.as_ref().map_or(NAME, |Text(text)| text).parse();
        if let (Some(file), Ok(name)) = (file, name) {
            files.insert(name, file);
        }
    }
    files
}

fn metadata_policy(problems: &mut Problems, place: &str, written: Option<&MetadataFile>) -> MetadataPolicy {
    let MetadataFile {
        ec2_tokens,
        ttl,
        secrets_for,
        reports,
    } = written.cloned().unwrap_or_default();
    let usual = MetadataPolicy::default();
    let bounds = (1, u16::from(MetadataPolicy::MAX_TTL));
    let ttl = number(problems, &format!("{place}.ttl"), ttl.as_ref(), bounds);
    let at = |key: &str| format!("{place}.{key}");
    MetadataPolicy {
        ec2_tokens: problems.parsed(&at("ec2_tokens"), ec2_tokens.as_ref(), usual.ec2_tokens),
        secrets_for: problems.span(
            &at("secrets_for"),
            secrets_for.as_ref(),
            usual.secrets_for,
            SECRETS_BOUNDS,
        ),
        reports: reports.unwrap_or(usual.reports),
        ttl: ttl.and_then(|hops| u8::try_from(hops).ok()).unwrap_or(usual.ttl),
    }
}

impl std::str::FromStr for Ec2Tokens {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        choice(text, &Self::ALL.map(|tokens| (tokens.as_str(), tokens)))
    }
}

fn dns_policy(problems: &mut Problems, place: &str, written: Option<&DnsFile>) -> DnsPolicy {
    let at = |key: &str| format!("{place}.{key}");
    // `servers` and `search` are what DHCP tells: `dhcp::policy` reads them.
    let DnsFile {
        upstreams,
        ttl,
        transfer,
        private_answers,
        ..
    } = written.cloned().unwrap_or_default();
    DnsPolicy {
        upstreams: each(problems, &at("upstreams"), upstreams.as_deref(), upstream),
        ttl: problems.span(&at("ttl"), ttl.as_ref(), DNS_TTL, TTL_BOUNDS),
        transfer: each(problems, &at("transfer"), transfer.as_deref(), |Text(text)| {
            text.parse::<AddressRange>().map_err(|error| error.to_string())
        }),
        private_answers: private_answers.unwrap_or(false),
    }
}

/// The pool when none is written: from the tenth address on where the subnet is a /24 or larger, so that the first
/// nine stay free for machines whose address people choose by hand; all of a smaller subnet.
pub(super) fn default_pool(subnet: Subnet) -> Pool {
    let whole = Pool::whole(subnet);
    if subnet.prefix() > 24 {
        return whole;
    }
    let first = Ipv4Addr::from_bits(subnet.network().to_bits() + 10);
    Pool::parse(&format!("{first}-{}", whole.last()), subnet).unwrap_or(whole)
}

fn named<T: std::str::FromStr<Err: std::fmt::Display>>(
    problems: &mut Problems,
    place: &str,
    written: Option<&Text>,
    default: &str,
) -> Option<T> {
    let text = written.map_or(default, |Text(text)| text);
    problems.keep(place, text.parse())
}

/// The one key without a default: a guessed subnet may be one that the host already reaches elsewhere.
fn required_subnet(problems: &mut Problems, place: &str, written: Option<&Text>) -> Option<Subnet> {
    let Some(Text(text)) = written else {
        problems.note(
            place,
            "is missing: write the bridge's own address and the prefix length, such as 10.77.0.1/24",
        );
        return None;
    };
    let subnet = problems.keep(place, text.parse::<Subnet>())?;
    let gateway = subnet.gateway();
    // Addresses that mean something else on every host (RFC 6890).
    if gateway.is_loopback() || gateway.is_multicast() || gateway.is_link_local() {
        problems.note(place, format!("{gateway} is a loopback, link-local or multicast address: use a private subnet, such as 10.77.0.1/24"));
        return None;
    }
    Some(subnet)
}

pub(super) fn each<W, T>(
    problems: &mut Problems,
    place: &str,
    written: Option<&[W]>,
    meant: impl Fn(&W) -> Result<T, String>,
) -> Vec<T> {
    let written = written.unwrap_or_default().iter().enumerate();
    written
        .filter_map(|(index, one)| problems.keep(&format!("{place}[{index}]"), meant(one)))
        .collect()
}

fn upstream(Text(text): &Text) -> Result<SocketAddr, String> {
    const DNS_PORT: u16 = 53;
    let address = text
        .parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT)))
        .map_err(|_| {
            format!(
                "`{}` is not a resolver's address, such as 9.9.9.9 or 9.9.9.9:53",
                text.escape_debug()
            )
        })?;
    if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
        return Err(format!("{address} is no address that a resolver can have"));
    }
    Ok(address)
}

fn check_distinct(
    problems: &mut Problems,
    networks: &[(String, Network)],
    key: &str,
    value: impl Fn(&Network) -> String,
) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (place, network) in networks {
        let value = value(network);
        match seen.get(&value) {
            Some(first) => problems.note(
                format!("{place}.{key}"),
                format!("`{value}` is {first}'s already: each network needs its own"),
            ),
            None => {
                seen.insert(value, place);
            }
        }
    }
}

fn check_overlaps(problems: &mut Problems, networks: &[(String, Network)]) {
    for (index, (place, network)) in networks.iter().enumerate() {
        for (other_place, other) in networks.iter().take(index) {
            if network.subnet.overlaps(other.subnet) {
                problems.note(
                    format!("{place}.subnet"),
                    format!("{} overlaps {} of {other_place}", network.subnet, other.subnet),
                );
            }
        }
    }
}

/// A resolver that forwards to itself, or round through a sister network, never answers.
fn check_upstreams(problems: &mut Problems, networks: &[(String, Network)]) {
    for (place, network) in networks {
        for upstream in &network.dns.upstreams {
            let ours = networks
                .iter()
                .find(|(_, other)| upstream.ip() == IpAddr::V4(other.subnet.gateway()));
            if let Some((_, ours)) = ours {
                problems.note(
                    format!("{place}.dns.upstreams"),
                    format!(
                        "{} is the gateway of network {}: seedbed would ask itself",
                        upstream.ip(),
                        ours.name
                    ),
                );
            }
        }
    }
}
