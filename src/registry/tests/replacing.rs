//! VMs that get other disks: whose they are from then on, and what is left of what they were.

use std::sync::Arc;

use super::super::refusal::Refusal;
use super::rules::{after, effect, refusal};
use super::*;
use crate::model::{FirstBoot, Vm};
use crate::registry::apply;

fn replace(vm: &str, image: &str, anew: bool) -> Change {
    Change::Replace {
        name: name(vm),
        image: image.parse().unwrap(),
        disk: Bytes::gib(6),
        anew,
    }
}

/// Two generations, and a VM of the first one that phoned home.
fn directory() -> Directory {
    let next = Image {
        id: "base@2".parse().unwrap(),
        ..image("base")
    };
    after([
        put_image(image("base")),
        put_image(next),
        register([managed("a", "base")]),
        Change::Launched { name: name("a") },
        Change::FirstBoot {
            name: name("a"),
            first_boot: FirstBoot {
                at: Timestamp(NOW.0 + 90),
                host_keys: vec![KEY.parse().unwrap()].into(),
            },
        },
    ])
}

fn a(directory: &Directory) -> &Arc<Vm> {
    directory.vm(&name("a")).unwrap()
}

#[test]
fn fresh_disks_make_another_instance_without_a_past() {
    let before = directory();
    let after = effect(&before, replace("a", "base@1", true)).batch.on(&before);
    let (old, new) = (a(&before), a(&after));
    assert_eq!(new.machine().unwrap().phase, Phase::Replacing);
    assert_eq!(new.machine().unwrap().disk, Bytes::gib(6));
    assert_ne!(new.uuid, old.uuid);
    assert_eq!(new.first_boot, None);
    assert_eq!(new.host_keys(), []);
    assert_eq!((new.mac, new.address, &new.tap), (old.mac, old.address, &old.tap));
    // Whatever the clock says, the first boot that is to come is later than the one that was.
    assert_eq!(new.instance().renewed, Some(Timestamp(NOW.0 + 90)));
    let told = Change::FirstBoot {
        name: name("a"),
        first_boot: FirstBoot {
            at: NOW,
            host_keys: vec![OTHER_KEY.parse().unwrap()].into(),
        },
    };
    let told = effect(&after, told).batch.on(&after);
    assert!(a(&told).succeeded().is_some());
    assert_eq!(a(&told).host_keys(), [OTHER_KEY.parse().unwrap()]);
}

#[test]
fn a_disk_that_reads_as_before_leaves_the_vm_as_it_is() {
    let before = directory();
    let after = effect(&before, replace("a", "base@2", false)).batch.on(&before);
    let mut expected = Vm::clone(a(&before));
    let Hosting::Managed(machine) = &mut expected.hosting else {
        panic!()
    };
    machine.image = "base@2".parse().unwrap();
    machine.disk = Bytes::gib(6);
    machine.phase = Phase::Replacing;
    assert_eq!(**a(&after), expected);
    // The other generation is needed from here on, and the former one no longer.
    refusal(&after, remove_image("base@2"));
    effect(&after, remove_image("base@1"));
    let done = effect(&after, Change::Launched { name: name("a") })
        .batch
        .on(&after);
    assert_eq!(a(&done).machine().unwrap().phase, Phase::Launched);
}

#[test]
fn what_can_not_be_replaced_is_refused() {
    let directory = directory();
    let external = effect(&directory, register([new("nas")])).batch.on(&directory);
    assert!(matches!(
        refusal(&external, replace("nas", "base@1", true)),
        Refusal::External { .. }
    ));
    assert!(matches!(
        refusal(&directory, replace("a", "base@3", true)),
        Refusal::UnknownImage { .. }
    ));
    apply(&directory, replace("b", "base@1", true), NOW).unwrap_err();
}

#[tokio::test]
async fn an_exchange_that_was_begun_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let registry = opened(&path, vec![lab()]);
    for change in [
        put_image(image("base")),
        register([managed("a", "base")]),
        Change::Launched { name: name("a") },
        replace("a", "base@1", true),
    ] {
        registry.commit(change).await.unwrap();
    }
    let kept = Arc::clone(a(&registry.read()));
    drop(registry);
    let registry = opened(&path, vec![lab()]);
    assert_eq!(*a(&registry.read()), kept);
    assert_eq!(kept.machine().unwrap().phase, Phase::Replacing);
}
