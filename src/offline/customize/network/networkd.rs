//! systemd-networkd: systemd.network(5).

use super::super::draft::{Draft, READABLE};
use super::super::plan::Plan;
use crate::offline::root::RootError;

const FOLDER: &str = "/etc/systemd/network";
/// The first in the order of names that matches is taken, and no other.
const OURS: &str = "00-0-seedbed.network";

/// Removes what matches the hardware address of another machine: it does nothing here but name interfaces.
pub(super) fn clear(draft: &mut Draft<'_>, mac: &str) -> Result<(), RootError> {
    for name in draft.root().list(FOLDER)? {
        let is_tied = [".network", ".link"].iter().any(|end| name.ends_with(end)) && name != OURS;
        let path = format!("{FOLDER}/{name}");
        if is_tied && matches_another(&draft.text(&path)?.unwrap_or_default(), mac) {
            draft.remove(&path);
        }
    }
    Ok(())
}

fn matches_another(text: &str, mac: &str) -> bool {
    let addresses = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        matches!(key.trim(), "MACAddress" | "PermanentMACAddress").then(|| value.to_ascii_lowercase())
    });
    let mut addresses = addresses.peekable();
    addresses.peek().is_some() && !addresses.any(|value| value.replace('-', ":").contains(mac))
}

pub(super) fn write(draft: &mut Draft<'_>, plan: &Plan) {
    // [DHCP] is what releases before 243 know, and later ones still take.
    let text = format!(
        "# Written by seedbed.\n[Match]\nMACAddress={}\n\n[Network]\nDHCP=ipv4\nDomains={}\n\n[DHCP]\nClientIdentifier=mac\n",
        plan.mac, plan.domain
    );
    draft.put(&format!("{FOLDER}/{OURS}"), text, READABLE);
}
