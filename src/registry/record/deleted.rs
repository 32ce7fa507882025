//! The stored form of a deleted VM that can be undone, since schema 3.

use serde::{Deserialize, Serialize};

use super::super::common::Common;
use super::{RecordError, TextV1, VmV1, field};
use crate::model::{Deleted, DeletedId, Timestamp};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry) struct DeletedV3<'a> {
    number: u64,
    at: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    returning: Option<TextV1<'a>>,
    vm: VmV1<'a>,
}

impl<'a> From<&'a Deleted> for DeletedV3<'a> {
    fn from(deleted: &'a Deleted) -> Self {
        Self {
            number: deleted.id.number,
            at: deleted.at.0,
            returning: deleted.returning.as_ref().map(|name| TextV1::of(name.as_str())),
            vm: VmV1::from(&*deleted.vm),
        }
    }
}

impl DeletedV3<'_> {
    /// What is kept of the VM.
    pub(in crate::registry) fn read(self, common: &mut Common) -> Result<Deleted, RecordError> {
        let vm = self.vm.read(common)?;
        let returning = self.returning.map(|name| field("returning", name.as_str()));
        Ok(Deleted {
            id: DeletedId {
                name: vm.name.clone(),
                number: self.number,
            },
            at: Timestamp(self.at),
            vm: Arc::new(vm),
            returning: returning.transpose()?,
        })
    }
}
