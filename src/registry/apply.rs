//! The rules of the registry: what a change does to a directory, or why it may not.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::change::{Batch, Change, Effect, NewVm};
use super::claims::Claims;
use super::refusal::{Listed, Refusal};
use super::{deleted, edit, images, lending, nics, policy, records, site, snapshots};
use crate::model::dhcp::DhcpMode;
use crate::model::image::Boot;
use crate::model::{
    Directory, Hosting, ImageId, ImageRef, NetBoot, Network, NetworkName, Nic, Timestamp, Vm, VmName,
    Workshop, identity,
};

/// Judges a change against the directory: what to write, or why not. Nothing is changed here.
pub fn apply(directory: &Directory, change: Change, now: Timestamp) -> Result<Effect, Refusal> {
    match change {
        Change::Register { vms } => register(directory, vms, now),
        Change::Update { names, edit } => edit::update(directory, &names, &edit, now),
        Change::Replace {
            name,
            image,
            disk,
            anew,
        } => edit::replace(directory, &name, (image, disk), anew.then_some(now)),
        Change::Launched { name } => edit::launched(directory, &name),
        Change::Released { name } => edit::released(directory, &name, now),
        Change::FirstBoot { name, first_boot } => edit::keep_first_boot(directory, &name, first_boot),
        Change::Delete { names } => delete(directory, &names),
        Change::Lend { leases } => Ok(lending::lend(directory, leases)),
        Change::EndLeases { addresses } => Ok(lending::end(directory, addresses)),
        Change::AddRecord(record) => records::add(directory, record),
        Change::RemoveRecords {
            network,
            owner,
            kind,
            value,
        } => records::remove(directory, network, owner, (kind.as_deref(), value.as_deref())),
        Change::AddKey { key, replace } => site::add_key(directory, key, replace),
        Change::RemoveKeys { names } => site::remove_keys(directory, names),
        Change::KeepSecret(secret) => Ok(site::keep_secret(directory, secret)),
        Change::PutImage { image, promote } => images::put(directory, image, promote),
        Change::Promote(id) => images::promote(directory, &id),
        Change::RemoveImages(ids) => images::remove(directory, ids),
        Change::SetAside { names } => deleted::set_aside(directory, &names, now),
        Change::Undelete(undelete) => deleted::undelete(directory, undelete, now),
        Change::Undeleted(id) => deleted::undeleted(directory, &id),
        Change::SendBack(id) => deleted::send_back(directory, &id),
        Change::AddSnapshot { vm, snapshot } => snapshots::add(directory, &vm, snapshot),
        Change::RemoveSnapshot { vm, snapshot } => snapshots::remove(directory, &vm, &snapshot),
        Change::Restore { vm, snapshot } => snapshots::restore(directory, &vm, &snapshot),
        Change::ForgetDeleted(ids) => deleted::forget(directory, ids),
    }
}

fn register(directory: &Directory, mut vms: Vec<NewVm>, now: Timestamp) -> Result<Effect, Refusal> {
    let mut claims = Claims::on(directory, now);
    // What users chose is claimed for the whole batch first, so that no derived address takes a later row's choice.
    let mut networks = Vec::with_capacity(vms.len());
    for new in &mut vms {
        nics::asked(&mut new.nics, std::mem::take(&mut new.custom.nics));
        claims.name(&new.name)?;
        let network = network_of(directory, new)?;
        if let Some(mac) = new.mac {
            claims.mac(&new.name, mac)?;
        }
        if let Some(address) = new.address {
            claims.address(&new.name, network, address)?;
        }
        claims.name_in(&new.name, network)?;
        check_machine(directory, &new.name, &new.hosting)?;
        if matches!(new.hosting, Hosting::Managed(_)) {
            check_served(network, &new.name, "be run by Seedbed")?;
        }
        check_boot(directory, (&new.name, network), new.custom.boot.as_ref())?;
        claims.aliases(&new.name, network, &new.custom.aliases)?;
        nics::claim(&mut claims, directory, (&new.name, &new.hosting), &new.nics)?;
        site::check(directory, (&new.name, &new.hosting), &new.custom)?;
        networks.push(network);
    }
    let mut registered = Vec::with_capacity(vms.len());
    let mut renewals = BTreeMap::new();
    for (mut new, network) in vms.into_iter().zip(networks) {
        let (renew, mut custom) = (new.new_identity, std::mem::take(&mut new.custom));
        let more = std::mem::take(&mut new.nics);
        let mut vm = complete(&mut claims, new, network, now)?;
        custom.nics = nics::with(&mut claims, directory, &vm, Vec::new(), more)?;
        renewals.extend(site::identify(directory, network, &mut vm, &mut custom, renew));
        vm.custom = custom.boxed();
        nics::check(&claims, directory, &vm)?;
        registered.push(Arc::new(vm));
    }
    policy::check(directory, &registered)?;
    let mut effect = without_leases(directory, written(registered));
    effect.batch.site = site::renewed(renewals);
    Ok(effect)
}

