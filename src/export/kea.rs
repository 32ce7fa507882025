//! Host reservations for Kea's server of DHCP for IPv4.

use std::io::{self, Write};

use crate::model::{Directory, Network, mac};

/// The value of `reservations` of a `subnet4` (Kea's administrator manual, "Host Reservations in `DHCPv4`"): a JSON array
/// that Kea's `<?include "FILE"?>` takes in.
pub fn kea_reservations(directory: &Directory, network: &Network, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"[")?;
    let vms = directory.vms().filter(|vm| vm.network == network.name);
    for (index, vm) in vms.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // MAC, address and name have nothing in them that JSON would want escaped.
        write!(
            out,
            "{comma}\n  {{\"hw-address\": \"{}\", \"ip-address\": \"{}\", \"hostname\": \"{}\"}}",
            mac::text(vm.mac),
            vm.address,
            vm.name
        )?;
    }
    out.write_all(b"\n]\n")
}
