//! What a VM is created with and keeps, as it is written.

use serde::{Deserialize, Serialize};

/// What new VMs are to be created with, where that is not the newest there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewHardware {
    /// A model of a processor, or `host`.
    pub cpu_model: Option<String>,
    /// Disks besides: `data=10G`.
    pub add_disks: Vec<String>,
}

/// What to change of what VMs were created with; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HardwareChange {
    /// A machine type of QEMU's with its version, or `newest`.
    pub machine_type: Option<String>,
    /// A model of a processor, or `host`.
    pub cpu_model: Option<String>,
    /// Sizes of disks, which can only grow: `20G` of its own, `data=20G` of another.
    pub disk: Vec<String>,
    /// Disks besides: `data=10G`.
    pub add_disks: Vec<String>,
    /// The names of those that are taken away, with what is on them.
    pub remove_disks: Vec<String>,
}

/// What a managed VM was created with, as it is shown; nothing for one that someone else runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardwareInfo {
    /// The machine type; none for a VM from before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_type: Option<String>,
    /// The model of its processor, or `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    /// Its disks beside its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_disks: Vec<DiskInfo>,
    /// What of it runs otherwise than it is registered, and would not after a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<String>,
}

/// A disk that a VM has beside its own, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskInfo {
    /// Its name, which is its serial number too.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}
