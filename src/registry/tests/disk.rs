//! A disk in memory that can lose its power, refuse to sync, and be opened again.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{Database, StorageBackend};

use super::super::embedded::{Embedded, settings};
use super::super::store::{OpenError, Store};
use super::super::writer::Reopen;

/// What was asked of the disk, in order.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
    Sync,
}

#[derive(Debug, Default)]
struct State {
    live: Vec<u8>,
    journal: Vec<Operation>,
    /// So many syncs succeed, then all fail.
    syncs_left: Option<usize>,
    /// Handles were used again after one of their syncs had failed.
    distrusted: bool,
}

/// Clones share the disk and the handle; every database has a handle of its own, as two openings of one file do.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    state: Arc<Mutex<State>>,
    spoilt: Arc<AtomicBool>,
}

impl Disk {
    pub(super) fn holding(image: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.state().live = image;
        disk
    }

    pub(super) fn image(&self) -> Vec<u8> {
        self.state().live.clone()
    }

    /// How many operations there were so far.
    pub(super) fn position(&self) -> usize {
        self.state().journal.len()
    }

    pub(super) fn journal(&self) -> Vec<Operation> {
        self.state().journal.clone()
    }

    /// From now on so many syncs succeed, and then all fail; `None` for a disk that is well.
    pub(super) fn fail_syncs_after(&self, syncs: Option<usize>) {
        self.state().syncs_left = syncs;
    }

    /// Whether a handle wrote or synced again after a sync of it had failed.
    pub(super) fn was_asked_again(&self) -> bool {
        self.state().distrusted
    }

    pub(super) fn database(&self) -> Database {
        self.try_database().unwrap()
    }

    /// What the registry does to open this disk again.
    pub(super) fn reopen(&self) -> Reopen {
        let disk = self.clone();
        Box::new(move || {
            let database = disk.try_database().map_err(|error| OpenError::Corrupt {
                path: Path::new("disk").to_owned(),
                what: error.to_string(),
            })?;
            Ok(Box::new(Embedded::on(database)) as Box<dyn Store>)
        })
    }

    fn try_database(&self) -> Result<Database, redb::DatabaseError> {
        settings().create_with_backend(Self {
            state: Arc::clone(&self.state),
            spoilt: Arc::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Operation {
    /// Does it to an image of the disk.
    pub(super) fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => {
                let end = offset + data.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(data);
            }
            Self::Length(length) => image.resize(*length, 0),
            Self::Sync => {}
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.state().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let offset = usize::try_from(offset).unwrap();
        let state = self.state();
        let found = state.live.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.record(Operation::Length(usize::try_from(len).unwrap()));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.state();
        if self.spoilt.load(Ordering::Relaxed) {
            state.distrusted = true;
        }
        if state.syncs_left == Some(0) {
            self.spoilt.store(true, Ordering::Relaxed);
            return Err(io::Error::other("the disk does not answer"));
        }
        state.syncs_left = state.syncs_left.map(|left| left - 1);
        drop(state);
        self.record(Operation::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.record(Operation::Write {
            offset: usize::try_from(offset).unwrap(),
            data: data.to_vec(),
        });
        Ok(())
    }
}

impl Disk {
    fn record(&self, operation: Operation) {
        let mut state = self.state();
        state.distrusted |= self.spoilt.load(Ordering::Relaxed);
        operation.apply(&mut state.live);
        state.journal.push(operation);
    }
}
