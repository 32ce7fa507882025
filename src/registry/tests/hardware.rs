//! The rules of changes to a VM's hardware.

use super::super::change::Edit;
use super::super::hardware::HardwareEdit;
use super::super::refusal::Refusal;
use super::rules::{after, effect, refusal};
use super::*;
use crate::model::DiskName;

fn edit(text: &str, hardware: HardwareEdit) -> Change {
    Change::Update {
        names: vec![name(text)],
        edit: Box::new(Edit {
            hardware: Box::new(hardware),
            ..Edit::default()
        }),
    }
}

fn disk(text: &str, size: u64) -> (DiskName, Bytes) {
    (text.parse().unwrap(), Bytes::gib(size))
}

#[test]
fn disks_come_grow_and_go_in_one_change_each_or_not_at_all() {
    let directory = after([
        put_image(image("debian-12")),
        register([managed("a", "debian-12"), new("b")]),
    ]);
    let add = HardwareEdit {
        add_disks: vec![disk("data", 1), disk("logs", 2)],
        disk: Some(Bytes::gib(8)),
        ..HardwareEdit::default()
    };
    let directory = effect(&directory, edit("a", add.clone())).batch.on(&directory);
    let machine = |directory: &Directory| directory.vm(&name("a")).unwrap().machine().unwrap().clone();
    assert_eq!(machine(&directory).disk, Bytes::gib(8));
    let change = HardwareEdit {
        grow_disks: vec![disk("data", 3)],
        remove_disks: vec!["logs".parse().unwrap()],
        ..HardwareEdit::default()
    };
    let directory = effect(&directory, edit("a", change.clone())).batch.on(&directory);
    let disks: Vec<_> = machine(&directory)
        .extra_disks()
        .iter()
        .map(|disk| (disk.name.to_string(), disk.size, disk.slot))
        .collect();
    assert_eq!(disks, [("data".to_owned(), Bytes::gib(3), 8)]);
    let shrunk = HardwareEdit {
        disk: Some(Bytes::gib(7)),
        ..HardwareEdit::default()
    };
    for (what, says) in [
        (add, "has a disk data already"),
        (change, "has no extra disk logs"),
        (shrunk.clone(), "its root disk has 8GiB"),
    ] {
        let refused = refusal(&directory, edit("a", what));
        assert!(
            matches!(refused, Refusal::Disks { .. }) && refused.to_string().contains(says),
            "{refused}"
        );
    }
    assert!(matches!(
        refusal(&directory, edit("b", shrunk)),
        Refusal::External { .. }
    ));
}

#[test]
fn the_last_disk_leaves_nothing_behind_in_the_record() {
    let directory = after([
        put_image(image("debian-12")),
        register([managed("a", "debian-12")]),
    ]);
    let old = directory.vm(&name("a")).unwrap();
    let add = HardwareEdit {
        add_disks: vec![disk("data", 1)],
        ..HardwareEdit::default()
    };
    let next = effect(&directory, edit("a", add)).batch.on(&directory);
    let remove = HardwareEdit {
        remove_disks: vec!["data".parse().unwrap()],
        ..HardwareEdit::default()
    };
    let last = effect(&next, edit("a", remove)).batch.on(&next);
    assert_eq!(last.vm(&name("a")), Some(old));
}
