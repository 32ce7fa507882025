//! A network: one bridge and everything that is true for all VMs on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::dhcp::DhcpPolicy;
use super::host_key::HostKeyPolicy;
use super::name::{BridgeName, Domain, NetworkName};
use super::subnet::{Pool, Subnet};

/// One bridge with its subnet, names and services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The name commands use.
    pub name: NetworkName,
    /// The Linux bridge; made when it is missing. Of a relayed network: the interface its requests come in by.
    pub bridge: BridgeName,
    /// The subnet; its gateway address is the bridge's own and serves DHCP, DNS and metadata. Of a relayed network: the
    /// router on its wire, which is not this host.
    pub subnet: Subnet,
    /// The addresses given out when the user names none.
    pub pool: Pool,
    /// The DNS domain of the VMs.
    pub domain: Domain,
    /// Whether guests reach the world through the host's address (masquerading).
    pub nat: bool,
    /// How names are answered.
    pub dns: DnsPolicy,
    /// How addresses are given.
    pub dhcp: DhcpPolicy,
    /// How documents are served.
    pub metadata: MetadataPolicy,
    /// Who makes the SSH host keys of the VMs that are registered from now on.
    pub host_keys: HostKeyPolicy,
}

/// How a network's guests are served their documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataPolicy {
    /// Whether EC2's tree is read with a session token only.
    pub ec2_tokens: Ec2Tokens,
    /// How many hops an answer goes (the TTL of its packets): 1 to [`Self::MAX_TTL`].
    pub ttl: u8,
    /// How long after its start a VM is told its secrets, where its first boot does not succeed before.
    pub secrets_for: Duration,
    /// Whether cloud-init is asked to report what it does.
    pub reports: bool,
}

impl MetadataPolicy {
    /// The most that can be set: what many systems give a packet on its way through the whole Internet.
    pub const MAX_TTL: u8 = 64;
    /// Half an hour: cloud-init reads its documents in the first minutes, and upgrades packages later.
    pub const SECRETS_FOR: Duration = Duration::from_secs(30 * 60);
}

impl Default for MetadataPolicy {
    /// A guest is one hop away.
    fn default() -> Self {
        Self {
            ec2_tokens: Ec2Tokens::default(),
            ttl: 1,
            secrets_for: Self::SECRETS_FOR,
            reports: false,
        }
    }
}

/// Whether EC2's tree is read with a session token only: one takes a PUT and headers, which a program in a guest that was
/// talked into fetching a URL does not send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ec2Tokens {
    /// Without one too, as clients of its first version do.
    #[default]
    Optional,
    /// With one only.
    Required,
}

impl Ec2Tokens {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Optional, Self::Required];

    /// The word the configuration uses for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// How a network's names, and all others, are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsPolicy {
    /// Where other names are asked; empty means the host's own resolvers.
    pub upstreams: Vec<SocketAddr>,
    /// How long a VM's answer may be cached.
    pub ttl: Duration,
    /// Who may transfer the zones (AXFR); this host always may.
    pub transfer: Vec<AddressRange>,
    /// Whether answers from elsewhere may hold private addresses.
    pub private_answers: bool,
}

/// Addresses of one prefix: `10.77.0.5` alone, or `192.0.2.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    network: Ipv4Addr,
    prefix: u8,
}

/// A text that is not a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an IPv4 address nor a network such as 192.0.2.0/24")]
pub struct AddressRangeError(String);

impl AddressRange {
    /// Whether the address is one of them.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        address.to_bits() & mask == self.network.to_bits()
    }
}

impl std::str::FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let error = || AddressRangeError(text.escape_debug().take(40).collect());
        let (network, prefix) = match text.split_once('/') {
            Some((network, prefix)) => (network, prefix.parse().map_err(|_| error())?),
            None => (text, 32),
        };
        let range = Self {
            network: network.parse().map_err(|_| error())?,
            prefix,
        };
        (prefix <= 32 && range.contains(range.network))
            .then_some(range)
            .ok_or_else(error)
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.prefix {
            32 => write!(f, "{}", self.network),
            prefix => write!(f, "{}/{prefix}", self.network),
        }
    }
}

impl Network {
    /// The port of the metadata service on the gateway address.
    pub const METADATA_PORT: u16 = 80;
    /// Where guests look for a metadata service when nobody has told them where it is.
    pub const METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

    /// Whether this host has the network's bridge and gateway address; if not, only DHCP is served, through relays.
    pub const fn is_local(&self) -> bool {
        self.dhcp.relay.is_none()
    }

    /// The address DHCP replies come from, and clients renew at.
    pub fn dhcp_server(&self) -> Ipv4Addr {
        self.dhcp
            .relay
            .as_ref()
            .map_or_else(|| self.subnet.gateway(), |relay| relay.server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_an_address_or_a_network() {
        let holds = |range: &str, ip: &str| {
            range
                .parse::<AddressRange>()
                .unwrap()
                .contains(ip.parse().unwrap())
        };
        assert!(holds("10.77.0.5", "10.77.0.5") && !holds("10.77.0.5", "10.77.0.4"));
        assert!(holds("192.0.2.0/24", "192.0.2.255") && !holds("192.0.2.0/24", "192.0.3.0"));
        assert!(holds("0.0.0.0/0", "192.0.3.0"));
        for bad in ["", "10.0.0.1/24", "10.0.0.0/33", "ten", "10.0.0.0/"] {
            assert!(bad.parse::<AddressRange>().is_err(), "{bad}");
        }
    }
}
