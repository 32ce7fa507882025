//! The whole registry as JSON lines, for people and for a way out: first the head, then images, then VMs.
//!
//! ```text
//!   {"seedbed":{"schema":3,"revision":42}}
//!   {"image":{"name":"debian-12",...}}
//!   {"vm":{"name":"web1",...}}
//!   {"lease":{"network":"lab",...}}
//!   {"records":{"network":"lab","owner":"www",...}}
//!   {"key":{"name":"ann",...}}
//!   {"identity":{"name":"web1","renewals":1}}
//!   {"ssh-host-keys":"..."}
//!   {"deleted":{"number":42,...}}
//! ```
//! A dump holds all user-data and all secrets: keep it as the registry itself is kept.

use std::io::{self, Write};

use serde::Serialize;

use super::change::RecordSet;
use super::record::{DeletedV3, HexV3, IdentityV3, ImageV1, LeaseV2, RecordSetV2, RingKeyV3, SCHEMA, VmV1};
use crate::model::{Directory, Site};

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum LineV1<'a> {
    Seedbed {
        schema: u64,
        revision: u64,
    },
    Image(ImageV1),
    Vm(Box<VmV1<'a>>),
    Lease(LeaseV2),
    Records(RecordSetV2),
    Key(RingKeyV3),
    Identity(IdentityV3),
    #[serde(rename = "ssh-host-keys")]
    HostKeys(HexV3),
    Deleted(Box<DeletedV3<'a>>),
}

/// Writes every record of the directory, in the order of names, so that two dumps can be compared.
pub fn dump(directory: &Directory, out: &mut impl Write) -> io::Result<()> {
    let head = LineV1::Seedbed {
        schema: SCHEMA,
        revision: directory.revision().0,
    };
    let images = directory
        .images()
        .map(|image| LineV1::Image(ImageV1::from(&**image)));
    let vms = directory.vms().map(|vm| LineV1::Vm(Box::new(VmV1::from(&**vm))));
    let mut leases: Vec<_> = directory.leases().iter().collect();
    leases.sort_by_key(|lease| lease.address);
    let leases = leases
        .into_iter()
        .map(|lease| LineV1::Lease(LeaseV2::from(&**lease)));
    let records = sets(directory).map(|set| LineV1::Records(RecordSetV2::from(&set)));
    for line in std::iter::once(head)
        .chain(images)
        .chain(vms)
        .chain(leases)
        .chain(records)
        .chain(site(directory.site()))
    {
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn site(site: &Site) -> impl Iterator<Item = LineV1<'_>> {
    let keys = site.ring.iter().map(|key| LineV1::Key(RingKeyV3::from(&**key)));
    let identities = site
        .renewals
        .iter()
        .map(|(name, renewals)| LineV1::Identity(IdentityV3::from((name, *renewals))));
    let secret = site
        .secret
        .iter()
        .map(|secret| LineV1::HostKeys(HexV3::from(secret)));
    let deleted = site.deleted.values();
    let deleted = deleted.map(|deleted| LineV1::Deleted(Box::new(DeletedV3::from(&**deleted))));
    keys.chain(identities).chain(secret).chain(deleted)
}

/// The DNS records by name.
fn sets(directory: &Directory) -> impl Iterator<Item = RecordSet> {
    let mut sets: Vec<RecordSet> = Vec::new();
    for record in directory.records().iter() {
        match sets.last_mut() {
            Some(last) if last.network == record.network && last.owner == record.owner => {
                last.records.push(record.clone());
            }
            _ => sets.push(RecordSet {
                network: record.network.clone(),
                owner: record.owner.clone(),
                records: vec![record.clone()],
            }),
        }
    }
    sets.into_iter()
}
