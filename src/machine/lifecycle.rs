//! The states of a managed VM, and what moves it from one to the next.
//!
//! ```text
//!             StartAsked          Ready               StopAsked
//!   Stopped --------------> Starting ----> Running -------------> Stopping
//!      ^  ^                    |              |                       |
//!      |  |   StartFailed,     |  Ended with  |                       |
//!      |  |   Ended with error v  an error    v                       |
//!      |  +-- StartAsked -- Failed <----------+      Ended, any way   |
//!      +--------------------------------------------------------------+
//!
//!   Running --Paused--> Paused --Resumed--> Running      (a paused VM is stopped, and ends, as one that runs)
//! ```

use crate::model::{Pause, VmState};

/// Something that happens to a managed VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifeEvent {
    /// Someone asked for it to run.
    StartAsked,
    /// Its QEMU answers: just started, or found again after a restart of the daemon.
    Ready {
        /// QEMU's process id.
        pid: u32,
    },
    /// Its QEMU could not be started.
    StartFailed {
        /// What happened, in one sentence.
        why: String,
    },
    /// Someone asked for it to power off.
    StopAsked,
    /// Its QEMU ended as it should.
    EndedClean,
    /// Its QEMU ended with an error.
    EndedError {
        /// What happened, in one sentence.
        why: String,
    },
    /// Its guest stands still.
    Paused {
        /// What stopped it.
        why: Pause,
    },
    /// Its guest goes on.
    Resumed,
}

/// The state after `event`. What can not happen in a state changes nothing.
pub fn step(state: &VmState, event: &LifeEvent) -> VmState {
    match event {
        // Someone else runs it: none of this is known of it.
        _ if *state == VmState::External => VmState::External,
        LifeEvent::StartAsked => start_asked(state),
        LifeEvent::Ready { pid } => ready(state, *pid),
        LifeEvent::StartFailed { why } => start_failed(state, why),
        LifeEvent::StopAsked => stop_asked(state),
        LifeEvent::EndedClean => ended(state),
        LifeEvent::EndedError { why } => ended_with_error(state, why),
        LifeEvent::Paused { why } => paused(state, *why),
        LifeEvent::Resumed => resumed(state),
    }
}

fn start_asked(state: &VmState) -> VmState {
    match state {
        VmState::Stopped | VmState::Failed { .. } => VmState::Starting,
        VmState::External
        | VmState::Starting
        | VmState::Running { .. }
        | VmState::Paused { .. }
        | VmState::Stopping { .. } => state.clone(),
    }
}

fn ready(state: &VmState, pid: u32) -> VmState {
    match state {
        VmState::External => VmState::External,
        VmState::Stopping { .. } => VmState::Stopping { pid },
        VmState::Stopped
        | VmState::Starting
        | VmState::Running { .. }
        | VmState::Paused { .. }
        | VmState::Failed { .. } => VmState::Running { pid },
    }
}

fn start_failed(state: &VmState, why: &str) -> VmState {
    match state {
        VmState::Stopped | VmState::Starting | VmState::Failed { .. } => {
            VmState::Failed { why: why.to_owned() }
        }
        VmState::External | VmState::Running { .. } | VmState::Paused { .. } | VmState::Stopping { .. } => {
            state.clone()
        }
    }
}

fn stop_asked(state: &VmState) -> VmState {
    match state {
        VmState::Running { pid } | VmState::Paused { pid, .. } => VmState::Stopping { pid: *pid },
        // A start that is under way has no process yet: whoever stops it waits for `Ready` and asks again.
        VmState::External
        | VmState::Stopped
        | VmState::Starting
        | VmState::Stopping { .. }
        | VmState::Failed { .. } => state.clone(),
    }
}

fn ended(state: &VmState) -> VmState {
    match state {
        // Why it failed stays to be read.
        VmState::External | VmState::Failed { .. } => state.clone(),
        VmState::Stopped
        | VmState::Starting
        | VmState::Running { .. }
        | VmState::Paused { .. }
        | VmState::Stopping { .. } => VmState::Stopped,
    }
}

fn ended_with_error(state: &VmState, why: &str) -> VmState {
    match state {
        VmState::Starting | VmState::Running { .. } | VmState::Paused { .. } => {
            VmState::Failed { why: why.to_owned() }
        }
        // It was to end, and it did: being killed is how a forced stop looks from here.
        VmState::Stopping { .. } => VmState::Stopped,
        VmState::External | VmState::Stopped | VmState::Failed { .. } => state.clone(),
    }
}

