//! Reads a database's records: every document is parsed, and one that is no record is named.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use redb::{
    AccessGuard, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, StorageError, TableError,
};
use serde::de::DeserializeOwned;

use super::super::change::RecordSet;
use super::super::common::Common;
use super::super::record::{
    self, DeletedV3, HexV3, IdentityV3, ImageV1, LeaseV2, RecordSetV2, RingKeyV3, SCHEMA, VmV1,
};
use super::super::store::{Snapshot, StoreError};
use super::{
    DELETED, IDENTITIES, IMAGES, KEYS, LEASES, META, RECORDS, SECRETS, VMS, number, storage, table, wide,
};
use crate::model::{Deleted, Image, Lease, Revision, RingKey, Site, SiteSecret, Vm, VmName};

/// A name and its document.
type Entry<'t> = Result<(AccessGuard<'t, &'static str>, AccessGuard<'t, &'static [u8]>), StorageError>;

/// All records of the database.
pub(super) fn snapshot(database: &Database) -> Result<Snapshot, StoreError> {
    let transaction = database.begin_read().map_err(wide)?;
    let meta = transaction.open_table(META).map_err(table)?;
    let schema = number(&meta, "schema")?;
    if schema > SCHEMA {
        return Err(StoreError::Newer {
            found: schema,
            known: SCHEMA,
        });
    }
    let vms = transaction.open_table(VMS).map_err(table)?;
    let images = transaction.open_table(IMAGES).map_err(table)?;
    Ok(Snapshot {
        revision: Revision(number(&meta, "revision")?),
        vms: vms_of(&vms)?,
        images: records(
            &mut images.iter().map_err(storage)?,
            "image",
            |image: &Image| record::image_key(&image.id),
            read::<ImageV1, Image>,
        )?,
        leases: match if_there(transaction.open_table(LEASES))? {
            Some(leases) => {
                let name_of = |lease: &Lease| lease.address.to_string();
                records(
                    &mut leases.iter().map_err(storage)?,
                    "lease",
                    name_of,
                    read::<LeaseV2, Lease>,
                )?
            }
            None => Vec::new(),
        },
        records: match if_there(transaction.open_table(RECORDS))? {
            Some(sets) => records(
                &mut sets.iter().map_err(storage)?,
                "DNS name",
                record::key,
                read::<RecordSetV2, RecordSet>,
            )?
            .into_iter()
            .map(Arc::unwrap_or_clone)
            .collect(),
            None => Vec::new(),
        },
        site: site(&transaction)?,
    })
}

/// What the site has beside its VMs.
fn site(transaction: &ReadTransaction) -> Result<Site, StoreError> {
    let mut site = Site::default();
    if let Some(keys) = if_there(transaction.open_table(KEYS))? {
        let name_of = |key: &RingKey| key.name.clone();
        let all = records(
            &mut keys.iter().map_err(storage)?,
            "key",
            name_of,
            read::<RingKeyV3, RingKey>,
        )?;
        for key in all {
            site.ring.put(key);
        }
    }
    if let Some(identities) = if_there(transaction.open_table(IDENTITIES))? {
        let name_of = |identity: &(VmName, u32)| identity.0.clone();
        let all = records(
            &mut identities.iter().map_err(storage)?,
            "identity",
            name_of,
            read::<IdentityV3, (VmName, u32)>,
        )?;
        site.renewals = all.into_iter().map(Arc::unwrap_or_clone).collect();
    }
    if let Some(secrets) = if_there(transaction.open_table(SECRETS))? {
        let name_of = |_: &SiteSecret| record::SITE_SECRET;
        let all = records(
            &mut secrets.iter().map_err(storage)?,
            "secret",
            name_of,
            read::<HexV3, SiteSecret>,
        )?;
        site.secret = all.into_iter().next().map(Arc::unwrap_or_clone);
    }
    if let Some(deleted) = if_there(transaction.open_table(DELETED))? {
        let all = deleted_vms(&mut deleted.iter().map_err(storage)?)?;
        site.deleted = all
            .into_iter()
            .map(|deleted| (deleted.id.clone(), deleted))
            .collect();
    }
    Ok(site)
}

