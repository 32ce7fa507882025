//! The boot ladder: events in, the highest rung of each VM's current boot out.
//!
//! ```text
//!   power on --> started --DHCPACK--> dhcp --GET meta-data--> metadata --phone home----------------> ready
//!                                                                  \--SSH answers, first boot known--/
//! ```
//!
//! A rung is only ever climbed: a guest that renews its lease while it is ready stays ready. Only a power-on starts
//! again at the bottom. cloud-init phones home once per instance, on its first boot; from then on a VM counts as ready
//! as soon as its SSH server answers.
//!
//! Pure: it neither knows where events come from nor what time it is.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use crate::model::{BootStep, Event, EventKind, Progress, Timestamp, VmName};

/// The rungs of all VMs that were seen since they were powered on.
///
/// Of 50,000 VMs each has one: a name is kept as its hash of 64 bits, under a key of this process alone. That two names of
/// them share it happens once in 10^10 daemons, and shows one VM on the other's rung.
#[derive(Debug, Default)]
pub struct Ladder {
    boots: HashMap<u64, Packed>,
    hasher: RandomState,
}

/// A [`Progress`] in eight octets.
#[derive(Debug, Clone, Copy)]
struct Packed(u64);

impl Packed {
    /// The bits of the step; a time has the others, which last longer than the sun.
    const STEP: u64 = 0b111;

    const fn of(progress: Progress) -> Self {
        Self(progress.since.0 << Self::STEP.count_ones() | progress.step as u64)
    }

    fn progress(self) -> Option<Progress> {
        let step = BootStep::ALL
            .into_iter()
            .find(|step| *step as u64 == self.0 & Self::STEP)?;
        let since = Timestamp(self.0 >> Self::STEP.count_ones());
        Some(Progress { step, since })
    }
}

impl Ladder {
    /// A VM was powered on: its boot starts at the bottom.
    pub fn power_on(&mut self, vm: &VmName, now: Timestamp) {
        self.resume(vm, BootStep::Started, now);
    }

    /// A VM goes on where an earlier daemon saw it.
    pub fn resume(&mut self, vm: &VmName, step: BootStep, now: Timestamp) {
        self.put(vm, Progress { step, since: now });
    }

    /// A VM was powered off or deleted: it is on no rung.
    pub fn power_off(&mut self, vm: &VmName) {
        self.boots.remove(&self.hasher.hash_one(vm));
    }

    /// Takes an event in, and returns the new rung if it was a step up.
    ///
    /// `first_boot_done` says whether the VM has phoned home in an earlier boot: only then does an answering SSH server
    /// mean that its keys are in place (cloud-init starts sshd before it is done).
    pub fn apply(&mut self, event: &Event, first_boot_done: bool, now: Timestamp) -> Option<Progress> {
        let step = rung_of(&event.kind, first_boot_done)?;
        let reached = Progress { step, since: now };
        match self.progress(&event.vm) {
            Some(progress) if progress.step >= step => None,
            _ => {
                self.put(&event.vm, reached);
                Some(reached)
            }
        }
    }

    /// The highest rung of a VM's current boot.
    pub fn progress(&self, vm: &VmName) -> Option<Progress> {
        self.boots.get(&self.hasher.hash_one(vm))?.progress()
    }

    fn put(&mut self, vm: &VmName, progress: Progress) {
        self.boots.insert(self.hasher.hash_one(vm), Packed::of(progress));
    }
}

fn rung_of(kind: &EventKind, first_boot_done: bool) -> Option<BootStep> {
    match kind {
        EventKind::Acknowledged => Some(BootStep::Dhcp),
        EventKind::Fetched { .. } | EventKind::AnswersFetched { .. } => Some(BootStep::Metadata),
        EventKind::PhonedHome { .. } => Some(BootStep::Ready),
        EventKind::Reported(report) if report.is_the_end() => Some(BootStep::Ready),
        EventKind::SshAnswered if first_boot_done => Some(BootStep::Ready),
        EventKind::SshAnswered
        | EventKind::Reported(_)
        | EventKind::Declined
        | EventKind::Released
        | EventKind::BootFetched { .. }
        | EventKind::BootRefused { .. }
        | EventKind::Impersonated { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn web1() -> VmName {
        "web1".parse().unwrap()
    }

    fn event(kind: EventKind) -> Event {
        Event { vm: web1(), kind }
    }

    #[test]
    fn a_first_boot_climbs_to_ready_by_phoning_home() {
        let mut ladder = Ladder::default();
        ladder.power_on(&web1(), Timestamp(1));
        let kinds = [
            EventKind::Acknowledged,
            EventKind::Fetched {
                document: "meta-data",
                withheld: false,
            },
            EventKind::SshAnswered,
            EventKind::PhonedHome {
                host_keys: Vec::new(),
            },
        ];
        let steps: Vec<_> = kinds
            .into_iter()
            .map(|k| ladder.apply(&event(k), false, Timestamp(2)).map(|p| p.step))
            .collect();
        assert_eq!(
            steps,
            [
                Some(BootStep::Dhcp),
                Some(BootStep::Metadata),
                None,
                Some(BootStep::Ready)
            ]
        );
    }

    #[test]
    fn a_later_boot_is_ready_when_ssh_answers() {
        let mut ladder = Ladder::default();
        ladder.power_on(&web1(), Timestamp(1));
        let reached = ladder.apply(&event(EventKind::SshAnswered), true, Timestamp(9));
        assert_eq!(
            reached,
            Some(Progress {
                step: BootStep::Ready,
                since: Timestamp(9)
            })
        );
    }

    #[test]
    fn a_power_on_starts_at_the_bottom_and_a_power_off_forgets() {
        let mut ladder = Ladder::default();
        ladder.apply(
            &event(EventKind::PhonedHome {
                host_keys: Vec::new(),
            }),
            false,
            Timestamp(1),
        );
        ladder.power_on(&web1(), Timestamp(2));
        assert_eq!(ladder.progress(&web1()).map(|p| p.step), Some(BootStep::Started));
        ladder.power_off(&web1());
        assert_eq!(ladder.progress(&web1()), None);
    }

    fn kinds() -> impl Strategy<Value = EventKind> {
        prop_oneof![
            Just(EventKind::Acknowledged),
            Just(EventKind::Declined),
            Just(EventKind::Released),
            Just(EventKind::BootFetched { part: "kernel" }),
            Just(EventKind::AnswersFetched { name: "preseed.cfg" }),
            Just(EventKind::Fetched {
                document: "user-data",
                withheld: false,
            }),
            Just(EventKind::PhonedHome {
                host_keys: Vec::new()
            }),
            Just(EventKind::SshAnswered),
        ]
    }

    proptest! {
        #[test]
        fn within_one_boot_a_rung_is_never_lost(events in prop::collection::vec((kinds(), any::<bool>()), 0..40)) {
            let mut ladder = Ladder::default();
            ladder.power_on(&web1(), Timestamp(0));
            let mut highest = BootStep::Started;
            for (kind, known) in events {
                ladder.apply(&event(kind), known, Timestamp(1));
                let step = ladder.progress(&web1()).unwrap().step;
                prop_assert!(step >= highest);
                highest = step;
            }
        }
    }
}