fn paused(state: &VmState, why: Pause) -> VmState {
    match state {
        VmState::Running { pid } => VmState::Paused { pid: *pid, why },
        // What stopped it first is what has to be mended.
        VmState::External
        | VmState::Stopped
        | VmState::Starting
        | VmState::Paused { .. }
        | VmState::Stopping { .. }
        | VmState::Failed { .. } => state.clone(),
    }
}

fn resumed(state: &VmState) -> VmState {
    match state {
        VmState::Paused { pid, .. } => VmState::Running { pid: *pid },
        VmState::External
        | VmState::Stopped
        | VmState::Starting
        | VmState::Running { .. }
        | VmState::Stopping { .. }
        | VmState::Failed { .. } => state.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LifeEvent::*;

    fn run(events: &[LifeEvent]) -> VmState {
        events
            .iter()
            .fold(VmState::Stopped, |state, event| step(&state, event))
    }

    fn why(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn a_life_goes_from_stopped_to_stopped() {
        assert_eq!(run(&[StartAsked]), VmState::Starting);
        assert_eq!(run(&[StartAsked, Ready { pid: 7 }]), VmState::Running { pid: 7 });
        assert_eq!(
            run(&[StartAsked, Ready { pid: 7 }, StopAsked]),
            VmState::Stopping { pid: 7 }
        );
        assert_eq!(
            run(&[StartAsked, Ready { pid: 7 }, StopAsked, EndedClean]),
            VmState::Stopped
        );
        assert_eq!(run(&[StartAsked, Ready { pid: 7 }, EndedClean]), VmState::Stopped);
    }

    #[test]
    fn a_crash_is_a_failure_only_when_nobody_asked_for_the_end() {
        let crash = EndedError {
            why: why("killed by signal 9"),
        };
        let failed = VmState::Failed {
            why: why("killed by signal 9"),
        };
        assert_eq!(run(&[StartAsked, Ready { pid: 7 }, crash.clone()]), failed);
        assert_eq!(
            run(&[StartAsked, Ready { pid: 7 }, StopAsked, crash]),
            VmState::Stopped
        );
    }

    #[test]
    fn a_failure_is_shown_until_the_next_start() {
        let fail = StartFailed {
            why: why("no such file"),
        };
        assert_eq!(
            run(&[StartAsked, fail.clone(), EndedClean]),
            VmState::Failed {
                why: why("no such file")
            }
        );
        assert_eq!(run(&[StartAsked, fail, StartAsked]), VmState::Starting);
    }

    #[test]
    fn a_running_vm_is_found_again_by_a_new_daemon() {
        assert_eq!(run(&[Ready { pid: 9 }]), VmState::Running { pid: 9 });
    }

    #[test]
    fn a_paused_vm_goes_on_or_ends_as_one_that_runs() {
        let full = Paused { why: Pause::DiskFull };
        let start = [StartAsked, Ready { pid: 7 }, full];
        let then = |more: &[LifeEvent]| run(&[&start, more].concat());
        let paused = VmState::Paused {
            pid: 7,
            why: Pause::DiskFull,
        };
        assert_eq!(then(&[]), paused);
        // A second reason does not hide the first.
        assert_eq!(then(&[Paused { why: Pause::ByHand }]), paused);
        assert_eq!(then(&[StartAsked]), paused);
        assert_eq!(then(&[Resumed]), VmState::Running { pid: 7 });
        assert_eq!(then(&[StopAsked]), VmState::Stopping { pid: 7 });
        assert_eq!(then(&[StopAsked, Resumed]), VmState::Stopping { pid: 7 });
        assert_eq!(then(&[EndedClean]), VmState::Stopped);
        let crash = EndedError { why: why("signal 9") };
        assert_eq!(then(&[crash]), VmState::Failed { why: why("signal 9") });
        assert_eq!(run(&[Paused { why: Pause::ByHand }]), VmState::Stopped);
    }

    #[test]
    fn nothing_moves_a_vm_that_someone_else_runs() {
        let all = [
            StartAsked,
            Ready { pid: 1 },
            StartFailed { why: why("") },
            StopAsked,
            EndedClean,
            Paused { why: Pause::ByHand },
            Resumed,
        ];
        for event in all {
            assert_eq!(step(&VmState::External, &event), VmState::External, "{event:?}");
        }
    }
}
