//! Power cuts: whatever the disk kept of what was not yet synced, every acknowledged change is there and none is
//! invented.

use std::collections::BTreeMap;

use super::super::embedded::Embedded;
use super::super::store::{Snapshot, Store as _};
use super::disk::{Disk, Operation};
use super::*;
use crate::model::Revision;
use crate::registry::apply;

const COMMITS: usize = 100;

/// What a run of commits left behind.
struct Run {
    /// Every operation on the disk.
    journal: Vec<Operation>,
    /// Position in the journal -> the revision that was acknowledged there.
    acknowledged: BTreeMap<usize, Revision>,
    /// What each revision holds.
    states: BTreeMap<Revision, Snapshot>,
}

/// Registers and deletes, one commit each, some of them large enough to make the file grow.
fn run() -> Run {
    let disk = Disk::default();
    let mut store = Embedded::initialise(disk.database()).unwrap();
    let mut directory = Directory::of([network("lab", "10.77.0.1/16", None)]);
    let mut acknowledged = BTreeMap::from([(disk.position(), Revision(0))]);
    let mut states = BTreeMap::from([(Revision(0), Snapshot::default())]);
    for index in 0..COMMITS {
        let change = match index % 5 {
            4 => Change::Delete {
                names: vec![name(&format!("v{}-0", index - 2))],
            },
            3 => put_image(image(&format!("base-{index}"))),
            rest => register((0..=rest * 6).map(|row| {
                let mut vm = new(&format!("v{index}-{row}"));
                vm.user_data = Some(vec![b'#'; 700].into());
                vm
            })),
        };
        let effect = apply(&directory, change, NOW).unwrap();
        let revision = store.commit(directory.revision(), &effect.batch).unwrap();
        directory = effect.batch.on(&directory);
        directory.set_revision(revision);
        acknowledged.insert(disk.position(), revision);
        states.insert(
            revision,
            Snapshot {
                revision,
                vms: directory.vms().cloned().collect(),
                images: directory.images().cloned().collect(),
                ..Snapshot::default()
            },
        );
    }
    Run {
        journal: disk.journal(),
        acknowledged,
        states,
    }
}

/// What of the unsynced writes reaches the platter when the power goes: none, all, or every other one.
#[derive(Debug, Clone, Copy)]
enum Kept {
    Nothing,
    All,
    Even,
    Odd,
}

impl Kept {
    fn keeps(self, index: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Even => index.is_multiple_of(2),
            Self::Odd => !index.is_multiple_of(2),
        }
    }
}

#[test]
fn every_acknowledged_commit_survives_a_power_cut_at_every_sync_and_none_is_invented() {
    let Run {
        journal,
        acknowledged,
        states,
    } = run();
    let started = *acknowledged.keys().next().unwrap();
    let mut durable = Vec::new();
    let mut pending: Vec<&Operation> = Vec::new();
    let (mut cuts, mut behind) = (0, 0);
    for (position, operation) in journal.iter().enumerate() {
        if !matches!(operation, Operation::Sync) {
            pending.push(operation);
            continue;
        }
        // Before the first acknowledgement there is no registry under its name yet.
        if position >= started {
            let kinds = [Kept::Nothing, Kept::All, Kept::Even, Kept::Odd];
            // A commit syncs twice: the shift lets each of its syncs meet each kind of cut.
            let kept = kinds[(cuts + cuts / 4) % 4];
            let mut image = durable.clone();
            for (index, write) in pending.iter().enumerate() {
                // The length is metadata of the file system's journal; it may also come without the data.
                if kept.keeps(index) {
                    write.apply(&mut image);
                }
            }
            let found = Embedded::on(Disk::holding(image).database()).load().unwrap();
            let (_, promised) = acknowledged.range(..=position).next_back().unwrap();
            assert!(
                found.revision >= *promised,
                "{kept:?} at {position}: {promised:?} lost"
            );
            assert!(
                found.revision.0 <= promised.0 + 1,
                "{kept:?} at {position}: {:?} invented",
                found.revision
            );
            assert_eq!(
                Some(&found),
                states.get(&found.revision),
                "{kept:?} at {position}"
            );
            cuts += 1;
            behind += usize::from(found.revision == *promised);
        }
        for write in pending.drain(..) {
            write.apply(&mut durable);
        }
    }
    assert_eq!(states.len(), COMMITS + 1);
    let grown = journal
        .iter()
        .skip(started)
        .filter(|operation| matches!(operation, Operation::Length(_)));
    assert!(grown.count() >= 1, "no commit made the file grow");
    // Two-phase commits sync at least twice, and a cut before the last sync must be able to lose the change.
    assert!(
        cuts >= 2 * COMMITS && behind >= COMMITS,
        "{cuts} cuts, {behind} before the commit"
    );
}
