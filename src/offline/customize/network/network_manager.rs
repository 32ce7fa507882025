//! `NetworkManager`: its own files, nm-settings-keyfile(5).

use super::super::draft::{Draft, PRIVATE};
use super::super::plan::Plan;
use crate::offline::root::RootError;

const FOLDER: &str = "/etc/NetworkManager/system-connections";
const OURS: &str = "seedbed.nmconnection";

/// Removes all connections of Ethernet interfaces: the guest has one such interface, and one connection for it.
pub(super) fn clear(draft: &mut Draft<'_>) -> Result<(), RootError> {
    for name in draft.root().list(FOLDER)?.iter().filter(|name| *name != OURS) {
        let path = format!("{FOLDER}/{name}");
        let text = draft.text(&path)?.unwrap_or_default();
        if text
            .lines()
            .any(|line| matches!(line.trim(), "type=ethernet" | "type=802-3-ethernet"))
        {
            draft.remove(&path);
        }
    }
    Ok(())
}

pub(super) fn write(draft: &mut Draft<'_>, plan: &Plan) {
    let text = format!(
        "# Written by seedbed.\n[connection]\nid=seedbed\nuuid={}\ntype=ethernet\nautoconnect=true\nautoconnect-priority=100\n\n\
         [ethernet]\nmac-address={}\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n",
        plan.uuid,
        plan.mac.to_ascii_uppercase()
    );
    // It takes no file that others can read.
    draft.put(&format!("{FOLDER}/{OURS}"), text, PRIVATE);
}
