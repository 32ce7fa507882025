//! Requests about hardware addresses without a record: which were seen, and making a VM of one.

use std::sync::Arc;

use super::info::rfc3339;
use super::{Daemon, register, selection};
use crate::control::{AddVms, Answer, DiscoveredInfo, Refusal};
use crate::model::{Lease, MacAddress, NetworkName, Vm, mac};

/// The hardware addresses that asked and have no record.
pub(super) fn discovered(daemon: &Daemon) -> Answer {
    let now = daemon.clock.now();
    let known = daemon.discovered.all(&daemon.directory());
    let shown = known.into_iter().map(|(network, mac, one)| DiscoveredInfo {
        network: network.to_string(),
        mac: mac::text(mac),
        hostname: one.hostname.map(String::from),
        vendor: one.vendor.map(String::from),
        first_seen: rfc3339(one.first),
        last_seen: rfc3339(one.last),
        seen_seconds_ago: one.last.age(now).as_secs(),
        count: one.count,
    });
    Answer::Discovered(shown.collect())
}

/// Registers the machine with this hardware address: where it was seen, and at the address it was lent.
pub(super) async fn adopt(
    daemon: &Arc<Daemon>,
    written: &str,
    request: AddVms,
) -> Result<Vec<Arc<Vm>>, Refusal> {
    let mac = mac::parse(written).map_err(|error| Refusal::request(error.to_string()))?;
    let directory = daemon.directory();
    let network = match selection::network(&directory, request.network.as_ref())? {
        Some(named) => Some(named),
        None => only_place(daemon, mac)?,
    };
    let lease = network
        .as_ref()
        .and_then(|network| directory.leases().of(network, mac))
        .map(|lease: &Arc<Lease>| lease.address.to_string());
    let request = AddVms {
        mac: Some(mac::text(mac)),
        ip: request.ip.or(lease),
        network: network.map(|network| network.to_string()),
        ..request
    };
    let vms = register::add(daemon, request).await?;
    daemon.discovered.forget(mac);
    Ok(vms)
}

/// The network a hardware address was seen on or has a lease on; `None` when it was on none, and so any will do.
fn only_place(daemon: &Daemon, mac: MacAddress) -> Result<Option<NetworkName>, Refusal> {
    let directory = daemon.directory();
    let seen = daemon.discovered.all(&directory);
    let seen = seen
        .into_iter()
        .filter(|(_, one, _)| *one == mac)
        .map(|(network, _, _)| network);
    let lent = directory.networks().map(|network| network.name.clone());
    let lent = lent.filter(|network| directory.leases().of(network, mac).is_some());
    let mut places: Vec<_> = seen.chain(lent).collect();
    places.sort();
    places.dedup();
    match places.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        several => Err(Refusal::request(format!(
            "{} was seen on the networks {}",
            mac::text(mac),
            several
                .iter()
                .map(NetworkName::as_str)
                .collect::<Vec<_>>()
                .join(" and ")
        ))
        .hint("say which with --network")),
    }
}
