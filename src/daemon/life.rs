//! When VMs are started without being asked for by name, as it is written; and what is shown of their lives beside their states.

use super::info::rfc3339;
use super::selection::parse;
use super::{Daemon, failures};
use crate::control::{LifeInfo, PolicySettings, Refusal};
use crate::model::{Timestamp, Vm, VmState};
use crate::registry::PolicyEdit;

/// What the settings mean as a change.
pub(super) fn edit(written: &PolicySettings) -> Result<PolicyEdit, Refusal> {
    let PolicySettings {
        restart,
        autostart,
        after,
    } = written;
    let each = |texts: &Vec<String>| texts.iter().map(|text| parse(text)).collect::<Result<_, _>>();
    Ok(PolicyEdit {
        restart: restart.as_deref().map(parse).transpose()?,
        autostart: *autostart,
        after: after.as_ref().map(each).transpose()?,
    })
}

/// What is known of a VM in this state.
pub(super) fn info(daemon: &Daemon, vm: &Vm, state: &VmState) -> LifeInfo {
    let policy = vm.machine().map(|machine| &machine.policy);
    let (restarts, due) = daemon.restarts.of(&vm.name);
    let failure = match state {
        VmState::Failed { .. } => failures::kept(daemon, &vm.name),
        _ => None,
    };
    LifeInfo {
        paused: match state {
            VmState::Paused { why, .. } => Some(why.as_str().to_owned()),
            _ => None,
        },
        restart: policy.map(|policy| policy.restart.as_str().to_owned()),
        restarts,
        restart_at: due.map(rfc3339),
        autostart: policy.is_some_and(|policy| policy.autostart),
        after: policy.map_or_else(Vec::new, |policy| {
            policy.after.iter().map(ToString::to_string).collect()
        }),
        failed_at: failure.as_ref().map(|failure| rfc3339(Timestamp(failure.at))),
        console_tail: failure.map_or_else(Vec::new, |failure| failure.console),
    }
}
