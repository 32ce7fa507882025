//! The rules for dynamic leases: who may be lent which address. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::change::{Batch, Effect};
use crate::model::{Directory, Lease, LeaseState};

/// Lends what can be lent: an address no VM has, to a hardware address no VM has. Of two clients that want one address the
/// first gets it, and of one client the last word counts. What can not be lent is left out, and the rest is written in one
/// transaction.
pub(super) fn lend(directory: &Directory, leases: Vec<Lease>) -> Effect {
    let lent = settled(leases.into_iter().filter(|lease| may_be_lent(directory, lease)));
    // A client that is lent another address gives back the one it had.
    let removed_leases = lent
        .values()
        .filter(|lease| lease.state == LeaseState::Bound)
        .filter_map(|lease| directory.leases().of(&lease.network, lease.mac))
        .map(|held| held.address)
        .filter(|address| !lent.contains_key(address))
        .collect();
    Effect {
        batch: Batch {
            put_leases: lent.into_values().map(Arc::new).collect(),
            removed_leases,
            ..Batch::default()
        },
        vms: Vec::new(),
    }
}

/// One lease for each address, and one address for each client that has one.
fn settled(leases: impl Iterator<Item = Lease>) -> BTreeMap<Ipv4Addr, Lease> {
    let mut settled: BTreeMap<Ipv4Addr, Lease> = BTreeMap::new();
    let mut held = HashMap::new();
    for lease in leases {
        let client = (lease.network.clone(), lease.mac);
        if settled
            .get(&lease.address)
            .is_some_and(|first| (&first.network, first.mac) != (&client.0, client.1))
        {
            continue;
        }
        if lease.state == LeaseState::Bound
            && let Some(former) = held.insert(client, lease.address)
            && settled
                .get(&former)
                .is_some_and(|former| former.state == LeaseState::Bound)
        {
            settled.remove(&former);
        }
        settled.insert(lease.address, lease);
    }
    settled
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
        .and_then(|vm| vm.nic_with(lease.mac))
        .is_some_and(|nic| *nic.network == lease.network);
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
