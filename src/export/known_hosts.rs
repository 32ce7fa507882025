//! OpenSSH's `known_hosts`, in the format of sshd(8): the host keys that were made for VMs, or that VMs
//! told at their first boot, so that nobody has to trust one on first use.

use std::io::{self, Write};

use super::full_name;
use crate::model::{Directory, Vm};

/// One line for each host key of each VM whose keys are known, by VM name: `web1,web1.lab,10.77.0.10 ssh-ed25519 AAAA...`.
pub fn known_hosts(directory: &Directory, out: &mut dyn Write) -> io::Result<()> {
    directory.vms().try_for_each(|vm| lines(directory, vm, out))
}

fn lines(directory: &Directory, vm: &Vm, out: &mut dyn Write) -> io::Result<()> {
    let keys = vm.host_keys();
    if keys.is_empty() {
        return Ok(());
    }
    let mut all = vec![vm.name.to_string()];
    for nic in vm.nics() {
        let full = full_name(directory, vm, nic).filter(|full| !all.contains(full));
        all.extend(full.into_iter().chain([nic.address.to_string()]));
    }
    let names = all.join(",");
    // The comment is the guest's own text, and nobody needs it.
    keys.iter()
        .try_for_each(|key| writeln!(out, "{names} {}", key.data()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::export::fixture::{lab, vm, with_host_key};
    use crate::export::text;
    use crate::model::{FirstBoot, Timestamp};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ";

    #[test]
    fn a_vm_is_known_by_all_its_names_once_it_told_its_keys() {
        let mut directory = lab();
        directory.put_vm(vm("web1", "10.77.0.10"));
        assert_eq!(text(|out| known_hosts(&directory, out)), "");

        let host_keys = vec![
            format!("{KEY} root@localhost").parse().unwrap(),
            KEY.parse().unwrap(),
        ]
        .into();
        let told = Vm {
            first_boot: Some(FirstBoot {
                at: Timestamp(1),
                host_keys,
            }),
            ..(*vm("web1", "10.77.0.10")).clone()
        };
        directory.put_vm(Arc::new(told));
        let line = format!("web1,web1.lab,10.77.0.10 {KEY}\n");
        assert_eq!(text(|out| known_hosts(&directory, out)), line.repeat(2));
    }

    #[test]
    fn a_key_that_was_made_for_a_vm_is_known_before_it_boots_and_no_report_replaces_it() {
        let mut directory = lab();
        let made = with_host_key("web1", "10.77.0.10");
        let public = made.host_keys()[0].to_string();
        let line = format!("web1,web1.lab,10.77.0.10 {public}\n");
        directory.put_vm(Arc::clone(&made));
        assert_eq!(text(|out| known_hosts(&directory, out)), line);
        directory.put_vm(Arc::new(Vm {
            first_boot: Some(FirstBoot {
                at: Timestamp(1),
                host_keys: vec![KEY.parse().unwrap()].into(),
            }),
            ..Vm::clone(&made)
        }));
        assert_eq!(text(|out| known_hosts(&directory, out)), line);
    }
}
