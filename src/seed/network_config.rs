//! The network-config of a VM with several NICs, which cloud-init's own fallback would leave with one: DHCP on each, told
//! by its hardware address. A VM with one NIC has none (guest-contract §1.4).
//!
//! Version 2 without `set-name`: each NIC keeps the name that the guest's udev gives it (cloud-init's
//! `network_state.handle_ethernets` looks it up by the address).

use std::fmt::Write as _;

use crate::model::{Vm, mac};

/// The document; empty for a VM with one NIC.
pub(super) fn network_config(vm: &Vm) -> String {
    let mut text = String::new();
    if vm.more_nics().is_empty() {
        return text;
    }
    text.push_str("version: 2\nethernets:\n");
    for (number, nic) in vm.nics().enumerate() {
        let mac = mac::text(nic.mac);
        // Writing to a String can not fail. A MAC of digits alone would be a number to YAML 1.1.
        let _infallible = write!(
            text,
            "  nic{number}:\n    match:\n      macaddress: \"{mac}\"\n    dhcp4: true\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::examples;

    #[test]
    fn several_nics_ask_dhcp_each_by_its_mac_and_a_single_one_is_left_to_the_guest() {
        let vm = examples::vm("web1", "10.77.0.5");
        assert_eq!(network_config(&vm), "");
        let vm = examples::with_nic(vm, "back", "10.78.0.5");
        let read: serde_yaml::Value = serde_yaml::from_str(&network_config(&vm)).unwrap();
        for (number, nic) in vm.nics().enumerate() {
            let said = &read["ethernets"][format!("nic{number}")];
            assert_eq!(said["match"]["macaddress"], mac::text(nic.mac));
            assert_eq!(said["dhcp4"], true);
        }
        assert_eq!(read["version"], 2);
    }
}
