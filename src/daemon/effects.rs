//! When a change of a VM counts: at once, at its next start, or when cloud-init sets it up anew. Pure.

use crate::model::{DhcpSettings, InstancePolicy, SetUp, Vm};

/// What a change means for a VM that runs, or that was set up before: a line for each moment, such as `memory: from its next
/// start on`. Nothing for what counts at once anyway, because nobody is in the way.
pub(super) fn of(old: &Vm, new: &Vm, is_up: bool) -> Vec<String> {
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
        if differing.contains(&SetUp::Keys) {
            let when = "a new one may log in at once where the guest's sshd asks for keys (the template `default` sees to that); \
                        one that is taken away stays in the guest until it is set up anew";
            say(vec![SetUp::Keys.to_string()], when);
        }
        let start = format!("from its next start on (seedbed restart {})", new.name);
        say(at_start(old, new), &start);
    }
    // Keys are a matter of sshd's, but where they make another instance of it.
    let follows = new.instance().policy == InstancePolicy::Content && old.uuid != new.uuid;
    let anew: Vec<_> = differing
        .into_iter()
        .filter(|part| follows || *part != SetUp::Keys)
        .map(|part| part.to_string())
        .collect();
    if old.uuid != new.uuid {
        let what = if anew.is_empty() {
            vec!["new instance-id".to_owned()]
        } else {
            anew
        };
        let when = if is_up {
            format!(
                "cloud-init sets it up anew at its next start (seedbed restart {})",
                new.name
            )
        } else {
            "cloud-init sets it up anew at its next start".to_owned()
        };
        say(what, &when);
    } else if new.succeeded().is_some() {
        let when = format!(
            "not before it is set up anew (seedbed set {} --new-instance, and a restart): its instance-id stays",
            new.name
        );
        say(anew, &when);
    } else if is_up {
        say(
            anew,
            "where its first boot has not read them yet; to be sure, restart it",
        );
    }
    lines
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
        (
            "DNS",
            old.aliases() != new.aliases() || old.address != new.address,
        ),
        (
            "policy of the instance-id",
            old.instance().policy != new.instance().policy,
        ),
        ("release of secrets", new.released() > old.released()),
    ])
}

fn by_dhcp(old: &Vm, new: &Vm) -> Vec<String> {
    let unset = DhcpSettings::default();
    let differs = old.dhcp().unwrap_or(&unset) != new.dhcp().unwrap_or(&unset);
    changed([("address", old.address != new.address), ("DHCP options", differs)])
}

fn at_start(old: &Vm, new: &Vm) -> Vec<String> {
    let size = |vm: &Vm| vm.machine().map(|machine| (machine.cpus, machine.memory));
    let (before, after) = (size(old), size(new));
    changed([
        ("CPUs", before.map(|size| size.0) != after.map(|size| size.0)),
        ("memory", before.map(|size| size.1) != after.map(|size| size.1)),
        ("network boot", old.boot() != new.boot()),
    ])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Custom, FirstBoot, Hosting, Machine, Timestamp, examples};

    fn vm() -> Vm {
        Vm {
            hosting: Hosting::Managed(examples::machine()),
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
    fn a_size_needs_a_start_and_names_the_command() {
        let mut new = vm();
        new.hosting = Hosting::Managed(Machine {
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
