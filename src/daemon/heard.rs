//! What was heard of VMs' agents beside their rungs: what cloud-init reports, and who read documents too late for secrets.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::quiet::Quiet;
use crate::model::boot::{Outcome, Report};
use crate::model::{Timestamp, Vm, VmName};

/// The most failures of one boot that are kept.
const KEPT: usize = 8;

/// What was heard since the daemon started.
#[derive(Debug, Default)]
pub(super) struct Heard {
    board: Mutex<HashMap<VmName, Told>>,
    /// When each VM asked the metadata service last: of all of them, and so not among the rest.
    contacts: Mutex<HashMap<VmName, Timestamp>>,
    quiet: Quiet,
    failed: Quiet,
}

/// What was heard of one VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// What cloud-init said last, as it is shown.
    pub(super) last: Option<String>,
    /// When it was powered on, where that was since the daemon started.
    pub(super) powered_on: Option<Timestamp>,
    /// What failed in this boot, a line each.
    pub(super) failures: VecDeque<String>,
    /// How many documents were read without the secrets that belong into them, and when the last one was.
    pub(super) withheld: Option<(u64, Timestamp)>,
}

impl Heard {
    /// Takes a report in; tells of a failure.
    pub(super) fn report(&self, vm: &Vm, report: &Report, now: Timestamp) {
        let line = line(report);
        // A guest can say so as often as it likes: each is kept for `show`, and the log is told of the first of a minute.
        if report.outcome == Some(Outcome::Failure) && self.failed.is_news(&vm.name, now) {
            tracing::warn!(vm = %vm.name, "cloud-init of {}: {line}.", vm.name);
        }
        let mut board = self.board();
        let told = board.entry(vm.name.clone()).or_default();
        if report.outcome == Some(Outcome::Failure) {
            told.failures.push_back(line.clone());
            if told.failures.len() > KEPT {
                told.failures.pop_front();
            }
        }
        told.last = Some(line);
    }

    /// Counts a document that was read without its secrets.
    pub(super) fn withheld(&self, vm: &Vm, document: &str, now: Timestamp) {
        let mut board = self.board();
        let told = board.entry(vm.name.clone()).or_default();
        let count = told.withheld.map_or(0, |(count, _)| count).saturating_add(1);
        told.withheld = Some((count, now));
        drop(board);
        if self.quiet.is_news(&vm.name, now) {
            tracing::info!(
                vm = %vm.name, document, count,
                "the {document} of {} was read without the secrets of its first boot ({count} so far).", vm.name
            );
        }
    }

    /// A VM spoke with the metadata service.
    pub(super) fn contact(&self, vm: &VmName, now: Timestamp) {
        self.contacts().insert(vm.clone(), now);
    }

    /// When a VM spoke with the metadata service last, since the daemon started.
    pub(super) fn last_contact(&self, vm: &VmName) -> Option<Timestamp> {
        self.contacts().get(vm).copied()
    }

    /// What was heard of a VM.
    pub(super) fn of(&self, vm: &VmName) -> Told {
        self.board().get(vm).cloned().unwrap_or_default()
    }

    /// A VM was powered on: what its agent said before is of another boot.
    pub(super) fn power_on(&self, vm: &VmName, now: Timestamp) {
        let mut board = self.board();
        let told = board.entry(vm.clone()).or_default();
        told.last = None;
        told.failures.clear();
        told.powered_on = Some(now);
    }

    /// A VM was deleted.
    pub(super) fn forget(&self, vm: &VmName) {
        self.quiet.forget(vm);
        self.failed.forget(vm);
        self.board().remove(vm);
        self.contacts().remove(vm);
    }

    fn contacts(&self) -> MutexGuard<'_, HashMap<VmName, Timestamp>> {
        self.contacts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn board(&self) -> MutexGuard<'_, HashMap<VmName, Told>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(report: &Report) -> String {
    let name = &report.name;
    match report.outcome {
        None => format!("{name} runs"),
        Some(Outcome::Success) => format!("{name} is done"),
        Some(Outcome::Warning) => format!("{name} is done, with warnings: {}", report.description),
        Some(Outcome::Failure) => format!("{name} failed: {}", report.description),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::examples;

    fn report(name: &str, outcome: Option<Outcome>) -> Report {
        Report {
            name: name.to_owned(),
            description: "running it".to_owned(),
            outcome,
        }
    }

    #[test]
    fn the_last_word_and_the_failures_of_a_boot_are_kept() {
        let (heard, web1) = (Heard::default(), examples::vm("web1", "10.77.0.5"));
        for n in 0..20 {
            heard.report(
                &web1,
                &report(&format!("module-{n}"), Some(Outcome::Failure)),
                Timestamp(n),
            );
        }
        heard.report(&web1, &report("modules-final", None), Timestamp(21));
        let told = heard.of(&web1.name);
        assert_eq!(told.last.as_deref(), Some("modules-final runs"));
        assert_eq!(told.failures.len(), KEPT);
        assert_eq!(told.failures[0], "module-12 failed: running it");
        heard.power_on(&web1.name, Timestamp(30));
        let begun = Told {
            powered_on: Some(Timestamp(30)),
            ..Told::default()
        };
        assert_eq!(heard.of(&web1.name), begun);
    }

    #[test]
    fn late_reads_are_counted_over_boots_until_the_vm_is_deleted() {
        let (heard, web1) = (Heard::default(), examples::vm("web1", "10.77.0.5"));
        heard.withheld(&web1, "vendor-data", Timestamp(5));
        heard.power_on(&web1.name, Timestamp(7));
        heard.withheld(&web1, "user-data", Timestamp(9));
        assert_eq!(heard.of(&web1.name).withheld, Some((2, Timestamp(9))));
        heard.forget(&web1.name);
        assert_eq!(heard.of(&web1.name), Told::default());
    }
}
