//! Opening a file: what is there, what is not ours, what is damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use redb::{Database, TableDefinition};

use super::super::embedded::Embedded;
use super::super::record::SCHEMA;
use super::super::store::{OpenError, Snapshot, Store as _, StoreError};
use super::disk::Disk;
use super::*;
use crate::model::Vm;

fn refused(path: &Path) -> OpenError {
    match Registry::open(path, vec![lab()], Clock) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_new_registry_is_the_owners_alone_and_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let registry = opened(&path, vec![lab()]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut binary = managed("web1", "debian-12");
    binary.user_data = Some([0x1f, 0x8b, 0, 0xff].as_slice().into());
    registry.commit(put_image(image("debian-12"))).await.unwrap();
    registry.commit(register([binary, new("web2")])).await.unwrap();
    let before = registry.read();
    drop(registry);
    let after = opened(&path, vec![lab()]).read();
    assert_eq!(after.revision(), before.revision());
    assert!(after.vms().eq(before.vms()) && after.images().eq(before.images()));
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_registry_that_others_could_read_is_closed_to_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    drop(opened(&path, vec![lab()]));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(opened(&path, vec![lab()]));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_second_daemon_is_told_who_holds_the_registry() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let _first = opened(&path, vec![lab()]);
    let error = refused(&path);
    assert!(matches!(&error, OpenError::Held { pid, .. } if pid.is_none_or(|pid| pid == std::process::id())));
    assert!(
        error.to_string().contains("is held by another seedbed daemon"),
        "{error}"
    );
}

#[test]
fn what_is_not_a_registry_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    for content in [&b""[..], b"hello", &[0; 8_192], &[b'x'; 10_000]] {
        fs::write(&path, content).unwrap();
        assert!(
            matches!(refused(&path), OpenError::Foreign { .. }),
            "{}",
            refused(&path)
        );
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(refused(&path), OpenError::Foreign { .. }));
    let missing = directory.path().join("no/such/registry.redb");
    let error = refused(&missing).to_string();
    assert!(
        error.contains("can not create") && error.contains("no/such/registry.redb"),
        "{error}"
    );
}

#[test]
fn another_programs_database_is_not_a_registry() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    drop(Database::create(&path).unwrap());
    assert!(
        matches!(refused(&path), OpenError::Foreign { .. }),
        "{}",
        refused(&path)
    );
}

/// A registry with one row put in behind its back.
fn tampered(table: &str, key: &str, value: &[u8]) -> (tempfile::TempDir, OpenError) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    drop(opened(&path, vec![lab()]));
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    if table == "meta" {
        let number = u64::from_le_bytes(value.try_into().unwrap());
        let mut table = transaction
            .open_table(TableDefinition::<&str, u64>::new(table))
            .unwrap();
        table.insert(key, number).unwrap();
    } else {
        let mut table = transaction
            .open_table(TableDefinition::<&str, &[u8]>::new(table))
            .unwrap();
        table.insert(key, value).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let error = refused(&path);
    (directory, error)
}

#[test]
fn a_newer_schema_is_refused_with_a_hint() {
    let (_directory, error) = tampered("meta", "schema", &(SCHEMA + 1).to_le_bytes());
    assert!(matches!(
        error,
        OpenError::Newer {
            found,
            known: SCHEMA,
            ..
        } if found == SCHEMA + 1
    ));
    assert!(
        error
            .to_string()
            .contains("start the release that wrote it, or a newer one"),
        "{error}"
    );
}

#[tokio::test]
async fn a_registry_of_schema_1_opens_and_becomes_one_of_todays_by_its_first_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let registry = opened(&path, vec![lab()]);
    registry.commit(register([new("web1")])).await.unwrap();
    drop(registry);
    // What schema 1 had: no tables for leases and records, nor those of schema 3.
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    for name in ["leases", "records", "keys", "identities", "secrets"] {
        let table: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(name);
        assert!(transaction.delete_table(table).unwrap(), "{name}");
    }
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    transaction.open_table(meta).unwrap().insert("schema", 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let registry = opened(&path, vec![lab()]);
    assert_eq!(registry.read().vms().count(), 1);
    registry.commit(register([new("web2")])).await.unwrap();
    drop(registry);
    let database = Database::open(&path).unwrap();
    let reading = redb::ReadableDatabase::begin_read(&database).unwrap();
    let schema = reading
        .open_table(meta)
        .unwrap()
        .get("schema")
        .unwrap()
        .unwrap()
        .value();
    assert_eq!(schema, SCHEMA);
}

