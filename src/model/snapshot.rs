//! Snapshots of a VM's disks, and how often one of them was gone back to.

use uuid::Uuid;

use super::bytes::Bytes;
use super::generation::ImageId;
use super::identity;
use super::name::SnapshotName;
use super::time::Timestamp;
use super::vm::{FirstBoot, Machine, Vm};

/// A snapshot: what lies in its files, and who the VM was to its guest then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name, unique among its VM's.
    pub name: SnapshotName,
    /// When it was taken.
    pub taken: Timestamp,
    /// Whether the VM ran: then it is what a power cut at that moment would have left.
    pub live: bool,
    /// The generation that its root disk is a clone of.
    pub image: ImageId,
    /// The size of its root disk.
    pub disk: Bytes,
    /// The VM's UUID then: its instance-id.
    pub uuid: Uuid,
    /// When that instance began, where it was not the first.
    pub renewed: Option<Timestamp>,
    /// What its first boot had told by then.
    pub first_boot: Option<FirstBoot>,
}

/// The snapshots of a VM, the oldest first, and what came of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// Those that can be gone back to.
    pub snapshots: Vec<Snapshot>,
    /// How many times it went back to one.
    pub restores: u32,
}

impl History {
    /// The record's form: `None` when nothing was.
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl Machine {
    /// Its snapshots, the oldest first.
    pub fn snapshots(&self) -> &[Snapshot] {
        self.history
            .as_ref()
            .map_or(&[], |history| history.snapshots.as_slice())
    }

    /// The snapshot of that name.
    pub fn snapshot(&self, name: &SnapshotName) -> Option<&Snapshot> {
        self.snapshots().iter().find(|snapshot| snapshot.name == *name)
    }

    /// Changes its history.
    pub fn remember(&mut self, change: impl FnOnce(&mut History)) {
        let mut history = self.history.take().map(|history| *history).unwrap_or_default();
        change(&mut history);
        self.history = history.boxed();
    }

    /// Whether a disk of it, or a snapshot, is a clone of that generation.
    pub fn needs(&self, image: &ImageId) -> bool {
        self.image == *image || self.snapshots().iter().any(|snapshot| snapshot.image == *image)
    }
}

impl Vm {
    /// What the `vmgenid` device tells its guest (Virtual Machine Generation ID, Microsoft 2018): another one whenever what is on its
    /// disk may have been lived through before, so that its guest makes other random numbers. Its UUID, which a clone has another of,
    /// and after it went back to a snapshot what follows from both.
    pub fn generation_id(&self) -> Uuid {
        let history = self.machine().and_then(|machine| machine.history.as_ref());
        match history.map_or(0, |history| history.restores) {
            0 => self.uuid,
            restores => identity::restored(self.uuid, restores),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::{Hosting, examples};

    #[test]
    fn each_way_back_is_another_generation_and_the_first_life_has_the_uuid() {
        let mut machine = examples::machine();
        let mut seen = HashSet::new();
        for restores in 0..4 {
            machine.remember(|history| history.restores = restores);
            let vm = Vm {
                hosting: Hosting::from(machine.clone()),
                ..examples::vm("web1", "10.77.0.11")
            };
            if restores == 0 {
                assert_eq!(vm.generation_id(), vm.uuid);
            }
            assert!(seen.insert(vm.generation_id()), "{restores}");
        }
    }
}
