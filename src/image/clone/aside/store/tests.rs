//! Files of deleted VMs: moved as a whole, there and back, again after a kill, and never mistaken for another VM's.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;
use crate::model::{Directory, Places, examples};

fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let places = Places::new(directory.path().join("state"), directory.path().join("run"));
    let store = Store::open(places).unwrap();
    (directory, store)
}

fn files_of(store: &Store, vm: &Vm, content: &str) {
    let place = store.places.vm(&vm.name);
    files::passage(&place.join("snapshots")).unwrap();
    for file in ["disk.qcow2", "snapshots/disk.qcow2"] {
        fs::write(place.join(file), content).unwrap();
        if rustix::process::geteuid().is_root() {
            let uid = identity::uid(vm.address);
            lchown(place.join(file), Some(uid), Some(uid)).unwrap();
        }
    }
}

fn id(text: &str) -> DeletedId {
    text.parse().unwrap()
}

fn names(path: &Path) -> Vec<String> {
    files::names(path).unwrap()
}

#[test]
fn what_is_set_aside_comes_back_and_each_step_can_be_done_again() {
    let (_directory, store) = store();
    let vm = examples::vm("web1", "10.77.0.11");
    files_of(&store, &vm, "mine");
    for _ in 0..2 {
        store.set_aside(&id("web1-4")).unwrap();
        assert_eq!(names(&store.places.vms()), [""; 0]);
        assert_eq!(names(&store.places.deleted()), ["web1-4"]);
    }
    let mode = fs::metadata(store.places.deleted()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "another VM's user may own these files");
    for _ in 0..2 {
        store.bring_back(&id("web1-4"), &vm, &vm).unwrap();
        assert_eq!(fs::read_to_string(store.places.disk(&vm.name)).unwrap(), "mine");
        assert_eq!(names(&store.places.deleted()), [""; 0]);
    }
    store.send_back(&id("web1-4"), &vm.name).unwrap();
    assert_eq!(names(&store.places.deleted()), ["web1-4"]);
    assert!(store.remove_deleted(&id("web1-4")).unwrap());
    assert!(!store.remove_deleted(&id("web1-4")).unwrap());
}

#[test]
fn the_files_of_a_later_vm_of_the_name_are_never_taken_for_those_of_an_earlier_one() {
    let (_directory, store) = store();
    let vm = examples::vm("web1", "10.77.0.11");
    // The first one had none.
    store.set_aside(&id("web1-4")).unwrap();
    files_of(&store, &vm, "later");
    store.set_aside(&id("web1-4")).unwrap();
    assert_eq!(fs::read_to_string(store.places.disk(&vm.name)).unwrap(), "later");
    assert!(matches!(
        store.bring_back(&id("web1-4"), &vm, &vm),
        Err(StoreError::Exists(_))
    ));
    assert_eq!(fs::read_to_string(store.places.disk(&vm.name)).unwrap(), "later");
}

#[test]
fn under_another_address_all_files_are_its_new_users() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root, to give files to another user");
        return;
    }
    let (_directory, store) = store();
    let (was, now) = (
        examples::vm("web1", "10.77.0.11"),
        examples::vm("web2", "10.77.0.12"),
    );
    files_of(&store, &was, "mine");
    fs::write(store.places.vm(&was.name).join("roots"), "").unwrap();
    store.set_aside(&id("web1-4")).unwrap();
    store.bring_back(&id("web1-4"), &was, &now).unwrap();
    let owner = |file: &str| fs::metadata(store.places.vm(&now.name).join(file)).unwrap().uid();
    let uid = identity::uid(now.address);
    assert_eq!(
        ["disk.qcow2", "snapshots/disk.qcow2", "snapshots", "roots"].map(owner),
        [uid, uid, 0, 0]
    );
    let mode = fs::metadata(store.places.vm(&now.name))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o711);
}

#[test]
fn kept_files_of_which_no_record_is_kept_are_orphans() {
    let (_directory, store) = store();
    store.set_aside(&id("web1-4")).unwrap();
    let orphans = store.orphans(&Directory::default()).unwrap();
    assert_eq!(orphans.deleted, [id("web1-4")]);
    assert_eq!((orphans.vms, orphans.images), (vec![], vec![]));
}
