//! Requests about DNS records beside those of the VMs, and about dynamic leases.

use std::sync::Arc;

use super::info::rfc3339;
use super::{Daemon, selection};
use crate::control::{Answer, LeaseInfo, RecordInfo, Refusal, WrittenRecord};
use crate::model::{Directory, DnsRecord, Lease, LeaseState, Network, NetworkName, RecordData, mac};
use crate::registry::Change;

/// Adds a record.
pub(super) async fn add(daemon: &Arc<Daemon>, written: WrittenRecord) -> Result<String, Refusal> {
    let directory = daemon.directory();
    let network = network(&directory, written.network.as_ref())?;
    let data = RecordData::parse(&written.kind, &written.value, &network.domain)
        .map_err(|error| Refusal::request(error.to_string()))?;
    let record = DnsRecord {
        network: network.name.clone(),
        owner: selection::parse(&written.owner)?,
        data,
    };
    let told = format!(
        "{} {} {} is served on network {}",
        record.owner.within(&network.domain),
        record.data.kind(),
        record.data,
        network.name
    );
    let committed = daemon.commit(Change::AddRecord(record)).await?;
    daemon.exported(committed.revision).await;
    Ok(told)
}

/// Deletes the records that match.
pub(super) async fn remove(
    daemon: &Arc<Daemon>,
    name: Option<&String>,
    (owner, kind, value): (&str, Option<String>, Option<String>),
) -> Result<String, Refusal> {
    let network = network(&daemon.directory(), name)?;
    // A value may be typed as it was when it was added: names in the domain without their dot.
    let value = match (&kind, value) {
        (Some(kind), Some(value)) => RecordData::parse(kind, &value, &network.domain)
            .map(|data| Some(data.to_string()))
            .map_err(|error| Refusal::request(error.to_string()))?,
        (_, value) => value,
    };
    let change = Change::RemoveRecords {
        network: network.name.clone(),
        owner: selection::parse(owner)?,
        kind,
        value,
    };
    let committed = daemon.commit(change).await?;
    daemon.exported(committed.revision).await;
    Ok(format!(
        "{owner} of network {} has no such record any more",
        network.name
    ))
}

/// The records of one network, or of all.
pub(super) fn list(daemon: &Daemon, name: Option<&String>) -> Result<Answer, Refusal> {
    let directory = daemon.directory();
    let only = selection::network(&directory, name)?;
    let wanted = |network: &NetworkName| only.as_ref().is_none_or(|only| only == network);
    let shown = directory
        .records()
        .iter()
        .filter(|record| wanted(&record.network))
        .map(|record| RecordInfo {
            network: record.network.to_string(),
            name: record.owner.to_string(),
            fqdn: directory.network(&record.network).map_or_else(
                || record.owner.to_string(),
                |network| record.owner.within(&network.domain),
            ),
            kind: record.data.kind().to_owned(),
            value: record.data.to_string(),
        });
    Ok(Answer::Records(shown.collect()))
}

/// The dynamic leases, by address.
pub(super) fn leases(daemon: &Daemon) -> Answer {
    let (directory, now) = (daemon.directory(), daemon.clock.now());
    let mut leases: Vec<&Arc<Lease>> = directory.leases().iter().collect();
    leases.sort_by_key(|lease| lease.address);
    let shown = leases.into_iter().map(|lease| LeaseInfo {
        network: lease.network.to_string(),
        ip: lease.address,
        mac: mac::text(lease.mac),
        state: match lease.state {
            LeaseState::Declined => "declined",
            LeaseState::Bound if lease.expires > now => "active",
            LeaseState::Bound => "expired",
        }
        .to_owned(),
        hostname: lease.hostname.as_deref().map(ToOwned::to_owned),
        since: rfc3339(lease.since),
        expires: rfc3339(lease.expires),
        left_seconds: now.age(lease.expires).as_secs(),
    });
    Answer::Leases(shown.collect())
}

/// The network of that name, or the only one.
pub(super) fn network(directory: &Directory, name: Option<&String>) -> Result<Arc<Network>, Refusal> {
    if let Some(name) = selection::network(directory, name)? {
        // selection::network has found it.
        return directory
            .network(&name)
            .cloned()
            .ok_or_else(|| Refusal::not_found(format!("there is no network `{name}`")));
    }
    let mut all = directory.networks();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(Arc::clone(only)),
        _ => Err(Refusal::request(
            "there are several networks: say which with --network",
        )),
    }
}
