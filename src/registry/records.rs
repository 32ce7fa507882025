//! The rules for DNS records beside those of the VMs: what may stand at a name. Pure.

use std::sync::Arc;

use super::apply::known_networks;
use super::change::{Batch, Effect, RecordSet};
use super::refusal::{RecordConflict, Refusal};
use crate::model::{Directory, DnsRecord, NetworkName, RecordData, RecordName, VmName};

/// The most records of one name: what fits an answer by UDP.
const MOST: usize = 32;

/// Adds a record.
pub(super) fn add(directory: &Directory, record: DnsRecord) -> Result<Effect, Refusal> {
    let (network, owner) = (record.network.clone(), record.owner.clone());
    known(directory, &network)?;
    let mut records = directory.records().at(&network, owner.as_str()).to_vec();
    if let Some(why) = conflict(directory, &record, &records) {
        return Err(Refusal::Record { owner, network, why });
    }
    records.push(Arc::new(record));
    Ok(written(network, owner, records))
}

fn known(directory: &Directory, network: &NetworkName) -> Result<(), Refusal> {
    match directory.network(network) {
        Some(_) => Ok(()),
        None => Err(Refusal::NoSuchNetwork {
            network: network.clone(),
            known: known_networks(directory),
        }),
    }
}

fn conflict(directory: &Directory, record: &DnsRecord, there: &[Arc<DnsRecord>]) -> Option<RecordConflict> {
    let is_cname = |data: &RecordData| matches!(data, RecordData::Cname(_));
    if record.owner.is_apex() && is_cname(&record.data) {
        return Some(RecordConflict::ApexCname);
    }
    if let Ok(name) = record.owner.as_str().parse::<VmName>() {
        // A VM may have texts and services beside its address, but its addresses are the registry's.
        if let Some(vm) = directory.vm(&name).filter(|_| record.data.is_address()) {
            return Some(RecordConflict::Vm(vm.name.clone()));
        }
        if let Some(vm) = directory.vm_aliased(&name) {
            return Some(RecordConflict::Vm(vm.name.clone()));
        }
    }
    if there.iter().any(|other| other.data == record.data) {
        return Some(RecordConflict::Same);
    }
    let has_cname = there.iter().any(|other| is_cname(&other.data));
    if has_cname || (is_cname(&record.data) && !there.is_empty()) {
        return Some(RecordConflict::Cname);
    }
    (there.len() >= MOST).then_some(RecordConflict::TooMany(MOST))
}

/// Deletes the records of a name that match.
pub(super) fn remove(
    directory: &Directory,
    network: NetworkName,
    owner: RecordName,
    (kind, value): (Option<&str>, Option<&str>),
) -> Result<Effect, Refusal> {
    known(directory, &network)?;
    let there = directory.records().at(&network, owner.as_str());
    let kept: Vec<_> = there
        .iter()
        .filter(|record| {
            let same_kind = kind.is_none_or(|kind| record.data.kind().eq_ignore_ascii_case(kind));
            let same_value = value.is_none_or(|value| record.data.to_string() == value);
            !(same_kind && same_value)
        })
        .cloned()
        .collect();
    if kept.len() == there.len() {
        return Err(Refusal::UnknownRecord { owner, network });
    }
    Ok(written(network, owner, kept))
}

fn written(network: NetworkName, owner: RecordName, records: Vec<Arc<DnsRecord>>) -> Effect {
    Effect {
        batch: Batch {
            put_records: vec![RecordSet {
                network,
                owner,
                records,
            }],
            ..Batch::default()
        },
        vms: Vec::new(),
    }
}
