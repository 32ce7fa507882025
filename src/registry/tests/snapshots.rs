//! Snapshots in a VM's record: who it is when it goes back to one, and what they keep.

use std::sync::Arc;

use super::super::refusal::Refusal;
use super::rules::{after, effect, refusal};
use super::*;
use crate::model::snapshot::Snapshot;
use crate::model::{FirstBoot, Vm};

fn then(directory: &Directory, change: Change) -> Directory {
    effect(directory, change).batch.on(directory)
}

fn a(directory: &Directory) -> &Arc<Vm> {
    directory.vm(&name("a")).unwrap()
}

/// The snapshot that would be taken of the VM now.
fn taken(directory: &Directory, text: &str) -> Change {
    let vm = a(directory);
    let machine = vm.machine().unwrap();
    Change::AddSnapshot {
        vm: name("a"),
        snapshot: Snapshot {
            name: text.parse().unwrap(),
            taken: NOW,
            live: true,
            image: machine.image.clone(),
            disk: machine.disk,
            uuid: vm.uuid,
            renewed: vm.instance().renewed,
            first_boot: vm.first_boot.clone(),
        },
    }
}

fn restore(text: &str) -> Change {
    Change::Restore {
        vm: name("a"),
        snapshot: text.parse().unwrap(),
    }
}

fn remove(text: &str) -> Change {
    Change::RemoveSnapshot {
        vm: name("a"),
        snapshot: text.parse().unwrap(),
    }
}

/// A VM of the first of two generations that phoned home.
fn directory() -> Directory {
    let next = Image {
        id: "base@2".parse().unwrap(),
        ..image("base")
    };
    after([
        put_image(image("base")),
        put_image(next),
        register([managed("a", "base"), new("nas")]),
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

#[test]
fn who_goes_back_is_who_it_was_to_its_guest_then() {
    let before = directory();
    let kept = then(&before, taken(&before, "one"));
    // Meanwhile it became another instance, on another generation, of another size.
    let anew = Change::Replace {
        name: name("a"),
        image: "base@2".parse().unwrap(),
        disk: Bytes::gib(9),
        anew: true,
    };
    let other = then(&then(&kept, anew), Change::Launched { name: name("a") });
    assert_ne!(a(&other).uuid, a(&before).uuid);
    let back = then(&other, restore("one"));
    let machine = a(&back).machine().unwrap();
    assert_eq!(machine.phase, Phase::Replacing);
    assert_eq!(
        (&machine.image, machine.disk),
        (&"base@1".parse().unwrap(), Bytes::gib(4))
    );
    assert_eq!(a(&back).uuid, a(&before).uuid);
    assert_eq!(a(&back).host_keys(), a(&before).host_keys());
    assert_eq!(a(&back).succeeded(), a(&before).succeeded());
    assert_eq!(machine.snapshots(), a(&kept).machine().unwrap().snapshots());
    // Each way back is another generation of it.
    let again = then(&back, restore("one"));
    let generations = [&before, &back, &again].map(|directory| a(directory).generation_id());
    assert!(generations[0] != generations[1] && generations[1] != generations[2]);
    assert_ne!(generations[0], generations[2]);
}

#[test]
fn an_image_that_a_snapshot_needs_stays_as_long_as_that() {
    let before = directory();
    let moved = |directory: &Directory| {
        then(
            directory,
            Change::Replace {
                name: name("a"),
                image: "base@2".parse().unwrap(),
                disk: Bytes::gib(6),
                anew: false,
            },
        )
    };
    effect(&moved(&before), remove_image("base@1"));
    let kept = moved(&then(&before, taken(&before, "one")));
    assert!(matches!(
        refusal(&kept, remove_image("base@1")),
        Refusal::ImageInUse { .. }
    ));
    effect(&then(&kept, remove("one")), remove_image("base@1"));
}

#[test]
fn a_name_is_one_snapshots_and_what_is_not_there_is_named() {
    let before = directory();
    let kept = then(&before, taken(&before, "one"));
    assert!(matches!(
        refusal(&kept, taken(&kept, "one")),
        Refusal::SnapshotTaken { .. }
    ));
    for change in [restore("two"), remove("two")] {
        let refused = refusal(&kept, change);
        assert!(
            refused.is_not_found() && refused.to_string().contains("two"),
            "{refused}"
        );
    }
    let nas = Change::Restore {
        vm: name("nas"),
        snapshot: "one".parse().unwrap(),
    };
    assert!(matches!(refusal(&kept, nas), Refusal::External { .. }));
}

#[tokio::test]
async fn snapshots_are_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let registry = opened(&path, vec![lab()]);
    for change in [
        put_image(image("base")),
        register([managed("a", "base")]),
        Change::Launched { name: name("a") },
        Change::FirstBoot {
            name: name("a"),
            first_boot: FirstBoot {
                at: NOW,
                host_keys: vec![KEY.parse().unwrap(), OTHER_KEY.parse().unwrap()].into(),
            },
        },
    ] {
        registry.commit(change).await.unwrap();
    }
    for text in ["one", "two"] {
        registry.commit(taken(&registry.read(), text)).await.unwrap();
    }
    registry.commit(restore("one")).await.unwrap();
    let kept = Arc::clone(a(&registry.read()));
    drop(registry);
    let registry = opened(&path, vec![lab()]);
    assert_eq!(*a(&registry.read()), kept);
    assert_eq!(kept.machine().unwrap().snapshots().len(), 2);
}
