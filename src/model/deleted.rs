//! Deleted VMs that can be undone: their records and their disks are kept for some time, and nothing else of them is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::directory::Directory;
use super::generation::ImageId;
use super::name::VmName;
use super::site::Site;
use super::time::Timestamp;
use super::vm::Vm;

/// One deletion of a VM, for of one name there may have been several: `web1-42`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeletedId {
    /// The name it had.
    pub name: VmName,
    /// The revision in which it was deleted, so that no number is used twice.
    pub number: u64,
}

/// A text that names no deletion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a VM, a hyphen and a number")]
pub struct DeletedIdError(String);

impl fmt::Display for DeletedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.number)
    }
}

impl FromStr for DeletedId {
    type Err = DeletedIdError;

    fn from_str(text: &str) -> Result<Self, DeletedIdError> {
        let parts = text.rsplit_once('-').and_then(|(name, number)| {
            let parsed = Self {
                name: name.parse().ok()?,
                number: number.parse().ok()?,
            };
            // Of one deletion there is one text.
            (parsed.to_string() == text).then_some(parsed)
        });
        parts.ok_or_else(|| DeletedIdError(text.escape_debug().take(80).collect()))
    }
}

/// What is kept of a deleted VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Which deletion it was.
    pub id: DeletedId,
    /// When it was.
    pub at: Timestamp,
    /// The VM as it was.
    pub vm: Arc<Vm>,
    /// The name that it is coming back by, while that is being done.
    pub returning: Option<VmName>,
}

impl Deleted {
    /// From when on it can not be undone any more, where that can be done for `window`.
    pub fn until(&self, window: Duration) -> Timestamp {
        Timestamp(self.at.0.saturating_add(window.as_secs()))
    }
}

impl Site {
    /// The deletions of that name that can be undone, the oldest first.
    pub fn deleted_of<'a>(&'a self, name: &'a VmName) -> impl DoubleEndedIterator<Item = &'a Arc<Deleted>> {
        let first = DeletedId {
            name: name.clone(),
            number: 0,
        };
        let last = DeletedId {
            name: name.clone(),
            number: u64::MAX,
        };
        self.deleted.range(first..=last).map(|(_, deleted)| deleted)
    }
}

impl Directory {
    /// The deleted VMs of which a disk, or a snapshot, is a clone of that generation, by name.
    pub fn deleted_clones_of<'a>(&'a self, image: &'a ImageId) -> impl Iterator<Item = &'a Arc<Deleted>> {
        let needs = move |deleted: &&Arc<Deleted>| {
            let machine = deleted.vm.machine();
            machine.is_some_and(|machine| machine.needs(image))
        };
        self.site().deleted.values().filter(needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::examples;

    fn deleted(name: &str, number: u64) -> Arc<Deleted> {
        let vm = examples::vm(name, "10.77.0.11");
        Arc::new(Deleted {
            id: DeletedId {
                name: vm.name.clone(),
                number,
            },
            at: Timestamp(100),
            vm: Arc::new(vm),
            returning: None,
        })
    }

    #[test]
    fn the_text_of_a_deletion_is_read_back_and_no_other() {
        for text in ["web1-42", "web-1-0", "a-7-18446744073709551615"] {
            let id: DeletedId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
        }
        for text in [
            "web1",
            "web1-",
            "-42",
            "web1-042",
            "web1-+4",
            "..-4",
            "web1-18446744073709551616",
        ] {
            text.parse::<DeletedId>().unwrap_err();
        }
    }

    #[test]
    fn the_deletions_of_a_name_are_its_own_and_in_order() {
        let mut site = Site::default();
        for deleted in [
            deleted("web1", 9),
            deleted("web1", 10),
            deleted("web", 3),
            deleted("web10", 4),
        ] {
            site.deleted.insert(deleted.id.clone(), deleted);
        }
        let name: VmName = "web1".parse().unwrap();
        let numbers: Vec<u64> = site.deleted_of(&name).map(|deleted| deleted.id.number).collect();
        assert_eq!(numbers, [9, 10]);
    }

    #[test]
    fn a_window_that_is_longer_than_time_ends_never() {
        let deleted = deleted("web1", 1);
        assert_eq!(deleted.until(Duration::from_secs(60)), Timestamp(160));
        assert_eq!(deleted.until(Duration::MAX), Timestamp(u64::MAX));
    }
}
