//! The rules of NICs beside a VM's first one. Pure.

use std::net::Ipv4Addr;

use super::apply::{check_served, named_network};
use super::claims::Claims;
use super::refusal::{NicProblem, Refusal};
use crate::model::{Directory, Hosting, MacAddress, MoreNic, NetworkName, Vm, VmName, nic};

/// A NIC beside a VM's first one: what the user chose of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNic {
    /// The network it is on.
    pub network: NetworkName,
    /// Its hardware address; derived from the names of the VM and the network when not given.
    pub mac: Option<MacAddress>,
    /// Its address; the lowest free one of the network's pool when not given.
    pub address: Option<Ipv4Addr>,
}

/// What to change of the NICs beside VMs' first ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NicsEdit {
    /// NICs to add. One that is there gets the addresses that are given, and keeps the others.
    pub put: Vec<NewNic>,
    /// The networks whose NICs are taken away.
    pub removed: Vec<NetworkName>,
}

impl NicsEdit {
    /// Whether it changes nothing.
    pub const fn is_empty(&self) -> bool {
        self.put.is_empty() && self.removed.is_empty()
    }
}

/// What a new VM's further NICs are: those that are asked for, and one on each network where what it is made like has one.
pub(super) fn asked(asked: &mut Vec<NewNic>, like: Vec<MoreNic>) {
    let missing = |nic: &MoreNic| asked.iter().all(|other| other.network != nic.network);
    let like: Vec<_> = like.into_iter().filter(missing).collect();
    asked.extend(like.into_iter().map(|nic| NewNic {
        network: nic.network,
        mac: None,
        address: None,
    }));
}

/// Claims what the user chose for a VM's NICs, and checks that they can be where they are asked for.
pub(super) fn claim(
    claims: &mut Claims<'_>,
    directory: &Directory,
    (vm, hosting): (&VmName, &Hosting),
    nics: &[NewNic],
) -> Result<(), Refusal> {
    for (place, nic) in nics.iter().enumerate() {
        if nics.iter().take(place).any(|other| other.network == nic.network) {
            return Err(Refusal::Nic {
                vm: vm.clone(),
                problem: NicProblem::Twice(nic.network.clone()),
            });
        }
        let network = named_network(directory, vm, &nic.network)?;
        if matches!(hosting, Hosting::Managed(_)) {
            check_served(network, vm, "be run by Seedbed")?;
        }
        if let Some(mac) = nic.mac {
            claims.mac(vm, mac)?;
        }
        if let Some(address) = nic.address {
            claims.address(vm, network, address)?;
        }
    }
    Ok(())
}

/// The VM's NICs with those in addition whose choices were claimed, and all that was not chosen.
pub(super) fn with(
    claims: &mut Claims<'_>,
    directory: &Directory,
    vm: &Vm,
    mut nics: Vec<MoreNic>,
    put: Vec<NewNic>,
) -> Result<Vec<MoreNic>, Refusal> {
    let refused = |problem| Refusal::Nic {
        vm: vm.name.clone(),
        problem,
    };
    for new in put {
        if new.network == vm.network {
            return Err(refused(NicProblem::First(new.network)));
        }
        if let Some(there) = nics.iter_mut().find(|there| there.network == new.network) {
            there.mac = new.mac.unwrap_or(there.mac);
            there.address = new.address.unwrap_or(there.address);
            continue;
        }
        let is_free = |slot: &u8| nics.iter().all(|nic| nic.slot != *slot);
        let slot = nic::MORE_SLOTS
            .into_iter()
            .find(is_free)
            .ok_or_else(|| refused(NicProblem::TooMany(nic::MORE_SLOTS.len())))?;
        let network = named_network(directory, &vm.name, &new.network)?;
        nics.push(MoreNic {
            mac: new
                .mac
                .unwrap_or_else(|| claims.free_nic_mac(&vm.name, &new.network)),
            address: match new.address {
                Some(address) => address,
                None => claims.free_address(&vm.name, network)?,
            },
            tap: claims.free_nic_tap(&vm.name, &new.network),
            network: new.network,
            slot,
        });
    }
    Ok(nics)
}

/// Changes the NICs of a VM that is registered.
pub(super) fn edit(
    claims: &mut Claims<'_>,
    directory: &Directory,
    vm: &Vm,
    (mut nics, edit): (Vec<MoreNic>, NicsEdit),
) -> Result<Vec<MoreNic>, Refusal> {
    for network in &edit.removed {
        let problem = if *network == vm.network {
            Some(NicProblem::First(network.clone()))
        } else if nics.iter().all(|nic| nic.network != *network) {
            Some(NicProblem::None(network.clone()))
        } else {
            None
        };
        if let Some(problem) = problem {
            let vm = vm.name.clone();
            return Err(Refusal::Nic { vm, problem });
        }
        nics.retain(|nic| nic.network != *network);
    }
    claim(claims, directory, (&vm.name, &vm.hosting), &edit.put)?;
    with(claims, directory, vm, nics, edit.put)
}

/// Checks the NICs of a VM as it is to be: its names in their domains, and that no two share what one alone can have (the
/// claims tell VMs apart, not their NICs).
pub(super) fn check(claims: &Claims<'_>, directory: &Directory, vm: &Vm) -> Result<(), Refusal> {
    for nic in vm.more_nics() {
        let network = named_network(directory, &vm.name, &nic.network)?;
        claims.names_in(&vm.name, vm.aliases(), network)?;
    }
    distinct(vm)
}

fn distinct(vm: &Vm) -> Result<(), Refusal> {
    let refused = |problem| {
        Err(Refusal::Nic {
            vm: vm.name.clone(),
            problem,
        })
    };
    let mut rest = vm.nics();
    while let Some(nic) = rest.next() {
        for other in rest.clone() {
            if nic.mac == other.mac {
                return refused(NicProblem::Mac(nic.mac));
            }
            if nic.address == other.address {
                return refused(NicProblem::Address(nic.address));
            }
        }
    }
    Ok(())
}
