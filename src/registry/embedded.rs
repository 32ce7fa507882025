//! The embedded store: one redb file, owned by one daemon. redb's types stop here.
//!
//! ```text
//!   vms      name -> VmV1 as JSON             meta  "schema"   -> 3
//!   images   name or name@n -> ImageV1 as JSON               "revision" -> number of commits
//!   leases   address -> LeaseV2 as JSON
//!   records  network/owner -> RecordSetV2 as JSON
//!   keys, identities, secrets, deleted    what the site has beside its VMs
//! ```

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Builder, Database, DatabaseError, Durability, ReadableTable, StorageError, TableDefinition, TableError,
    WriteTransaction,
};
use rustix::fs::{Advice, CWD, RenameFlags, fadvise, renameat_with};
use serde::Serialize;

use super::change::{Batch, SiteBatch};
use super::record::{
    self, DeletedV3, HexV3, IdentityV3, ImageV1, LeaseV2, RecordSetV2, RingKeyV3, SCHEMA, VmV1,
};
use super::store::{OpenError, Snapshot, Store, StoreError};
use crate::model::{Revision, Vm};

mod load;

const VMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("vms");
const IMAGES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("images");
/// Since schema 2.
const LEASES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("leases");
/// Since schema 2.
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// Since schema 3.
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
/// Since schema 3.
const IDENTITIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("identities");
/// Since schema 3.
const SECRETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("secrets");
/// Since schema 3: deleted VMs that can be undone.
const DELETED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("deleted");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// A redb file that holds a registry.
#[derive(Debug)]
pub(super) struct Embedded {
    database: Database,
}

impl Embedded {
    /// Opens the registry in the file, or makes an empty one where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        // A new registry appears under its name only when it is complete: a cut during the very first start leaves
        // no half-made file that the next one would have to judge.
        if !path.try_exists().map_err(io_error("look for", path))? {
            create(path)?;
        }
        Self::in_file(path, existing(path)?)
    }

    /// Opens a registry whose last write failed, and never makes one.
    pub(super) fn reopen(path: &Path) -> Result<Self, OpenError> {
        let file = existing(path)?;
        // What the kernel still has in memory proves nothing about the disk: it is written through this new handle,
        // or that fails, and then forgotten, so that what is verified below was read from the disk.
        file.sync_all().map_err(io_error("sync", path))?;
        fadvise(&file, 0, None, Advice::DontNeed)
            .map_err(|error| io_error("read from its disk", path)(error.into()))?;
        Self::in_file(path, file)
    }

    fn in_file(path: &Path, file: File) -> Result<Self, OpenError> {
        let backend = redb::backends::FileBackend::new(file).map_err(|error| open_error(path, error))?;
        // Debug builds of redb assert where release builds report damage; both must become the same sentence.
        catch_unwind(AssertUnwindSafe(|| settings().create_with_backend(backend)))
            .unwrap_or_else(|_| {
                Err(StorageError::Corrupted("its pages contradict each other".to_owned()).into())
            })
            .map(|database| Self { database })
            .map_err(|error| open_error(path, error))
    }

    /// Makes an empty registry in an empty database.
    pub(super) fn initialise(database: Database) -> Result<Self, StoreError> {
        let mut transaction = begin(&database)?;
        {
            let mut meta = transaction.open_table(META).map_err(table)?;
            meta.insert("schema", SCHEMA).map_err(storage)?;
            meta.insert("revision", 0).map_err(storage)?;
            transaction.open_table(VMS).map_err(table)?;
            transaction.open_table(IMAGES).map_err(table)?;
        }
        finish(&mut transaction).and_then(|()| transaction.commit().map_err(wide))?;
        Ok(Self { database })
    }

    /// The registry in a database that holds one.
    #[cfg(test)]
    pub(super) const fn on(database: Database) -> Self {
        Self { database }
    }
}

impl Store for Embedded {
    fn load(&self) -> Result<Snapshot, StoreError> {
        catch_unwind(AssertUnwindSafe(|| load::snapshot(&self.database)))
            .unwrap_or_else(|_| Err(StoreError::Corrupt("its pages contradict each other".to_owned())))
    }

    fn commit(&mut self, expected: Revision, batch: &Batch) -> Result<Revision, StoreError> {
        let mut transaction = begin(&self.database)?;
        let next = write(&transaction, expected, batch)?;
        finish(&mut transaction)?;
        transaction.commit().map_err(wide)?;
        Ok(next)
    }
}

