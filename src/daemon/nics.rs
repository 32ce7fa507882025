//! NICs beside a VM's first one: from what a client wrote to what it means, and back; and every NIC's tap on its bridge.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::{Daemon, failpoint, hotplug, selection};
use crate::control::{NicInfo, NicSettings, Refusal, WrittenNic};
use crate::host::tap::Tap;
use crate::model::{Directory, Network, NetworkName, Nic, Vm, VmName, mac};
use crate::registry::{NewNic, NicsEdit};

/// What the settings mean as a change of these VMs.
pub(super) async fn edit(
    daemon: &Daemon,
    names: &[VmName],
    written: &NicSettings,
) -> Result<NicsEdit, Refusal> {
    let directory = daemon.directory();
    let put = each(&directory, &written.put)?;
    let single = [
        ("an address of a NIC", put.iter().any(|nic| nic.address.is_some())),
        ("a MAC of a NIC", put.iter().any(|nic| nic.mac.is_some())),
    ];
    selection::only_one(names, &single)?;
    let macs: Vec<_> = put.iter().filter_map(|nic| nic.mac).collect();
    selection::no_bridges(daemon, &macs).await?;
    let removed = written.removed.iter().map(|name| selection::parse(name));
    Ok(NicsEdit {
        put,
        removed: removed.collect::<Result<_, _>>()?,
    })
}

fn each(directory: &Directory, written: &[WrittenNic]) -> Result<Vec<NewNic>, Refusal> {
    let mut nics: Vec<NewNic> = Vec::new();
    for nic in written {
        let network = selection::network(directory, Some(&nic.network))?;
        let network = network.ok_or_else(|| Refusal::request("a NIC needs a network"))?;
        if nics.iter().any(|other| other.network == network) {
            return Err(Refusal::request(format!(
                "two NICs on network {network} are asked for: a VM has one on each"
            )));
        }
        nics.push(NewNic {
            network,
            mac: selection::hardware(nic.mac.as_ref())?,
            address: selection::address(nic.ip.as_ref())?,
        });
    }
    Ok(nics)
}

/// Refuses to give the NICs of a VM that runs other addresses: its taps' rules and its neighbour entries are made from both. One
/// may be added, at least for the next start; it is taken away where it is behind a port.
pub(super) fn changeable(daemon: &Daemon, vm: &Vm, edit: &NicsEdit) -> Result<(), Refusal> {
    if vm.machine().is_none() || !daemon.status.seen(vm).is_up() {
        return Ok(());
    }
    let is_other = |new: &NewNic| {
        let there = vm.nic_on(&new.network).is_some();
        there && (new.mac.is_some() || new.address.is_some())
    };
    let is_fixed = |network: &NetworkName| {
        let mut more = vm.more_nics().iter();
        let nic = more.find(|nic| nic.network == *network);
        nic.is_some_and(|nic| !hotplug::takes(daemon, vm, nic.slot))
    };
    let what = if edit.put.iter().any(is_other) {
        "is running: a NIC can get other addresses only while it is stopped"
    } else if edit.removed.iter().any(is_fixed) {
        "is running, and was started without ports for NICs: one can be taken away only while it is stopped"
    } else {
        return Ok(());
    };
    Err(Refusal::request(format!("{} {what}", vm.name)).hint(format!("seedbed stop {}", vm.name)))
}

/// All NICs of a VM that has several, as they are shown.
pub(super) fn shown(directory: &Directory, vm: &Vm) -> Vec<NicInfo> {
    if vm.more_nics().is_empty() {
        return Vec::new();
    }
    let info = |nic: Nic<'_>| NicInfo {
        network: nic.network.to_string(),
        fqdn: directory.network(nic.network).map_or_else(
            || vm.name.to_string(),
            |network| format!("{}.{}", vm.name, network.domain),
        ),
        ip: nic.address,
        mac: mac::text(nic.mac),
        tap: nic.tap.to_string(),
        slot: nic.slot,
    };
    vm.nics().map(info).collect()
}

/// The addresses of a VM in a sentence.
pub(super) fn addresses(vm: &Vm) -> String {
    let all: Vec<_> = vm.nics().map(|nic| nic.address.to_string()).collect();
    all.join(", ")
}