/// A reservation beats any lease: those of the addresses and of the hardware addresses that VMs have now are ended.
pub(super) fn without_leases(directory: &Directory, mut effect: Effect) -> Effect {
    let leases = directory.leases();
    if leases.iter().len() > 0 {
        let taken = effect.batch.put_vms.iter().flat_map(|vm| {
            vm.nics().flat_map(|nic| {
                let held = leases.of(nic.network, nic.mac).map(|lease| lease.address);
                held.into_iter()
                    .chain(leases.at(nic.address).map(|lease| lease.address))
            })
        });
        effect.batch.removed_leases = taken.collect();
    }
    effect
}

/// Derives what the user did not choose, but for what [`site::identify`] gives.
fn complete(claims: &mut Claims<'_>, new: NewVm, network: &Network, now: Timestamp) -> Result<Vm, Refusal> {
    let address = match new.address {
        Some(address) => address,
        None => claims.free_address(&new.name, network)?,
    };
    let mac = match new.mac {
        Some(mac) => mac,
        None => claims.free_mac(&new.name),
    };
    Ok(Vm {
        mac,
        address,
        network: network.name.clone(),
        uuid: identity::uuid(&new.name),
        tap: claims.free_tap(&new.name),
        name: new.name,
        keys: new.keys,
        template: new.template,
        user_data: new.user_data,
        hosting: new.hosting,
        created: now,
        first_boot: None,
        custom: None,
    })
}

fn check_machine(directory: &Directory, vm: &VmName, hosting: &Hosting) -> Result<(), Refusal> {
    let Hosting::Managed(machine) = hosting else {
        return Ok(());
    };
    if machine.cpus == 0 {
        return Err(Refusal::NoCpus { vm: vm.clone() });
    }
    if machine.workshop.as_deref().and_then(Workshop::install).is_some() {
        return check_unborn(directory, &machine.image);
    }
    let image = directory
        .image(&machine.image)
        .ok_or_else(|| Refusal::UnknownImage {
            image: (&machine.image).into(),
        })?;
    if machine.disk < image.virtual_size {
        return Err(Refusal::DiskTooSmall {
            vm: vm.clone(),
            disk: machine.disk,
            image: (&image.id).into(),
            least: image.virtual_size,
        });
    }
    Ok(())
}

/// What is installed becomes an image that is not there yet.
fn check_unborn(directory: &Directory, image: &ImageId) -> Result<(), Refusal> {
    match directory.current(image.name()) {
        None => Ok(()),
        Some(current) => Err(Refusal::ImageExists {
            image: (&current.id).into(),
        }),
    }
}

/// More than a name and an address is served only where this host has the bridge and gives the addresses.
pub(super) fn check_served(network: &Network, vm: &VmName, what: &'static str) -> Result<(), Refusal> {
    let (vm, name) = (vm.clone(), network.name.clone());
    if !network.is_local() {
        Err(Refusal::Relayed {
            vm,
            what,
            network: name,
        })
    } else if network.dhcp.mode == DhcpMode::Proxy {
        Err(Refusal::Proxied {
            vm,
            what,
            network: name,
        })
    } else {
        Ok(())
    }
}

/// An image that is booted from the network has to be there, and to have a kernel.
pub(super) fn check_boot(
    directory: &Directory,
    (vm, network): (&VmName, &Network),
    boot: Option<&NetBoot>,
) -> Result<(), Refusal> {
    let Some(NetBoot::Image(image)) = boot else {
        return Ok(());
    };
    check_served(
        network,
        vm,
        "boot an image of ours (give the URL of a script instead)",
    )?;
    let found = directory.current(image).ok_or_else(|| Refusal::UnknownImage {
        image: ImageRef::current(image),
    })?;
    match found.boot {
        Boot::Kernel { .. } => Ok(()),
        Boot::Disk => Err(Refusal::NoKernel {
            vm: vm.clone(),
            image: ImageRef::current(image),
        }),
    }
}

fn delete(directory: &Directory, names: &[VmName]) -> Result<Effect, Refusal> {
    let vms: Vec<Arc<Vm>> = all_registered(directory, names)?.into_iter().cloned().collect();
    Ok(Effect {
        batch: Batch {
            removed_vms: vms.iter().map(|vm| vm.name.clone()).collect(),
            ..Batch::default()
        },
        vms,
    })
}

