//! What is known of each VM right now: its state and its rung, in memory, with a bell that rings on every change.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::ladder::Ladder;
use crate::machine::{Accel, LifeEvent, step};
use crate::model::{BootStep, Event, Hosting, Progress, Timestamp, Vm, VmName, VmState};

/// The board: states and rungs, and the number of the last change.
///
/// A `std` mutex is right here: it is held for a map lookup and never across an await.
#[derive(Debug)]
pub(super) struct Status {
    board: Mutex<Board>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Board {
    ladder: Ladder,
    machines: HashMap<VmName, Life>,
}

#[derive(Debug)]
struct Life {
    state: VmState,
    accel: Option<Accel>,
}

/// One VM as it is seen now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether it runs.
    pub(super) state: VmState,
    /// Its rung, while it runs.
    pub(super) progress: Option<Progress>,
    /// How its CPU is run, while it runs.
    pub(super) accel: Option<Accel>,
}

impl Seen {
    /// Whether its QEMU runs, or is about to.
    pub(super) fn is_up(&self) -> bool {
        match self.state {
            VmState::Starting
            | VmState::Running { .. }
            | VmState::Paused { .. }
            | VmState::Stopping { .. } => true,
            VmState::Stopped | VmState::Failed { .. } | VmState::External => false,
        }
    }

    /// Whether it has reached the rung in its current boot.
    pub(super) fn reached(&self, rung: BootStep) -> bool {
        self.progress.is_some_and(|progress| progress.step >= rung)
    }
}

impl Default for Status {
    fn default() -> Self {
        Self {
            board: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Status {
    /// Rings on every change; a waiter looks again at what it waits for.
    pub(super) fn bell(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A VM as it is seen now.
    pub(super) fn seen(&self, vm: &Vm) -> Seen {
        let board = self.board();
        let progress = board.ladder.progress(&vm.name);
        match (&vm.hosting, board.machines.get(&vm.name)) {
            (Hosting::External, _) => Seen {
                state: VmState::External,
                progress,
                accel: None,
            },
            (Hosting::Managed(_), Some(life)) => Seen {
                state: life.state.clone(),
                progress,
                accel: life.accel,
            },
            (Hosting::Managed(_), None) => Seen {
                state: VmState::Stopped,
                progress,
                accel: None,
            },
        }
    }

    /// Moves a managed VM's state on, and returns where it is now.
    pub(super) fn live(&self, vm: &VmName, event: &LifeEvent) -> VmState {
        let mut board = self.board();
        let life = board.machines.entry(vm.clone()).or_insert(Life {
            state: VmState::Stopped,
            accel: None,
        });
        life.state = step(&life.state, event);
        let state = life.state.clone();
        if matches!(state, VmState::Stopped | VmState::Failed { .. }) {
            life.accel = None;
            board.ladder.power_off(vm);
        }
        drop(board);
        self.ring();
        state
    }

    /// A managed VM's boot begins.
    pub(super) fn power_on(&self, vm: &VmName, accel: Accel, now: Timestamp) {
        let mut board = self.board();
        if let Some(life) = board.machines.get_mut(vm) {
            life.accel = Some(accel);
        }
        board.ladder.power_on(vm, now);
        drop(board);
        self.ring();
    }

    /// A boot that an earlier daemon saw begin goes on.
    pub(super) fn resume(&self, vm: &VmName, step: BootStep, now: Timestamp) {
        self.board().ladder.resume(vm, step, now);
        self.ring();
    }

    /// Takes an event of a service in; returns the rung if it was a step up.
    pub(super) fn observe(&self, event: &Event, first_boot_done: bool, now: Timestamp) -> Option<Progress> {
        let reached = self.board().ladder.apply(event, first_boot_done, now);
        if reached.is_some() {
            self.ring();
        }
        reached
    }

    /// A VM was deleted.
    pub(super) fn forget(&self, vm: &VmName) {
        let mut board = self.board();
        board.machines.remove(vm);
        board.ladder.power_off(vm);
        drop(board);
        self.ring();
    }

    /// Rings although nothing here has changed: something else has that is waited for with it.
    pub(super) fn ring(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
