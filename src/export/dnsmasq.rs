//! What dnsmasq(8) reads: the reservations of `--dhcp-hostsfile`, and the names of `--addn-hosts`.

use std::io::{self, Write};

use super::hosts::put_hosts;
use crate::model::{Directory, Network, mac};

/// One reservation a line, by name: `52:54:00:12:34:56,10.77.0.10,web1`.
pub fn dnsmasq_dhcp_hosts(directory: &Directory, network: &Network, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"# Written by seedbed from its registry: changes made here are lost.\n")?;
    let mut vms = directory.vms_on(&network.name);
    vms.try_for_each(|(vm, nic)| writeln!(out, "{},{},{}", mac::text(nic.mac), nic.address, vm.name))
}

/// The network's hosts, as hosts(5) has them.
pub fn dnsmasq_hosts(directory: &Directory, network: &Network, out: &mut dyn Write) -> io::Result<()> {
    put_hosts(directory, |nic| *nic.network == network.name, out)
}
