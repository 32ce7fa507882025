//! Host reservations for Kea's server of DHCP for IPv4.

use std::io::{self, Write};

use crate::model::{Directory, Network, mac};

/// The value of `reservations` of a `subnet4` (Kea's administrator manual, "Host Reservations in `DHCPv4`"): a JSON array
/// that Kea's `<?include "FILE"?>` takes in.
pub fn kea_reservations(directory: &Directory, network: &Network, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"[")?;
    for (index, (vm, nic)) in directory.vms_on(&network.name).enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // MAC, address and name have nothing in them that JSON would want escaped.
        write!(
            out,
            "{comma}\n  {{\"hw-address\": \"{}\", \"ip-address\": \"{}\", \"hostname\": \"{}\"}}",
            mac::text(nic.mac),
            nic.address,
            vm.name
        )?;
    }
    out.write_all(b"\n]\n")
}
