//! The names as one network sees them: its own domain and addresses, at one revision of the registry. Pure.

use std::net::{IpAddr, Ipv4Addr};

use super::data::{Data, Soa};
use super::zone::{QueryName, Reverse, ReversePlace, reverse};
use crate::model::{Directory, Domain, Network, Nic, Sshfp, Vm};

/// The names as one network sees them. Other networks' zones are not its business.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) directory: &'a Directory,
    pub(super) network: &'a Network,
}

/// What there is at a name of one of our zones.
pub(super) struct Found {
    /// The zone's name.
    pub(super) zone: String,
    /// `None`: there is no such name.
    pub(super) records: Option<Vec<Data>>,
}

/// The names the bridge's own address may have, first choice first: a VM of that name keeps it. No VM can have the last.
const SERVER_LABELS: [&str; 3] = ["ns", "gateway", "_ns"];

impl<'a> View<'a> {
    /// What there is at a name; `None` when the name is in none of the network's zones.
    pub(super) fn find(self, name: &QueryName) -> Option<Found> {
        self.in_domain(name).or_else(|| self.in_reverse(name))
    }

    fn in_domain(self, name: &QueryName) -> Option<Found> {
        let domain = self.network.domain.as_str();
        let before = name.before(domain)?;
        // Another network's domain may lie inside ours: the longest match owns the name.
        let deeper = |other: &Network| {
            other.domain.as_str().len() > domain.len() && name.before(other.domain.as_str()).is_some()
        };
        if self.others().any(deeper) {
            return None;
        }
        let zone = domain.to_owned();
        let records = owner(before).and_then(|owner| self.at(&owner));
        Some(Found { zone, records })
    }

    /// What there is at a name of our domain, written as [`crate::model::RecordName`] is; `None` when there is no such
    /// name.
    fn at(self, owner: &str) -> Option<Vec<Data>> {
        let mut records = Vec::new();
        if owner == "@" {
            records = self.apex();
        } else if let Some(address) = self.host(owner) {
            records.push(Data::A(address));
            records.extend(self.vm(owner).into_iter().flat_map(|(vm, _)| fingerprints(vm)));
        } else if let Some(vm) = self.aliased(owner) {
            records.push(Data::Cname(format!("{}.{}", vm.name, self.network.domain)));
        }
        records.extend(self.registered(owner));
        // RFC 8020: a name with others below it exists, if without records of its own.
        let exists = !records.is_empty() || self.is_above(owner);
        exists.then_some(records)
    }

    /// Whether there are registered names below a name of our domain.
    pub(super) fn is_above(self, owner: &str) -> bool {
        self.sharing()
            .any(|network| self.directory.records().has_below(&network.name, owner))
    }

    /// The records that were registered for a name of our domain.
    pub(super) fn registered(self, owner: &str) -> impl Iterator<Item = Data> {
        self.sharing()
            .flat_map(move |network| self.directory.records().at(&network.name, owner))
            .map(|record| Data::from(&record.data))
    }

    fn in_reverse(self, name: &QueryName) -> Option<Found> {
        let Reverse { zone, place, .. } = reverse(name, self.network.subnet)?;
        let records = match place {
            ReversePlace::Apex => Some(self.apex()),
            ReversePlace::Between => Some(Vec::new()),
            ReversePlace::Address(address) => self.name_of(address).map(|name| vec![Data::Ptr(name)]),
            ReversePlace::Nothing => None,
        };
        Some(Found { zone, records })
    }

    /// Whether the name is in a zone of another network: those are never asked upstream either.
    pub(super) fn is_anothers(self, name: &QueryName) -> bool {
        self.others().any(|other| is_in_zone(name, other))
    }

