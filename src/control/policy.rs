//! When VMs are started without being asked for by name, as it is written.

use serde::{Deserialize, Serialize};

/// When VMs are started; what is `None` is as usual or, in a change, stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySettings {
    /// Whether they are started again when they ended by themselves: `no`, `on-failure` or `always`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// Whether they are started when the host is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostart: Option<bool>,
    /// The whole new set of what they are started after: `db1:ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<String>>,
}
