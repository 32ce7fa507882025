//! Whose turn it is: tests run side by side, but a crowd of guests runs alone, because two cores that start twenty of them keep
//! everybody else waiting for longer than a user would.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

static HOUSE: Mutex<House> = Mutex::new(House {
    inside: 0,
    crowd: false,
});
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// How many turns this test has already: a second lab of one test never waits for a crowd that waits for the first.
    static OWN: Cell<u32> = const { Cell::new(0) };
}

struct House {
    /// How many labs there are beside a crowd, or before it.
    inside: u32,
    /// Whether a crowd runs, or waits to.
    crowd: bool,
}

/// The right to run; given back when it is dropped.
pub(crate) struct Turn {
    alone: bool,
}

impl Turn {
    /// Beside others, once no crowd runs or waits to.
    pub(crate) fn beside_others() -> Self {
        let mut house = when(|house| !house.crowd || OWN.get() > 0);
        house.inside += 1;
        Self::taken(false)
    }

    /// Alone: keeps others from beginning, and waits for those that run.
    pub(crate) fn alone() -> Self {
        when(|house| !house.crowd).crowd = true;
        drop(when(|house| house.inside == 0));
        Self::taken(true)
    }

    fn taken(alone: bool) -> Self {
        OWN.set(OWN.get() + 1);
        Self { alone }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        OWN.set(OWN.get().saturating_sub(1));
        let mut house = when(|_| true);
        if self.alone {
            house.crowd = false;
        } else {
            house.inside -= 1;
        }
        CHANGED.notify_all();
    }
}

/// The house as soon as it is so. (A test that panicked left nothing half-done in it.)
fn when(is_so: impl Fn(&House) -> bool) -> MutexGuard<'static, House> {
    let house = HOUSE.lock().unwrap_or_else(PoisonError::into_inner);
    CHANGED
        .wait_while(house, |house| !is_so(house))
        .unwrap_or_else(PoisonError::into_inner)
}
