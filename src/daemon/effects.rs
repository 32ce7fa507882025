//! When a change of a VM counts: at once, at its next start, or when cloud-init sets it up anew. Pure.

use crate::model::image::View;
use crate::model::{CpuModel, DhcpSettings, InstancePolicy, MachineType, Policy, SetUp, Vm};

/// What a change means for a VM that runs, or that was set up before: a line for each moment, such as `memory: from its next
/// start on`. Nothing for what counts at once anyway, because nobody is in the way.
///
/// `view` is how the VM is told who it is.
pub(super) fn of(old: &Vm, new: &Vm, view: View, is_up: bool) -> Vec<String> {
    let differing = SetUp::differing(old, new);
    let mut lines = Vec::new();
    let mut say = |what: Vec<String>, when: &str| {
        if !what.is_empty() {
            lines.push(format!("{}: {when}", what.join(", ")));
        }
    };
    if is_up {
        say(at_once(old, new), "at once");
        say(
            by_dhcp(old, new),
            "when it asks DHCP again (it renews at half of its lease)",
        );
        if differing.contains(&SetUp::Keys) && view != View::Offline {
            let when = "a new one may log in at once where the guest's sshd asks for keys (the template `default` sees to that); \
                        one that is taken away stays in the guest until it is set up anew";
            say(vec![SetUp::Keys.to_string()], when);
        }
        let start = format!("from its next start on (seedbed restart {})", new.name);
        say(at_start(old, new), &start);
    }
    let is_another = old.uuid != new.uuid;
    if view == View::Offline {
        say(written(&differing, is_another), &written_when(new, is_up));
        return lines;
    }
    // Keys are a matter of sshd's, but where they make another instance of it.
    let follows = new.instance().policy == InstancePolicy::Content && is_another;
    let anew: Vec<_> = differing
        .iter()
        .filter(|part| follows || **part != SetUp::Keys)
        .map(SetUp::to_string)
        .collect();
    if let Some(when) = set_up_when(new, is_another, is_up) {
        let is_all = anew.is_empty() && is_another;
        let what = if is_all {
            vec!["new instance-id".to_owned()]
        } else {
            anew
        };
        say(what, &when);
    }
    lines
}

/// When cloud-init does anew what it does once; `None` where it has not begun yet.
fn set_up_when(vm: &Vm, is_another: bool, is_up: bool) -> Option<String> {
    let name = &vm.name;
    if is_another && is_up {
        let command = format!("seedbed restart {name}");
        Some(format!(
            "cloud-init sets it up anew at its next start ({command})"
        ))
    } else if is_another {
        Some("cloud-init sets it up anew at its next start".to_owned())
    } else if vm.succeeded().is_some() {
        Some(format!(
            "not before it is set up anew (seedbed set {name} --new-instance, and a restart): its instance-id stays"
        ))
    } else {
        is_up.then(|| "where its first boot has not read them yet; to be sure, restart it".to_owned())
    }
}

/// What of a change is written into the disk of a VM without an agent.
fn written(differing: &[SetUp], is_another: bool) -> Vec<String> {
    let is_written = |part: &&SetUp| matches!(part, SetUp::Accounts | SetUp::Mac | SetUp::Keys);
    let parts = differing.iter().filter(is_written).map(SetUp::to_string);
    parts.chain(is_another.then(|| "machine id".to_owned())).collect()
}

fn written_when(vm: &Vm, is_up: bool) -> String {
    let command = if is_up {
        format!("seedbed restart {}", vm.name)
    } else {
        format!("or at once, with seedbed image customize {}", vm.name)
    };
    format!("written into its disk before its next start ({command})")
}

