//! The stored forms: what a VM and an image look like as JSON documents on disk. They never leave this folder.
//!
//! A stored form is a promise to every later release, so it is a type of its own: `model` may change freely, and a
//! change here means a new schema number and a migration.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::common::Common;
use crate::model::snapshot::History;
use crate::model::{
    Bytes, Custom, FirstBoot, Hardware, Hosting, Machine, Phase, SshKeys, Timestamp, Vm, Workshop, mac,
};

mod deleted;
mod hardware;
mod image;
mod network;
mod nic;
mod policy;
mod site;
mod snapshot;
mod workshop;

pub(super) use deleted::DeletedV3;
use hardware::HardwareV3;
pub(super) use image::{ImageV1, StoredImage, image_key};
pub(super) use network::{CustomV2, LeaseV2, RecordSetV2, key};
use policy::PolicyV3;
use snapshot::HistoryV3;
use workshop::WorkshopV3;

pub(super) use site::{HexV3, IdentityV3, RingKeyV3, SITE_SECRET};

/// The schema that these forms are; stored beside them.
pub(super) const SCHEMA: u64 = 3;

/// Why a stored document is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub(super) struct RecordError {
    field: &'static str,
    why: String,
}

/// A text of a document, borrowed from it where it stands there without escapes: of 50,000 VMs none is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct TextV1<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VmV1<'a> {
    #[serde(borrow)]
    name: TextV1<'a>,
    network: TextV1<'a>,
    mac: TextV1<'a>,
    address: TextV1<'a>,
    uuid: TextV1<'a>,
    tap: TextV1<'a>,
    keys: Vec<TextV1<'a>>,
    template: TextV1<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_data: Option<OctetsV1<'a>>,
    /// `None` for an external VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<MachineV1<'a>>,
    created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_boot: Option<FirstBootV1<'a>>,
    /// Since schema 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    custom: Option<CustomV2>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MachineV1<'a> {
    #[serde(borrow)]
    image: TextV1<'a>,
    cpus: u16,
    memory: u64,
    disk: u64,
    swap: u64,
    launched: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replacing: bool,
    /// Since schema 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workshop: Option<Box<WorkshopV3>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hardware: Option<Box<HardwareV3>>,
    /// Since schema 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<Box<PolicyV3>>,
    /// Since schema 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<Box<HistoryV3>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstBootV1<'a> {
    at: u64,
    #[serde(borrow)]
    host_keys: Vec<TextV1<'a>>,
}

/// Octets that JSON must carry: as text where they are text, so that a dump can be read; gzip is user-data too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OctetsV1<'a> {
    #[serde(borrow)]
    Text(TextV1<'a>),
    Hex(TextV1<'a>),
}

impl<'a> TextV1<'a> {
    const fn of(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }

    const fn made(text: String) -> Self {
        Self(Cow::Owned(text))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a Vm> for VmV1<'a> {
    fn from(vm: &'a Vm) -> Self {
        Self {
            name: TextV1::of(vm.name.as_str()),
            network: TextV1::of(vm.network.as_str()),
            mac: TextV1::made(mac::text(vm.mac)),
            address: TextV1::made(vm.address.to_string()),
            uuid: TextV1::made(vm.uuid.hyphenated().to_string()),
            tap: TextV1::of(vm.tap.as_str()),
            keys: vm.keys.iter().map(|key| TextV1::of(key.as_str())).collect(),
            template: TextV1::of(vm.template.as_str()),
            user_data: vm.user_data.as_deref().map(OctetsV1::of),
            machine: vm.machine().map(MachineV1::from),
            created: vm.created.0,
            first_boot: vm.first_boot.as_ref().map(FirstBootV1::from),
            custom: vm.custom.as_deref().map(CustomV2::from),
        }
    }
}

impl VmV1<'_> {
    /// The VM; what it has in common with others that were read is kept once.
    pub(super) fn read(self, common: &mut Common) -> Result<Vm, RecordError> {
        Ok(Vm {
            name: field("name", self.name.as_str())?,
            network: common.networks.of("network", &self.network)?,
            mac: mac::parse(self.mac.as_str()).map_err(|why| error("mac", &why))?,
            address: field("address", self.address.as_str())?,
            uuid: Uuid::parse_str(self.uuid.as_str()).map_err(|why| error("uuid", &why))?,
            tap: field("tap", self.tap.as_str())?,
            keys: common.keys.of("keys", &self.keys)?,
            template: common.templates.of("template", &self.template)?,
            user_data: self.user_data.map(OctetsV1::octets).transpose()?,
            hosting: match self.machine {
                Some(machine) => Hosting::from(machine.read(common)?),
                None => Hosting::External,
            },
            created: Timestamp(self.created),
            first_boot: self.first_boot.map(FirstBoot::try_from).transpose()?,
            custom: match self.custom {
                Some(custom) => Custom::try_from(custom)?.boxed(),
                None => None,
            },
        })
    }
}

impl<'a> From<&'a Machine> for MachineV1<'a> {
    fn from(machine: &'a Machine) -> Self {
        Self {
            image: TextV1::made(image_key(&machine.image)),
            cpus: machine.cpus,
            memory: machine.memory.0,
            disk: machine.disk.0,
            swap: machine.swap.0,
            launched: machine.phase != Phase::Launching,
            replacing: machine.phase == Phase::Replacing,
            workshop: machine
                .workshop
                .as_deref()
                .map(|workshop| Box::new(workshop.into())),
            hardware: machine
                .hardware
                .as_deref()
                .map(|hardware| Box::new(hardware.into())),
            policy: PolicyV3::of(machine.policy()),
            history: machine.history.as_deref().map(|history| Box::new(history.into())),
        }
    }
}

