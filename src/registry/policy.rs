//! The rules of when VMs are started: what is changed of it, and that no VM waits for itself. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::refusal::{Listed, Refusal};
use crate::model::policy::{Dependency, Policy, Restart};
use crate::model::{Directory, Hosting, Vm, VmName};

/// What to change of a VM's policy; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyEdit {
    /// Whether it is started again when it ended by itself.
    pub restart: Option<Restart>,
    /// Whether it is started when the host is.
    pub autostart: Option<bool>,
    /// The whole new set of what it is started after.
    pub after: Option<Box<[Dependency]>>,
}

impl PolicyEdit {
    /// Whether it changes nothing.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The policy after this change.
    pub fn on(self, old: Policy) -> Policy {
        Policy {
            restart: self.restart.unwrap_or(old.restart),
            autostart: self.autostart.unwrap_or(old.autostart),
            after: self.after.unwrap_or(old.after),
        }
    }

    /// Changes a VM, which has to be one that Seedbed runs.
    pub(super) fn change(self, vm: &mut Vm) -> Result<(), Refusal> {
        if self.is_empty() {
            return Ok(());
        }
        let Hosting::Managed(machine) = &mut vm.hosting else {
            return Err(Refusal::External { vm: vm.name.clone() });
        };
        machine.policy = self.on(std::mem::take(&mut machine.policy));
        Ok(())
    }
}

/// What a VM is started after.
fn after(vm: &Vm) -> &[Dependency] {
    vm.machine().map_or(&[], |machine| &machine.policy.after)
}

/// Checks VMs as they are to be: none is started after itself, and those that they are started after are there. (What is deleted
/// later is missed at the next start, and is named then.)
pub(super) fn check(directory: &Directory, changed: &[Arc<Vm>]) -> Result<(), Refusal> {
    let changed_by_name: HashMap<&VmName, &Arc<Vm>> = changed.iter().map(|vm| (&vm.name, vm)).collect();
    let now = |name: &VmName| changed_by_name.get(name).copied().or_else(|| directory.vm(name));
    for vm in changed {
        let before = directory.vm(&vm.name).map_or(&[][..], |old| after(old));
        let missing = after(vm)
            .iter()
            .filter(|dependency| !before.contains(dependency))
            .find(|dependency| now(&dependency.vm).is_none());
        if let Some(missing) = missing {
            return Err(Refusal::UnknownDependency {
                vm: vm.name.clone(),
                after: missing.vm.clone(),
            });
        }
        if let Some(circle) = circle(vm, now) {
            return Err(Refusal::Circle {
                vm: vm.name.clone(),
                through: Listed(circle),
            });
        }
    }
    Ok(())
}

/// The VMs by which one would wait for itself, the one that it waits for first.
fn circle<'a>(vm: &'a Vm, now: impl Fn(&VmName) -> Option<&'a Arc<Vm>>) -> Option<Vec<VmName>> {
    let mut seen = HashSet::new();
    let mut paths: Vec<Vec<&VmName>> = after(vm).iter().map(|next| vec![&next.vm]).collect();
    while let Some(path) = paths.pop() {
        let last = *path.last()?;
        if *last == vm.name {
            return Some(path.into_iter().cloned().collect());
        }
        if !seen.insert(last) {
            continue;
        }
        for next in now(last).map_or(&[][..], |vm| after(vm)) {
            paths.push([&path[..], &[&next.vm]].concat());
        }
    }
    None
}
