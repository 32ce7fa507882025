//! Requests about several VMs: what came of all of them, in one answer or one refusal.

use std::sync::Arc;

use super::{Daemon, info};
use crate::control::{Answer, Refusal};
use crate::model::Vm;

/// What came of something that was done with each of these VMs.
pub(super) fn answer(
    daemon: &Daemon,
    chosen: &[Arc<Vm>],
    results: Vec<Result<(), Refusal>>,
) -> Result<Answer, Refusal> {
    let refusals = results.into_iter().filter_map(Result::err).collect();
    match combined(refusals, chosen.len()) {
        Some(refusal) => Err(refusal),
        None => Ok(Answer::Vms(info::vms(daemon, chosen))),
    }
}

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

/// The same VMs as they are registered now, without those that are not any more.
pub(super) fn current(daemon: &Daemon, vms: &[Arc<Vm>]) -> Vec<Arc<Vm>> {
    vms.iter().filter_map(|vm| daemon.still(vm).ok()).collect()
}
