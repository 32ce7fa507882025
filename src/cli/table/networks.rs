//! How networks, and what is on them beside VMs, look to people. Pure.

use std::time::Duration;

use super::{NONE, age, columns, sheets};
use crate::control::{DiscoveredInfo, LeaseInfo, NetworkInfo, PlannedVm, RecordInfo};
use crate::model::time::short;

/// Networks as a table.
pub(in crate::cli) fn list(networks: &[NetworkInfo]) -> String {
    let rows = networks.iter().map(|network| {
        vec![
            network.name.clone(),
            network.bridge.clone(),
            network.subnet.clone(),
            network.domain.clone(),
            format!("{}/{}", network.pool_taken, network.pool_size),
            network.vms.to_string(),
            network.leases.to_string(),
        ]
    });
    columns(
        &["NAME", "BRIDGE", "SUBNET", "DOMAIN", "POOL", "VMS", "LEASES"],
        rows,
    )
}

/// All that is known of each network.
pub(in crate::cli) fn network_sheets(networks: &[NetworkInfo]) -> String {
    sheets(networks.iter().map(|network| {
        let words = |list: &[String], none: &str| {
            if list.is_empty() {
                none.to_owned()
            } else {
                list.join(" ")
            }
        };
        let (taken, size) = (network.pool_taken, network.pool_size);
        let outward = if network.nat {
            "by the host's address"
        } else {
            "none"
        };
        let lease = short(Duration::from_secs(network.lease_seconds));
        let lines = [
            ("Name", network.name.clone()),
            ("Bridge", network.bridge.clone()),
            ("Subnet", network.subnet.clone()),
            ("Gateway", network.gateway.to_string()),
            ("Pool", format!("{} ({taken} of {size} taken)", network.pool)),
            ("Domain", network.domain.clone()),
            ("Outward", outward.to_owned()),
            (
                "DHCP",
                format!("{}, unregistered: {}", network.dhcp, network.unregistered),
            ),
            ("Lease time", lease),
            ("Upstreams", words(&network.upstreams, "the host's own resolvers")),
            ("Transfer", words(&network.transfer, "this host only")),
            ("Reverse", reverse(&network.reverse_zones)),
            ("VMs", network.vms.to_string()),
            ("Leases", network.leases.to_string()),
            ("Host names", network.host_names.clone()),
        ];
        lines.map(|(label, value)| (label, Some(value))).into()
    }))
}

/// The reverse zones; of many, the first and the last.
fn reverse(zones: &[String]) -> String {
    match zones {
        [first, .., last] if zones.len() > 4 => format!("{first} to {last} ({} zones)", zones.len()),
        few => few.join(" "),
    }
}

/// Dynamic leases as a table.
pub(in crate::cli) fn leases(leases: &[LeaseInfo]) -> String {
    let rows = leases.iter().map(|lease| {
        let left = Duration::from_secs(lease.left_seconds);
        vec![
            lease.ip.to_string(),
            lease.mac.clone(),
            lease.hostname.as_deref().map_or_else(|| NONE.to_owned(), plain),
            lease.network.clone(),
            lease.state.clone(),
            if left.is_zero() {
                NONE.to_owned()
            } else {
                short(left)
            },
        ]
    });
    columns(&["IP", "MAC", "HOSTNAME", "NETWORK", "STATE", "LEFT"], rows)
}

/// Hardware addresses without a record, as a table.
pub(in crate::cli) fn discovered(discovered: &[DiscoveredInfo]) -> String {
    let word = |word: &Option<String>| word.as_deref().map_or_else(|| NONE.to_owned(), plain);
    let rows = discovered.iter().map(|one| {
        vec![
            one.mac.clone(),
            one.network.clone(),
            word(&one.hostname),
            word(&one.vendor),
            format!("{} ago", age(one.seen_seconds_ago)),
            one.count.to_string(),
        ]
    });
    columns(&["MAC", "NETWORK", "HOSTNAME", "VENDOR", "SEEN", "TIMES"], rows)
}

/// DNS records as a table.
pub(in crate::cli) fn records(records: &[RecordInfo]) -> String {
    let rows = records.iter().map(|record| {
        vec![
            record.fqdn.clone(),
            record.kind.clone(),
            record.value.clone(),
            record.network.clone(),
        ]
    });
    columns(&["NAME", "TYPE", "VALUE", "NETWORK"], rows)
}

/// VMs that would be registered, as a table.
pub(in crate::cli) fn planned(vms: &[PlannedVm]) -> String {
    let rows = vms.iter().map(|vm| {
        let aliases = if vm.aliases.is_empty() {
            NONE.to_owned()
        } else {
            vm.aliases.join(" ")
        };
        vec![
            vm.name.clone(),
            vm.ip.to_string(),
            vm.mac.clone(),
            vm.network.clone(),
            aliases,
        ]
    });
    columns(&["NAME", "IP", "MAC", "NETWORK", "ALIASES"], rows)
}

/// A client's own words: nothing in them moves the cursor.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
