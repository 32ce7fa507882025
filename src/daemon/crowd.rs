//! What the log says when a whole crowd of VMs climbs its ladders at once: the first by name, the rest by number.
//!
//! A line for each of 50,000 VMs costs as much as answering them, and nobody reads them.

use std::fmt::Write as _;

use crate::model::{BootStep, Timestamp};

/// How many VMs are told of by name in one second.
const NAMED: u32 = 50;

/// How many VMs were told of in the current second, and how many were not.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    second: Timestamp,
    named: u32,
    /// By rung.
    unnamed: [u32; BootStep::ALL.len()],
}

impl Crowd {
    /// Whether a VM that reached a rung is told of by name; one that is not is counted.
    pub(super) fn names(&mut self, step: BootStep, now: Timestamp) -> bool {
        if self.second != now {
            (self.second, self.named) = (now, 0);
        }
        self.named = self.named.saturating_add(1);
        let is_named = self.named <= NAMED;
        if !is_named && let Some(count) = self.unnamed.get_mut(step as usize) {
            *count = count.saturating_add(1);
        }
        is_named
    }

    /// Whether some were counted and not told of yet.
    pub(super) fn has_more(&self) -> bool {
        self.unnamed != [0; BootStep::ALL.len()]
    }

    /// What is to be told of those that were counted, once their second is over.
    pub(super) fn more(&mut self, now: Timestamp) -> Option<String> {
        if self.second == now || !self.has_more() {
            return None;
        }
        let mut text = String::new();
        for (step, count) in BootStep::ALL.into_iter().zip(std::mem::take(&mut self.unnamed)) {
            if count > 0 {
                let comma = if text.is_empty() { "" } else { ", " };
                let vms = if count == 1 { "VM" } else { "VMs" };
                // Writing to a String can not fail.
                let _infallible = write!(text, "{comma}{count} more {vms} reached {step}");
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_crowd_the_first_are_named_and_the_rest_are_counted_once() {
        let mut crowd = Crowd::default();
        let named = (0..10_000)
            .filter(|_| crowd.names(BootStep::Dhcp, Timestamp(7)))
            .count();
        assert_eq!(named, 50);
        assert!(!crowd.names(BootStep::Ready, Timestamp(7)));
        assert_eq!(crowd.more(Timestamp(7)), None);
        assert_eq!(
            crowd.more(Timestamp(8)).unwrap(),
            "9950 more VMs reached dhcp, 1 more VM reached ready"
        );
        assert_eq!(crowd.more(Timestamp(9)), None);
        assert!(crowd.names(BootStep::Dhcp, Timestamp(8)));
    }
}
