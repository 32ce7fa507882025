//! The files of RHEL 6 to 8 for each interface, which their own scripts and `NetworkManager` read.

use super::super::draft::{Draft, READABLE};
use super::super::system;
use super::is_ethernet;
use crate::offline::root::RootError;

const FOLDER: &str = "/etc/sysconfig/network-scripts";
const OURS: &str = "ifcfg-eth0";
/// What gives an interface the `DEVICE` of the file with its `HWADDR` as its name.
const RENAMES: [&str; 4] = [
    "/lib/udev/rename_device",
    "/usr/lib/udev/rename_device",
    "/usr/lib/udev/ifcfg-devname",
    "/lib/udev/ifcfg-devname",
];

/// Whether a guest's interfaces are configured so: it has files for some, or only the scripts are started.
pub(super) fn is_used(draft: &Draft<'_>) -> Result<bool, RootError> {
    let names = draft.root().list(FOLDER)?;
    let has_files = names
        .iter()
        .any(|name| name.starts_with("ifcfg-") && name != "ifcfg-lo");
    Ok(has_files || (system::starts(draft, "network")? && !system::starts(draft, "NetworkManager")?))
}

pub(super) fn write(draft: &mut Draft<'_>, mac: &str) -> Result<(), RootError> {
    for name in draft.root().list(FOLDER)? {
        let path = format!("{FOLDER}/{name}");
        // The folder has scripts too, which may be of any size.
        let is_file = name.starts_with("ifcfg-") && name != OURS;
        if is_file && is_of_ethernet(&name, &draft.text(&path)?.unwrap_or_default()) {
            draft.remove(&path);
        }
    }
    let device = if RENAMES.iter().any(|path| draft.exists(path)) {
        "DEVICE=eth0\n"
    } else {
        ""
    };
    let text = format!(
        "# Written by seedbed.\n{device}HWADDR={}\nTYPE=Ethernet\nBOOTPROTO=dhcp\nONBOOT=yes\n",
        mac.to_ascii_uppercase()
    );
    draft.put(&format!("{FOLDER}/{OURS}"), text, READABLE);
    Ok(())
}

fn is_of_ethernet(name: &str, text: &str) -> bool {
    let Some(interface) = name.strip_prefix("ifcfg-").filter(|name| *name != "lo") else {
        return false;
    };
    let is_ethernet_type = |line: &str| {
        let (key, value) = line.split_once('=').unwrap_or_default();
        let value = value.trim().trim_matches(['"', '\'']);
        match key.trim() {
            "TYPE" => value.eq_ignore_ascii_case("ethernet"),
            "DEVICE" => is_ethernet(value),
            _ => false,
        }
    };
    is_ethernet(interface) || text.lines().any(is_ethernet_type)
}
