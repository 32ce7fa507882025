//! The hosts file, hosts(5): every VM's address and names.

use std::io::{self, Write};

use crate::model::{Directory, Nic, Vm};

/// All VMs, by address. It says nothing of the time or the revision: without a change of a VM it is the same text.
pub fn hosts(directory: &Directory, out: &mut dyn Write) -> io::Result<()> {
    put_hosts(directory, |_| true, out)
}

/// The NICs that are wanted, by address.
pub(super) fn put_hosts(
    directory: &Directory,
    wanted: impl Fn(Nic<'_>) -> bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let nics = directory
        .vms()
        .flat_map(|vm| vm.nics().map(move |nic| (&**vm, nic)));
    let mut nics: Vec<(&Vm, Nic<'_>)> = nics.filter(|(_, nic)| wanted(*nic)).collect();
    nics.sort_unstable_by_key(|(_, nic)| nic.address);
    out.write_all(b"# Written by seedbed from its registry: changes made here are lost.\n")?;
    nics.into_iter()
        .try_for_each(|(vm, nic)| out.write_all(line(directory, vm, nic).as_bytes()))
}

/// One VM's lines, one for each NIC.
pub fn hosts_of(directory: &Directory, vm: &Vm) -> String {
    vm.nics().map(|nic| line(directory, vm, nic)).collect()
}

/// The line of a NIC, such as `10.77.0.10  web1.lab web1 www.lab www`: the first name is the one of its address. The names
/// without a domain are those of the first NIC.
fn line(directory: &Directory, vm: &Vm, nic: Nic<'_>) -> String {
    let domain = directory.network(nic.network).map(|network| &network.domain);
    let is_first = nic.address == vm.address;
    let names = std::iter::once(&vm.name).chain(vm.aliases());
    let names = names.map(|name| match domain {
        Some(domain) if is_first => format!("{name}.{domain} {name}"),
        Some(domain) => format!("{name}.{domain}"),
        None => name.to_string(),
    });
    format!("{}  {}\n", nic.address, names.collect::<Vec<_>>().join(" "))
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
    fn each_nic_has_a_line_and_the_short_names_are_the_first_ones() {
        let mut directory = Directory::of([
            crate::model::examples::network("lab", "10.77.0.1/24"),
            crate::model::Network {
                domain: "back.lab".parse().unwrap(),
                ..crate::model::examples::network("back", "10.78.0.1/24")
            },
        ]);
        let vm = (*with_aliases("web1", "10.77.0.20", &["www"])).clone();
        let vm = crate::model::examples::with_nic(vm, "back", "10.78.0.5");
        directory.put_vm(std::sync::Arc::new(vm.clone()));
        let lines = "10.77.0.20  web1.lab web1 www.lab www\n10.78.0.5  web1.back.lab www.back.lab\n";
        assert!(text(|out| hosts(&directory, out)).ends_with(lines));
        assert_eq!(hosts_of(&directory, &vm), lines);
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
