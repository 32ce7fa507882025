//! The stored form of the hardware that was pinned for a VM.

use serde::{Deserialize, Serialize};

use super::{RecordError, field};
use crate::model::{Bytes, ExtraDisk, Hardware};

/// Since schema 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HardwareV3 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cpu_model: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    disks: Vec<DiskV3>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskV3 {
    name: String,
    size: u64,
    slot: u8,
}

impl From<&Hardware> for HardwareV3 {
    fn from(hardware: &Hardware) -> Self {
        let Hardware {
            machine_type,
            cpu_model,
            disks,
        } = hardware;
        Self {
            machine_type: machine_type.as_ref().map(ToString::to_string),
            cpu_model: cpu_model.as_ref().map(ToString::to_string),
            disks: disks.iter().map(DiskV3::from).collect(),
        }
    }
}

impl TryFrom<HardwareV3> for Hardware {
    type Error = RecordError;

    fn try_from(stored: HardwareV3) -> Result<Self, RecordError> {
        let HardwareV3 {
            machine_type,
            cpu_model,
            disks,
        } = stored;
        Ok(Self {
            machine_type: machine_type
                .map(|text| field("hardware.machine_type", &text))
                .transpose()?,
            cpu_model: cpu_model
                .map(|text| field("hardware.cpu_model", &text))
                .transpose()?,
            disks: disks
                .into_iter()
                .map(ExtraDisk::try_from)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<&ExtraDisk> for DiskV3 {
    fn from(disk: &ExtraDisk) -> Self {
        Self {
            name: disk.name.to_string(),
            size: disk.size.0,
            slot: disk.slot,
        }
    }
}

impl TryFrom<DiskV3> for ExtraDisk {
    type Error = RecordError;

    fn try_from(stored: DiskV3) -> Result<Self, RecordError> {
        Ok(Self {
            name: field("hardware.disks.name", &stored.name)?,
            size: Bytes(stored.size),
            slot: stored.slot,
        })
    }
}
