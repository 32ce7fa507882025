//! A network: one bridge and everything that is true for all VMs on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::name::{BridgeName, Domain, NetworkName};
use super::subnet::{Pool, Subnet};

/// One bridge with its subnet, names and services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The name commands use.
    pub name: NetworkName,
    /// The Linux bridge; made when it is missing.
    pub bridge: BridgeName,
    /// The subnet; its gateway address is the bridge's own and serves DHCP, DNS and metadata.
    pub subnet: Subnet,
    /// The addresses given out when the user names none.
    pub pool: Pool,
    /// The DNS domain of the VMs.
    pub domain: Domain,
    /// Where other names are asked; empty means the host's own resolvers.
    pub upstreams: Vec<SocketAddr>,
    /// Whether guests reach the world through the host's address (masquerading).
    pub nat: bool,
    /// How long a lease holds (DHCP option 51).
    pub lease: Duration,
    /// How long a VM's DNS answer may be cached.
    pub dns_ttl: Duration,
    /// Time servers for option 42; empty sends none.
    pub ntp: Vec<Ipv4Addr>,
    /// Interface MTU for option 26; `None` sends none, and guests keep 1500.
    pub mtu: Option<u16>,
    /// Routes for option 121 beside the default route: destination, prefix length, router.
    pub routes: Vec<Route>,
}

/// A classless static route (RFC 3442).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The destination network.
    pub destination: Ipv4Addr,
    /// Its prefix length, 0 to 32.
    pub prefix: u8,
    /// The router that leads there.
    pub router: Ipv4Addr,
}

impl Network {
    /// The port of the metadata service on the gateway address.
    pub const METADATA_PORT: u16 = 80;
}
