//! The index: where each VM stands, found by name, hardware address, IP address, tap or alias by one hash.
//!
//! ```text
//!   "web1" -hash-> by_name: 7 ─┐
//!   52:54:… -hash-> by_mac:  7 ─┼─> slots[7]: Arc<Vm>
//!   10.77… -hash-> by_address: 7 ┘
//! ```
//! A table holds slot numbers alone and compares with the VM's own field: five octets an entry, and a copy for the next
//! revision is a copy of flat memory.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash};
use std::net::Ipv4Addr;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::mac::MacAddress;
use super::name::{TapName, VmName};
use super::vm::Vm;

/// The VMs and the ways to find them.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    slots: Vec<Option<Arc<Vm>>>,
    /// Slots of VMs that were taken out.
    free: Vec<u32>,
    by_name: HashTable<u32>,
    by_mac: HashTable<u32>,
    by_address: HashTable<u32>,
    by_tap: HashTable<u32>,
    /// Few VMs have one.
    by_alias: HashMap<VmName, u32>,
    more: MoreNics,
    /// Seeded: users choose names and addresses, and none of them shall be able to choose a collision.
    hasher: DefaultHashBuilder,
}

/// The NICs beside the first, which few VMs have.
#[derive(Debug, Clone, Default)]
struct MoreNics {
    macs: HashMap<MacAddress, u32>,
    addresses: HashMap<Ipv4Addr, u32>,
    taps: HashMap<TapName, u32>,
}

impl Index {
    /// Makes room for that many VMs more.
    pub(super) fn reserve(&mut self, more: usize) {
        let Self { slots, hasher, .. } = self;
        slots.reserve_exact(more);
        self.by_name
            .reserve(more, rehash(slots, hasher, |vm| vm.name.as_str()));
        self.by_mac.reserve(more, rehash(slots, hasher, |vm| &vm.mac));
        self.by_address
            .reserve(more, rehash(slots, hasher, |vm| &vm.address));
        self.by_tap.reserve(more, rehash(slots, hasher, |vm| &vm.tap));
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The VMs in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Vm>> {
        self.slots.iter().flatten()
    }

    pub(super) fn named(&self, name: &str) -> Option<&Arc<Vm>> {
        self.find(&self.by_name, name, |vm| vm.name.as_str())
    }

    pub(super) fn by_mac(&self, mac: MacAddress) -> Option<&Arc<Vm>> {
        let first = self.find(&self.by_mac, &mac, |vm| &vm.mac);
        first.or_else(|| at(&self.slots, *self.more.macs.get(&mac)?))
    }

    pub(super) fn at(&self, address: Ipv4Addr) -> Option<&Arc<Vm>> {
        let first = self.find(&self.by_address, &address, |vm| &vm.address);
        first.or_else(|| at(&self.slots, *self.more.addresses.get(&address)?))
    }

    pub(super) fn behind(&self, tap: &TapName) -> Option<&Arc<Vm>> {
        let first = self.find(&self.by_tap, tap, |vm| &vm.tap);
        first.or_else(|| at(&self.slots, *self.more.taps.get(tap)?))
    }

    pub(super) fn aliased(&self, alias: &str) -> Option<&Arc<Vm>> {
        at(&self.slots, *self.by_alias.get(alias)?)
    }

    /// Puts a VM in whose name nobody has.
    pub(super) fn put(&mut self, vm: Arc<Vm>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or_else(|_| unreachable!("IPv4 has 2^32 addresses"))
        });
        for alias in vm.aliases() {
            self.by_alias.insert(alias.clone(), slot);
        }
        for nic in vm.more_nics() {
            self.more.macs.insert(nic.mac, slot);
            self.more.addresses.insert(nic.address, slot);
            self.more.taps.insert(nic.tap.clone(), slot);
        }
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(vm);
        }
        let Self { slots, hasher, .. } = self;
        insert(&mut self.by_name, slot, slots, hasher, |vm| vm.name.as_str());
        insert(&mut self.by_mac, slot, slots, hasher, |vm| &vm.mac);
        insert(&mut self.by_address, slot, slots, hasher, |vm| &vm.address);
        insert(&mut self.by_tap, slot, slots, hasher, |vm| &vm.tap);
    }

    /// Takes a VM out.
    pub(super) fn remove(&mut self, name: &VmName) -> Option<Arc<Vm>> {
        let hash = self.hasher.hash_one(name.as_str());
        let Self { slots, hasher, .. } = self;
        let is = |slot: &u32| at(slots, *slot).is_some_and(|vm| vm.name == *name);
        let (slot, _) = self.by_name.find_entry(hash, is).ok()?.remove();
        let vm = slots.get_mut(slot as usize)?.take()?;
        // By the slot, not by the key: of two VMs that exchange an address in one batch each takes only its own out.
        forget(&mut self.by_mac, slot, hasher.hash_one(vm.mac));
        forget(&mut self.by_address, slot, hasher.hash_one(vm.address));
        forget(&mut self.by_tap, slot, hasher.hash_one(&vm.tap));
        for alias in vm.aliases() {
            take_out(&mut self.by_alias, alias, slot);
        }
        for nic in vm.more_nics() {
            take_out(&mut self.more.macs, &nic.mac, slot);
            take_out(&mut self.more.addresses, &nic.address, slot);
            take_out(&mut self.more.taps, &nic.tap, slot);
        }
        self.free.push(slot);
        Some(vm)
    }

    fn find<'a, Key: Hash + Eq + ?Sized>(
        &'a self,
        table: &HashTable<u32>,
        key: &Key,
        of: impl Fn(&Vm) -> &Key,
    ) -> Option<&'a Arc<Vm>> {
        let is = |slot: &u32| at(&self.slots, *slot).is_some_and(|vm| of(vm) == key);
        let slot = table.find(self.hasher.hash_one(key), is)?;
        at(&self.slots, *slot)
    }
}

fn at(slots: &[Option<Arc<Vm>>], slot: u32) -> Option<&Arc<Vm>> {
    slots.get(slot as usize)?.as_ref()
}

/// What a table that grows needs to know: the hash of what stands in a slot.
fn rehash<'a, Key: Hash + ?Sized>(
    slots: &'a [Option<Arc<Vm>>],
    hasher: &'a DefaultHashBuilder,
    of: impl Fn(&Vm) -> &Key + 'a,
) -> impl Fn(&u32) -> u64 + 'a {
    move |slot| at(slots, *slot).map_or(0, |vm| hasher.hash_one(of(vm)))
}

fn insert<Key: Hash + ?Sized>(
    table: &mut HashTable<u32>,
    slot: u32,
    slots: &[Option<Arc<Vm>>],
    hasher: &DefaultHashBuilder,
    of: impl Fn(&Vm) -> &Key,
) {
    let hash = rehash(slots, hasher, of);
    table.insert_unique(hash(&slot), slot, hash);
}

/// Takes a key out that leads to a slot: another VM may have taken it in the same batch.
fn take_out<Key: Hash + Eq>(map: &mut HashMap<Key, u32>, key: &Key, slot: u32) {
    if map.get(key) == Some(&slot) {
        map.remove(key);
    }
}

fn forget(table: &mut HashTable<u32>, slot: u32, hash: u64) {
    if let Ok(entry) = table.find_entry(hash, |found| *found == slot) {
        entry.remove();
    }
}
