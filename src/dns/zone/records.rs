//! All records of a zone, one after the other: what a transfer of it sends. Pure.

use std::borrow::Cow;

use super::{Block, QueryName, ReversePlace, reverse};
use crate::dns::data::{Data, Soa};
use crate::dns::view::{View, fingerprints};
use crate::model::{Directory, Network, Nic, Vm};

/// One of our zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// The network's domain.
    Domain,
    /// The names of these addresses.
    Reverse(Block),
}

/// One record of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name within the zone; `@` for the zone's own.
    pub owner: Cow<'a, str>,
    /// How long it may be cached, in seconds.
    pub ttl: u32,
    /// What is in it.
    pub data: Data,
}

impl Zone {
    /// The zone that has this name; `None` when the network has no such zone.
    pub fn named(name: &QueryName, network: &Network) -> Option<Self> {
        if name.before(network.domain.as_str()) == Some(&[]) {
            return Some(Self::Domain);
        }
        let found = reverse(name, network.subnet)?;
        (found.place == ReversePlace::Apex).then_some(Self::Reverse(found.block))
    }
}

/// The start of a network's zones.
pub fn start(directory: &Directory, network: &Network) -> Soa {
    View { directory, network }.soa()
}

/// The records of a zone: its start first, then its name server, then all others.
pub fn records<'a>(
    directory: &'a Directory,
    network: &'a Network,
    zone: Zone,
) -> Box<dyn Iterator<Item = Entry<'a>> + Send + 'a> {
    let view = View { directory, network };
    let ttl = view.ttl();
    let entry = move |(owner, data)| Entry { owner, ttl, data };
    let apex = [Data::Soa(view.soa()), Data::Ns(view.server())];
    let apex = apex.map(|data| (Cow::Borrowed("@"), data)).into_iter();
    match zone {
        Zone::Domain => Box::new(apex.chain(domain(view)).map(entry)),
        Zone::Reverse(block) => Box::new(apex.chain(addresses(view, block)).map(entry)),
    }
}

type Owned<'a> = (Cow<'a, str>, Data);

fn domain(view: View<'_>) -> impl Iterator<Item = Owned<'_>> + Send {
    let gateway = Data::A(view.network.subnet.gateway());
    let server = std::iter::once((Cow::Borrowed(view.server_label()), gateway));
    let vms = view.directory.vms().map(AsRef::as_ref);
    let vms = vms
        .filter_map(move |vm| view.ours(vm))
        .flat_map(move |(vm, nic)| names(view, vm, nic));
    let registered = view.sharing().flat_map(move |network| {
        let records = view.directory.records().of(&network.name);
        records
            .into_iter()
            .map(|record| (Cow::Borrowed(record.owner.as_str()), Data::from(&record.data)))
    });
    let all = server.chain(vms).chain(registered);
    let inner = inner_zones(view);
    all.filter(move |(owner, _)| !inner.iter().any(|zone| is_within(owner, zone)))
}

/// The domains of other networks that lie inside ours, as names within it: what is in them is not ours.
fn inner_zones(view: View<'_>) -> Vec<&str> {
    let domain = view.network.domain.as_str();
    view.others()
        .filter_map(|other| other.domain.as_str().strip_suffix(domain)?.strip_suffix('.'))
        .collect()
}

fn is_within(owner: &str, zone: &str) -> bool {
    owner
        .strip_suffix(zone)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// A VM's name, its host keys and its aliases.
fn names<'a>(view: View<'a>, vm: &'a Vm, nic: Nic<'a>) -> impl Iterator<Item = Owned<'a>> + Send {
    let name = (Cow::Borrowed(vm.name.as_str()), Data::A(nic.address));
    let alias = move |alias: &'a crate::model::VmName| {
        let target = format!("{}.{}", vm.name, view.network.domain);
        (Cow::Borrowed(alias.as_str()), Data::Cname(target))
    };
    let prints = fingerprints(vm).map(|print| (Cow::Borrowed(vm.name.as_str()), print));
    std::iter::once(name)
        .chain(prints)
        .chain(vm.aliases().iter().map(alias))
}

fn addresses(view: View<'_>, block: Block) -> impl Iterator<Item = Owned<'_>> + Send {
    let subnet = view.network.subnet;
    let gateway = block
        .labels_of(subnet.gateway())
        .map(|labels| (Cow::Owned(labels), Data::Ptr(view.server())));
    let nics = view
        .directory
        .vms()
        .flat_map(|vm| vm.nics().map(move |nic| (vm, nic)));
    let pointers = nics.filter_map(move |(vm, nic)| {
        let labels = block
            .labels_of(nic.address)
            .filter(|_| subnet.contains(nic.address))?;
        Some((
            Cow::Owned(labels),
            Data::Ptr(format!("{}.{}", vm.name, view.network.domain)),
        ))
    });
    gateway.into_iter().chain(pointers)
}

#[cfg(test)]
mod tests;
