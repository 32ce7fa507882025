//! The stored form of the hardware that was pinned for a VM.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{RecordError, field};
use crate::model::{Bytes, ExtraDisk, Hardware, Uefi};

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uefi: Option<UefiV3>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UefiV3 {
    code: PathBuf,
    template: PathBuf,
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
            uefi,
        } = hardware;
        Self {
            machine_type: machine_type.as_ref().map(ToString::to_string),
            cpu_model: cpu_model.as_ref().map(ToString::to_string),
            disks: disks.iter().map(DiskV3::from).collect(),
            uefi: uefi
                .clone()
                .map(|Uefi { code, template }| UefiV3 { code, template }),
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
            uefi,
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
            uefi: uefi.map(|UefiV3 { code, template }| Uefi { code, template }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pinned_is_read_as_it_was_written_and_little_is_written_of_little() {
        let whole = Hardware {
            machine_type: Some("pc-q35-7.2".parse().unwrap()),
            cpu_model: Some("EPYC-v4".parse().unwrap()),
            disks: vec![ExtraDisk {
                name: "data".parse().unwrap(),
                size: Bytes::gib(10),
                slot: 9,
            }],
            uefi: Some(Uefi {
                code: "/usr/share/OVMF/OVMF_CODE_4M.fd".into(),
                template: "/usr/share/OVMF/OVMF_VARS_4M.fd".into(),
            }),
        };
        for hardware in [whole, Hardware::default()] {
            let text = serde_json::to_string(&HardwareV3::from(&hardware)).unwrap();
            let stored: HardwareV3 = serde_json::from_str(&text).unwrap();
            assert_eq!(Hardware::try_from(stored), Ok(hardware), "{text}");
        }
        let none = serde_json::to_string(&HardwareV3::from(&Hardware::default())).unwrap();
        assert_eq!(none, "{}");
        let other: HardwareV3 = serde_json::from_str(r#"{"machine_type": "a,b"}"#).unwrap();
        assert!(
            Hardware::try_from(other)
                .unwrap_err()
                .to_string()
                .starts_with("hardware.machine_type: ")
        );
    }
}
