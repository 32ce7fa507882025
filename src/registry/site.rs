//! The rules of what the site has beside its VMs: the key ring, and identities that are given up for new ones. Pure.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::change::{Batch, Effect, SiteBatch};
use super::refusal::{Listed, Refusal};
use crate::model::image::View;
use crate::model::{
    Custom, Directory, HostKey, HostKeyPolicy, Hosting, KeyName, Network, RingKey, SiteSecret, Vm, VmName,
    identity,
};

/// The most keys under one name: an agent or a GitHub account has a handful.
const MOST: usize = 64;

/// Adds keys to the ring.
pub(super) fn add_key(directory: &Directory, key: RingKey, replace: bool) -> Result<Effect, Refusal> {
    let name = key.name.clone();
    if key.keys.is_empty() || key.keys.len() > MOST {
        return Err(Refusal::KeyCount {
            name,
            count: key.keys.len(),
            most: MOST,
        });
    }
    if directory.site().ring.get(&name).is_some() && !replace {
        return Err(Refusal::KeyTaken { name });
    }
    Ok(Effect {
        batch: Batch {
            site: SiteBatch {
                put_keys: vec![Arc::new(key)],
                ..SiteBatch::default()
            },
            ..Batch::default()
        },
        vms: Vec::new(),
    })
}

/// Deletes keys of the ring. VMs that name one forget it: a key that is added under that name later is another's.
pub(super) fn remove_keys(directory: &Directory, names: Vec<KeyName>) -> Result<Effect, Refusal> {
    known(directory, &names)?;
    let without = |vm: &Arc<Vm>| {
        let named = vm.access()?.ring.iter().any(|name| names.contains(name));
        let mut custom = vm.custom.as_deref().filter(|_| named)?.clone();
        custom.access.ring.retain(|name| !names.contains(name));
        Some(Arc::new(Vm {
            custom: custom.boxed(),
            ..Vm::clone(vm)
        }))
    };
    let put_vms: Vec<_> = directory.vms().filter_map(without).collect();
    Ok(Effect {
        vms: put_vms.clone(),
        batch: Batch {
            put_vms,
            site: SiteBatch {
                removed_keys: names,
                ..SiteBatch::default()
            },
            ..Batch::default()
        },
    })
}

/// Refuses names that no key of the ring has.
pub(super) fn known(directory: &Directory, names: &[KeyName]) -> Result<(), Refusal> {
    let unknown = names
        .iter()
        .filter(|name| directory.site().ring.get(name).is_none());
    let unknown: Vec<_> = unknown.cloned().collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Refusal::UnknownKeys {
            names: Listed(unknown),
        })
    }
}

/// Keys of the ring have to be there, accounts to be different, and the image's guests to hear of them.
pub(super) fn check(
    directory: &Directory,
    (vm, hosting): (&VmName, &Hosting),
    custom: &Custom,
) -> Result<(), Refusal> {
    let access = &custom.access;
    known(directory, &access.ring)?;
    let mut seen = HashSet::new();
    if let Some(user) = access.users.iter().find(|user| !seen.insert(&user.name)) {
        return Err(Refusal::UserTwice {
            vm: vm.clone(),
            user: user.name.clone(),
        });
    }
    let image = directory.image_of(hosting);
    let view = view_of(directory, hosting, custom);
    let what = if !access.users.is_empty() && !view.has_accounts() {
        Some("accounts")
    } else if !custom.secrets.named.is_empty() && !view.has_vendor_data() {
        Some("secrets by name")
    } else {
        None
    };
    match image.zip(what) {
        Some((image, what)) => Err(Refusal::NoAccounts {
            vm: vm.clone(),
            what,
            image: (&image.id).into(),
            view: view.as_str(),
        }),
        None => Ok(()),
    }
}

/// How a VM that has this set for it learns who it is.
fn view_of(directory: &Directory, hosting: &Hosting, custom: &Custom) -> View {
    match directory.image_of(hosting) {
        _ if custom.offline => View::Offline,
        Some(image) => image.view,
        None => View::Auto,
    }
}

/// Keeps the site's secret; one that is there stays, because keys were made from it.
pub(super) fn keep_secret(directory: &Directory, secret: SiteSecret) -> Effect {
    let site = SiteBatch {
        secret: directory.site().secret.is_none().then_some(secret),
        ..SiteBatch::default()
    };
    Effect {
        batch: Batch {
            site,
            ..Batch::default()
        },
        vms: Vec::new(),
    }
}

/// Gives a new VM the identity of its name, or the next one where the old one is given up.
pub(super) fn identify(
    directory: &Directory,
    network: &Network,
    vm: &mut Vm,
    custom: &mut Custom,
    renew: bool,
) -> Option<(VmName, u32)> {
    let renewals = directory.site().renewals_of(&vm.name) + u32::from(renew);
    vm.uuid = identity::renewed_uuid(&vm.name, renewals);
    let view = view_of(directory, &vm.hosting, custom);
    // Who is written to before it boots can not report a key that it makes.
    let is_made = match view {
        View::Offline => true,
        _ => view.has_accounts() && network.host_keys == HostKeyPolicy::Generated,
    };
    custom.access.host_key = is_made.then(|| host_key(directory, vm)).flatten();
    renew.then(|| (vm.name.clone(), renewals))
}

/// The host key of a VM; `None` where the site has no secret, which is there as soon as a network asks for it: see
/// `Registry::open`.
pub(super) fn host_key(directory: &Directory, vm: &Vm) -> Option<HostKey> {
    let secret = directory.site().secret.as_ref()?;
    Some(HostKey::derive(secret, vm.uuid))
}

impl SiteBatch {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            secret,
            renewals,
            put_keys,
            removed_keys,
            put_deleted,
            removed_deleted,
        } = self;
        secret.is_none()
            && renewals.is_empty()
            && put_keys.is_empty()
            && removed_keys.is_empty()
            && put_deleted.is_empty()
            && removed_deleted.is_empty()
    }

    /// Makes these changes to a directory.
    pub(super) fn make(&self, directory: &mut Directory) {
        if self.is_empty() {
            return;
        }
        let site = directory.site_mut();
        if let Some(secret) = &self.secret {
            site.secret = Some(secret.clone());
        }
        site.renewals.extend(self.renewals.clone());
        for name in &self.removed_keys {
            site.ring.remove(name);
        }
        for key in &self.put_keys {
            site.ring.put(Arc::clone(key));
        }
        for id in &self.removed_deleted {
            site.deleted.remove(id);
        }
        for deleted in &self.put_deleted {
            site.deleted.insert(deleted.id.clone(), Arc::clone(deleted));
        }
    }
}

/// The names whose identity is given up in one change, for its batch.
pub(super) fn renewed(renewals: BTreeMap<VmName, u32>) -> SiteBatch {
    SiteBatch {
        renewals,
        ..SiteBatch::default()
    }
}
