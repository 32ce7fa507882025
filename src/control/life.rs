//! What is asked of VMs that are there, and what is known of their lives beside their states.

use serde::{Deserialize, Serialize};

use super::request::Select;

/// VMs that something is done with at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerVms {
    /// Which.
    #[serde(flatten)]
    pub select: Select,
    /// What.
    pub what: Power,
}

/// What is done with VMs at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// They stand still, with all that they have in memory.
    Pause,
    /// Those that stand still go on.
    Resume,
    /// They end, as when their plug is pulled.
    Kill,
}

/// What is known of a VM's life beside its state; shown among the rest of what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeInfo {
    /// Why its guest stands still, in few words: `by hand`, `host disk full` or `disk error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Whether it is started again when it ended by itself: `no`, `on-failure` or `always`; `None` for an external VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// How many times it was started again since it last ran for ten minutes.
    #[serde(default)]
    pub restarts: u32,
    /// When it is started again, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<String>,
    /// Whether it is started when the host is.
    #[serde(default)]
    pub autostart: bool,
    /// What it is started after: `db1:ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// When it failed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<String>,
    /// The last lines of its console when it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub console_tail: Vec<String>,
}