/// What of the two differs, of these.
fn changed<const N: usize>(all: [(&'static str, bool); N]) -> Vec<String> {
    all.into_iter()
        .filter(|(_, is)| *is)
        .map(|(what, _)| what.to_owned())
        .collect()
}

fn at_once(old: &Vm, new: &Vm) -> Vec<String> {
    changed([
        ("DNS", old.aliases() != new.aliases() || old.nics().ne(new.nics())),
        (
            "policy of the instance-id",
            old.instance().policy != new.instance().policy,
        ),
        ("release of secrets", new.released() > old.released()),
        ("restart, autostart and order", policy(old) != policy(new)),
    ])
}

fn policy(vm: &Vm) -> Option<&Policy> {
    vm.machine().map(crate::model::Machine::policy)
}

fn by_dhcp(old: &Vm, new: &Vm) -> Vec<String> {
    let unset = DhcpSettings::default();
    let differs = old.dhcp().unwrap_or(&unset) != new.dhcp().unwrap_or(&unset);
    changed([("address", old.address != new.address), ("DHCP options", differs)])
}

fn at_start(old: &Vm, new: &Vm) -> Vec<String> {
    let cpus = |vm: &Vm| vm.machine().map(|machine| machine.cpus);
    changed([
        ("CPUs", cpus(old) != cpus(new)),
        ("network boot", old.boot() != new.boot()),
        ("machine type", pinned(old).0 != pinned(new).0),
        ("CPU model", pinned(old).1 != pinned(new).1),
    ])
}

/// What of a VM's hardware QEMU is told when it starts, and not again.
fn pinned(vm: &Vm) -> (Option<&MachineType>, Option<&CpuModel>) {
    let hardware = vm.machine().and_then(|machine| machine.hardware.as_deref());
    hardware.map_or((None, None), |hardware| {
        (hardware.machine_type.as_ref(), hardware.cpu_model.as_ref())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Custom, FirstBoot, Hosting, Machine, Timestamp, examples};

    fn of(old: &Vm, new: &Vm, is_up: bool) -> Vec<String> {
        super::of(old, new, View::Auto, is_up)
    }

    fn vm() -> Vm {
        Vm {
            hosting: Hosting::from(examples::machine()),
            ..examples::vm("web1", "10.77.0.5")
        }
    }

    fn set_up_vm() -> Vm {
        Vm {
            first_boot: Some(FirstBoot {
                at: Timestamp(5),
                host_keys: vec![].into(),
            }),
            ..vm()
        }
    }

    #[test]
    fn what_counts_at_once_or_later_is_told_of_a_vm_that_runs() {
        let mut custom = Custom::default();
        custom.aliases.push("www".parse().unwrap());
        custom.dhcp.mtu = Some(1400);
        let new = Vm {
            keys: vec![examples::OTHER_KEY.parse().unwrap()].into(),
            custom: custom.boxed(),
            ..vm()
        };
        let told = of(&vm(), &new, true);
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(told[0], "DNS: at once");
        assert!(
            told[1].starts_with("DHCP options: when it asks DHCP again"),
            "{told:?}"
        );
        assert!(
            told[2].starts_with("keys: a new one may log in at once"),
            "{told:?}"
        );
        assert_eq!(of(&vm(), &new, false), [] as [&str; 0]);
        assert_eq!(of(&vm(), &vm(), true), [] as [&str; 0]);
    }

    #[test]
    fn what_is_written_into_a_disk_needs_a_start_and_no_new_instance() {
        let new = Vm {
            keys: vec![examples::OTHER_KEY.parse().unwrap()].into(),
            template: "minimal".parse().unwrap(),
            ..set_up_vm()
        };
        assert_eq!(
            super::of(&set_up_vm(), &new, View::Offline, true),
            ["keys: written into its disk before its next start (seedbed restart web1)"]
        );
        assert_eq!(
            super::of(&set_up_vm(), &new, View::Offline, false),
            [
                "keys: written into its disk before its next start (or at once, with seedbed image customize web1)"
            ]
        );
    }

    #[test]
    fn a_size_needs_a_start_and_names_the_command() {
        let mut new = vm();
        new.hosting = Hosting::from(Machine {
            cpus: 9,
            ..examples::machine()
        });
        assert_eq!(
            of(&vm(), &new, true),
            ["CPUs: from its next start on (seedbed restart web1)"]
        );
    }

    #[test]
    fn user_data_needs_a_new_instance_where_cloud_init_is_done() {
        let with = |vm: Vm| Vm {
            user_data: Some(Arc::from(&b"#!/bin/sh"[..])),
            ..vm
        };
        let told = of(&set_up_vm(), &with(set_up_vm()), false);
        assert_eq!(
            told,
            [
                "user-data: not before it is set up anew (seedbed set web1 --new-instance, and a restart): its instance-id stays"
            ]
        );
        assert_eq!(of(&vm(), &with(vm()), false), [] as [&str; 0]);
        assert!(of(&vm(), &with(vm()), true)[0].contains("has not read them yet"));
        let renewed = Vm {
            uuid: uuid::Uuid::from_u128(7),
            ..with(set_up_vm())
        };
        assert_eq!(
            of(&set_up_vm(), &renewed, true),
            ["user-data: cloud-init sets it up anew at its next start (seedbed restart web1)"]
        );
        let only = Vm {
            uuid: uuid::Uuid::from_u128(7),
            ..set_up_vm()
        };
        assert!(of(&set_up_vm(), &only, false)[0].starts_with("new instance-id: "));
    }
}