    /// The other networks.
    pub(super) fn others(self) -> impl Iterator<Item = &'a Network> {
        let own = &self.network.name;
        self.networks().filter(move |other| other.name != *own)
    }

    /// The networks of our domain, which is ours in all but rare cases.
    pub(super) fn sharing(self) -> impl Iterator<Item = &'a Network> {
        let own = &self.network.domain;
        self.networks().filter(move |other| other.domain == *own)
    }

    fn networks(self) -> impl Iterator<Item = &'a Network> {
        self.directory.networks().map(AsRef::as_ref)
    }

    /// The address of a host of our domain: a VM's, or the bridge's own.
    fn host(self, label: &str) -> Option<Ipv4Addr> {
        match self.vm(label) {
            Some((_, nic)) => Some(nic.address),
            None => (label == self.server_label()).then(|| self.network.subnet.gateway()),
        }
    }

    /// The VM of that name, when a network of its has our domain (two networks may share one), and its NIC there.
    pub(super) fn vm(self, label: &str) -> Option<(&'a Vm, Nic<'a>)> {
        self.ours(self.directory.vm_named(label)?)
    }

    /// The VM with that other name, when a network of its has our domain.
    pub(super) fn aliased(self, label: &str) -> Option<&'a Vm> {
        self.ours(self.directory.vm_with_alias(label)?).map(|(vm, _)| vm)
    }

    /// The VM and its NIC on our network, or else on one that has our domain.
    pub(super) fn ours(self, vm: &'a Vm) -> Option<(&'a Vm, Nic<'a>)> {
        let sharing = || {
            vm.nics()
                .find(|nic| self.domain_of(*nic) == Some(&self.network.domain))
        };
        let nic = vm.nic_on(&self.network.name).or_else(sharing)?;
        Some((vm, nic))
    }

    fn domain_of(self, nic: Nic<'_>) -> Option<&'a Domain> {
        self.directory.network(nic.network).map(|network| &network.domain)
    }

    /// The name of an address of our subnet.
    fn name_of(self, address: Ipv4Addr) -> Option<String> {
        if address == self.network.subnet.gateway() {
            return Some(self.server());
        }
        let vm = self.directory.vm_at(address)?;
        let domain = self.domain_of(vm.nic_at(address)?)?;
        Some(format!("{}.{domain}", vm.name))
    }

    /// The label of the bridge's own name.
    pub(super) fn server_label(self) -> &'static str {
        let free = |label: &&str| {
            self.vm(label).is_none()
                && self.aliased(label).is_none()
                && self.registered(label).next().is_none()
        };
        SERVER_LABELS.into_iter().find(free).unwrap_or("_ns")
    }

    /// The bridge's own name.
    pub(super) fn server(self) -> String {
        format!("{}.{}", self.server_label(), self.network.domain)
    }

    fn apex(self) -> Vec<Data> {
        vec![Data::Soa(self.soa()), Data::Ns(self.server())]
    }

    /// The start of each of our zones.
    pub(super) fn soa(self) -> Soa {
        Soa {
            server: self.server(),
            mailbox: format!("hostmaster.{}", self.network.domain),
            serial: self.serial(),
            minimum: self.ttl(),
        }
    }

    /// RFC 1982: a serial number wraps.
    pub(super) fn serial(self) -> u32 {
        (self.directory.names_revision().0 & u64::from(u32::MAX))
            .try_into()
            .unwrap_or_default()
    }

    /// RFC 2181 §8: a TTL has 31 bits.
    pub(super) fn ttl(self) -> u32 {
        self.network
            .dns
            .ttl
            .as_secs()
            .min(0x7fff_ffff)
            .try_into()
            .unwrap_or_default()
    }
}

/// What DNS tells of a VM's host keys.
pub(super) fn fingerprints(vm: &Vm) -> impl Iterator<Item = Data> {
    vm.host_keys().iter().filter_map(Sshfp::of).map(Data::Sshfp)
}

/// Whether the name is in a zone of that network.
pub(super) fn is_in_zone(name: &QueryName, network: &Network) -> bool {
    name.before(network.domain.as_str()).is_some() || reverse(name, network.subnet).is_some()
}

/// Whether a question from there is answered: from the network itself, from this host (the kernel lets nobody else
/// speak from a loopback address), or from who may have the whole zone anyway.
pub fn may_ask(network: &Network, source: IpAddr) -> bool {
    match source {
        IpAddr::V4(source) => network.subnet.contains(source) || may_transfer(network, source.into()),
        IpAddr::V6(_) => false,
    }
}

/// Whether a question from there may be sent on: a secondary server elsewhere asks for our zones, and not the world.
pub(super) fn may_forward(network: &Network, source: IpAddr) -> bool {
    is_host(network, source) || matches!(source, IpAddr::V4(source) if network.subnet.contains(source))
}

/// Whether a whole zone may go there: to this host, and to the addresses that the configuration names.
pub(super) fn may_transfer(network: &Network, source: IpAddr) -> bool {
    let listed = |source| network.dns.transfer.iter().any(|range| range.contains(source));
    is_host(network, source) || matches!(source, IpAddr::V4(source) if listed(source))
}

/// Whether an address is this host's own. A guest can take neither: the kernel drops packets from them (martians), and
/// the tap's filter does too.
pub(super) fn is_host(network: &Network, source: IpAddr) -> bool {
    source.to_canonical().is_loopback() || source == IpAddr::V4(network.subnet.gateway())
}

/// The labels before a domain as a record's owner is written; `None` when no record can have that name.
fn owner(before: &[Box<[u8]>]) -> Option<String> {
    if before.is_empty() {
        return Some("@".to_owned());
    }
    let mut owner = String::new();
    for label in before {
        let label = std::str::from_utf8(label).ok()?;
        // A dot inside a label is no border, and `@` is no label.
        if label.contains(['.', '@']) {
            return None;
        }
        if !owner.is_empty() {
            owner.push('.');
        }
        owner.push_str(label);
    }
    Some(owner)
}
