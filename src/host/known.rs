//! What was looked up in the kernel's neighbour table, until the kernel says that it has changed.
//!
//! Every request of a guest needs its entry, and a look-up costs as much as all the rest of an answer. The kernel tells each
//! change of an entry, and of an interface; what a change may be about is forgotten, and all of it when a change may have been
//! missed.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};

use super::Neighbour;
use crate::model::BridgeName;

/// The most that is remembered: those that ask at the moment, and not all that ever did.
const MOST: usize = 4_096;

/// What was looked up and has not changed since.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// Whether changes are heard of: otherwise nothing is remembered.
    hears: bool,
    /// Counts the changes.
    changes: u64,
    /// By address, which is on one bridge: subnets do not overlap.
    entries: HashMap<Ipv4Addr, (BridgeName, Option<Neighbour>)>,
}

/// When a look-up began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Before(u64);

impl Known {
    /// The entry, where it is known; else what to give to [`Self::learn`] when it was looked up.
    pub(super) fn of(&self, bridge: &BridgeName, address: Ipv4Addr) -> Result<Option<Neighbour>, Before> {
        let table = self.table();
        match table.entries.get(&address) {
            Some((on, entry)) if on == bridge => Ok(*entry),
            Some(_) | None => Err(Before(table.changes)),
        }
    }

    /// Remembers what was looked up, unless something has changed since the look-up began.
    pub(super) fn learn(
        &self,
        (bridge, address): (&BridgeName, Ipv4Addr),
        entry: Option<Neighbour>,
        before: Before,
    ) {
        let mut table = self.table();
        if !table.hears || table.changes != before.0 {
            return;
        }
        if table.entries.len() >= MOST {
            table.entries.clear();
        }
        table.entries.insert(address, (bridge.clone(), entry));
    }

    /// Forgets an address.
    pub(super) fn forget(&self, address: Ipv4Addr) {
        let mut table = self.table();
        table.changes = table.changes.wrapping_add(1);
        table.entries.remove(&address);
    }

    fn forget_all(&self) {
        let mut table = self.table();
        table.changes = table.changes.wrapping_add(1);
        table.entries.clear();
    }

    /// Changes are heard of from now on, or not any more.
    fn hears(&self, hears: bool) {
        self.forget_all();
        self.table().hears = hears;
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens to the kernel until the known entries are nobody's any more. Without it each look-up asks the kernel, as before.
pub(super) fn listen(known: &std::sync::Arc<Known>) {
    let groups = [MulticastGroup::Neigh, MulticastGroup::Link];
    let (connection, handle, mut changes) = match rtnetlink::new_multicast_connection(&groups) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(
                "each request of a guest asks the kernel who it is: it does not tell changes: {error}."
            );
            return;
        }
    };
    drop(tokio::spawn(connection));
    known.hears(true);
    let known = std::sync::Arc::downgrade(known);
    tokio::spawn(async move {
        // The connection ends when nobody holds it.
        let _open = handle;
        while let Some((change, _)) = changes.next().await {
            let Some(known) = known.upgrade() else { return };
            match change.payload {
                NetlinkPayload::InnerMessage(
                    RouteNetlinkMessage::NewNeighbour(entry) | RouteNetlinkMessage::DelNeighbour(entry),
                ) => about(&entry)
                    .into_iter()
                    .for_each(|address| known.forget(address)),
                _ => known.forget_all(),
            }
        }
        if let Some(known) = known.upgrade() {
            known.hears(false);
        }
    });
}

/// The IPv4 address that an entry is about; bridges and IPv6 have entries too.
fn about(entry: &NeighbourMessage) -> Option<Ipv4Addr> {
    entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(*address),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MacAddress;

    fn entry() -> Neighbour {
        Neighbour {
            mac: MacAddress::new([0x52, 0x54, 0, 0, 0, 1]),
            permanent: true,
        }
    }

    #[test]
    fn what_was_looked_up_is_known_until_it_changes() {
        let (known, bridge) = (Known::default(), "br0".parse().unwrap());
        let (one, other) = (Ipv4Addr::new(10, 77, 0, 5), Ipv4Addr::new(10, 77, 0, 6));
        let before = known.of(&bridge, one).unwrap_err();
        known.learn((&bridge, one), Some(entry()), before);
        assert!(known.of(&bridge, one).is_err(), "nobody tells changes");
        known.hears(true);
        for address in [one, other] {
            let before = known.of(&bridge, address).unwrap_err();
            known.learn((&bridge, address), Some(entry()), before);
        }
        assert_eq!(known.of(&bridge, one), Ok(Some(entry())));
        known.forget(one);
        assert_eq!(known.of(&bridge, other), Ok(Some(entry())));
        // What changes while it is looked up is not learnt.
        let before = known.of(&bridge, one).unwrap_err();
        known.forget(other);
        known.learn((&bridge, one), Some(entry()), before);
        assert!(known.of(&bridge, one).is_err() && known.of(&bridge, other).is_err());
    }

    #[test]
    fn no_more_is_remembered_than_asks_at_a_time() {
        let (known, bridge) = (Known::default(), "br0".parse().unwrap());
        known.hears(true);
        for host in 0..20_000 {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + host);
            let before = known.of(&bridge, address).unwrap_err();
            known.learn((&bridge, address), Some(entry()), before);
        }
        assert!(known.table().entries.len() <= MOST);
    }
}
