//! OpenSSH's `ssh_config(5)`: each VM under its names, with the account that has the keys, and the host keys that are
//! right, so that a plain `ssh web1` neither asks nor trusts.

use std::io::{self, Write};
use std::path::Path;

use super::full_name;
use crate::model::{Directory, Vm};

/// A `Host` block for each VM, by VM name. `known_hosts` is where
/// [`super::known_hosts()`] was written.
pub fn ssh_config(directory: &Directory, known_hosts: &Path, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "# Written by seedbed from its registry: changes made here are lost.\n\
         # Include it at the top of ~/.ssh/config: Include <this file>"
    )?;
    let known_hosts = quoted(known_hosts);
    directory
        .vms()
        .try_for_each(|vm| block(directory, vm, &known_hosts, out))
}

fn block(directory: &Directory, vm: &Vm, known_hosts: &str, out: &mut dyn Write) -> io::Result<()> {
    let (full, short) = (full_name(directory, vm, vm.first_nic()), &vm.name);
    let domain = directory.network(&vm.network).map(|network| &network.domain);
    write!(out, "\nHost {short}")?;
    if let Some(full) = full {
        write!(out, " {full}")?;
    }
    for alias in vm.aliases() {
        write!(out, " {alias}")?;
        if let Some(domain) = domain {
            write!(out, " {alias}.{domain}")?;
        }
    }
    writeln!(out, "\n    HostName {}", vm.address)?;
    let image = directory.image_of(&vm.hosting);
    if let Some(image) = image {
        writeln!(out, "    User {}", image.default_user)?;
    }
    // The keys count whatever this host believes about the address: known_hosts has them under the VM's name.
    writeln!(
        out,
        "    HostKeyAlias {short}\n    \
         UserKnownHostsFile {known_hosts}\n    \
         GlobalKnownHostsFile /dev/null\n    \
         StrictHostKeyChecking yes\n    \
         CheckHostIP no"
    )
}

/// A path as a value of `ssh_config(5)`, where blanks separate and `%` starts a token.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;

    use super::*;
    use crate::export::fixture::{lab, with_aliases};
    use crate::export::text;
    use crate::model::{Hosting, examples};

    fn directory() -> Directory {
        let mut directory = lab();
        directory.put_image(Arc::new(examples::image()));
        directory.put_vm(with_aliases("web1", "10.77.0.10", &["www"]));
        directory.put_vm(Arc::new(Vm {
            hosting: Hosting::from(examples::machine()),
            ..examples::vm("web2", "10.77.0.11")
        }));
        directory
    }

    #[test]
    fn a_vm_is_a_host_block_with_its_names_address_account_and_the_generated_host_keys() {
        let shown = text(|out| ssh_config(&directory(), Path::new("/var/lib/seed bed/known_hosts"), out));
        let blocks: Vec<_> = shown.split("\n\n").collect();
        assert_eq!(
            blocks[2],
            "Host web2 web2.lab\n    HostName 10.77.0.11\n    User debian\n    HostKeyAlias web2\n    \
             UserKnownHostsFile \"/var/lib/seed bed/known_hosts\"\n    GlobalKnownHostsFile /dev/null\n    \
             StrictHostKeyChecking yes\n    CheckHostIP no\n"
        );
        assert!(
            blocks[1]
                .starts_with("Host web1 web1.lab www www.lab\n    HostName 10.77.0.10\n    HostKeyAlias")
        );
    }

    #[test]
    fn ssh_reads_it_as_it_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let (path, known) = (
            folder.path().join("config"),
            folder.path().join("100%/known hosts"),
        );
        std::fs::write(&path, text(|out| ssh_config(&directory(), &known, out))).unwrap();
        for name in ["web2", "web2.lab"] {
            let read = Command::new("ssh")
                .arg("-G")
                .arg("-F")
                .arg(&path)
                .arg(name)
                .output();
            let read = String::from_utf8(read.unwrap().stdout).unwrap();
            for line in [
                "hostname 10.77.0.11".to_owned(),
                "user debian".to_owned(),
                "hostkeyalias web2".to_owned(),
                "stricthostkeychecking true".to_owned(),
                "checkhostip no".to_owned(),
                format!("userknownhostsfile {}", known.display()),
            ] {
                assert!(
                    read.lines().any(|found| found == line),
                    "{line} is missing:\n{read}"
                );
            }
        }
    }
}
