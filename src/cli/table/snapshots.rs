//! How snapshots look to people. Pure.

use super::{age, columns};
use crate::control::SnapshotInfo;
use crate::model::Bytes;

/// Snapshots as a table.
pub(in crate::cli) fn snapshots(snapshots: &[SnapshotInfo]) -> String {
    let rows = snapshots.iter().map(|snapshot| {
        vec![
            snapshot.name.clone(),
            age(snapshot.age_seconds),
            if snapshot.live { "running" } else { "stopped" }.to_owned(),
            Bytes(snapshot.disk).to_string(),
            snapshot.image.clone(),
        ]
    });
    columns(&["NAME", "AGE", "TAKEN", "DISK", "IMAGE"], rows)
}
