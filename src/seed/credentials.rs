//! systemd's system credentials (systemd.system-credentials(7)): what an image without any agent is told about itself by the
//! program that starts first in it. Each is one string of the SMBIOS table (type 11). Pure.
//!
//! A systemd that does not know one leaves it alone, so all are given to every release: 252 takes the keys, 254 host name
//! and machine id, 256 the network (guest-contract §4).

use crate::model::{Network, Vm, mac};

/// One credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The name systemd knows it by.
    pub name: &'static str,
    /// Its value, a text of several lines.
    pub value: String,
}

impl Credential {
    /// The SMBIOS string that carries it.
    pub fn smbios(&self) -> String {
        format!("io.systemd.credential:{}={}", self.name, self.value)
    }
}

/// The credentials of a VM.
pub fn credentials(vm: &Vm, network: &Network) -> Vec<Credential> {
    let keys = vm
        .keys
        .iter()
        .fold(String::new(), |lines, key| lines + key.as_str() + "\n");
    let mac = mac::text(vm.mac);
    let domain = &network.domain;
    let network = format!(
        "[Match]\nMACAddress={mac}\n\n[Network]\nDHCP=ipv4\nDomains={domain}\n\n[DHCPv4]\nClientIdentifier=mac\n"
    );
    let known = [
        ("system.hostname", vm.name.to_string()),
        // What systemd itself makes of the SMBIOS UUID where it sees that it runs on KVM. Clones of an image that has a
        // machine-id keep that: the file in the image comes first.
        ("system.machine_id", vm.uuid.simple().to_string()),
        ("ssh.authorized_keys.root", keys),
        ("network.network.50-seedbed", network),
    ];
    known
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| Credential { name, value })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SshKeys;
    use crate::seed::tests::{network, vm};

    #[test]
    fn a_vm_is_told_its_name_its_machine_id_its_keys_and_to_ask_dhcp() {
        let strings = credentials(&vm("web1", "10.77.0.5"), &network("10.77.0.1/24"));
        let text: Vec<_> = strings.iter().map(Credential::smbios).collect();
        insta::assert_snapshot!(text.join("\n--\n"), @r"
        io.systemd.credential:system.hostname=web1
        --
        io.systemd.credential:system.machine_id=7573fe52e13e82a6a9ae40fb6a351c25
        --
        io.systemd.credential:ssh.authorized_keys.root=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ ops@lab

        --
        io.systemd.credential:network.network.50-seedbed=[Match]
        MACAddress=52:54:ce:9b:49:d4

        [Network]
        DHCP=ipv4
        Domains=lab

        [DHCPv4]
        ClientIdentifier=mac
        ");
    }

    #[test]
    fn without_keys_there_is_no_file_of_keys() {
        let vm = Vm {
            keys: SshKeys::default(),
            ..vm("web1", "10.77.0.5")
        };
        let given = credentials(&vm, &network("10.77.0.1/24"));
        assert!(
            given
                .iter()
                .all(|credential| credential.name != "ssh.authorized_keys.root")
        );
        // QEMU ends a string at the first NUL.
        assert!(given.iter().all(|credential| !credential.smbios().contains('\0')));
    }
}
