//! Disks that are made for a VM that is there, that grow, and that go.

use super::*;
use crate::image::generation::header;
use crate::model::hardware::ExtraDisk;
use crate::model::image::DiskFormat;
use crate::model::{Hardware, Hosting, Places, Timestamp, examples};
use std::process::Command;
use tempfile::TempDir;

/// A store whose directory has every character in its name that a tool could take for its own, with a VM; nothing without root.
fn lab() -> Option<(TempDir, Store, Vm, Machine, Image)> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root, to give files to another user");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    files::passage(directory.path()).unwrap();
    let state = directory.path().join("a,b,,c=d %s \"q\" -e\u{e9}");
    let store = Store::open(Places::new(state, directory.path().join("run"))).unwrap();
    let file = directory.path().join("source.raw");
    File::create(&file).unwrap().set_len(8 << 20).unwrap();
    let source = crate::image::examples::source("base@1", file, DiskFormat::Raw);
    let image = store.add(&source, Timestamp(7), |_, _| {}).unwrap();
    let machine = Machine {
        image: "base@1".parse().unwrap(),
        disk: Bytes::mib(12),
        swap: Bytes(0),
        hardware: Some(Box::new(Hardware {
            disks: vec![ExtraDisk {
                name: "data".parse().unwrap(),
                size: Bytes::mib(64),
                slot: 8,
            }],
            ..Hardware::default()
        })),
        ..examples::machine()
    };
    let vm = Vm {
        hosting: Hosting::from(machine.clone()),
        ..examples::vm("web1", "10.77.0.11")
    };
    store.make_disks(&vm, &machine, &image).unwrap();
    Some((directory, store, vm, machine, image))
}

/// What a tool says of a disk, named as it stands.
fn sound(disk: &Path, size: Bytes) {
    let chain = serde_json::json!({"driver": "qcow2", "file": {"driver": "file", "filename": disk}});
    let words = ["check", "-q", &format!("json:{chain}")];
    assert!(Command::new("qemu-img").args(words).status().unwrap().success());
    assert_eq!(header(disk).unwrap().virtual_size, size);
}

#[test]
fn l10_a_vm_is_made_with_its_extra_disks_and_each_grows_under_any_path() {
    let Some((_directory, store, vm, mut machine, image)) = lab() else {
        return;
    };
    let data = store.places.extra_disk(&vm.name, &"data".parse().unwrap());
    sound(&store.places.disk(&vm.name), Bytes::mib(12));
    sound(&data, Bytes::mib(64));
    machine.disk = Bytes::mib(20);
    if let Some(hardware) = &mut machine.hardware {
        hardware.disks[0].size = Bytes::gib(3);
    }
    for _ in 0..2 {
        store.grow_disks(&vm, &machine, &image).unwrap();
        sound(&store.places.disk(&vm.name), Bytes::mib(20));
        sound(&data, Bytes::gib(3));
    }
    // What is not a disk of ours is nothing for a tool.
    let whole = fs::read(&data).unwrap();
    let mut hostile = whole.clone();
    hostile[24..32].copy_from_slice(&[0; 8]);
    for (bytes, is_refused) in [(&hostile[..], true), (b"QFI\xfb", false), (b"", false)] {
        fs::write(&data, bytes).unwrap();
        assert_eq!(store.grow_disks(&vm, &machine, &image).is_err(), is_refused);
        assert_eq!(fs::read(&data).unwrap(), bytes);
    }
    fs::write(&data, whole).unwrap();
    // What is larger than its record says stays so.
    machine.disk = Bytes::mib(12);
    store.grow_disks(&vm, &machine, &image).unwrap();
    sound(&store.places.disk(&vm.name), Bytes::mib(20));
}

#[test]
fn a_disk_without_a_record_is_removed_and_no_other() {
    let Some((_directory, store, vm, mut machine, _)) = lab() else {
        return;
    };
    let logs: DiskName = "logs".parse().unwrap();
    store.make_extra_disk(&vm, &logs, Bytes::mib(32)).unwrap();
    // One that was made and never registered is made again.
    store.make_extra_disk(&vm, &logs, Bytes::mib(16)).unwrap();
    sound(&store.places.extra_disk(&vm.name, &logs), Bytes::mib(16));
    assert_eq!(store.sweep_extra_disks(&vm.name, &machine).unwrap(), [logs]);
    assert_eq!(store.sweep_extra_disks(&vm.name, &machine).unwrap(), []);
    let left = files::names(&store.places.vm(&vm.name)).unwrap();
    assert_eq!(left, ["disk-data.qcow2", "disk.qcow2"]);
    machine.hardware = None;
    store.sweep_extra_disks(&vm.name, &machine).unwrap();
    assert_eq!(files::names(&store.places.vm(&vm.name)).unwrap(), ["disk.qcow2"]);
    assert_eq!(
        store
            .sweep_extra_disks(&"other".parse().unwrap(), &machine)
            .unwrap(),
        []
    );
}
