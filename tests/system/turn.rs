//! Whose turn it is: tests run side by side, but a crowd of guests runs alone, because two cores that start twenty of them keep
//! everybody else waiting for longer than a user would.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, PoisonError};

static HOUSE: Mutex<House> = Mutex::new(House {
    inside: 0,
    crowd_waits: false,
});
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// How many turns this test has already: a second lab of one test never waits for a crowd that waits for the first.
    static OWN: Cell<u32> = const { Cell::new(0) };
}

struct House {
    inside: u32,
    crowd_waits: bool,
}

/// The right to run; given back when it is dropped.
pub(crate) struct Turn(());

impl Turn {
    /// Beside others, once no crowd runs or waits to.
    pub(crate) fn beside_others() -> Self {
        let mut house = HOUSE.lock().unwrap_or_else(PoisonError::into_inner);
        while house.crowd_waits && OWN.get() == 0 {
            house = CHANGED.wait(house).unwrap_or_else(PoisonError::into_inner);
        }
        house.inside += 1;
        OWN.set(OWN.get() + 1);
        Self(())
    }

    /// Alone: waits for those that run, and keeps others from beginning.
    pub(crate) fn alone() -> Crowd {
        let mut house = HOUSE.lock().unwrap_or_else(PoisonError::into_inner);
        while house.crowd_waits {
            house = CHANGED.wait(house).unwrap_or_else(PoisonError::into_inner);
        }
        house.crowd_waits = true;
        while house.inside > 0 {
            house = CHANGED.wait(house).unwrap_or_else(PoisonError::into_inner);
        }
        OWN.set(OWN.get() + 1);
        Crowd(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        OWN.set(OWN.get().saturating_sub(1));
        HOUSE.lock().unwrap_or_else(PoisonError::into_inner).inside -= 1;
        CHANGED.notify_all();
    }
}

/// The right to run alone; given back when it is dropped.
pub(crate) struct Crowd(());

impl Drop for Crowd {
    fn drop(&mut self) {
        OWN.set(OWN.get().saturating_sub(1));
        HOUSE.lock().unwrap_or_else(PoisonError::into_inner).crowd_waits = false;
        CHANGED.notify_all();
    }
}
