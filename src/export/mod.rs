//! The registry in other programs' file formats: hosts(5), OpenSSH's `known_hosts` and `ssh_config`, zone files, and what dnsmasq and Kea
//! read. Pure: each writes to what it is given, line by line; `files.rs` makes files of that.

use std::io::{self, Write};

use crate::model::{Directory, Nic, Vm};

mod block;
mod dnsmasq;
pub mod files;
#[cfg(test)]
mod fixture;
mod hosts;
mod kea;
mod known_hosts;
mod records_of;
mod reverse;
mod ssh_config;
mod zone;

pub use block::Markers;
pub use block::files::{BlockError, put_block, remove_block};
pub use dnsmasq::{dnsmasq_dhcp_hosts, dnsmasq_hosts};
pub use files::{WriteError, Written, write_atomically};
pub use hosts::{hosts, hosts_of};
pub use kea::kea_reservations;
pub use known_hosts::known_hosts;
pub use records_of::records_of;
pub use reverse::{ReverseZone, reverse_zone, reverse_zones};
pub use ssh_config::ssh_config;
pub use zone::zone;

/// What one of these writes, as one text, for a command's answer.
pub fn text(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
    let mut octets = Vec::new();
    // Writing to memory does not fail.
    drop(write(&mut octets));
    String::from_utf8_lossy(&octets).into_owned()
}

/// The name a VM has on the network of a NIC.
fn full_name(directory: &Directory, vm: &Vm, nic: Nic<'_>) -> Option<String> {
    let network = directory.network(nic.network)?;
    Some(format!("{}.{}", vm.name, network.domain))
}
