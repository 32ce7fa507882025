//! How ports of VMs that someone else runs look to people. Pure.

use super::columns;
use crate::control::PortInfo;

/// A line for each port.
pub(in crate::cli) fn list(ports: &[PortInfo]) -> String {
    let rows = ports.iter().map(|port| {
        vec![
            port.interface.clone(),
            port.vm.clone(),
            port.ip.to_string(),
            port.mac.clone(),
            port.bridge.clone(),
        ]
    });
    columns(&["INTERFACE", "VM", "IP", "MAC", "BRIDGE"], rows)
}

/// One sentence on each port.
pub(in crate::cli) fn sentences(ports: &[PortInfo]) -> String {
    let sentence = |port: &PortInfo| {
        let PortInfo {
            interface,
            vm,
            mac,
            ip,
            bridge,
        } = port;
        format!("{interface} is the port of {vm} on {bridge}: {ip}, {mac}\n")
    };
    ports.iter().map(sentence).collect()
}
