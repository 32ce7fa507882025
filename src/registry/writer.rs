//! The one that writes: it holds the store, and after a failed write it trusts nothing that it has not read again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::CommitError;
use super::change::{Batch, RecordSet};
use super::store::{OpenError, Snapshot, Store, StoreError};
use crate::model::{Directory, Network, Nic, Revision};

/// Opens the store anew, verifies it, and never makes one where there is none.
pub(super) type Reopen = Box<dyn FnMut() -> Result<Box<dyn Store>, OpenError> + Send>;

/// Writes batches, one after the other.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    /// `None` while it could not be opened again. After a failed write it is kept until the next change, but only for
    /// its lock: no other daemon shall take the registry meanwhile.
    store: Option<Box<dyn Store>>,
    reopen: Reopen,
    unsettled: Option<Unsettled>,
}

/// A write that failed. After a failed fsync nobody knows what is on disk, and asking the same file handle again may
/// wrongly say that all is well (reliability §2.8 R2).
#[derive(Debug)]
struct Unsettled {
    batch: Batch,
    failure: String,
}

impl Writer {
    pub(super) const fn on(store: Box<dyn Store>, reopen: Reopen, path: PathBuf) -> Self {
        Self {
            path,
            store: Some(store),
            reopen,
            unsettled: None,
        }
    }

    /// Writes the batch as the revision after `current`'s.
    pub(super) fn write(&mut self, current: Revision, batch: Batch) -> Result<Revision, CommitError> {
        let Some(store) = &mut self.store else {
            return Err(self.closed("it is not open"));
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| store.commit(current, &batch)))
            .unwrap_or_else(|_| Err(StoreError::Corrupt("the write was interrupted".to_owned())));
        outcome.map_err(|error| {
            let failure = error.to_string();
            tracing::error!(
                "The registry {} could not be written: {failure}. Guests are still served; the next change opens and \
                 verifies it again.",
                self.path.display()
            );
            self.unsettled = Some(Unsettled {
                batch,
                failure: failure.clone(),
            });
            CommitError::Failed {
                path: self.path.clone(),
                why: failure,
            }
        })
    }

    /// After a failed write, opens the store again and finds out whether the change was kept: then it is the answer,
    /// to be published. What is neither the published state nor that change is refused, and looked at again next time.
    pub(super) fn settle(&mut self, published: &Directory) -> Result<Option<Directory>, CommitError> {
        let Some(Unsettled { batch, .. }) = &self.unsettled else {
            return Ok(None);
        };
        let mut attempted = batch.on(published);
        attempted.set_revision(Revision(published.revision().0 + 1));
        // Its lock and its file handle go first: nothing of what they would say counts any more.
        self.store = None;
        let networks = published.networks().map(|network| Network::clone(network));
        let opened = (self.reopen)().and_then(|store| {
            let found = loaded(&*store, &self.path, networks.collect())?;
            Ok((store, found))
        });
        let (store, found) = opened.map_err(|error| self.closed(&error.to_string()))?;
        let kept = is_same(&found, &attempted);
        if !kept && !is_same(&found, published) {
            return Err(self.closed(&format!(
                "it holds a revision {} that this daemon did not write; restart the daemon to go on from there, or \
                 restore the file from a backup",
                found.revision().0
            )));
        }
        tracing::info!(
            "The registry {} was opened again and verified: the change that failed was {}kept.",
            self.path.display(),
            if kept { "" } else { "not " }
        );
        self.store = Some(store);
        self.unsettled = None;
        Ok(kept.then_some(found))
    }

    fn closed(&self, why: &str) -> CommitError {
        CommitError::Closed {
            path: self.path.clone(),
            failure: self
                .unsettled
                .as_ref()
                .map_or_else(String::new, |unsettled| unsettled.failure.clone()),
            why: why.to_owned(),
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("path", &self.path)
            .field("unsettled", &self.unsettled)
            .finish_non_exhaustive()
    }
}

/// Everything that the store holds, as a directory.
pub(super) fn loaded(store: &dyn Store, path: &Path, networks: Vec<Network>) -> Result<Directory, OpenError> {
    store
        .load()
        .and_then(|snapshot| directory(networks, snapshot))
        .map_err(|error| OpenError::of(path.to_owned(), error))
}

fn is_same(one: &Directory, other: &Directory) -> bool {
    one.revision() == other.revision()
        && one.vms().eq(other.vms())
        && one.images().eq(other.images())
        && one.leases() == other.leases()
        && one.records() == other.records()
        && one.site() == other.site()
}

/// The directory of what was loaded. Records that claim the same name or address are damage, not a choice to make.
pub(super) fn directory(networks: Vec<Network>, snapshot: Snapshot) -> Result<Directory, StoreError> {
    let mut directory = Directory::of(networks);
    directory.set_revision(snapshot.revision);
    for image in snapshot.images {
        directory.put_image(image);
    }
    directory.reserve_vms(snapshot.vms.len());
    let leases = directory.leases_mut();
    for lease in snapshot.leases {
        leases.put(lease);
    }
    let records = directory.records_mut();
    for RecordSet {
        network,
        owner,
        records: set,
    } in snapshot.records
    {
        records.put(&network, &owner, set);
    }
    *directory.site_mut() = snapshot.site;
    for vm in snapshot.vms {
        let holder_of = |nic: Nic<'_>| {
            directory
                .vm_by_mac(nic.mac)
                .or_else(|| directory.vm_at(nic.address))
                .or_else(|| directory.vm_behind(nic.tap))
        };
        if let Some(holder) = vm.nics().find_map(holder_of) {
            return Err(StoreError::Corrupt(format!(
                "the records of VM `{}` and VM `{}` share an address or a tap",
                holder.name, vm.name
            )));
        }
        directory.put_vm(vm);
    }
    Ok(directory)
}
