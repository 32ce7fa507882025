//! The rules of what a VM is told in confidence, and of its instances.

use super::super::change::{CustomEdit, Edit, SecretsEdit};
use super::super::refusal::Refusal;
use super::rules::{after, effect, refusal};
use super::*;
use crate::model::{FirstBoot, InstancePolicy, Secret, Secrets, SiteSecret, Vm, Window};
use crate::registry::apply;

/// A VM that has a secret of this value.
fn confident(text: &str, value: &str) -> NewVm {
    let mut vm = new(text);
    let value = Some(Secret::new(value.to_owned()));
    vm.custom.secrets.named.insert("db".parse().unwrap(), value);
    vm
}

fn edited(directory: &Directory, edit: Edit, at: u64) -> Directory {
    let change = Change::Update {
        names: vec![name("a")],
        edit: Box::new(edit),
    };
    apply(directory, change, Timestamp(at))
        .unwrap()
        .batch
        .on(directory)
}

fn started(directory: &Directory, at: u64) -> Directory {
    let change = Change::Released { name: name("a") };
    apply(directory, change, Timestamp(at))
        .unwrap()
        .batch
        .on(directory)
}

fn succeeded(directory: &Directory, at: u64, keys: &[&str]) -> Result<Directory, Refusal> {
    let change = Change::FirstBoot {
        name: name("a"),
        first_boot: FirstBoot {
            at: Timestamp(at),
            host_keys: keys.iter().map(|key| key.parse().unwrap()).collect(),
        },
    };
    Ok(apply(directory, change, Timestamp(at))?.batch.on(directory))
}

fn a(directory: &Directory) -> Vm {
    Vm::clone(directory.vm(&name("a")).unwrap())
}

fn open(directory: &Directory, now: u64) -> bool {
    matches!(
        directory.window(&a(directory), Timestamp(now)),
        Window::Open { .. }
    )
}

#[test]
fn a_first_boot_that_failed_arms_the_window_again_at_the_next_start() {
    let directory = started(&after([register([confident("a", "x")])]), 100);
    assert!(open(&directory, 101) && !open(&directory, 100 + 1_800));
    let again = started(&directory, 5_000);
    assert!(open(&again, 5_001));
    let done = succeeded(&again, 5_100, &[examples::KEY]).unwrap();
    assert!(!open(&done, 5_101));
    // A start after a success releases nothing, and writes nothing.
    let later = Change::Released { name: name("a") };
    assert!(apply(&done, later, Timestamp(6_000)).unwrap().batch.is_empty());
    let once_more = Edit {
        release: true,
        ..Edit::default()
    };
    assert!(open(&edited(&done, once_more.clone(), 6_000), 6_001));
    // Also when the clock went back, or has not moved.
    assert!(open(&edited(&done, once_more.clone(), 5_100), 5_101) && open(&edited(&done, once_more, 7), 8));
}

#[test]
fn a_vm_without_secrets_has_nothing_to_release() {
    let directory = after([register([new("a")])]);
    assert!(
        effect(&directory, Change::Released { name: name("a") })
            .batch
            .is_empty()
    );
    assert!(matches!(
        refusal(&directory, Change::Released { name: name("b") }),
        Refusal::UnknownVms { .. }
    ));
}

#[test]
fn another_instance_has_another_uuid_and_may_report_other_keys() {
    let directory = succeeded(&after([register([confident("a", "x")])]), 50, &[examples::KEY]).unwrap();
    let first = a(&directory);
    assert!(matches!(
        succeeded(&directory, 60, &[OTHER_KEY]),
        Err(Refusal::FirstBootKept { .. })
    ));
    let new_instance = Edit {
        new_instance: true,
        ..Edit::default()
    };
    let directory = edited(&directory, new_instance.clone(), 100);
    let second = a(&directory);
    assert_ne!(second.uuid, first.uuid);
    assert_eq!(
        (second.mac, second.address, &second.tap),
        (first.mac, first.address, &first.tap)
    );
    // Whoever logs in before its next start still knows it.
    assert_eq!(second.host_keys(), first.host_keys());
    assert!(second.succeeded().is_none() && open(&directory, 101));
    let directory = succeeded(&directory, 160, &[OTHER_KEY]).unwrap();
    assert_eq!(a(&directory).host_keys()[0].as_str(), OTHER_KEY);
    assert!(a(&directory).succeeded().is_some());
    assert_ne!(a(&edited(&directory, new_instance, 200)).uuid, second.uuid);
}

#[test]
fn an_instance_that_follows_its_content_changes_with_it_alone() {
    let policy = |policy| CustomEdit {
        instance_policy: Some(policy),
        ..CustomEdit::default()
    };
    let keeps = after([register([confident("a", "x")])]);
    let follows = edited(
        &keeps,
        Edit {
            custom: policy(InstancePolicy::Content),
            ..Edit::default()
        },
        10,
    );
    assert_eq!(a(&follows).uuid, a(&keeps).uuid);
    let other_secret = SecretsEdit {
        named: vec![("db".parse().unwrap(), Some(Secret::new("y".to_owned())))],
        ..SecretsEdit::default()
    };
    let told = [
        Edit {
            user_data: Some(Some(b"#!/bin/sh".as_slice().into())),
            ..Edit::default()
        },
        Edit {
            template: Some("minimal".parse().unwrap()),
            ..Edit::default()
        },
        Edit {
            keys: Some(vec![OTHER_KEY.parse().unwrap()].into()),
            ..Edit::default()
        },
        Edit {
            custom: CustomEdit {
                secrets: other_secret,
                ..CustomEdit::default()
            },
            ..Edit::default()
        },
    ];
    for edit in told {
        assert_ne!(
            a(&edited(&follows, edit.clone(), 20)).uuid,
            a(&follows).uuid,
            "{edit:?}"
        );
        assert_eq!(
            a(&edited(&keeps, edit.clone(), 20)).uuid,
            a(&keeps).uuid,
            "{edit:?}"
        );
    }
    let alias = Edit {
        custom: CustomEdit {
            aliases: Some(vec![name("www")]),
            ..CustomEdit::default()
        },
        ..Edit::default()
    };
    assert_eq!(a(&edited(&follows, alias, 20)).uuid, a(&follows).uuid);
}

#[test]
fn the_sites_secret_is_kept_once() {
    let keep = |octet| Change::KeepSecret(SiteSecret::of([octet; 32]));
    let directory = after([keep(1)]);
    assert!(effect(&directory, keep(2)).batch.is_empty());
    assert_eq!(directory.site().secret, Some(SiteSecret::of([1; 32])));
}

#[tokio::test]
async fn secrets_and_instances_are_there_after_reopening_and_no_debug_output_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let registry = opened(&path, vec![lab()]);
    let mut vm = confident("a", "hunter2");
    vm.custom.secrets.user_data = true;
    vm.custom.instance.policy = InstancePolicy::Content;
    registry.commit(register([vm])).await.unwrap();
    registry
        .commit(Change::Released { name: name("a") })
        .await
        .unwrap();
    let kept = a(&registry.read());
    assert!(kept.secrets().unwrap().released.is_some());
    drop(registry);
    let registry = opened(&path, vec![lab()]);
    let again = a(&registry.read());
    assert_eq!(again, kept);
    assert!(!format!("{again:?}").contains("hunter2"));
    assert_ne!(again.custom, Custom::default().boxed());
    assert_ne!(again.secrets(), Some(&Secrets::default()));
}
