//! After a failed write: nothing is published that was not read back, and no restart is needed.

use std::sync::{Arc, Mutex};

use super::super::CommitError;
use super::super::change::Batch;
use super::super::embedded::Embedded;
use super::super::store::{OpenError, Snapshot, Store, StoreError};
use super::disk::Disk;
use super::*;
use crate::model::Revision;

fn on_disk(disk: &Disk) -> Registry {
    on(Embedded::initialise(disk.database()).unwrap(), disk.reopen())
}

fn on(store: impl Store + 'static, reopen: super::super::Reopen) -> Registry {
    Registry::on(
        Box::new(store),
        reopen,
        Path::new("/state/registry.redb"),
        vec![lab()],
        Clock,
    )
    .unwrap()
}

fn held(registry: &Registry) -> (Vec<String>, Revision, Revision) {
    let directory = registry.read();
    let names = directory.vms().map(|vm| vm.name.to_string()).collect();
    (names, directory.revision(), *registry.watch().borrow())
}

fn of(names: &[&str], revision: u64) -> (Vec<String>, Revision, Revision) {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    (names, Revision(revision), Revision(revision))
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_published_until_the_reopened_store_is_verified() {
    let disk = Disk::default();
    let registry = on_disk(&disk);
    registry.commit(register([new("web1")])).await.unwrap();
    disk.fail_syncs_after(Some(0));
    let failed = registry.commit(register([new("web2")])).await.unwrap_err();
    assert!(matches!(failed, CommitError::Failed { .. }), "{failed}");
    let text = failed.to_string();
    assert!(
        text.contains("/state/registry.redb") && text.contains("the disk does not answer"),
        "{text}"
    );
    // As long as the disk can not be opened and verified, everything is refused, and what is published stays.
    for _ in 0..2 {
        let closed = registry.commit(register([new("web3")])).await.unwrap_err();
        assert!(matches!(closed, CommitError::Closed { .. }), "{closed}");
        assert_eq!(closed.to_string().matches("the disk does not answer").count(), 2);
        assert_eq!(held(&registry), of(&["web1"], 1));
    }
    disk.fail_syncs_after(None);
    registry.commit(register([new("web3")])).await.unwrap();
    assert_eq!(held(&registry), of(&["web1", "web3"], 2));
    assert!(!disk.was_asked_again());
    drop(registry);
    let found = Embedded::on(disk.database()).load().unwrap();
    assert_eq!((found.revision, found.vms.len()), (Revision(2), 2));
}

#[tokio::test]
async fn whichever_sync_fails_the_next_change_goes_on_from_what_the_disk_kept() {
    let (mut lost, mut kept) = (0, 0);
    for syncs in 0.. {
        let disk = Disk::default();
        let registry = on_disk(&disk);
        registry.commit(register([new("web1")])).await.unwrap();
        disk.fail_syncs_after(Some(syncs));
        let outcome = registry.commit(register([new("web2")])).await;
        disk.fail_syncs_after(None);
        if outcome.is_ok() {
            break;
        }
        assert_eq!(
            held(&registry),
            of(&["web1"], 1),
            "published before it was verified"
        );
        // A refused change settles it too: readers see what was kept.
        registry.commit(register([new("web1")])).await.unwrap_err();
        if registry.read().revision() == Revision(2) {
            kept += 1;
            assert_eq!(held(&registry), of(&["web1", "web2"], 2));
            let again = registry.commit(register([new("web2")])).await.unwrap_err();
            assert!(matches!(again, CommitError::Refused(_)), "{again}");
        } else {
            lost += 1;
            assert_eq!(held(&registry), of(&["web1"], 1));
            registry.commit(register([new("web2")])).await.unwrap();
        }
        registry.commit(register([new("web3")])).await.unwrap();
        assert_eq!(held(&registry), of(&["web1", "web2", "web3"], 3));
        assert!(!disk.was_asked_again());
        let before = dumped(&registry.read());
        drop(registry);
        let after = on(Embedded::on(disk.database()), disk.reopen());
        assert_eq!(dumped(&after.read()), before);
    }
    assert!(lost > 0 && kept > 0, "{lost} lost, {kept} kept");
}

/// A store that fails or panics at every commit, and holds whatever it was given.
struct Failing {
    holds: Snapshot,
    panics: bool,
}

impl Store for Failing {
    fn load(&self) -> Result<Snapshot, StoreError> {
        Ok(self.holds.clone())
    }

    fn commit(&mut self, _: Revision, _: &Batch) -> Result<Revision, StoreError> {
        assert!(!self.panics, "a fault of the store");
        Err(std::io::Error::other("no").into())
    }
}

#[tokio::test]
async fn a_reopened_store_that_holds_anything_else_is_refused_and_looked_at_again() {
    for panics in [false, true] {
        let start = Directory::of([lab()]);
        let vms = |names: &[&str]| {
            let rows = names.iter().map(|name| new(name));
            super::super::apply(&start, register(rows), NOW).unwrap().vms
        };
        let snapshot = |revision, names: &[&str]| Snapshot {
            revision: Revision(revision),
            vms: vms(names),
            ..Snapshot::default()
        };
        let holds = Arc::new(Mutex::new(snapshot(1, &["web1"])));
        let held_later = Arc::clone(&holds);
        let store = move || {
            let holds = held_later.lock().unwrap().clone();
            Failing { holds, panics }
        };
        let first = store();
        let registry = on(
            first,
            Box::new(move || Ok::<_, OpenError>(Box::new(store()) as Box<dyn Store>)),
        );
        let fails = async |expected: fn(&CommitError) -> bool| {
            let error = registry.commit(register([new("web2")])).await.unwrap_err();
            assert!(expected(&error), "{error}");
            assert_eq!(held(&registry), of(&["web1"], 1));
        };
        fails(|error| matches!(error, CommitError::Failed { .. })).await;
        for other in [
            snapshot(0, &[]),
            snapshot(1, &["web9"]),
            snapshot(2, &["web1", "web9"]),
            snapshot(2, &["web1"]),
            snapshot(3, &["web1", "web2"]),
        ] {
            *holds.lock().unwrap() = other;
            fails(|error| matches!(error, CommitError::Closed { .. })).await;
        }
        *holds.lock().unwrap() = snapshot(1, &["web1"]);
        fails(|error| matches!(error, CommitError::Failed { .. })).await;
    }
}

#[tokio::test]
async fn a_registry_that_vanished_is_never_made_anew_under_a_running_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    drop(Embedded::open(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Embedded::reopen(&path), Err(OpenError::Io { .. })));
    assert!(!path.exists());
}
