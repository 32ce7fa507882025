//! What is shown of a VM's life beside its state.

use super::Daemon;
use crate::control::LifeInfo;
use crate::model::{Vm, VmState};

/// What is known of a VM in this state.
pub(super) fn info(_daemon: &Daemon, _vm: &Vm, state: &VmState) -> LifeInfo {
    LifeInfo {
        paused: match state {
            VmState::Paused { why, .. } => Some(why.as_str().to_owned()),
            _ => None,
        },
    }
}