fn deleted_vms<'t>(entries: &mut impl Iterator<Item = Entry<'t>>) -> Result<Vec<Arc<Deleted>>, StoreError> {
    let mut common = Common::default();
    records(
        entries,
        "deleted VM",
        |deleted: &Deleted| deleted.id.to_string(),
        |document| {
            let stored: DeletedV3<'_> = serde_json::from_str(document).map_err(|why| why.to_string())?;
            stored.read(&mut common).map_err(|why| why.to_string())
        },
    )
}

/// A table that a registry of an earlier schema does not have yet.
fn if_there<T>(opened: Result<T, TableError>) -> Result<Option<T>, StoreError> {
    match opened {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        opened => opened.map(Some).map_err(table),
    }
}

/// From this many VMs on, two threads read them: a start waits for nothing else.
const FOR_TWO: u64 = 1024;

/// The VMs, by name: the first half of the table is read from its front, the other from its back.
fn vms_of(table: &ReadOnlyTable<&'static str, &'static [u8]>) -> Result<Vec<Arc<Vm>>, StoreError> {
    let count = table.len().map_err(storage)?;
    if count < FOR_TWO {
        return vms(&mut table.iter().map_err(storage)?);
    }
    let half = usize::try_from(count / 2).unwrap_or(usize::MAX);
    thread::scope(|scope| {
        let back = scope.spawn(|| vms(&mut table.iter().map_err(storage)?.rev().take(half)));
        let mut entries = table.iter().map_err(storage)?;
        let from_front = usize::try_from(count).unwrap_or(usize::MAX) - half;
        let front = vms(&mut entries.by_ref().take(from_front));
        let back = back.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        let mut all = front?;
        all.extend(back.into_iter().rev());
        // Nothing lies between the halves, or the table is not as long as it says.
        let seam = entries.next().transpose().map_err(storage)?;
        let meets = match (&seam, all.get(from_front)) {
            (Some((name, _)), Some(vm)) => name.value() == vm.name.as_str(),
            (Some(_), None) | (None, _) => false,
        };
        if meets {
            Ok(all)
        } else {
            Err(StoreError::Corrupt(format!(
                "it does not hold the {count} VMs that it says"
            )))
        }
    })
}

fn vms<'t>(entries: &mut impl Iterator<Item = Entry<'t>>) -> Result<Vec<Arc<Vm>>, StoreError> {
    let mut common = Common::default();
    records(
        entries,
        "VM",
        |vm: &Vm| vm.name.clone(),
        |document| {
            let stored: VmV1<'_> = serde_json::from_str(document).map_err(|why| why.to_string())?;
            stored.read(&mut common).map_err(|why| why.to_string())
        },
    )
}

/// Reads entries of a table of JSON documents; one that is no record is damage, and is named.
fn records<'t, Record, Name: AsRef<str>>(
    entries: &mut impl Iterator<Item = Entry<'t>>,
    kind: &str,
    name_of: impl Fn(&Record) -> Name,
    mut read: impl FnMut(&str) -> Result<Record, String>,
) -> Result<Vec<Arc<Record>>, StoreError> {
    let mut all = Vec::new();
    for entry in entries {
        let (key, value) = entry.map_err(storage)?;
        let corrupt = |why: &dyn std::fmt::Display| {
            StoreError::Corrupt(format!(
                "the record of {kind} `{}`: {why}",
                key.value().escape_debug()
            ))
        };
        // Once for the whole document, instead of once for each of its texts.
        let document = std::str::from_utf8(value.value()).map_err(|why| corrupt(&why))?;
        let record = read(document).map_err(|why| corrupt(&why))?;
        if name_of(&record).as_ref() != key.value() {
            return Err(corrupt(&format_args!(
                "it names itself {}",
                name_of(&record).as_ref()
            )));
        }
        all.push(Arc::new(record));
    }
    Ok(all)
}

/// The record of a document in this stored form.
fn read<Stored, Record>(document: &str) -> Result<Record, String>
where
    Stored: DeserializeOwned,
    Record: TryFrom<Stored, Error: std::fmt::Display>,
{
    let stored: Stored = serde_json::from_str(document).map_err(|why| why.to_string())?;
    Record::try_from(stored).map_err(|why| why.to_string())
}
