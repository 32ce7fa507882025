//! The registry: the one writer of truth. Everybody else reads what it publishes.
//!
//! ```text
//!   Change -> apply (pure) -> Batch -> Store::commit (on disk) -> Directory published -> the call returns
//! ```
//! A commit is on stable storage before it is published, and published before it is acknowledged. Readers hold an
//! immutable [`Directory`] and never wait for a writer. After a failed write nothing is published before the store was
//! opened and verified again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use crate::model::directory::Published;
use change::{Batch, SiteBatch};

use crate::model::{Clock, Directory, HostKeyPolicy, Network, Revision, SiteSecret, Vm};

mod apply;
pub mod change;
mod claims;
mod common;
mod deleted;
pub mod dump;
mod edit;
mod embedded;
mod hardware;
mod images;
mod lending;
mod nics;
mod policy;
mod record;
mod records;
pub mod refusal;
mod site;
mod snapshots;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use apply::apply;
pub use change::{AccessEdit, Change, CustomEdit, Edit, Effect, NewVm, SecretsEdit, Undelete};
pub use hardware::HardwareEdit;
pub use nics::{NewNic, NicsEdit};
pub use policy::PolicyEdit;
pub use refusal::Refusal;
pub use store::OpenError;
use store::Store;
use writer::{Reopen, Writer};

/// A handle on the registry; clones share it.
#[derive(Debug, Clone)]
pub struct Registry {
    published: Arc<Published>,
    revision: watch::Sender<Revision>,
    writer: Arc<Mutex<Writer>>,
    clock: Clock,
}

/// An acknowledged change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The revision it is in; the current one when it changed nothing.
    pub revision: Revision,
    /// The VMs it was about, as they are now, in the order of the change; deleted ones as they were.
    pub vms: Vec<Arc<Vm>>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The rules forbid it. Nothing was done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be written. The next change first finds out whether this one was kept.
    #[error(
        "registry {} could not be written: {why}. Guests are still served. Put this right and try again: the registry \
         is then opened and verified anew, and only that shows whether this change was kept",
        .path.display()
    )]
    Failed {
        /// The registry.
        path: PathBuf,
        /// What the storage said.
        why: String,
    },
    /// An earlier change could not be written, and what is stored could not be verified since. The next change tries
    /// again.
    #[error(
        "registry {} takes no changes since a write failed ({failure}): {why}. Guests are still served. Put this \
         right and try again",
        .path.display()
    )]
    Closed {
        /// The registry.
        path: PathBuf,
        /// What the storage said when the write failed.
        failure: String,
        /// Why it can not be opened or verified now.
        why: String,
    },
}

/// What host keys are made from, where a network asks for it and there is none yet: then it is made here, once.
fn missing_secret(directory: &Directory) -> Option<Batch> {
    let mut networks = directory.networks();
    let asked = networks.any(|network| network.host_keys == HostKeyPolicy::Generated);
    if !asked || directory.site().secret.is_some() {
        return None;
    }
    let mut octets = [0; 32];
    match getrandom::fill(&mut octets) {
        Ok(()) => Some(Batch {
            site: SiteBatch {
                secret: Some(SiteSecret::of(octets)),
                ..SiteBatch::default()
            },
            ..Batch::default()
        }),
        Err(error) => {
            tracing::error!(%error, "the kernel gives no random numbers: VMs make their own host keys: {error}.");
            None
        }
    }
}

impl Registry {
    /// Opens the registry in the file, or makes an empty one where there is none. Blocks: it reads everything.
    pub fn open(path: &Path, networks: Vec<Network>, clock: Clock) -> Result<Self, OpenError> {
        let store = embedded::Embedded::open(path)?;
        let file = path.to_owned();
        let reopen = move || Ok(Box::new(embedded::Embedded::reopen(&file)?) as Box<dyn Store>);
        Self::on(Box::new(store), Box::new(reopen), path, networks, clock)
    }

    fn on(
        store: Box<dyn Store>,
        reopen: Reopen,
        path: &Path,
        networks: Vec<Network>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let mut store = store;
        let mut directory = writer::loaded(&*store, path, networks)?;
        if let Some(batch) = missing_secret(&directory) {
            let kept = store.commit(directory.revision(), &batch);
            let revision = kept.map_err(|error| OpenError::of(path.to_owned(), error))?;
            directory = batch.on(&directory);
            directory.set_revision(revision);
        }
        if let Some(what) = apply::misfits(&directory) {
            return Err(OpenError::Misfit {
                path: path.to_owned(),
                what,
            });
        }
        Ok(Self {
            revision: watch::Sender::new(directory.revision()),
            published: Arc::new(Published::from_pointee(directory)),
            writer: Arc::new(Mutex::new(Writer::on(store, reopen, path.to_owned()))),
            clock,
        })
    }

    /// Where readers take the current directory from; the same for the registry's whole life.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// The current directory.
    pub fn read(&self) -> Arc<Directory> {
        self.published.load_full()
    }

    /// Tells every new revision, after its directory was published. A slow watcher sees only the newest.
    pub fn watch(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// Whether the rules allow a change now. Nothing is done.
    pub fn check(&self, change: Change) -> Result<(), CommitError> {
        apply(&self.read(), change, self.clock.now())?;
        Ok(())
    }

    /// Makes a change. When it returns `Ok`, the change is on disk and in the published directory.
    ///
    /// A caller that stops waiting does not stop the change: it is made as a whole or not at all.
    pub async fn commit(&self, change: Change) -> Result<Committed, CommitError> {
        let writer = Arc::clone(&self.writer).lock_owned().await;
        let path = writer.path.clone();
        let registry = self.clone();
        tokio::task::spawn_blocking(move || registry.commit_blocking(writer, change))
            .await
            .unwrap_or_else(|error| {
                Err(CommitError::Failed {
                    path,
                    why: error.to_string(),
                })
            })
    }

    fn commit_blocking(
        &self,
        mut writer: OwnedMutexGuard<Writer>,
        change: Change,
    ) -> Result<Committed, CommitError> {
        let mut current = self.published.load_full();
        if let Some(kept) = writer.settle(&current)? {
            self.publish(kept);
            current = self.published.load_full();
        }
        let Effect { batch, vms } = apply(&current, change, self.clock.now())?;
        if batch.is_empty() {
            return Ok(Committed {
                revision: current.revision(),
                vms,
            });
        }
        let (mut next, changes_names) = (batch.on(&current), batch.changes_names());
        let revision = writer.write(current.revision(), batch)?;
        if changes_names {
            next.set_revision(revision);
        } else {
            next.set_nameless_revision(revision);
        }
        self.publish(next);
        Ok(Committed { revision, vms })
    }

    /// Shows readers what is on disk. Only the holder of the writer calls this.
    fn publish(&self, directory: Directory) {
        let revision = directory.revision();
        self.published.store(Arc::new(directory));
        self.revision.send_replace(revision);
    }
}
