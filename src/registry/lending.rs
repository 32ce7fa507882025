//! The rules for dynamic leases: who may be lent which address. Pure.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::change::{Batch, Effect};
use crate::model::{Directory, Lease, LeaseState};

/// Lends what can be lent: an address no VM has, to a hardware address no VM has, and of two leases for one address the
/// first. What can not be lent is left out, and the rest is written in one transaction.
pub(super) fn lend(directory: &Directory, leases: Vec<Lease>) -> Effect {
    let mut addresses = HashSet::new();
    let put_leases: Vec<_> = leases
        .into_iter()
        .filter(|lease| may_be_lent(directory, lease) && addresses.insert(lease.address))
        .map(Arc::new)
        .collect();
    // A client that is lent another address gives back the one it had.
    let removed_leases = put_leases
        .iter()
        .filter(|lease| lease.state == LeaseState::Bound)
        .filter_map(|lease| directory.leases().of(&lease.network, lease.mac))
        .map(|held| held.address)
        .filter(|address| !addresses.contains(address))
        .collect();
    Effect {
        batch: Batch {
            put_leases,
            removed_leases,
            ..Batch::default()
        },
        vms: Vec::new(),
    }
}

fn may_be_lent(directory: &Directory, lease: &Lease) -> bool {
    let Some(network) = directory.network(&lease.network) else {
        return false;
    };
    let is_free = network.subnet.check(lease.address).is_ok()
        && network.dhcp.dynamic.contains(lease.address)
        && directory.vm_at(lease.address).is_none();
    let registered_here = directory
        .vm_by_mac(lease.mac)
        .is_some_and(|vm| vm.network == lease.network);
    // Another client's lease stands until it has run out; a declined address is taken up again only then.
    let anothers = directory.leases().at(lease.address).is_some_and(|held| {
        let same = held.network == lease.network && held.mac == lease.mac;
        !same && held.expires > lease.since && lease.state == LeaseState::Bound
    });
    is_free && !registered_here && !anothers
}

/// Ends the leases of these addresses.
pub(super) fn end(directory: &Directory, addresses: Vec<Ipv4Addr>) -> Effect {
    let mut seen = HashSet::new();
    let removed_leases = addresses
        .into_iter()
        .filter(|address| directory.leases().at(*address).is_some() && seen.insert(*address))
        .collect();
    Effect {
        batch: Batch {
            removed_leases,
            ..Batch::default()
        },
        vms: Vec::new(),
    }
}
