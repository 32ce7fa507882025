//! An IPv4 subnet with its gateway inside, and the pool of addresses to give out.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 subnet, written as the bridge's own address and a prefix length: `10.77.0.1/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subnet {
    gateway: Ipv4Addr,
    prefix: u8,
}

/// Why a text is not a subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// Not `address/prefix`.
    #[error("subnet `{0}` is not the bridge's address and a prefix length, such as 10.77.0.1/24")]
    Malformed(String),
    /// Too few addresses for a bridge and a VM, or more than a bridge can sensibly carry.
    #[error("subnet {0} has prefix length {1}; use one from 8 to 30")]
    Prefix(String, u8),
    /// The bridge's address is not one a host can have there.
    #[error("subnet `{0}`: {1} is its {2}; write the bridge's own address, such as {3}")]
    Gateway(String, Ipv4Addr, &'static str, String),
}

/// Why an address can not be a VM's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressProblem {
    /// Not in the subnet at all.
    #[error("address {address} is outside {subnet}: choose one from {first} to {last}")]
    Outside {
        /// The refused address.
        address: Ipv4Addr,
        /// The subnet it should be in.
        subnet: Subnet,
        /// The first address a VM can have.
        first: Ipv4Addr,
        /// The last address a VM can have.
        last: Ipv4Addr,
    },
    /// The subnet's own (all host bits zero).
    #[error("address {0} is the network address of {1}")]
    NetworkAddress(Ipv4Addr, Subnet),
    /// All host bits one.
    #[error("address {0} is the broadcast address of {1}")]
    Broadcast(Ipv4Addr, Subnet),
    /// The bridge has it.
    #[error("address {0} is the gateway of {1}: the bridge itself has it")]
    Gateway(Ipv4Addr, Subnet),
}

impl Subnet {
    /// The bridge's own address: the guests' gateway, DNS, DHCP and metadata server.
    pub const fn gateway(self) -> Ipv4Addr {
        self.gateway
    }

    /// The prefix length, 8 to 30.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The netmask.
    pub fn netmask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(self.prefix)))
    }

    /// The network address (all host bits zero).
    pub fn network(self) -> Ipv4Addr {
        self.gateway & self.netmask()
    }

    /// The broadcast address (all host bits one).
    pub fn broadcast(self) -> Ipv4Addr {
        self.network() | !self.netmask()
    }

    /// Whether the address is in the subnet, usable or not.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address & self.netmask() == self.network()
    }

    /// The first and last address of the subnet that a host can have.
    pub fn hosts(self) -> (Ipv4Addr, Ipv4Addr) {
        let next = Ipv4Addr::from_bits(self.network().to_bits() + 1);
        let last = Ipv4Addr::from_bits(self.broadcast().to_bits() - 1);
        (next, last)
    }

    /// Checks that a VM can have this address.
    pub fn check(self, address: Ipv4Addr) -> Result<(), AddressProblem> {
        if !self.contains(address) {
            let (first, last) = self.hosts();
            Err(AddressProblem::Outside {
                address,
                subnet: self,
                first,
                last,
            })
        } else if address == self.network() {
            Err(AddressProblem::NetworkAddress(address, self))
        } else if address == self.broadcast() {
            Err(AddressProblem::Broadcast(address, self))
        } else if address == self.gateway {
            Err(AddressProblem::Gateway(address, self))
        } else {
            Ok(())
        }
    }

    /// Whether the two subnets share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.network()) || other.contains(self.network())
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let shown = || text.escape_debug().take(40).collect::<String>();
        let malformed = || SubnetError::Malformed(shown());
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let gateway: Ipv4Addr = address.parse().map_err(|_| malformed())?;
        let prefix: u8 = prefix.parse().map_err(|_| malformed())?;
        if !(8..=30).contains(&prefix) {
            return Err(SubnetError::Prefix(shown(), prefix));
        }
        let subnet = Self { gateway, prefix };
        let example = format!("{}/{prefix}", subnet.hosts().0);
        if gateway == subnet.network() {
            Err(SubnetError::Gateway(shown(), gateway, "network address", example))
        } else if gateway == subnet.broadcast() {
            Err(SubnetError::Gateway(
                shown(),
                gateway,
                "broadcast address",
                example,
            ))
        } else {
            Ok(subnet)
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix)
    }
}

