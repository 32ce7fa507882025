//! A network's domain as a zone file (RFC 1035 §5): what its DNS server answers, at the same revision.

use std::io::{self, Write};

use crate::model::{Directory, DnsRecord, Network, Nic, RecordData, Sshfp, Vm, VmName};

/// How often a secondary server looks for changes, how soon it tries again, and how long it goes on without having
/// reached us, in seconds; as the DNS server says it.
const REFRESH_RETRY_EXPIRE: [u32; 3] = [3_600, 600, 86_400];
/// The names the bridge's own address may have, first choice first, as the DNS server chooses: whoever was registered
/// under one keeps it.
const SERVER_LABELS: [&str; 3] = ["ns", "gateway", "_ns"];

/// The whole zone: its start and name server, the bridge, the VMs by name with their aliases, then all other records.
///
/// The serial number is the registry's last revision that may have changed a name.
pub fn zone(directory: &Directory, network: &Network, out: &mut dyn Write) -> io::Result<()> {
    let zone = Zone { directory, network };
    zone.start(network.domain.as_str(), out)?;
    let inner = zone.inner();
    let mut put = |owner: &str, kind: &str, value: std::fmt::Arguments<'_>| {
        // What lies in the domain of another network is that one's.
        if inner.iter().any(|inner| is_within(owner, inner)) {
            return Ok(());
        }
        writeln!(out, "{owner} IN {kind} {value}")
    };
    put(
        zone.server_label(),
        "A",
        format_args!("{}", network.subnet.gateway()),
    )?;
    for (vm, nic) in directory.vms().filter_map(|vm| Some((vm, zone.nic_of(vm)?))) {
        put(vm.name.as_str(), "A", format_args!("{}", nic.address))?;
        for print in vm.host_keys().iter().filter_map(Sshfp::of) {
            put(vm.name.as_str(), "SSHFP", format_args!("{print}"))?;
        }
        for alias in vm.aliases() {
            put(
                alias.as_str(),
                "CNAME",
                format_args!("{}.{}.", vm.name, network.domain),
            )?;
        }
    }
    for record in zone.records() {
        let kind = record.data.kind();
        match &record.data {
            RecordData::Txt(text) => put(record.owner.as_str(), kind, format_args!("{}", quoted(text)))?,
            data => put(record.owner.as_str(), kind, format_args!("{data}"))?,
        }
    }
    Ok(())
}

/// The zones of a network, as its DNS server has them.
#[derive(Clone, Copy)]
pub(super) struct Zone<'a> {
    pub(super) directory: &'a Directory,
    pub(super) network: &'a Network,
}

impl<'a> Zone<'a> {
    /// The lines that every zone starts with: the origin, the TTL of all records, the start of authority and the name
    /// server.
    pub(super) fn start(self, name: &str, out: &mut dyn Write) -> io::Result<()> {
        let (server, ttl) = (self.server(), self.ttl());
        let [refresh, retry, expire] = REFRESH_RETRY_EXPIRE;
        let (domain, serial) = (&self.network.domain, self.serial());
        writeln!(
            out,
            "; Written by seedbed from its registry: changes made here are lost.\n\
             $ORIGIN {name}.\n$TTL {ttl}\n\
             @ IN SOA {server}. hostmaster.{domain}. {serial} {refresh} {retry} {expire} {ttl}\n\
             @ IN NS {server}."
        )
    }

    /// The networks of our domain, which is ours in all but rare cases.
    fn sharing(self) -> impl Iterator<Item = &'a Network> {
        let networks = self.directory.networks().map(AsRef::as_ref);
        networks.filter(move |other| other.domain == self.network.domain)
    }

    /// A VM's NIC on our network, or else on one that has our domain.
    fn nic_of(self, vm: &Vm) -> Option<Nic<'_>> {
        let domain = |nic: &Nic<'_>| self.directory.network(nic.network).map(|other| &other.domain);
        let sharing = || vm.nics().find(|nic| domain(nic) == Some(&self.network.domain));
        vm.nic_on(&self.network.name).or_else(sharing)
    }

    /// The records that were registered for names of our domain.
    fn records(self) -> impl Iterator<Item = &'a DnsRecord> {
        self.sharing()
            .flat_map(move |network| self.directory.records().of(&network.name))
            .map(AsRef::as_ref)
    }

    /// The domains of other networks that lie inside ours, as names within it.
    fn inner(self) -> Vec<&'a str> {
        let others = self.directory.networks();
        others
            .filter_map(|other| {
                let inner = other.domain.as_str().strip_suffix(self.network.domain.as_str())?;
                inner.strip_suffix('.')
            })
            .collect()
    }

    fn server_label(self) -> &'static str {
        let is_free = |label: &&str| {
            let named = label.parse::<VmName>().ok().and_then(|name| {
                let vm = self.directory.vm(&name);
                vm.or_else(|| self.directory.vm_aliased(&name))
            });
            named.is_none_or(|vm| self.nic_of(vm).is_none())
                && self
                    .sharing()
                    .all(|network| self.directory.records().at(&network.name, label).is_empty())
        };
        SERVER_LABELS.into_iter().find(is_free).unwrap_or("_ns")
    }

    /// The bridge's own name.
    pub(super) fn server(self) -> String {
        format!("{}.{}", self.server_label(), self.network.domain)
    }

    /// RFC 1982: a serial number wraps.
    fn serial(self) -> u64 {
        self.directory.names_revision().0 & u64::from(u32::MAX)
    }

    fn ttl(self) -> u64 {
        ttl(self.network)
    }
}

/// RFC 2181 §8: a TTL has 31 bits.
pub(super) fn ttl(network: &Network) -> u64 {
    network.dns.ttl.as_secs().min(0x7fff_ffff)
}

/// Whether a name is that of `zone`, or one below it.
fn is_within(owner: &str, zone: &str) -> bool {
    owner
        .strip_suffix(zone)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// A text as strings of at most 255 octets (RFC 1035 §3.3.14), each octet that is not plain as `\DDD` (§5.1).
pub(super) fn quoted(text: &str) -> String {
    let octet = |octet: &u8| match octet {
        b'"' | b'\\' => format!("\\{}", char::from(*octet)),
        b' '..=b'~' => char::from(*octet).to_string(),
        _ => format!("\\{octet:03}"),
    };
    let string = |octets: &[u8]| format!("\"{}\"", octets.iter().map(octet).collect::<String>());
    text.as_bytes()
        .chunks(255)
        .map(string)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests;