pub(super) fn settings() -> Builder {
    let mut builder = Database::builder();
    // Every page's checksum is verified before anything is served from it; a registry is small enough.
    builder.set_check_integrity_on_open(true);
    // All reads are answered by the directory: the cache only serves commits, and one of 50,000 rows, which overflows
    // it, takes no longer than with a hundred times as much. After the load it would be full for as long as we live.
    builder.set_cache_size(256 << 10);
    builder
}

fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    database.begin_write().map_err(wide)
}

fn finish(transaction: &mut WriteTransaction) -> Result<(), StoreError> {
    // Two phases: the commit never rests on a checksum over data that a user chose.
    transaction.set_two_phase_commit(true);
    transaction
        .set_durability(Durability::Immediate)
        .map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn write(transaction: &WriteTransaction, expected: Revision, batch: &Batch) -> Result<Revision, StoreError> {
    let mut meta = transaction.open_table(META).map_err(table)?;
    let found = Revision(number(&meta, "revision")?);
    if found != expected {
        return Err(StoreError::Moved { expected, found });
    }
    let next = Revision(expected.0 + 1);
    meta.insert("revision", next.0).map_err(storage)?;
    // An earlier release's registry becomes one of this schema by its first change: every record of it is one of
    // this schema, but not the other way round, so that the earlier release must refuse it from now on.
    meta.insert("schema", SCHEMA).map_err(storage)?;
    let mut vms = transaction.open_table(VMS).map_err(table)?;
    for name in &batch.removed_vms {
        vms.remove(name.as_str()).map_err(storage)?;
    }
    // In the order of keys each page is filled once: a roster of 50,000 names takes half the time.
    let mut in_order: Vec<&Arc<Vm>> = batch.put_vms.iter().collect();
    in_order.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    for vm in in_order {
        vms.insert(vm.name.as_str(), document(&VmV1::from(&**vm))?.as_slice())
            .map_err(storage)?;
    }
    let mut images = transaction.open_table(IMAGES).map_err(table)?;
    for id in &batch.removed_images {
        images.remove(record::image_key(id).as_str()).map_err(storage)?;
    }
    for image in &batch.put_images {
        images
            .insert(
                record::image_key(&image.id).as_str(),
                document(&ImageV1::from(&**image))?.as_slice(),
            )
            .map_err(storage)?;
    }
    let mut leases = transaction.open_table(LEASES).map_err(table)?;
    for address in &batch.removed_leases {
        leases.remove(address.to_string().as_str()).map_err(storage)?;
    }
    for lease in &batch.put_leases {
        leases
            .insert(
                lease.address.to_string().as_str(),
                document(&LeaseV2::from(&**lease))?.as_slice(),
            )
            .map_err(storage)?;
    }
    let mut records = transaction.open_table(RECORDS).map_err(table)?;
    for set in &batch.put_records {
        let key = record::key(set);
        if set.records.is_empty() {
            records.remove(key.as_str()).map_err(storage)?;
        } else {
            records
                .insert(key.as_str(), document(&RecordSetV2::from(set))?.as_slice())
                .map_err(storage)?;
        }
    }
    write_site(transaction, &batch.site)?;
    Ok(next)
}

fn write_site(transaction: &WriteTransaction, batch: &SiteBatch) -> Result<(), StoreError> {
    let mut keys = transaction.open_table(KEYS).map_err(table)?;
    for name in &batch.removed_keys {
        keys.remove(name.as_str()).map_err(storage)?;
    }
    for key in &batch.put_keys {
        keys.insert(key.name.as_str(), document(&RingKeyV3::from(&**key))?.as_slice())
            .map_err(storage)?;
    }
    let mut identities = transaction.open_table(IDENTITIES).map_err(table)?;
    for (name, renewals) in &batch.renewals {
        identities
            .insert(
                name.as_str(),
                document(&IdentityV3::from((name, *renewals)))?.as_slice(),
            )
            .map_err(storage)?;
    }
    let mut secrets = transaction.open_table(SECRETS).map_err(table)?;
    if let Some(secret) = &batch.secret {
        secrets
            .insert(record::SITE_SECRET, document(&HexV3::from(secret))?.as_slice())
            .map_err(storage)?;
    }
    write_deleted(transaction, batch)
}

fn write_deleted(transaction: &WriteTransaction, batch: &SiteBatch) -> Result<(), StoreError> {
    let mut deleted = transaction.open_table(DELETED).map_err(table)?;
    for id in &batch.removed_deleted {
        deleted.remove(id.to_string().as_str()).map_err(storage)?;
    }
    for kept in &batch.put_deleted {
        deleted
            .insert(
                kept.id.to_string().as_str(),
                document(&DeletedV3::from(&**kept))?.as_slice(),
            )
            .map_err(storage)?;
    }
    Ok(())
}

fn document(record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|error| StoreError::Io(error.into()))
}

