//! The key ring: SSH public keys under a name, so that a VM says whose keys may log in instead of holding a copy of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::access::Access;
use super::key::{SshKey, SshKeys};
use super::name::{KeyName, OwnerName};
use super::time::Timestamp;

/// Keys under one name: those of one file, one agent or one GitHub account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingKey {
    /// The name.
    pub name: KeyName,
    /// Whose they are: they may log in to every VM of that owner.
    pub owner: Option<OwnerName>,
    /// The keys.
    pub keys: SshKeys,
    /// Where they came from, as it is shown: `file ann.pub`, `agent`, `gh:ann`.
    pub source: Box<str>,
    /// When they were added.
    pub added: Timestamp,
}

/// All keys of the ring, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRing(BTreeMap<KeyName, Arc<RingKey>>);

impl KeyRing {
    /// The keys of that name.
    pub fn get(&self, name: &KeyName) -> Option<&Arc<RingKey>> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<RingKey>> {
        self.0.values()
    }

    /// Puts keys in, in place of those of that name.
    pub fn put(&mut self, key: Arc<RingKey>) {
        self.0.insert(key.name.clone(), key);
    }

    /// Takes the keys of that name out.
    pub fn remove(&mut self, name: &KeyName) -> Option<Arc<RingKey>> {
        self.0.remove(name)
    }

    /// Whether these keys may log in where that access is given.
    pub fn serves(key: &RingKey, access: &Access) -> bool {
        let owned = key.owner.is_some() && key.owner == access.owner;
        owned || access.ring.contains(&key.name)
    }

    /// The keys that may log in to a VM with these keys of its own: those first, then what the ring adds. Each once,
    /// whatever its comment.
    pub fn keys_of(&self, own: &SshKeys, access: &Access) -> SshKeys {
        let added = self.iter().filter(|key| Self::serves(key, access));
        let mut keys: Vec<SshKey> = Vec::new();
        for key in own.iter().chain(added.flat_map(|key| key.keys.iter())) {
            if !keys.iter().any(|known| known.data() == key.data()) {
                keys.push(key.clone());
            }
        }
        keys.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::examples::{KEY, OTHER_KEY};

    fn ring(keys: &[(&str, Option<&str>, &str)]) -> KeyRing {
        let mut ring = KeyRing::default();
        for (name, owner, line) in keys {
            ring.put(Arc::new(RingKey {
                name: name.parse().unwrap(),
                owner: owner.map(|owner| owner.parse().unwrap()),
                keys: vec![line.parse().unwrap()].into(),
                source: "file".into(),
                added: Timestamp(1),
            }));
        }
        ring
    }

    #[test]
    fn a_vm_has_its_own_keys_those_it_names_and_its_owners_each_once() {
        let own: SshKeys = vec![KEY.parse().unwrap()].into();
        let ring = ring(&[
            ("ann", Some("ann"), OTHER_KEY),
            ("ops", None, &KEY.replace("ops@lab", "the same, elsewhere")),
        ]);
        let keys = |owner: Option<&str>, named: &[&str]| {
            let access = Access {
                owner: owner.map(|owner| owner.parse().unwrap()),
                ring: named.iter().map(|name| name.parse().unwrap()).collect(),
                ..Access::default()
            };
            let keys = ring.keys_of(&own, &access);
            keys.iter().map(SshKey::to_string).collect::<Vec<_>>()
        };
        assert_eq!(keys(None, &[]), [KEY]);
        assert_eq!(keys(None, &["ops"]), [KEY]);
        assert_eq!(keys(Some("ann"), &[]), [KEY, OTHER_KEY]);
        assert_eq!(keys(Some("ben"), &["ann"]), [KEY, OTHER_KEY]);
        assert_eq!(keys(Some("ben"), &[]), [KEY]);
    }

    #[test]
    fn a_key_of_nobody_is_not_for_the_vms_of_nobody() {
        let ring = ring(&[("ops", None, OTHER_KEY)]);
        assert!(ring.keys_of(&SshKeys::default(), &Access::default()).is_empty());
    }
}
