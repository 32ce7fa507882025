//! NICs beside a VM's first one, as they are written and shown.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// What is to become of a VM's NICs beside its first one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicSettings {
    /// NICs to add, or to give other addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub put: Vec<WrittenNic>,
    /// The networks whose NICs are taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

impl NicSettings {
    /// Whether nothing is said of them.
    pub const fn is_empty(&self) -> bool {
        self.put.is_empty() && self.removed.is_empty()
    }
}

/// A NIC beside a VM's first one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenNic {
    /// The network it is on.
    pub network: String,
    /// Its address; chosen from the pool when not given.
    #[serde(default)]
    pub ip: Option<String>,
    /// Its hardware address; derived when not given.
    #[serde(default)]
    pub mac: Option<String>,
}

/// A NIC as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicInfo {
    /// The network it is on.
    pub network: String,
    /// The VM's name there.
    pub fqdn: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its hardware address.
    pub mac: String,
    /// Its tap.
    pub tap: String,
    /// Its PCI slot on the first bus.
    pub slot: u8,
}