#[test]
fn a_record_that_makes_no_sense_is_damage_and_is_named() {
    let good = r#"{"name":"web1","network":"lab","mac":"52:54:00:00:00:01","address":"10.77.0.9",
        "uuid":"7573fe52-e13e-82a6-a9ae-40fb6a351c25","tap":"tap-web1","keys":[],"template":"default","created":1}"#;
    for (key, value, says) in [
        ("web1", "not json".to_owned(), "the record of VM `web1`: "),
        (
            "web1",
            good.replace("10.77.0.9", "10.77.0.999"),
            "the record of VM `web1`: address",
        ),
        (
            "web1",
            good.replace("52:54:00:00:00:01", "ff:ff:ff:ff:ff:ff"),
            "the record of VM `web1`: mac",
        ),
        (
            "web1",
            good.replace("\"created\"", "\"owner\":\"me\",\"created\""),
            "unknown field `owner`",
        ),
        (
            "web2",
            good.to_owned(),
            "the record of VM `web2`: it names itself web1",
        ),
    ] {
        let (_directory, error) = tampered("vms", key, value.as_bytes());
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_configuration_that_takes_the_network_away_is_refused_with_the_vms() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let registry = opened(&path, vec![lab()]);
    registry
        .commit(register([new("web1"), new("web2")]))
        .await
        .unwrap();
    drop(registry);
    for (networks, says) in [
        (
            vec![network("dmz", "10.77.0.1/24", None)],
            "there is no network lab in the configuration any more",
        ),
        (
            vec![network("lab", "10.78.0.1/24", None)],
            "network lab is 10.78.0.0/24 now, but web1, web2 are",
        ),
        (
            vec![network("lab", "10.77.0.11/24", None)],
            "but web2 is registered there",
        ),
    ] {
        let error = Registry::open(&path, networks, Clock).map(drop).unwrap_err();
        assert!(
            matches!(error, OpenError::Misfit { .. }) && error.to_string().contains(says),
            "{error}"
        );
    }
}

#[test]
fn two_records_with_one_address_are_damage() {
    let start = Directory::of([lab()]);
    let vms = super::super::apply(&start, register([new("a"), new("b")]), NOW)
        .unwrap()
        .vms;
    let twin = Vm {
        address: vms[0].address,
        ..(*vms[1]).clone()
    };
    let snapshot = Snapshot {
        vms: vec![vms[0].clone(), twin.into()],
        ..Default::default()
    };
    let error = super::super::writer::directory(vec![lab()], snapshot).unwrap_err();
    assert!(
        matches!(error, StoreError::Corrupt(_)) && error.to_string().contains("VM `a` and VM `b`"),
        "{error}"
    );
}

/// A registry of twenty VMs, as its file is on disk.
fn image_of_twenty() -> Vec<u8> {
    let disk = Disk::default();
    let mut store = Embedded::initialise(disk.database()).unwrap();
    let start = Directory::of([lab()]);
    let vms = (0..20).map(|index| at(&format!("v{index}"), &format!("10.77.0.{}", 30 + index)));
    let effect = super::super::apply(&start, register(vms), NOW).unwrap();
    store.commit(start.revision(), &effect.batch).unwrap();
    drop(store);
    disk.image()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Damage is refused or harmless, and never answered with a guess or a panic that escapes.
    #[test]
    fn a_damaged_file_is_refused_or_reads_as_it_was(
        place in 0.0..1.0_f64, length in 1_usize..64, value: u8, cut: bool,
    ) {
        let good = image_of_twenty();
        let expected = loaded(good.clone()).unwrap();
        let mut bad = good.clone();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "any place will do")]
        // Most of the file is free space: aim at what is used.
        let offset = (place * 65_536.0_f64.min(good.len() as f64 - 64.0)) as usize;
        if cut {
            bad.truncate(offset);
        } else {
            bad[offset..offset + length].fill(value);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry.redb");
        fs::write(&path, &bad).unwrap();
        if let Ok(store) = Embedded::open(&path)
            && let Ok(found) = store.load() {
            prop_assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_letter_that_changed_on_disk_is_damage_even_where_it_would_make_sense() {
    let mut bad = image_of_twenty();
    let letters: Vec<usize> = (0..bad.len() - 7)
        .filter(|&at| bad[at..].starts_with(b"ops@lab"))
        .collect();
    assert!(letters.len() >= 20);
    for at in letters {
        bad[at] = b'0';
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    fs::write(&path, &bad).unwrap();
    assert!(
        matches!(refused(&path), OpenError::Corrupt { .. }),
        "{}",
        refused(&path)
    );
}

fn loaded(image: Vec<u8>) -> Result<Snapshot, StoreError> {
    Embedded::on(Disk::holding(image).database()).load()
}
