//! The rules of deleting so that it can be undone, and of undoing it. Pure.

use std::sync::Arc;

use super::apply::{all_registered, check_boot, check_served, named_network, without_leases};
use super::change::{Batch, Effect, SiteBatch, Undelete};
use super::claims::Claims;
use super::refusal::{Refusal, Sentences, WayBack};
use super::{edit, nics, policy, site};
use crate::model::{
    Deleted, DeletedId, Directory, Hosting, NetBoot, Network, Phase, Policy, Timestamp, Vm, VmName,
};

/// Deletes VMs, and keeps what was registered of those of which there is something to keep.
pub(super) fn set_aside(directory: &Directory, names: &[VmName], now: Timestamp) -> Result<Effect, Refusal> {
    let vms: Vec<Arc<Vm>> = all_registered(directory, names)?.into_iter().cloned().collect();
    let number = directory.revision().0.saturating_add(1);
    let kept = vms.iter().filter(|vm| is_kept(vm)).map(|vm| {
        Arc::new(Deleted {
            id: DeletedId {
                name: vm.name.clone(),
                number,
            },
            at: now,
            vm: Arc::clone(vm),
            returning: None,
        })
    });
    let put_deleted = kept.collect();
    Ok(Effect {
        batch: Batch {
            removed_vms: vms.iter().map(|vm| vm.name.clone()).collect(),
            site: SiteBatch {
                put_deleted,
                ..SiteBatch::default()
            },
            ..Batch::default()
        },
        vms,
    })
}

/// What was never launched has nothing on its disk yet, and a workshop's work ends with it.
fn is_kept(vm: &Vm) -> bool {
    vm.machine()
        .is_none_or(|machine| machine.phase == Phase::Launched && machine.workshop.is_none())
}

/// Registers a deleted VM again.
pub(super) fn undelete(directory: &Directory, request: Undelete, now: Timestamp) -> Result<Effect, Refusal> {
    let deleted = kept(directory, &request.id)?;
    let mut vm = Vm::clone(&deleted.vm);
    let renamed = request.name.as_ref().is_some_and(|name| *name != vm.name);
    vm.name = request.name.unwrap_or(vm.name);
    let network = named_network(directory, &vm.name, &vm.network)?;
    let mut claims = Claims::on(directory, now);
    let mut taken = Taken {
        all: Vec::new(),
        anew: request.anew || renamed,
        renamed,
        name: false,
    };
    identity_of(&mut claims, &mut taken, directory, (&mut vm, network), now)?;
    if !taken.all.is_empty() {
        return Err(Refusal::Taken {
            name: vm.name,
            taken: Sentences(taken.all),
            way_out: if taken.name { WayBack::Name } else { WayBack::Other },
        });
    }
    Ok(without_leases(directory, registered(deleted, vm)))
}

/// The record of the VM that comes back, and what is kept of it until its disks are in place.
fn registered(deleted: &Arc<Deleted>, mut vm: Vm) -> Effect {
    let site = match &mut vm.hosting {
        Hosting::External => SiteBatch {
            removed_deleted: vec![deleted.id.clone()],
            ..SiteBatch::default()
        },
        Hosting::Managed(machine) => {
            machine.phase = Phase::Launching;
            let returning = Deleted {
                returning: Some(vm.name.clone()),
                ..Deleted::clone(deleted)
            };
            SiteBatch {
                put_deleted: vec![Arc::new(returning)],
                ..SiteBatch::default()
            }
        }
    };
    let vm = Arc::new(vm);
    Effect {
        batch: Batch {
            put_vms: vec![Arc::clone(&vm)],
            site,
            ..Batch::default()
        },
        vms: vec![vm],
    }
}

/// What others have meanwhile of what the VM had.
struct Taken {
    all: Vec<String>,
    /// Whether that is chosen anew.
    anew: bool,
    /// Whether it comes back by another name.
    renamed: bool,
    /// Whether its name is among it.
    name: bool,
}

impl Taken {
    /// Whether something has to be chosen anew, because it is taken; where that is not wanted, it is noted.
    fn is(&mut self, claimed: Result<(), Refusal>) -> bool {
        match claimed {
            Ok(()) => false,
            Err(_) if self.anew => true,
            Err(refusal) => {
                self.all.push(refusal.to_string());
                false
            }
        }
    }
}

/// Claims all that makes the VM who it is, and chooses anew what may be.
fn identity_of(
    claims: &mut Claims<'_>,
    taken: &mut Taken,
    directory: &Directory,
    (vm, network): (&mut Vm, &Network),
    now: Timestamp,
) -> Result<(), Refusal> {
    let name = vm.name.clone();
    if let Err(refusal) = claims.name(&name).and_then(|()| claims.name_in(&name, network)) {
        taken.name = true;
        taken.all.push(refusal.to_string());
    }
    if vm.machine().is_some() {
        check_served(network, &name, "be run by Seedbed")?;
    }
    if taken.is(claims.mac(&name, vm.mac)) {
        vm.mac = claims.free_mac(&name);
    }
    if taken.is(claims.address(&name, network, vm.address)) {
        vm.address = claims.free_address(&name, network)?;
    }
    // The next VM of the name it had gets the UUID of that name.
    if taken.renamed || taken.is(instance_is_free(directory, vm)) {
        another_instance(directory, vm, now);
    }
    vm.tap = claims.free_tap(&name);
    further_nics(claims, taken, directory, vm)?;
    customized(claims, taken, directory, (vm, network));
    nics::check(claims, directory, vm)?;
    waits(taken, directory, vm);
    Ok(())
}

