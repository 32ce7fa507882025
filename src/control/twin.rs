//! A VM to clone, as it is asked for.

use serde::{Deserialize, Serialize};

/// A VM to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneVm {
    /// Which.
    pub vm: String,
    /// What its clones are called: names and ranges.
    pub names: Vec<String>,
    /// Whether it may run: then it stands still while it is copied.
    #[serde(default)]
    pub live: bool,
    /// Whether the clones are started then.
    #[serde(default)]
    pub start: bool,
}
