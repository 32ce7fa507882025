//! How far a crowd of VMs is, in a few lines: how many are on each rung, and which fail. Pure.

use std::collections::HashMap;

/// The rungs a boot climbs, in order.
pub(super) const RUNGS: [&str; 4] = ["started", "dhcp", "metadata", "ready"];
/// What the daemon says of one that fails, before it says why.
pub(super) const FAILED: &str = "failed: ";
/// The most failures that get a line of their own; the answer tells the rest.
const FAILURES: usize = 5;

/// How far each of a crowd is.
#[derive(Debug, Default)]
pub(super) struct Tally {
    stages: HashMap<String, String>,
    failures: Vec<String>,
}

impl Tally {
    /// Of these, which wait.
    pub(super) fn of(names: &[String]) -> Self {
        let mut tally = Self::default();
        for name in names {
            tally.take(name, "waiting");
        }
        tally
    }

    /// Takes in how far one is. Each failure is kept.
    pub(super) fn take(&mut self, subject: &str, stage: &str) {
        let stage = match stage.strip_prefix(FAILED) {
            Some(why) => {
                self.failures.push(format!("{subject} failed: {why}"));
                "failed"
            }
            // Whom each waits for would be as many stages as there are VMs.
            None => stage.split(" for ").next().unwrap_or(stage),
        };
        self.stages.insert(subject.to_owned(), stage.to_owned());
    }

    /// The whole crowd in one line: `20 VMs: 3 cloning, 12 started, 5 ready`.
    pub(super) fn line(&self) -> String {
        let mut counts: Vec<(usize, &str, usize)> = Vec::new();
        for stage in self.stages.values() {
            match counts.iter_mut().find(|(_, known, _)| known == stage) {
                Some((_, _, count)) => *count += 1,
                None => counts.push((order(stage), stage, 1)),
            }
        }
        counts.sort_unstable();
        let parts: Vec<_> = counts
            .into_iter()
            .map(|(_, stage, count)| format!("{count} {stage}"))
            .collect();
        format!("{} VMs: {}", self.stages.len(), parts.join(", "))
    }

    /// The first failures, and how many more there are.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.failures.iter().take(FAILURES).cloned().collect();
        let more = self.failures.len().saturating_sub(FAILURES);
        if more > 0 {
            lines.push(format!("... and {more} more"));
        }
        lines
    }
}

/// Where a stage stands: what is done before a start, then the rungs, then the end.
fn order(stage: &str) -> usize {
    match stage {
        "waiting" => 0,
        "cloning" => 1,
        "starting" => 3,
        "failed" => 9,
        _ => RUNGS
            .iter()
            .position(|rung| *rung == stage)
            .map_or(2, |rung| rung + 4),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("vps{number:02}")).collect()
    }

    #[test]
    fn a_crowd_is_counted_by_rung_in_the_order_they_are_climbed() {
        let mut tally = Tally::of(&names(20));
        assert_eq!(tally.line(), "20 VMs: 20 waiting");
        for (number, stage) in [
            (1, "ready"),
            (2, "dhcp"),
            (3, "cloning"),
            (4, "starting"),
            (5, "waiting for db1:ready"),
            (6, "ready"),
            (7, "failed: the pool is full"),
            (8, "started"),
        ] {
            tally.take(&format!("vps{number:02}"), stage);
        }
        assert_eq!(
            tally.line(),
            "20 VMs: 13 waiting, 1 cloning, 1 starting, 1 started, 1 dhcp, 2 ready, 1 failed"
        );
        assert_eq!(tally.failures(), ["vps07 failed: the pool is full"]);
    }

    #[test]
    fn of_many_failures_the_first_are_told_and_the_rest_counted() {
        let mut tally = Tally::of(&names(9));
        for name in names(9) {
            tally.take(&name, "failed: no");
        }
        assert_eq!(tally.failures().len(), 6);
        assert_eq!(tally.failures()[5], "... and 4 more");
    }

    proptest! {
        #[test]
        fn its_height_is_bounded_whatever_comes(
            lines in proptest::collection::vec(("[a-z]{1,8}", "[a-z: ]{0,12}|failed: x"), 0..200),
        ) {
            let mut tally = Tally::default();
            for (subject, stage) in &lines {
                tally.take(subject, stage);
            }
            prop_assert!(tally.failures().len() <= FAILURES + 1);
            prop_assert_eq!(tally.line().lines().count(), 1);
        }
    }
}
