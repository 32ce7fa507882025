//! The DNS records of one VM, as lines of a zone file with absolute names (RFC 1035 §5).

use std::fmt::Write as _;

use super::zone::{quoted, ttl};
use crate::model::{Directory, Nic, RecordData, Sshfp, Vm};

/// What DNS says of a VM: its address, host keys and other names, what is registered beside those, and the name of its address.
///
/// Empty for a VM whose network is gone: it has no domain.
pub fn records_of(directory: &Directory, vm: &Vm) -> String {
    vm.nics().map(|nic| records_on(directory, vm, nic)).collect()
}

/// What DNS says of a VM on the network of a NIC.
fn records_on(directory: &Directory, vm: &Vm, nic: Nic<'_>) -> String {
    let Some(network) = directory.network(nic.network) else {
        return String::new();
    };
    let (domain, ttl) = (&network.domain, ttl(network));
    let full = format!("{}.{domain}.", vm.name);
    let mut text = String::new();
    let mut put = |owner: &str, kind: &str, value: &str| {
        // Writing to a String can not fail.
        let _infallible = writeln!(text, "{owner} {ttl} IN {kind} {value}");
    };
    put(&full, "A", &nic.address.to_string());
    for print in vm.host_keys().iter().filter_map(Sshfp::of) {
        put(&full, "SSHFP", &print.to_string());
    }
    for alias in vm.aliases() {
        put(&format!("{alias}.{domain}."), "CNAME", &full);
    }
    for record in directory.records().at(&network.name, vm.name.as_str()) {
        let value = match &record.data {
            RecordData::Txt(text) => quoted(text),
            data => data.to_string(),
        };
        put(&full, record.data.kind(), &value);
    }
    let [a, b, c, d] = nic.address.octets();
    put(&format!("{d}.{c}.{b}.{a}.in-addr.arpa."), "PTR", &full);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::{lab, vm, with_aliases, with_host_key};

    #[test]
    fn a_vm_has_the_fingerprint_of_its_host_key() {
        let mut directory = lab();
        let web1 = with_host_key("web1", "10.77.0.20");
        directory.put_vm(std::sync::Arc::clone(&web1));
        let print = Sshfp::of(&web1.host_keys()[0]).unwrap();
        let line = format!("web1.lab. 5 IN SSHFP {print}\n");
        assert!(records_of(&directory, &web1).contains(&line));
    }

    #[test]
    fn a_vm_has_its_address_its_other_names_what_is_registered_and_its_pointer() {
        let mut directory = lab();
        directory.put_vm(with_aliases("web1", "10.77.0.20", &["www", "shop"]));
        insta::assert_snapshot!(records_of(&directory, directory.vm(&"web1".parse().unwrap()).unwrap()), @r"
        web1.lab. 5 IN A 10.77.0.20
        www.lab. 5 IN CNAME web1.lab.
        shop.lab. 5 IN CNAME web1.lab.
        20.0.77.10.in-addr.arpa. 5 IN PTR web1.lab.
        ");
    }

    #[test]
    fn a_vm_of_a_network_that_is_gone_has_none() {
        assert_eq!(records_of(&Directory::default(), &vm("web1", "10.77.0.20")), "");
    }
}
