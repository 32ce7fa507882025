//! What a base image still has of the machine it was made on, and would tie a clone to it.

use super::draft::Draft;
use crate::offline::root::RootError;

/// The rules by which udev gave interfaces of known hardware addresses their names, until 2014: a clone's first interface would
/// be called `eth1`.
const RULES: &str = "/etc/udev/rules.d/70-persistent-net.rules";

/// What clones must not share: seeds of random generators, and the secret that addresses and DHCP ids are made from.
const SHARED: [&str; 5] = [
    "/var/lib/systemd/random-seed",
    "/var/lib/urandom/random-seed",
    "/var/lib/random-seed",
    "/var/lib/NetworkManager/secret_key",
    "/var/lib/dhcpcd/duid",
];

/// Where DHCP clients keep their leases: of another machine's address.
const LEASES: [&str; 5] = [
    "/var/lib/dhcp",
    "/var/lib/dhclient",
    "/var/lib/NetworkManager",
    "/var/lib/dhcpcd",
    "/var/lib/wicked",
];

/// Turns off the agent of another view: left to itself it would take the guest for a new instance without documents.
const CLOUD_INIT_OFF: &str = "/etc/cloud/cloud-init.disabled";

pub(super) fn remove(draft: &mut Draft<'_>) -> Result<(), RootError> {
    draft.remove(RULES);
    for path in SHARED {
        draft.remove(path);
    }
    for folder in LEASES {
        draft.remove_in(folder, |name| {
            let ends = [".lease", ".leases", ".lease6"];
            // A guest may be a DHCP server itself: those are not its own.
            let is_given = name.starts_with("dhcpd.") || name.starts_with("dhcpd6.");
            !is_given && (ends.iter().any(|end| name.ends_with(end)) || name.starts_with("lease-"))
        })?;
    }
    if draft.exists("/etc/cloud/cloud.cfg") {
        draft.put(
            CLOUD_INIT_OFF,
            "# Written by seedbed, which configures this system by itself.\n",
            super::draft::READABLE,
        );
    }
    Ok(())
}
