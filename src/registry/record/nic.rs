//! The stored form of a NIC beside a VM's first one.

use serde::{Deserialize, Serialize};

use super::{RecordError, error, field};
use crate::model::{MoreNic, mac};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NicV3 {
    network: String,
    mac: String,
    address: String,
    tap: String,
    slot: u8,
}

impl From<&MoreNic> for NicV3 {
    fn from(nic: &MoreNic) -> Self {
        Self {
            network: nic.network.to_string(),
            mac: mac::text(nic.mac),
            address: nic.address.to_string(),
            tap: nic.tap.to_string(),
            slot: nic.slot,
        }
    }
}

impl TryFrom<NicV3> for MoreNic {
    type Error = RecordError;

    fn try_from(stored: NicV3) -> Result<Self, RecordError> {
        Ok(Self {
            network: field("custom.nics.network", &stored.network)?,
            mac: mac::parse(&stored.mac).map_err(|why| error("custom.nics.mac", &why))?,
            address: field("custom.nics.address", &stored.address)?,
            tap: field("custom.nics.tap", &stored.tap)?,
            slot: stored.slot,
        })
    }
}