fn number(meta: &impl ReadableTable<&'static str, u64>, key: &str) -> Result<u64, StoreError> {
    let value = meta.get(key).map_err(storage)?;
    value
        .map(|value| value.value())
        .ok_or_else(|| StoreError::Corrupt(format!("its {key} is missing")))
}

/// Makes an empty registry beside its place, and moves it there when it is on disk.
fn create(path: &Path) -> Result<(), OpenError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new.{}", std::process::id()));
    let new = path.with_file_name(name);
    let made = fill(&new).and_then(|()| {
        // NOREPLACE: of two daemons that start at once on an empty directory, one registry wins, and both see it.
        match renameat_with(CWD, &new, CWD, path, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => fs::remove_file(&new).map_err(io_error("remove", &new)),
            moved => moved.map_err(|error| io_error("create", path)(error.into())),
        }
    });
    if made.is_err() {
        // The reason is told below; a left-over would only be clutter.
        drop(fs::remove_file(&new));
    }
    made?;
    // The name itself is on disk only when its directory is.
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error("sync directory", parent))
}

fn fill(path: &Path) -> Result<(), OpenError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(io_error("create", path))?;
    let backend = redb::backends::FileBackend::new(file).map_err(|error| open_error(path, error))?;
    let database = settings()
        .create_with_backend(backend)
        .map_err(|error| open_error(path, error))?;
    let made = Embedded::initialise(database).map_err(|error| OpenError::of(path.to_owned(), error))?;
    made.database.close().map_err(|error| open_error(path, error))?;
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(io_error("sync", path))
}

/// The file, which must be there and hold something.
fn existing(path: &Path) -> Result<File, OpenError> {
    restrict(path)?;
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io_error("open", path))?;
    if file.metadata().map_err(io_error("look at", path))?.len() == 0 {
        return Err(foreign(path, "it is empty"));
    }
    Ok(file)
}

/// Takes the file away from group and others: it holds everybody's user-data.
fn restrict(path: &Path) -> Result<(), OpenError> {
    let metadata = fs::metadata(path).map_err(io_error("look at", path))?;
    if !metadata.is_file() {
        return Err(foreign(path, "it is not a file"));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(io_error("restrict", path))?;
    }
    Ok(())
}

fn open_error(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Held {
            pid: holder(&path),
            path,
        },
        DatabaseError::UpgradeRequired(version) => foreign(&path, &format!("redb file format {version}")),
        // What is no redb file at all is reported by redb as invalid data.
        DatabaseError::Storage(StorageError::Io(why)) if why.kind() == io::ErrorKind::InvalidData => {
            foreign(&path, &why.to_string())
        }
        DatabaseError::Storage(StorageError::Io(source)) => OpenError::Io {
            doing: "open",
            path,
            source,
        },
        error => OpenError::Corrupt {
            path,
            what: error.to_string(),
        },
    }
}

/// The process that holds a lock on the file, as `/proc/locks` tells: `1: FLOCK ADVISORY WRITE 815 fe:00:4711 0 EOF`.
fn holder(path: &Path) -> Option<u32> {
    let inode = fs::metadata(path).ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(4);
        let (pid, file) = (words.next()?, words.next()?);
        // Locks of open file descriptions belong to no process and show -1.
        let pid = pid.parse().ok()?;
        (file.rsplit(':').next()? == inode).then_some(pid)
    })
}

fn foreign(path: &Path, why: &str) -> OpenError {
    OpenError::Foreign {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path: PathBuf = path.to_owned();
    move |source| OpenError::Io { doing, path, source }
}

fn storage(error: StorageError) -> StoreError {
    match error {
        StorageError::Corrupted(what) => StoreError::Corrupt(what),
        StorageError::Io(error) => StoreError::Io(error),
        other => StoreError::Io(io::Error::other(other.to_string())),
    }
}

fn table(error: TableError) -> StoreError {
    match error {
        TableError::Storage(error) => storage(error),
        // A database without our tables, or with other ones of their names, is somebody else's.
        other => StoreError::Foreign(other.to_string()),
    }
}

fn wide(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(what) => StoreError::Corrupt(what),
        redb::Error::Io(error) => StoreError::Io(error),
        other => StoreError::Io(io::Error::other(other.to_string())),
    }
}
