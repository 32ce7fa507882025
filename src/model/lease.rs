//! Dynamic leases: addresses lent to hardware addresses that no VM has.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::mac::MacAddress;
use super::name::NetworkName;
use super::time::Timestamp;

/// An address that is not free, though no VM has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The network it is on.
    pub network: NetworkName,
    /// Who it was lent to or, when declined, who found it taken.
    pub mac: MacAddress,
    /// The address.
    pub address: Ipv4Addr,
    /// Whether it is lent, or known to be somebody else's.
    pub state: LeaseState,
    /// When it was lent first.
    pub since: Timestamp,
    /// Until when; afterwards it stays its holder's for as long as nobody else needs it.
    pub expires: Timestamp,
    /// What the client calls itself: shown, never used.
    pub hostname: Option<Box<str>>,
}

/// What stands against giving an address away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// A client has it.
    Bound,
    /// A client that was given it found another host there (RFC 2131 §4.3.3).
    Declined,
}

/// The leases of all networks, by holder and by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leases {
    by_address: HashMap<Ipv4Addr, Arc<Lease>>,
    by_holder: HashMap<(NetworkName, MacAddress), Arc<Lease>>,
}

impl Leases {
    /// The lease of an address.
    pub fn at(&self, address: Ipv4Addr) -> Option<&Arc<Lease>> {
        self.by_address.get(&address)
    }

    /// The address a client has on a network.
    pub fn of(&self, network: &NetworkName, mac: MacAddress) -> Option<&Arc<Lease>> {
        // The map's key is owned; a network's name is a shared string, so that making one does not allocate.
        self.by_holder.get(&(network.clone(), mac))
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Lease>> {
        self.by_address.values()
    }

    /// Puts a lease in, in place of the one of its address and of the one its holder had.
    pub fn put(&mut self, lease: Arc<Lease>) {
        self.remove(lease.address);
        if lease.state == LeaseState::Bound {
            let holder = (lease.network.clone(), lease.mac);
            if let Some(old) = self.by_holder.insert(holder, Arc::clone(&lease)) {
                self.by_address.remove(&old.address);
            }
        }
        self.by_address.insert(lease.address, lease);
    }

    /// Takes the lease of an address out.
    pub fn remove(&mut self, address: Ipv4Addr) -> Option<Arc<Lease>> {
        let lease = self.by_address.remove(&address)?;
        if lease.state == LeaseState::Bound {
            self.by_holder.remove(&(lease.network.clone(), lease.mac));
        }
        Some(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(last: u8, address: u8, state: LeaseState) -> Arc<Lease> {
        Arc::new(Lease {
            network: "lab".parse().unwrap(),
            mac: MacAddress::new([2, 0, 0, 0, 0, last]),
            address: Ipv4Addr::new(10, 77, 0, address),
            state,
            since: Timestamp(1),
            expires: Timestamp(2),
            hostname: None,
        })
    }

    #[test]
    fn a_holder_has_one_address_and_an_address_one_holder() {
        let mut leases = Leases::default();
        let (first, moved, other) = (
            lease(1, 10, LeaseState::Bound),
            lease(1, 11, LeaseState::Bound),
            lease(2, 11, LeaseState::Bound),
        );
        leases.put(Arc::clone(&first));
        leases.put(Arc::clone(&moved));
        assert_eq!(
            (leases.at(first.address), leases.at(moved.address)),
            (None, Some(&moved))
        );
        leases.put(Arc::clone(&other));
        assert_eq!(leases.of(&moved.network, moved.mac), None);
        assert_eq!(leases.of(&other.network, other.mac), Some(&other));
        assert_eq!(leases.remove(other.address), Some(other));
        assert_eq!(leases.iter().len(), 0);
    }

    #[test]
    fn a_declined_address_is_nobodys() {
        let mut leases = Leases::default();
        leases.put(lease(1, 10, LeaseState::Bound));
        let declined = lease(1, 10, LeaseState::Declined);
        leases.put(Arc::clone(&declined));
        assert_eq!(leases.of(&declined.network, declined.mac), None);
        assert_eq!(leases.at(declined.address), Some(&declined));
    }
}
