//! What the whole site has beside its VMs: the key ring, the secret that host keys and seed URLs are made from, and whose identity was
//! given up for a new one, and deleted VMs that can be undone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::deleted::{Deleted, DeletedId};
use super::host_key::SiteSecret;
use super::identity::SeedKey;
use super::name::VmName;
use super::ring::KeyRing;
use super::vm::Vm;

/// The site's own records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Site {
    /// The key ring.
    pub ring: KeyRing,
    /// What host keys and seed URLs are made from. It is made when it is needed first, and stays.
    pub secret: Option<SiteSecret>,
    /// How many times each name was given a new identity. It outlives the VM: the next one of the name has that identity.
    pub renewals: BTreeMap<VmName, u32>,
    /// Deleted VMs that can be undone.
    pub deleted: BTreeMap<DeletedId, Arc<Deleted>>,
}

impl Site {
    /// The part of a VM's seed URL that only its own table has; `None` where someone else runs it, and made its table.
    pub fn seed_key(&self, vm: &Vm) -> Option<SeedKey> {
        let secret = self.secret.as_ref().filter(|_| vm.machine().is_some())?;
        Some(SeedKey::derive(secret, &vm.name, vm.created))
    }

    /// How many times the name was given a new identity.
    pub fn renewals_of(&self, name: &VmName) -> u32 {
        self.renewals.get(name).copied().unwrap_or_default()
    }
}
