//! What a guest can have the log say: once a minute, however often it gives cause.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::{Timestamp, VmName};

/// How long the same VM's next cause is no news, in seconds.
const QUIET: u64 = 60;

/// When each VM was told of last.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<HashMap<VmName, Timestamp>>);

impl Quiet {
    /// Whether it is to be told of a VM now, which this counts as telling it.
    pub(super) fn is_news(&self, vm: &VmName, now: Timestamp) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(vm).is_some_and(|last| now.0.abs_diff(last.0) < QUIET) {
            return false;
        }
        told.insert(vm.clone(), now);
        true
    }

    /// A VM was deleted.
    pub(super) fn forget(&self, vm: &VmName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(vm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vm_is_told_of_once_a_minute() {
        let quiet = Quiet::default();
        let (web1, web2): (VmName, VmName) = ("web1".parse().unwrap(), "web2".parse().unwrap());
        assert!(quiet.is_news(&web1, Timestamp(100)) && quiet.is_news(&web2, Timestamp(159)));
        assert!(!quiet.is_news(&web1, Timestamp(159)));
        assert!(quiet.is_news(&web1, Timestamp(160)) && !quiet.is_news(&web2, Timestamp(160)));
        quiet.forget(&web2);
        assert!(quiet.is_news(&web2, Timestamp(161)));
    }
}
