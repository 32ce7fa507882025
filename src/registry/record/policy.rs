//! The stored form of when a VM is started; since schema 3.

use serde::{Deserialize, Serialize};

use super::{RecordError, field};
use crate::model::policy::{Policy, Restart};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::registry) struct PolicyV3 {
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<String>,
    #[serde(skip_serializing_if = "super::network::is_false")]
    autostart: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    after: Vec<String>,
}

impl PolicyV3 {
    /// What is stored: nothing for what most VMs have.
    pub(super) fn of(policy: &Policy) -> Option<Box<Self>> {
        let restart = (policy.restart != Restart::default()).then(|| policy.restart.as_str().to_owned());
        let stored = Self {
            restart,
            autostart: policy.autostart,
            after: policy.after.iter().map(ToString::to_string).collect(),
        };
        (stored != Self::default()).then(|| Box::new(stored))
    }

    pub(super) fn read(stored: Option<Box<Self>>) -> Result<Policy, RecordError> {
        let Self {
            restart,
            autostart,
            after,
        } = stored.map(|stored| *stored).unwrap_or_default();
        Ok(Policy {
            restart: restart
                .map(|text| field("machine.policy.restart", &text))
                .transpose()?
                .unwrap_or_default(),
            autostart,
            after: after
                .iter()
                .map(|text| field("machine.policy.after", text))
                .collect::<Result<_, _>>()?,
        })
    }
}
