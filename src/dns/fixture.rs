//! A small directory for the tests of this folder.

use std::sync::Arc;

use crate::model::{
    Custom, Directory, DnsRecord, HostKey, Network, RecordData, Revision, SiteSecret, Vm, VmName, examples,
};

pub(super) fn network(name: &str, subnet: &str, domain: &str) -> Network {
    Network {
        bridge: name.parse().unwrap(),
        domain: domain.parse().unwrap(),
        ..examples::network(name, subnet)
    }
}

pub(super) fn vm(name: &str, network: &str, address: &str) -> Arc<Vm> {
    Arc::new(Vm {
        network: network.parse().unwrap(),
        ..examples::vm(name, address)
    })
}

/// Two networks, one VM on each.
pub(super) fn lab() -> Directory {
    let mut directory = Directory::of([
        network("br0", "10.77.0.1/24", "lab"),
        network("dmz", "10.78.0.1/16", "dmz.lab"),
    ]);
    directory.put_vm(vm("web1", "br0", "10.77.0.10"));
    directory.put_vm(vm("mx", "dmz", "10.78.5.10"));
    directory.set_revision(Revision(7));
    directory
}

/// The same VM, with other names.
pub(super) fn aliased(vm: &Arc<Vm>, aliases: &[&str]) -> Arc<Vm> {
    let aliases = aliases.iter().map(|alias| alias.parse::<VmName>().unwrap());
    let custom = Custom {
        aliases: aliases.collect(),
        ..Custom::default()
    };
    Arc::new(Vm {
        custom: Some(Box::new(custom)),
        ..Vm::clone(vm)
    })
}

/// The same VM, with an SSH host key that was made here.
pub(super) fn keyed(vm: &Arc<Vm>) -> Arc<Vm> {
    let mut custom = Custom::default();
    custom.access.host_key = Some(HostKey::derive(&SiteSecret::of([7; 32]), vm.uuid));
    Arc::new(Vm {
        custom: custom.boxed(),
        ..Vm::clone(vm)
    })
}

/// Puts a record beside those that the name has.
pub(super) fn register(directory: &mut Directory, network: &str, owner: &str, (kind, value): (&str, &str)) {
    let domain = &directory.network(&network.parse().unwrap()).unwrap().domain;
    let record = DnsRecord {
        network: network.parse().unwrap(),
        owner: owner.parse().unwrap(),
        data: RecordData::parse(kind, value, domain).unwrap(),
    };
    let mut records = directory.records().at(&record.network, owner).to_vec();
    records.push(Arc::new(record.clone()));
    directory
        .records_mut()
        .put(&record.network, &record.owner, records);
}

/// [`lab`] with an alias and one record of each kind.
pub(super) fn rich_lab() -> Directory {
    let mut lab = lab();
    lab.put_vm(aliased(&vm("web1", "br0", "10.77.0.10"), &["www"]));
    for (owner, kind, value) in [
        ("@", "MX", "10 mail"),
        ("@", "TXT", "v=spf1 -all"),
        ("mail", "A", "10.77.0.25"),
        ("mail", "AAAA", "2001:db8::25"),
        ("_ssh._tcp", "SRV", "0 5 22 web1"),
        ("docs", "CNAME", "www"),
        ("mirror", "CNAME", "pkg.sample.org."),
        ("far", "CNAME", "mx.dmz.lab."),
        ("gone", "CNAME", "none"),
        ("round", "CNAME", "and-round"),
        ("and-round", "CNAME", "round"),
        ("web1", "TXT", "the first"),
    ] {
        register(&mut lab, "br0", owner, (kind, value));
    }
    lab
}
