//! How deleted VMs that can be undone look to people. Pure.

use super::{NONE, age, columns};
use crate::control::DeletedInfo;

/// Deleted VMs as a table.
pub(in crate::cli) fn deleted(deleted: &[DeletedInfo]) -> String {
    let rows = deleted.iter().map(|deleted| {
        vec![
            deleted.name.clone(),
            age(deleted.age_seconds),
            age(deleted.left_seconds),
            deleted.ip.to_string(),
            deleted.mac.clone(),
            deleted.image.clone().unwrap_or_else(|| NONE.to_owned()),
        ]
    });
    columns(&["NAME", "DELETED", "LEFT", "IP", "MAC", "IMAGE"], rows)
}