pub(super) fn registered<'a>(directory: &'a Directory, name: &VmName) -> Result<&'a Arc<Vm>, Refusal> {
    directory.vm(name).ok_or_else(|| Refusal::UnknownVms {
        names: Listed(vec![name.clone()]),
    })
}

/// The VMs of these names, each once; every missing one is named.
pub(super) fn all_registered<'a>(
    directory: &'a Directory,
    names: &[VmName],
) -> Result<Vec<&'a Arc<Vm>>, Refusal> {
    let mut seen = HashSet::new();
    let (vms, unknown): (Vec<_>, Vec<_>) = names
        .iter()
        .filter(|name| seen.insert(*name))
        .map(|name| directory.vm(name).ok_or(name))
        .partition(Result::is_ok);
    let unknown: Vec<VmName> = unknown.into_iter().filter_map(Result::err).cloned().collect();
    if unknown.is_empty() {
        Ok(vms.into_iter().filter_map(Result::ok).collect())
    } else {
        Err(Refusal::UnknownVms {
            names: Listed(unknown),
        })
    }
}

pub(super) fn named_network<'a>(
    directory: &'a Directory,
    vm: &VmName,
    network: &NetworkName,
) -> Result<&'a Network, Refusal> {
    let found = directory.network(network).map(AsRef::as_ref);
    found.ok_or_else(|| Refusal::UnknownNetwork {
        vm: vm.clone(),
        network: network.clone(),
        known: known_networks(directory),
    })
}

/// The network a new VM is on. Which of several is never guessed: only its address may tell.
fn network_of<'a>(directory: &'a Directory, new: &NewVm) -> Result<&'a Network, Refusal> {
    if let Some(network) = &new.network {
        return named_network(directory, &new.name, network);
    }
    let mut all = directory.networks().map(AsRef::as_ref);
    match (all.next(), all.next()) {
        (None, _) => Err(Refusal::NoNetwork { vm: new.name.clone() }),
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => {
            let fits = |network: &&Arc<Network>| new.address.is_some_and(|ip| network.subnet.contains(ip));
            let mut fitting = directory.networks().filter(fits);
            match (fitting.next(), fitting.next()) {
                (Some(one), None) => Ok(one),
                _ => Err(Refusal::SeveralNetworks {
                    vm: new.name.clone(),
                    known: known_networks(directory),
                }),
            }
        }
    }
}

pub(super) fn known_networks(directory: &Directory) -> Listed<NetworkName> {
    Listed(directory.networks().map(|known| known.name.clone()).collect())
}

pub(super) fn replaced(old: &Arc<Vm>, new: Vm) -> Effect {
    if **old == new {
        unchanged(old)
    } else {
        written(vec![Arc::new(new)])
    }
}

pub(super) fn unchanged(vm: &Arc<Vm>) -> Effect {
    Effect {
        batch: Batch::default(),
        vms: vec![Arc::clone(vm)],
    }
}

fn written(vms: Vec<Arc<Vm>>) -> Effect {
    Effect {
        batch: Batch {
            put_vms: vms.clone(),
            ..Batch::default()
        },
        vms,
    }
}

/// A stored VM that the configuration of today does not fit, in one sentence; `None` when all fit.
///
/// An operator who edits the configuration may take a network away from under its VMs.
pub(super) fn misfits(directory: &Directory) -> Option<String> {
    let mut reasons: BTreeMap<String, Vec<VmName>> = BTreeMap::new();
    for vm in directory.vms() {
        for reason in vm.nics().filter_map(|nic| misfit(directory, nic)) {
            reasons.entry(reason).or_default().push(vm.name.clone());
        }
    }
    let sentences: Vec<String> = reasons
        .into_iter()
        .map(|(reason, vms)| format!("{reason}, but {} registered there", Are(&Listed(vms))))
        .collect();
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

fn misfit(directory: &Directory, nic: Nic<'_>) -> Option<String> {
    match directory.network(nic.network) {
        None => Some(format!(
            "there is no network {} in the configuration any more",
            nic.network
        )),
        Some(network) if network.subnet.check(nic.address).is_err() => {
            Some(format!("network {} is {} now", network.name, network.subnet))
        }
        Some(_) => None,
    }
}

struct Are<'a>(&'a Listed<VmName>);

impl std::fmt::Display for Are<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = if self.0.0.len() == 1 { "is" } else { "are" };
        write!(f, "{} {verb}", self.0)
    }
}
