//! Requests about several VMs: what came of all of them, in one answer or one refusal.

use std::sync::Arc;

use super::Daemon;
use crate::control::Refusal;
use crate::model::Vm;

/// One refusal for several: the first sentence in full, and how many others there were.
pub(super) fn combined(refusals: Vec<Refusal>, asked: usize) -> Option<Refusal> {
    let failed = refusals.len();
    let mut refusals = refusals.into_iter();
    let mut first = refusals.next()?;
    if asked > 1 {
        let others: Vec<_> = refusals.take(9).map(|refusal| refusal.message).collect();
        let more = if others.is_empty() {
            String::new()
        } else {
            format!("; {}", others.join("; "))
        };
        first.message = format!("{failed} of {asked} failed: {}{more}", first.message);
    }
    Some(first)
}

/// The same VMs as they are registered now.
pub(super) fn current(daemon: &Daemon, vms: &[Arc<Vm>]) -> Vec<Arc<Vm>> {
    let directory = daemon.directory();
    vms.iter()
        .filter_map(|vm| directory.vm(&vm.name).cloned())
        .collect()
}
