//! The hosts file, hosts(5): every VM's address and names.

use std::io::{self, Write};

use crate::model::{Directory, Vm};

/// All VMs, by address. It says nothing of the time or the revision: without a change of a VM it is the same text.
pub fn hosts(directory: &Directory, out: &mut dyn Write) -> io::Result<()> {
    put_hosts(directory, |_| true, out)
}

/// The VMs that are wanted, by address.
pub(super) fn put_hosts(
    directory: &Directory,
    wanted: impl Fn(&Vm) -> bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let vms = directory.vms().map(AsRef::as_ref);
    let mut vms: Vec<&Vm> = vms.filter(|vm| wanted(vm)).collect();
    vms.sort_unstable_by_key(|vm| vm.address);
    out.write_all(b"# Written by seedbed from its registry: changes made here are lost.\n")?;
    vms.into_iter()
        .try_for_each(|vm| out.write_all(hosts_of(directory, vm).as_bytes()))
}

/// One VM's line, such as `10.77.0.10  web1.lab web1 www.lab www`: the first name is the one of its address.
pub fn hosts_of(directory: &Directory, vm: &Vm) -> String {
    let domain = directory.network(&vm.network).map(|network| &network.domain);
    let names = std::iter::once(&vm.name).chain(vm.aliases());
    let names = names.map(|name| match domain {
        Some(domain) => format!("{name}.{domain} {name}"),
        None => name.to_string(),
    });
    format!("{}  {}\n", vm.address, names.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::{lab, vm, with_aliases};
    use crate::export::text;

    #[test]
    fn every_vm_has_a_line_in_the_order_of_addresses() {
        let mut directory = lab();
        directory.put_vm(vm("web2", "10.77.0.100"));
        directory.put_vm(vm("web1", "10.77.0.20"));
        directory.put_vm(vm("zeta", "10.77.0.3"));
        let text = text(|out| hosts(&directory, out));
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "10.77.0.3  zeta.lab zeta",
                "10.77.0.20  web1.lab web1",
                "10.77.0.100  web2.lab web2"
            ]
        );
        assert!(text.starts_with('#') && text.ends_with('\n'));
    }

    #[test]
    fn the_aliases_of_a_vm_are_on_its_line() {
        let mut directory = lab();
        directory.put_vm(with_aliases("web1", "10.77.0.20", &["www", "shop"]));
        let text = text(|out| hosts(&directory, out));
        assert!(
            text.ends_with("10.77.0.20  web1.lab web1 www.lab www shop.lab shop\n"),
            "{text}"
        );
    }

    #[test]
    fn fifty_thousand_vms_are_all_in_it() {
        let mut directory = lab();
        for n in 0..50_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(0x0a4e_0000 + n).to_string();
            directory.put_vm(vm(&format!("vm{n}"), &address));
        }
        let text = text(|out| hosts(&directory, out));
        assert_eq!(text.lines().count(), 50_001);
        assert!(text.ends_with("10.78.195.79  vm49999.lab vm49999\n"));
    }
}
