//! The stored forms: what a VM and an image look like as JSON documents on disk. They never leave this folder.
//!
//! A stored form is a promise to every later release, so it is a type of its own: `model` may change freely, and a
//! change here means a new schema number and a migration.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::image::{Boot, DiskFormat};
use crate::model::{Bytes, Custom, FirstBoot, Hosting, Image, Machine, Phase, SshKey, Timestamp, Vm, mac};

mod network;

pub(super) use network::{CustomV2, LeaseV2, RecordSetV2, key};

/// The schema that these forms are; stored beside them.
pub(super) const SCHEMA: u64 = 2;

/// Why a stored document is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub(super) struct RecordError {
    field: &'static str,
    why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VmV1 {
    name: String,
    network: String,
    mac: String,
    address: String,
    uuid: String,
    tap: String,
    keys: Vec<String>,
    template: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_data: Option<OctetsV1>,
    /// `None` for an external VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<MachineV1>,
    created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_boot: Option<FirstBootV1>,
    /// Since schema 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    custom: Option<CustomV2>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MachineV1 {
    image: String,
    cpus: u16,
    memory: u64,
    disk: u64,
    swap: u64,
    launched: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstBootV1 {
    at: u64,
    host_keys: Vec<String>,
}

/// Octets that JSON must carry: as text where they are text, so that a dump can be read; gzip is user-data too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OctetsV1 {
    Text(String),
    Hex(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageV1 {
    name: String,
    format: String,
    sha256: String,
    virtual_size: u64,
    file_size: u64,
    default_user: String,
    /// `None` when the firmware boots the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernel: Option<KernelV1>,
    created: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KernelV1 {
    initrd: bool,
    cmdline: String,
}

impl From<&Vm> for VmV1 {
    fn from(vm: &Vm) -> Self {
        Self {
            name: vm.name.to_string(),
            network: vm.network.to_string(),
            mac: mac::text(vm.mac),
            address: vm.address.to_string(),
            uuid: vm.uuid.hyphenated().to_string(),
            tap: vm.tap.to_string(),
            keys: vm.keys.iter().map(ToString::to_string).collect(),
            template: vm.template.to_string(),
            user_data: vm.user_data.as_deref().map(OctetsV1::of),
            machine: vm.machine().map(MachineV1::from),
            created: vm.created.0,
            first_boot: vm.first_boot.as_ref().map(FirstBootV1::from),
            custom: vm.custom.as_deref().map(CustomV2::from),
        }
    }
}

impl TryFrom<VmV1> for Vm {
    type Error = RecordError;

    fn try_from(stored: VmV1) -> Result<Self, RecordError> {
        Ok(Self {
            name: field("name", &stored.name)?,
            network: field("network", &stored.network)?,
            mac: mac::parse(&stored.mac).map_err(|why| error("mac", &why))?,
            address: field("address", &stored.address)?,
            uuid: Uuid::parse_str(&stored.uuid).map_err(|why| error("uuid", &why))?,
            tap: field("tap", &stored.tap)?,
            keys: keys("keys", &stored.keys)?,
            template: field("template", &stored.template)?,
            user_data: stored.user_data.map(OctetsV1::octets).transpose()?,
            hosting: match stored.machine {
                Some(machine) => Hosting::Managed(machine.try_into()?),
                None => Hosting::External,
            },
            created: Timestamp(stored.created),
            first_boot: stored.first_boot.map(FirstBoot::try_from).transpose()?,
            custom: match stored.custom {
                Some(custom) => Custom::try_from(custom)?.boxed(),
                None => None,
            },
        })
    }
}

impl From<&Machine> for MachineV1 {
    fn from(machine: &Machine) -> Self {
        Self {
            image: machine.image.to_string(),
            cpus: machine.cpus,
            memory: machine.memory.0,
            disk: machine.disk.0,
            swap: machine.swap.0,
            launched: machine.phase == Phase::Launched,
        }
    }
}

impl TryFrom<MachineV1> for Machine {
    type Error = RecordError;

    fn try_from(stored: MachineV1) -> Result<Self, RecordError> {
        Ok(Self {
            image: field("machine.image", &stored.image)?,
            cpus: stored.cpus,
            memory: Bytes(stored.memory),
            disk: Bytes(stored.disk),
            swap: Bytes(stored.swap),
            phase: if stored.launched {
                Phase::Launched
            } else {
                Phase::Launching
            },
        })
    }
}

impl From<&FirstBoot> for FirstBootV1 {
    fn from(told: &FirstBoot) -> Self {
        Self {
            at: told.at.0,
            host_keys: told.host_keys.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<FirstBootV1> for FirstBoot {
    type Error = RecordError;

    fn try_from(stored: FirstBootV1) -> Result<Self, RecordError> {
        Ok(Self {
            at: Timestamp(stored.at),
            host_keys: keys("first_boot.host_keys", &stored.host_keys)?,
        })
    }
}

impl From<&Image> for ImageV1 {
    fn from(image: &Image) -> Self {
        Self {
            name: image.name.to_string(),
            format: image.format.as_str().to_owned(),
            sha256: image.sha256.clone(),
            virtual_size: image.virtual_size.0,
            file_size: image.file_size.0,
            default_user: image.default_user.clone(),
            kernel: match &image.boot {
                Boot::Disk => None,
                Boot::Kernel { initrd, cmdline } => Some(KernelV1 {
                    initrd: *initrd,
                    cmdline: cmdline.clone(),
                }),
            },
            created: image.created.0,
        }
    }
}

impl TryFrom<ImageV1> for Image {
    type Error = RecordError;

    fn try_from(stored: ImageV1) -> Result<Self, RecordError> {
        let format = [DiskFormat::Qcow2, DiskFormat::Raw]
            .into_iter()
            .find(|format| format.as_str() == stored.format)
            .ok_or_else(|| {
                error(
                    "format",
                    &format_args!("`{}` is unknown", stored.format.escape_debug()),
                )
            })?;
        Ok(Self {
            name: field("name", &stored.name)?,
            format,
            sha256: stored.sha256,
            virtual_size: Bytes(stored.virtual_size),
            file_size: Bytes(stored.file_size),
            default_user: stored.default_user,
            boot: stored.kernel.map_or(Boot::Disk, |kernel| Boot::Kernel {
                initrd: kernel.initrd,
                cmdline: kernel.cmdline,
            }),
            created: Timestamp(stored.created),
        })
    }
}

impl OctetsV1 {
    fn of(octets: &[u8]) -> Self {
        use std::fmt::Write as _;
        if let Ok(text) = std::str::from_utf8(octets) {
            return Self::Text(text.to_owned());
        }
        let mut hex = String::with_capacity(octets.len() * 2);
        for octet in octets {
            // Writing to a String can not fail.
            let _ = write!(hex, "{octet:02x}");
        }
        Self::Hex(hex)
    }

    fn octets(self) -> Result<Arc<[u8]>, RecordError> {
        match self {
            Self::Text(text) => Ok(Arc::from(text.into_bytes())),
            Self::Hex(hex) => hex
                .as_bytes()
                .chunks(2)
                .map(octet)
                .collect::<Option<_>>()
                .ok_or_else(|| error("user_data.hex", &"not pairs of hexadecimal digits")),
        }
    }
}

fn octet(pair: &[u8]) -> Option<u8> {
    let &[high, low] = pair else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

pub(super) fn field<T: FromStr<Err: fmt::Display>>(name: &'static str, text: &str) -> Result<T, RecordError> {
    text.parse().map_err(|why| error(name, &why))
}

fn keys(name: &'static str, stored: &[String]) -> Result<Vec<SshKey>, RecordError> {
    stored.iter().map(|key| field(name, key)).collect()
}

pub(super) fn error(field: &'static str, why: &dyn fmt::Display) -> RecordError {
    RecordError {
        field,
        why: why.to_string(),
    }
}