/// The networks of a VM's NICs, in their order.
pub(super) fn networks(daemon: &Daemon, vm: &Vm) -> Result<Vec<Arc<Network>>, Refusal> {
    vm.nics().map(|nic| network_of(daemon, vm, nic)).collect()
}

/// The network that a NIC of a VM is on.
pub(super) fn network_of(daemon: &Daemon, vm: &Vm, nic: Nic<'_>) -> Result<Arc<Network>, Refusal> {
    daemon.directory().network(nic.network).cloned().ok_or_else(|| {
        Refusal::host(format!(
            "{} is on network {}, which is not in the configuration",
            vm.name, nic.network
        ))
    })
}

/// The NICs that a VM which runs has on this host: one that was registered since may wait for its next start.
pub(super) async fn there<'a>(daemon: &Daemon, vm: &'a Vm) -> Vec<Nic<'a>> {
    let mut there = vec![vm.first_nic()];
    let cut_off = daemon.cards.cut_off(&vm.name);
    for nic in vm.more_nics().iter().map(Nic::from) {
        let leads_somewhere = cut_off.iter().all(|card| card.slot != nic.slot);
        if leads_somewhere && hotplug::has_tap(daemon, nic.tap).await {
            there.push(nic);
        }
    }
    there
}

/// Makes a VM's taps, and puts each on its bridge once it is guarded; they are gone when nobody holds them any more.
pub(super) async fn plug_in(
    daemon: &Daemon,
    vm: &Vm,
    networks: &[Arc<Network>],
) -> Result<Vec<OwnedFd>, Refusal> {
    let mut taps = Vec::new();
    for nic in vm.nics() {
        taps.push(Tap::create(nic.tap)?);
        failpoint::reach("tap");
    }
    daemon.guard.add(vm).await?;
    for (nic, network) in vm.nics().zip(networks) {
        daemon
            .host
            .set_permanent_neighbour(&network.bridge, nic.address, nic.mac)
            .await?;
        daemon.host.attach(nic.tap, &network.bridge).await?;
    }
    failpoint::reach("guarded");
    Ok(taps.into_iter().map(Tap::into_fd).collect())
}

/// Removes the neighbour entries of VMs that do not run, which a daemon that was killed on the way to their start left: such
/// an entry says that a guest is guarded.
pub(super) async fn forget_stopped(daemon: &Daemon) -> Result<(), Refusal> {
    let directory = daemon.directory();
    for network in directory.networks().filter(|network| network.is_local()) {
        for address in daemon.host.permanent_neighbours(&network.bridge).await? {
            let vm = directory.vm_at(address);
            if vm.is_some_and(|vm| vm.machine().is_some() && !daemon.status.seen(vm).is_up()) {
                daemon.host.remove_neighbour(&network.bridge, address).await?;
            }
        }
    }
    Ok(())
}

/// Has the host find a VM that runs by this NIC's hardware address alone.
pub(super) async fn set_neighbour(daemon: &Daemon, vm: &Vm, nic: Nic<'_>) -> Result<(), Refusal> {
    let bridge = &network_of(daemon, vm, nic)?.bridge;
    let host = &daemon.host;
    Ok(host.set_permanent_neighbour(bridge, nic.address, nic.mac).await?)
}

/// Takes the rules and neighbour entries of a VM away whose QEMU is gone. Goes on after an error: each step is worth doing
/// without the others.
pub(super) async fn unplug(daemon: &Daemon, vm: &Vm) {
    // As it is registered now: NICs came and went since it was started.
    let now = daemon.still(vm);
    let vm = now.as_deref().unwrap_or(vm);
    if let Err(error) = daemon.guard.remove(vm).await {
        tracing::warn!(vm = %vm.name, "could not take the rules of {} away: {error}.", vm.name);
    }
    failpoint::reach("unguarded");
    for nic in vm.nics() {
        let Ok(network) = network_of(daemon, vm, nic) else {
            continue;
        };
        if let Err(error) = daemon.host.remove_neighbour(&network.bridge, nic.address).await {
            tracing::warn!(vm = %vm.name, "could not remove the neighbour entry of {}: {error}.", vm.name);
        }
    }
}
