//! What a VM is created with and keeps, as it is written.

use serde::{Deserialize, Serialize};

/// What new VMs are to be created with, where that is not the newest there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewHardware {
    /// A model of a processor, or `host`.
    pub cpu_model: Option<String>,
}

/// What to change of what VMs were created with; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HardwareChange {
    /// A machine type of QEMU's with its version, or `newest`.
    pub machine_type: Option<String>,
    /// A model of a processor, or `host`.
    pub cpu_model: Option<String>,
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
}