/// The same for its NICs beside the first; networks that are gone are named.
fn further_nics(
    claims: &mut Claims<'_>,
    taken: &mut Taken,
    directory: &Directory,
    vm: &mut Vm,
) -> Result<(), Refusal> {
    let name = vm.name.clone();
    let mut nics = vm.more_nics().to_vec();
    for nic in &mut nics {
        let network = named_network(directory, &name, &nic.network)?;
        if taken.is(claims.mac(&name, nic.mac)) {
            nic.mac = claims.free_nic_mac(&name, &nic.network);
        }
        if taken.is(claims.address(&name, network, nic.address)) {
            nic.address = claims.free_address(&name, network)?;
        }
        nic.tap = claims.free_nic_tap(&name, &nic.network);
    }
    vm.customize(|custom| custom.nics = nics);
    Ok(())
}

/// What it is started after: others that are gone, or wait for it meanwhile.
fn waits(taken: &mut Taken, directory: &Directory, vm: &mut Vm) {
    let judged = policy::check(directory, &[Arc::new(vm.clone())]);
    if taken.is(judged)
        && let Hosting::Managed(machine) = &mut vm.hosting
    {
        let policy = machine.policy().clone();
        machine.policy = Policy {
            after: Vec::new(),
            ..policy
        }
        .boxed();
    }
}

/// What is set for the VM alone: names that are taken, keys and images that are gone.
fn customized(
    claims: &mut Claims<'_>,
    taken: &mut Taken,
    directory: &Directory,
    (vm, network): (&mut Vm, &Network),
) {
    let name = vm.name.clone();
    let mut aliases = Vec::new();
    for alias in vm.aliases() {
        if !taken.is(claims.aliases(&name, network, std::slice::from_ref(alias))) {
            aliases.push(alias.clone());
        }
    }
    let boots = check_boot(directory, (&name, network), vm.boot());
    let boots_no_more = matches!(vm.boot(), Some(NetBoot::Image(_))) && taken.is(boots);
    vm.customize(|custom| {
        custom.aliases = aliases;
        // As with every VM when a key of the ring is deleted.
        let ring = &directory.site().ring;
        custom.access.ring.retain(|key| ring.get(key).is_some());
        if boots_no_more {
            custom.boot = None;
        }
    });
}

/// Two VMs of one UUID would be one to cloud-init, and would have one host key.
fn instance_is_free(directory: &Directory, vm: &Vm) -> Result<(), Refusal> {
    match directory.each_vm().find(|other| other.uuid == vm.uuid) {
        None => Ok(()),
        Some(holder) => Err(Refusal::UuidTaken {
            uuid: vm.uuid,
            holder: holder.name.clone(),
        }),
    }
}

fn another_instance(directory: &Directory, vm: &mut Vm, now: Timestamp) {
    let succeeded = vm.first_boot.take().map_or(now, |boot| boot.at);
    edit::renew(vm, now.max(succeeded));
    if vm.has_made_host_key() {
        let key = site::host_key(directory, vm);
        vm.customize(|custom| custom.access.host_key = key);
    }
}

/// Notes that the disks of a VM that came back are in place.
pub(super) fn undeleted(directory: &Directory, id: &DeletedId) -> Result<Effect, Refusal> {
    let (deleted, name) = returning(directory, id)?;
    let mut effect = edit::launched(directory, name)?;
    effect.batch.site.removed_deleted = vec![deleted.id.clone()];
    Ok(effect)
}

/// Deletes a VM that was coming back.
pub(super) fn send_back(directory: &Directory, id: &DeletedId) -> Result<Effect, Refusal> {
    let (deleted, name) = returning(directory, id)?;
    let kept = Deleted {
        returning: None,
        ..Deleted::clone(deleted)
    };
    Ok(Effect {
        batch: Batch {
            removed_vms: directory.vm(name).map(|vm| vm.name.clone()).into_iter().collect(),
            site: SiteBatch {
                put_deleted: vec![Arc::new(kept)],
                ..SiteBatch::default()
            },
            ..Batch::default()
        },
        vms: directory.vm(name).cloned().into_iter().collect(),
    })
}

/// Gives up what is kept of deleted VMs.
pub(super) fn forget(directory: &Directory, ids: Vec<DeletedId>) -> Result<Effect, Refusal> {
    for id in &ids {
        kept(directory, id)?;
    }
    Ok(Effect {
        batch: Batch {
            site: SiteBatch {
                removed_deleted: ids,
                ..SiteBatch::default()
            },
            ..Batch::default()
        },
        vms: Vec::new(),
    })
}

/// A deletion that can be undone.
fn kept<'a>(directory: &'a Directory, id: &DeletedId) -> Result<&'a Arc<Deleted>, Refusal> {
    let name = || id.name.clone();
    let found = directory.site().deleted.get(id);
    let deleted = found.ok_or_else(|| Refusal::UnknownDeleted { name: name() })?;
    match deleted.returning {
        None => Ok(deleted),
        Some(_) => Err(Refusal::Returning { name: name() }),
    }
}

/// A deletion that is being undone, and the name that the VM comes back by.
fn returning<'a>(
    directory: &'a Directory,
    id: &DeletedId,
) -> Result<(&'a Arc<Deleted>, &'a VmName), Refusal> {
    let found = directory.site().deleted.get(id);
    found
        .and_then(|deleted| Some((deleted, deleted.returning.as_ref()?)))
        .ok_or_else(|| Refusal::UnknownDeleted {
            name: id.name.clone(),
        })
}
