//! Which cards the VMs have: those that their command lines say, until they are changed while the VM runs.
//!
//! From then on QEMU itself is asked, after each change and by a daemon that starts again; a mark in the run directory says that
//! it has to be. See `hotplug` for the changes.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Daemon;
use crate::control::Refusal;
use crate::machine::Card;
use crate::machine::qmp::{Qmp, QmpError};
use crate::model::{Vm, VmName};

/// The cards of the VMs whose cards were changed since they were started.
#[derive(Debug, Default)]
pub(super) struct Cards {
    known: Mutex<HashMap<VmName, Known>>,
    asked: AtomicU64,
}

/// What a QEMU answered, and the number of the question: of two answers, that to the later one counts.
#[derive(Debug, Default)]
struct Known {
    asked: u64,
    cards: Vec<Card>,
    /// The slots of those that lead nowhere: their guest was asked to let go of them, and has not.
    cut_off: Vec<u8>,
}

impl Known {
    fn is_cut_off(&self, card: &Card) -> bool {
        self.cut_off.contains(&card.slot)
    }
}

impl Cards {
    /// The cards that a VM has now behind its ports and that lead somewhere; `None` for those that it was started with.
    pub(super) fn of(&self, vm: &VmName) -> Option<Vec<Card>> {
        let all = self.known();
        let known = all.get(vm)?;
        let whole = known.cards.iter().filter(|card| !known.is_cut_off(card));
        Some(whole.copied().collect())
    }

    /// The cards of a VM that lead nowhere, until its guest lets go of them.
    pub(super) fn cut_off(&self, vm: &VmName) -> Vec<Card> {
        let all = self.known();
        let known = all.get(vm).into_iter();
        let cut_off = known.flat_map(|known| known.cards.iter().filter(|card| known.is_cut_off(card)));
        cut_off.copied().collect()
    }

    /// Asks a VM's QEMU for its cards, of which those in the slots `cut_off` lead nowhere from now on.
    pub(super) async fn ask(&self, vm: &VmName, qmp: &mut Qmp, cut_off: &[u8]) -> Result<(), QmpError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let cards = qmp.cards().await?;
        self.learn(vm, asked, cards, cut_off);
        Ok(())
    }

    fn learn(&self, vm: &VmName, asked: u64, cards: Vec<Card>, cut_off: &[u8]) {
        let mut all = self.known();
        let known = all.entry(vm.clone()).or_default();
        known.cut_off.extend(cut_off);
        if known.asked < asked {
            (known.asked, known.cards) = (asked, cards);
        }
        let cards = &known.cards;
        known
            .cut_off
            .retain(|slot| cards.iter().any(|card| card.slot == *slot));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<VmName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A VM does not run any more, or starts anew: its command line says what it has.
pub(super) fn forget(daemon: &Daemon, vm: &VmName) {
    daemon.cards.known().remove(vm);
    let path = daemon.config.places.changed_cards(vm);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%vm, "could not remove {}: {error}.", path.display());
        }
        _ => {}
    }
}

/// Notes, for this daemon and the next, that a VM's command line does not say any more which cards it has.
pub(super) fn mark(daemon: &Daemon, vm: &VmName) -> Result<(), Refusal> {
    let path = daemon.config.places.changed_cards(vm);
    std::fs::write(&path, "").map_err(|error| Refusal::host(format!("{}: {error}", path.display())))
}

/// A VM's QEMU said that one of its cards is gone.
pub(super) async fn gone(daemon: &Daemon, vm: &Vm, qmp: &mut Qmp) -> Result<(), QmpError> {
    if let Err(refusal) = mark(daemon, &vm.name) {
        tracing::warn!(vm = %vm.name, "a later daemon will not know which NICs {} has: {refusal}.", vm.name);
    }
    daemon.cards.ask(&vm.name, qmp, &[]).await
}

/// Whether the cards of a VM that runs were changed since it was started.
pub(super) fn is_marked(daemon: &Daemon, vm: &VmName) -> bool {
    daemon.config.places.changed_cards(vm).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MacAddress;

    #[test]
    fn of_two_answers_that_to_the_later_question_counts() {
        let (cards, web1): (_, VmName) = (Cards::default(), "web1".parse().unwrap());
        assert_eq!(cards.of(&web1), None);
        let card = Card {
            slot: 24,
            mac: MacAddress::new([2; 6]),
            mtu: None,
        };
        cards.learn(&web1, 2, vec![card], &[]);
        cards.learn(&web1, 1, vec![], &[]);
        assert_eq!(cards.of(&web1), Some(vec![card]));
        cards.learn(&web1, 3, vec![], &[]);
        assert_eq!(cards.of(&web1), Some(vec![]));
    }

    #[test]
    fn a_card_that_is_cut_off_is_none_until_the_slot_was_free() {
        let (cards, web1): (_, VmName) = (Cards::default(), "web1".parse().unwrap());
        let card = |slot| Card {
            slot,
            mac: MacAddress::new([2; 6]),
            mtu: None,
        };
        cards.learn(&web1, 1, vec![card(24), card(25)], &[24, 26]);
        assert_eq!(cards.of(&web1), Some(vec![card(25)]));
        assert_eq!(cards.cut_off(&web1), [card(24)]);
        // What was done is known, whatever the answer is worth.
        cards.learn(&web1, 0, vec![], &[25]);
        assert_eq!(cards.of(&web1), Some(vec![]));
        cards.learn(&web1, 2, vec![card(24)], &[]);
        assert_eq!(cards.cut_off(&web1), [card(24)]);
        cards.learn(&web1, 3, vec![], &[]);
        cards.learn(&web1, 4, vec![card(24)], &[]);
        assert_eq!(cards.of(&web1), Some(vec![card(24)]));
        assert_eq!(cards.cut_off(&web1), []);
    }
}
