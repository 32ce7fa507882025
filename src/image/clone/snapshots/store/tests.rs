//! Snapshots as files: a guest that goes on changes none of them, and what no record names is swept.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use tempfile::TempDir;

use super::*;
use crate::image::clone::overlay;
use crate::model::image::DiskFormat;
use crate::model::snapshot::Snapshot;
use crate::model::{Bytes, Hosting, Places, Timestamp, examples, identity};

fn name(text: &str) -> SnapshotName {
    text.parse().unwrap()
}

/// A store with a VM whose record has the snapshot `kept`, and whose guest wrote this; nothing without root.
fn store(written: &[u8]) -> Option<(TempDir, Store, Vm, Machine)> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root, to give files to another user");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let places = Places::new(directory.path().join("state"), directory.path().join("run"));
    let store = Store::open(places).unwrap();
    let mut machine = Machine {
        swap: Bytes::mib(1),
        ..examples::machine()
    };
    machine.remember(|history| {
        history.snapshots = vec![Snapshot {
            name: name("kept"),
            taken: Timestamp(7),
            live: false,
            image: "debian-12@1".parse().unwrap(),
            disk: Bytes::mib(8),
            uuid: identity::uuid(&"web1".parse().unwrap()),
            renewed: None,
            first_boot: None,
        }];
    });
    let vm = Vm {
        hosting: Hosting::from(machine.clone()),
        ..examples::vm("web1", "10.77.0.11")
    };
    files::passage(&store.places.vm(&vm.name)).unwrap();
    write(&store, &vm, written);
    Some((directory, store, vm, machine))
}

/// A disk that our reader takes, with something behind it.
fn disk(written: &[u8]) -> Vec<u8> {
    let mut disk = overlay::file("/base".as_ref(), DiskFormat::Raw, Bytes::mib(8)).unwrap();
    disk.extend(written);
    disk
}

fn write(store: &Store, vm: &Vm, written: &[u8]) {
    fs::write(store.places.disk(&vm.name), disk(written)).unwrap();
}

fn read(store: &Store, vm: &Vm) -> Vec<u8> {
    fs::read(store.places.disk(&vm.name)).unwrap()
}

#[test]
fn a_snapshot_is_gone_back_to_as_often_as_one_likes() {
    let Some((_directory, store, vm, machine)) = store(b"then") else {
        return;
    };
    store.take_snapshot(&vm, &name("kept")).unwrap();
    for later in [b"later", b"again"] {
        write(&store, &vm, later);
        store.restore_next_disks(&vm, &machine, &name("kept")).unwrap();
        assert!(read(&store, &vm) == disk(later), "nothing is in place yet");
        store.put_next_disks(&vm.name).unwrap();
        assert!(read(&store, &vm) == disk(b"then"));
        let metadata = fs::metadata(store.places.disk(&vm.name)).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.mode() & 0o777),
            (identity::uid(vm.address), 0o600)
        );
    }
    let files = files::names(&store.places.vm(&vm.name)).unwrap();
    assert_eq!(files, ["disk.qcow2", "snapshots", "swap.raw"]);
    let mode = fs::metadata(store.places.snapshots(&vm.name))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(store.remove_snapshot(&vm, &name("kept")).unwrap());
    assert!(!store.remove_snapshot(&vm, &name("kept")).unwrap());
}

#[test]
fn what_no_record_names_is_swept_and_nothing_else() {
    let Some((_directory, store, vm, _)) = store(b"then") else {
        return;
    };
    assert_eq!(store.sweep_snapshots(&vm).unwrap(), 0);
    for taken in ["kept", "unknown"] {
        store.take_snapshot(&vm, &name(taken)).unwrap();
    }
    let folder = store.places.snapshots(&vm.name);
    fs::create_dir(folder.join(".tmp-half")).unwrap();
    assert_eq!(store.sweep_snapshots(&vm).unwrap(), 2);
    assert_eq!(files::names(&folder).unwrap(), ["kept"]);
}

#[test]
fn what_is_no_clone_is_no_snapshot_and_leaves_none() {
    let Some((_directory, store, vm, _)) = store(b"") else {
        return;
    };
    fs::write(store.places.disk(&vm.name), b"QFI\xfb and nothing more").unwrap();
    store.take_snapshot(&vm, &name("kept")).unwrap_err();
    assert_eq!(files::names(&store.places.snapshots(&vm.name)).unwrap(), [""; 0]);
}
