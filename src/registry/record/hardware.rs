//! The stored form of the hardware that was pinned for a VM.

use serde::{Deserialize, Serialize};

use super::{RecordError, field};
use crate::model::Hardware;

/// Since schema 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HardwareV3 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cpu_model: Option<String>,
}

impl From<&Hardware> for HardwareV3 {
    fn from(hardware: &Hardware) -> Self {
        let Hardware {
            machine_type,
            cpu_model,
        } = hardware;
        Self {
            machine_type: machine_type.as_ref().map(ToString::to_string),
            cpu_model: cpu_model.as_ref().map(ToString::to_string),
        }
    }
}

impl TryFrom<HardwareV3> for Hardware {
    type Error = RecordError;

    fn try_from(stored: HardwareV3) -> Result<Self, RecordError> {
        let HardwareV3 {
            machine_type,
            cpu_model,
        } = stored;
        Ok(Self {
            machine_type: machine_type
                .map(|text| field("hardware.machine_type", &text))
                .transpose()?,
            cpu_model: cpu_model
                .map(|text| field("hardware.cpu_model", &text))
                .transpose()?,
        })
    }
}
