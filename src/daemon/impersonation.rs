//! Those who spoke from a VM's address and were not the VM: counted for each, and told once a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::quiet::Quiet;
use crate::model::{Timestamp, Vm, VmName};

/// What was refused since the daemon started.
#[derive(Debug, Default)]
pub(super) struct Impersonations {
    counts: Mutex<HashMap<VmName, u64>>,
    quiet: Quiet,
}

impl Impersonations {
    /// Counts one, and tells of it unless the last was told of just now.
    pub(super) fn saw(&self, vm: &Vm, why: &str, now: Timestamp) {
        let refused = self.count(&vm.name);
        if self.quiet.is_news(&vm.name, now) {
            tracing::warn!(
                vm = %vm.name, ip = %vm.address, refused,
                "metadata of {} refused to somebody else: {why}.", vm.name
            );
        }
    }

    /// How many of a VM's were refused.
    pub(super) fn of(&self, vm: &VmName) -> u64 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(vm).copied().unwrap_or_default()
    }

    fn count(&self, vm: &VmName) -> u64 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(vm.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// A VM was deleted.
    pub(super) fn forget(&self, vm: &VmName) {
        self.quiet.forget(vm);
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(vm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vms_are_counted_until_it_is_deleted() {
        let seen = Impersonations::default();
        let (web1, web2): (VmName, VmName) = ("web1".parse().unwrap(), "web2".parse().unwrap());
        let told: Vec<u64> = [&web1, &web2, &web1].map(|vm| seen.count(vm)).to_vec();
        assert_eq!(told, [1, 1, 2]);
        assert_eq!((seen.of(&web1), seen.of(&web2)), (2, 1));
        seen.forget(&web1);
        assert_eq!((seen.count(&web1), seen.count(&web2)), (1, 2));
    }
}
