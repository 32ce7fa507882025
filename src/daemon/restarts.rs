//! Starts VMs again that ended by themselves, as their policies say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::{Daemon, failures, machines};
use crate::control::Refusal;
use crate::machine::LifeEvent;
use crate::machine::restart::{End, Next, STEADY, next};
use crate::model::policy::Restart;
use crate::model::{Timestamp, Vm, VmName};

/// What was done about the ends of each VM since somebody last started it by hand.
#[derive(Debug, Default)]
pub(super) struct Restarts(Mutex<HashMap<VmName, History>>);

#[derive(Debug, Default)]
struct History {
    /// How many times it was started again, of which none held.
    starts: u32,
    /// Since when it runs, or ran.
    since: Timestamp,
    /// When it is started again, and which of all these plans that is.
    due: Option<(Timestamp, u64)>,
    plans: u64,
}

impl Restarts {
    /// A VM runs.
    pub(super) fn runs(&self, vm: &VmName, now: Timestamp) {
        self.all().entry(vm.clone()).or_default().since = now;
    }

    /// Somebody started a VM, or does not want it to run: it is not started again for what was before.
    pub(super) fn by_hand(&self, vm: &VmName) {
        if let Some(history) = self.all().get_mut(vm) {
            (history.starts, history.due) = (0, None);
        }
    }

    /// A VM was deleted.
    pub(super) fn forget(&self, vm: &VmName) {
        self.all().remove(vm);
    }

    /// How many times a VM was started again since it last held, and when it will be.
    pub(super) fn of(&self, vm: &VmName) -> (u32, Option<Timestamp>) {
        let all = self.all();
        let history = all.get(vm);
        history.map_or((0, None), |history| {
            (history.starts, history.due.map(|(at, _)| at))
        })
    }

    /// Plans what is done about an end, and the number of the plan.
    fn plan(&self, vm: &VmName, (policy, end): (Restart, End), now: Timestamp) -> (Next, u64) {
        let mut all = self.all();
        let history = all.entry(vm.clone()).or_default();
        if history.since != Timestamp::default() && history.since.age(now) >= STEADY {
            history.starts = 0;
        }
        history.due = None;
        let next = next(policy, end, history.starts);
        if let Next::Start(pause) = next {
            history.plans += 1;
            history.due = Some((Timestamp(now.0 + pause.as_secs()), history.plans));
        }
        (next, history.plans)
    }

    /// Carries a plan out, unless something else was wanted meanwhile.
    fn take(&self, vm: &VmName, plan: u64) -> bool {
        let mut all = self.all();
        let Some(history) = all.get_mut(vm) else {
            return false;
        };
        let is_due = history.due.is_some_and(|(_, number)| number == plan);
        if is_due {
            history.due = None;
            history.starts += 1;
            // How long it runs is counted from when it does.
            history.since = Timestamp::default();
        }
        is_due
    }

    fn all(&self) -> MutexGuard<'_, HashMap<VmName, History>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A VM has ended: keeps why it failed, and has it started again where its policy wants that.
pub(super) fn ended(daemon: &Arc<Daemon>, vm: &Arc<Vm>, end: End, why: Option<&str>) {
    let next = match daemon.still(vm) {
        Ok(now) if now.workshop().is_none() => again(daemon, &now, end),
        _ => Next::Stay,
    };
    if let Some(why) = why {
        failures::keep(daemon, &vm.name, why, matches!(next, Next::Start(_)));
    }
}

/// Brings a VM that does not run to where a daemon before left it: why it failed is shown, and it is started again where that was
/// to be, or where it ended while no daemon ran.
pub(super) fn recover(daemon: &Arc<Daemon>, vm: &Arc<Vm>, same_boot: bool) {
    let name = &vm.name;
    let places = &daemon.config.places;
    if let Some(failure) = failures::kept(daemon, name) {
        if failure.again && same_boot {
            again(daemon, vm, End::Failed);
        }
        daemon
            .status
            .live(name, &LifeEvent::StartFailed { why: failure.why });
    } else if places.vm_sockets(name).exists() && !places.stopping(name).exists() && same_boot {
        tracing::warn!(vm = %name, "{name} ended while nobody saw how.");
        again(daemon, vm, End::Failed);
    }
    machines::stopping(daemon, name, false);
}

fn again(daemon: &Arc<Daemon>, vm: &Arc<Vm>, end: End) -> Next {
    let name = &vm.name;
    let policy = vm.machine().map_or(Restart::No, |machine| machine.policy.restart);
    let (next, plan) = daemon.restarts.plan(name, (policy, end), daemon.clock.now());
    match next {
        Next::Stay => {}
        Next::GiveUp(starts) => {
            tracing::error!(vm = %name, "{name} was started again {starts} times and did not hold: it is left alone.");
        }
        Next::Start(pause) => {
            tracing::warn!(vm = %name, "{name} is started again in {} s.", pause.as_secs());
            let (daemon, vm) = (Arc::clone(daemon), Arc::clone(vm));
            tokio::spawn(async move { start(&daemon, &vm, pause, plan).await });
        }
    }
    next
}

async fn start(daemon: &Arc<Daemon>, vm: &Vm, pause: Duration, plan: u64) {
    sleep(pause).await;
    let held = daemon.lock(vm).await;
    let Ok(vm) = daemon.still(vm) else { return };
    if !daemon.restarts.take(&vm.name, plan) || daemon.status.seen(&vm).is_up() {
        return;
    }
    let started: Result<(), Refusal> = machines::start_locked(daemon, &vm).await;
    drop(held);
    if let Err(refusal) = started {
        tracing::error!(vm = %vm.name, "{} could not be started again: {refusal}.", vm.name);
        ended(daemon, &vm, End::Failed, Some(&refusal.message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web1() -> VmName {
        "web1".parse().unwrap()
    }

    fn crash(restarts: &Restarts, at: u64) -> (Next, u64) {
        restarts.plan(&web1(), (Restart::OnFailure, End::Failed), Timestamp(at))
    }

    #[test]
    fn starts_are_counted_until_one_holds() {
        let restarts = Restarts::default();
        let (first, plan) = crash(&restarts, 100);
        assert_eq!(first, Next::Start(Duration::from_secs(1)));
        assert_eq!(restarts.of(&web1()), (0, Some(Timestamp(101))));
        assert!(restarts.take(&web1(), plan) && !restarts.take(&web1(), plan));
        restarts.runs(&web1(), Timestamp(101));
        assert_eq!(crash(&restarts, 105).0, Next::Start(Duration::from_secs(2)));
        assert!(restarts.take(&web1(), 2));
        restarts.runs(&web1(), Timestamp(107));
        // It held for longer than ten minutes.
        assert_eq!(crash(&restarts, 708).0, Next::Start(Duration::from_secs(1)));
    }

    #[test]
    fn what_somebody_wants_meanwhile_counts_more() {
        let restarts = Restarts::default();
        let (_, plan) = crash(&restarts, 100);
        restarts.by_hand(&web1());
        assert!(!restarts.take(&web1(), plan));
        let (_, plan) = crash(&restarts, 100);
        restarts.forget(&web1());
        assert!(!restarts.take(&web1(), plan));
    }

    #[test]
    fn a_start_that_fails_again_and_again_ends() {
        let restarts = Restarts::default();
        let mut starts = 0;
        while let (Next::Start(_), plan) = crash(&restarts, 1_000_000) {
            assert!(restarts.take(&web1(), plan));
            starts += 1;
        }
        assert_eq!(starts, crate::machine::restart::MOST);
    }
}
