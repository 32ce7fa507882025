//! The stored form of a VM's snapshots, since schema 3.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{RecordError, error, field, image_key};
use crate::model::snapshot::{History, Snapshot};
use crate::model::{Bytes, FirstBoot, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryV3 {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    snapshots: Vec<SnapshotV3>,
    #[serde(default, skip_serializing_if = "is_zero")]
    restores: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotV3 {
    name: String,
    taken: u64,
    #[serde(default, skip_serializing_if = "super::network::is_false")]
    live: bool,
    image: String,
    disk: u64,
    uuid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renewed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_boot: Option<TalesV3>,
}

/// What a first boot had told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TalesV3 {
    at: u64,
    host_keys: Vec<String>,
}

impl From<&History> for HistoryV3 {
    fn from(history: &History) -> Self {
        Self {
            snapshots: history.snapshots.iter().map(SnapshotV3::from).collect(),
            restores: history.restores,
        }
    }
}

impl From<&Snapshot> for SnapshotV3 {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            name: snapshot.name.to_string(),
            taken: snapshot.taken.0,
            live: snapshot.live,
            image: image_key(&snapshot.image),
            disk: snapshot.disk.0,
            uuid: snapshot.uuid.hyphenated().to_string(),
            renewed: snapshot.renewed.map(|at| at.0),
            first_boot: snapshot.first_boot.as_ref().map(|told| TalesV3 {
                at: told.at.0,
                host_keys: told.host_keys.iter().map(ToString::to_string).collect(),
            }),
        }
    }
}

impl TryFrom<HistoryV3> for History {
    type Error = RecordError;

    fn try_from(stored: HistoryV3) -> Result<Self, RecordError> {
        let snapshots = stored.snapshots.into_iter().map(Snapshot::try_from);
        Ok(Self {
            snapshots: snapshots.collect::<Result<_, _>>()?,
            restores: stored.restores,
        })
    }
}

impl TryFrom<SnapshotV3> for Snapshot {
    type Error = RecordError;

    fn try_from(stored: SnapshotV3) -> Result<Self, RecordError> {
        let image: super::StoredImage = field("snapshot.image", &stored.image)?;
        Ok(Self {
            name: field("snapshot.name", &stored.name)?,
            taken: Timestamp(stored.taken),
            live: stored.live,
            image: image.0,
            disk: Bytes(stored.disk),
            uuid: Uuid::parse_str(&stored.uuid).map_err(|why| error("snapshot.uuid", &why))?,
            renewed: stored.renewed.map(Timestamp),
            first_boot: stored.first_boot.map(FirstBoot::try_from).transpose()?,
        })
    }
}

impl TryFrom<TalesV3> for FirstBoot {
    type Error = RecordError;

    fn try_from(stored: TalesV3) -> Result<Self, RecordError> {
        let keys = stored
            .host_keys
            .iter()
            .map(|key| field("snapshot.host_keys", key));
        Ok(Self {
            at: Timestamp(stored.at),
            host_keys: keys.collect::<Result<_, _>>()?,
        })
    }
}