impl MachineV1<'_> {
    fn read(self, common: &mut Common) -> Result<Machine, RecordError> {
        Ok(Machine {
            image: common.images.of("machine.image", &self.image)?.0,
            cpus: self.cpus,
            memory: Bytes(self.memory),
            disk: Bytes(self.disk),
            swap: Bytes(self.swap),
            phase: match (self.launched, self.replacing) {
                (false, _) => Phase::Launching,
                (true, false) => Phase::Launched,
                (true, true) => Phase::Replacing,
            },
            workshop: self
                .workshop
                .map(|stored| Workshop::try_from(*stored).map(Box::new))
                .transpose()?,
            hardware: self
                .hardware
                .map(|stored| Hardware::try_from(*stored).map(Box::new))
                .transpose()?,
            policy: PolicyV3::read(self.policy)?.boxed(),
            history: self
                .history
                .map(|stored| History::try_from(*stored).map(Box::new))
                .transpose()?,
        })
    }
}

impl<'a> From<&'a FirstBoot> for FirstBootV1<'a> {
    fn from(told: &'a FirstBoot) -> Self {
        Self {
            at: told.at.0,
            host_keys: told
                .host_keys
                .iter()
                .map(|key| TextV1::of(key.as_str()))
                .collect(),
        }
    }
}

impl TryFrom<FirstBootV1<'_>> for FirstBoot {
    type Error = RecordError;

    fn try_from(stored: FirstBootV1<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            at: Timestamp(stored.at),
            host_keys: keys("first_boot.host_keys", &stored.host_keys)?,
        })
    }
}

impl<'a> OctetsV1<'a> {
    fn of(octets: &'a [u8]) -> Self {
        use std::fmt::Write as _;
        if let Ok(text) = std::str::from_utf8(octets) {
            return Self::Text(TextV1::of(text));
        }
        let mut hex = String::with_capacity(octets.len() * 2);
        for octet in octets {
            // Writing to a String can not fail.
            let _ = write!(hex, "{octet:02x}");
        }
        Self::Hex(TextV1::made(hex))
    }

    fn octets(self) -> Result<Arc<[u8]>, RecordError> {
        match self {
            Self::Text(text) => Ok(Arc::from(text.as_str().as_bytes())),
            Self::Hex(hex) => hex
                .as_str()
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

pub(super) fn keys(name: &'static str, stored: &[TextV1<'_>]) -> Result<SshKeys, RecordError> {
    stored.iter().map(|key| field(name, key.as_str())).collect()
}

pub(super) fn error(field: &'static str, why: &dyn fmt::Display) -> RecordError {
    RecordError {
        field,
        why: why.to_string(),
    }
}
