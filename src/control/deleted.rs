//! Deleted VMs that can be undone, as they are asked for and shown.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Deleted VMs to bring back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndeleteVms {
    /// Names and ranges; of each name the VM that was deleted last.
    pub names: Vec<String>,
    /// Another name, for one VM.
    #[serde(default)]
    pub new_name: Option<String>,
    /// Whether what others have meanwhile is chosen anew.
    #[serde(default)]
    pub anew: bool,
}

/// A deleted VM that can be undone, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedInfo {
    /// The name it had.
    pub name: String,
    /// The address it had.
    pub ip: Ipv4Addr,
    /// The hardware address it had.
    pub mac: String,
    /// Its image; `None` for an external VM.
    pub image: Option<String>,
    /// When it was deleted, RFC 3339.
    pub deleted: String,
    /// How long ago that was, in seconds.
    pub age_seconds: u64,
    /// Until when it can be undone, RFC 3339.
    pub until: String,
    /// How long that is, in seconds; 0 when its time is over.
    pub left_seconds: u64,
}