/// The addresses that are given out when the user names none: a range inside its subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    first: Ipv4Addr,
    last: Ipv4Addr,
}

/// Why a text is not a pool of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Not `first-last`.
    #[error("pool `{0}` is not two addresses with a hyphen, such as 10.77.0.10-10.77.0.199")]
    Malformed(String),
    /// The first is after the last.
    #[error("pool `{0}` ends before it starts")]
    Backwards(String),
    /// An end of it is not a host address of the subnet.
    #[error("pool `{0}`: {1} is not a host address of {2}")]
    Outside(String, Ipv4Addr, Subnet),
}

impl Pool {
    /// Every host address of the subnet.
    pub fn whole(subnet: Subnet) -> Self {
        let (first, last) = subnet.hosts();
        Self { first, last }
    }

    /// Reads `first-last` and checks that both are host addresses of the subnet.
    pub fn parse(text: &str, subnet: Subnet) -> Result<Self, PoolError> {
        let shown = || text.escape_debug().take(60).collect::<String>();
        let malformed = || PoolError::Malformed(shown());
        let (first, last) = text.split_once('-').ok_or_else(malformed)?;
        let first: Ipv4Addr = first.trim().parse().map_err(|_| malformed())?;
        let last: Ipv4Addr = last.trim().parse().map_err(|_| malformed())?;
        let (lowest, highest) = subnet.hosts();
        if let Some(outside) = [first, last].into_iter().find(|a| *a < lowest || *a > highest) {
            return Err(PoolError::Outside(shown(), outside, subnet));
        }
        if first > last {
            Err(PoolError::Backwards(shown()))
        } else {
            Ok(Self { first, last })
        }
    }

    /// The first address.
    pub const fn first(self) -> Ipv4Addr {
        self.first
    }

    /// The last address.
    pub const fn last(self) -> Ipv4Addr {
        self.last
    }

    /// Whether the address is one of them.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// The addresses in order.
    pub fn iter(self) -> impl Iterator<Item = Ipv4Addr> {
        (self.first.to_bits()..=self.last.to_bits()).map(Ipv4Addr::from_bits)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab() -> Subnet {
        "10.77.0.1/24".parse().unwrap()
    }

    #[test]
    fn a_vm_can_not_have_an_address_that_means_something_else() {
        for (text, says) in [
            (
                "10.78.0.5",
                "outside 10.77.0.0/24: choose one from 10.77.0.1 to 10.77.0.254",
            ),
            ("10.77.0.0", "network address"),
            ("10.77.0.255", "broadcast"),
            ("10.77.0.1", "gateway"),
        ] {
            let error = lab().check(text.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(lab().check("10.77.0.5".parse().unwrap()), Ok(()));
    }

    #[test]
    fn a_subnet_is_the_bridges_address_and_a_prefix() {
        for bad in [
            "",
            "10.77.0.1",
            "10.77.0.1/",
            "10.77.0.1/7",
            "10.77.0.1/31",
            "10.77.0.0/24",
            "10.77.0.255/24",
            "::1/64",
        ] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad} was accepted");
        }
        assert_eq!(lab().to_string(), "10.77.0.0/24");
        assert_eq!(lab().netmask(), Ipv4Addr::new(255, 255, 255, 0));
    }

    #[test]
    fn a_pool_lies_inside_its_subnet() {
        assert_eq!(
            Pool::parse("10.77.0.10-10.77.0.19", lab()).map(|p| p.iter().count()),
            Ok(10)
        );
        for bad in [
            "",
            "10.77.0.10",
            "10.77.0.19-10.77.0.10",
            "10.76.0.1-10.77.0.9",
            "10.77.0.0-10.77.0.9",
        ] {
            assert!(Pool::parse(bad, lab()).is_err(), "{bad} was accepted");
        }
    }
}
