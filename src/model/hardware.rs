//! What a managed VM was created with and keeps, whatever becomes of the QEMU that runs it.

use super::bytes::Bytes;
use super::name::{CpuModel, DiskName, MachineType};

/// The hardware of a managed VM. The default is that of a VM from before anything was pinned: what QEMU gives today.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hardware {
    /// The board, with its version: everything that a guest can see of QEMU's own making follows from it. `None` for the newest
    /// one of the QEMU that starts it.
    pub machine_type: Option<MachineType>,
    /// The model of the processor. `None` for the host's own, or under emulation the best there is.
    pub cpu_model: Option<CpuModel>,
    /// Its disks beside its own, in the order they were added.
    pub disks: Vec<ExtraDisk>,
}

/// A disk that a VM has beside its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraDisk {
    /// Its name, which is its serial number too.
    pub name: DiskName,
    /// Its size.
    pub size: Bytes,
    /// Its PCI slot: it keeps that, whatever other disks come and go.
    pub slot: u8,
}

impl ExtraDisk {
    /// What QEMU calls it.
    pub fn node(&self) -> String {
        format!("disk-{}", self.name)
    }
}

/// The PCI slots of extra disks: behind those of the disks that every VM has, so that those keep their names in the guest.
pub const DISK_SLOTS: std::ops::RangeInclusive<u8> = 0x8..=0xf;

/// Why a VM's disks can not be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskProblem {
    /// It has one of that name.
    #[error("it has a disk {0} already; to make it larger, give --disk {0}=SIZE")]
    Taken(DiskName),
    /// It has none of that name.
    #[error("it has no extra disk {0}")]
    Unknown(DiskName),
    /// All slots are taken.
    #[error("it has {} extra disks, and can have no more", DISK_SLOTS.count())]
    Full,
    /// A guest would lose what lies behind the end.
    #[error("its {what} has {from}, and a disk can only grow: {to} is less")]
    Shrinks {
        /// Which disk.
        what: String,
        /// Its size.
        from: Bytes,
        /// The size asked for.
        to: Bytes,
    },
}

impl Hardware {
    /// Gives it another disk, in the first free slot.
    pub fn add_disk(&mut self, name: DiskName, size: Bytes) -> Result<(), DiskProblem> {
        if self.disks.iter().any(|disk| disk.name == name) {
            return Err(DiskProblem::Taken(name));
        }
        let is_free = |slot: &u8| self.disks.iter().all(|disk| disk.slot != *slot);
        let slot = DISK_SLOTS.into_iter().find(is_free).ok_or(DiskProblem::Full)?;
        self.disks.push(ExtraDisk { name, size, slot });
        Ok(())
    }

    /// Makes one of its disks larger.
    pub fn grow_disk(&mut self, name: &DiskName, size: Bytes) -> Result<(), DiskProblem> {
        let disk = self.disks.iter_mut().find(|disk| disk.name == *name);
        let disk = disk.ok_or_else(|| DiskProblem::Unknown(name.clone()))?;
        grow(&mut disk.size, size, || format!("disk {name}"))
    }

    /// Takes one of its disks away.
    pub fn remove_disk(&mut self, name: &DiskName) -> Result<(), DiskProblem> {
        let before = self.disks.len();
        self.disks.retain(|disk| disk.name != *name);
        if self.disks.len() == before {
            return Err(DiskProblem::Unknown(name.clone()));
        }
        Ok(())
    }
}

/// Makes a size larger; the same size is none.
pub fn grow(size: &mut Bytes, to: Bytes, what: impl FnOnce() -> String) -> Result<(), DiskProblem> {
    if to < *size {
        return Err(DiskProblem::Shrinks {
            what: what(),
            from: *size,
            to,
        });
    }
    *size = to;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DiskName {
        text.parse().unwrap()
    }

    #[test]
    fn a_disk_keeps_its_slot_whatever_others_come_and_go() {
        let mut hardware = Hardware::default();
        for text in ["a", "b", "c"] {
            hardware.add_disk(name(text), Bytes::gib(1)).unwrap();
        }
        hardware.remove_disk(&name("b")).unwrap();
        hardware.add_disk(name("d"), Bytes::gib(1)).unwrap();
        let slots: Vec<_> = hardware
            .disks
            .iter()
            .map(|disk| (disk.name.as_str(), disk.slot))
            .collect();
        assert_eq!(slots, [("a", 8), ("c", 10), ("d", 9)]);
        for number in 3..8 {
            hardware
                .add_disk(name(&format!("n{number}")), Bytes::gib(1))
                .unwrap();
        }
        assert_eq!(
            hardware.add_disk(name("more"), Bytes::gib(1)),
            Err(DiskProblem::Full)
        );
    }

    #[test]
    fn a_disk_grows_and_never_shrinks() {
        let mut hardware = Hardware::default();
        hardware.add_disk(name("data"), Bytes::gib(2)).unwrap();
        assert_eq!(
            hardware.add_disk(name("data"), Bytes::gib(2)),
            Err(DiskProblem::Taken(name("data")))
        );
        hardware.grow_disk(&name("data"), Bytes::gib(2)).unwrap();
        hardware.grow_disk(&name("data"), Bytes::gib(3)).unwrap();
        let refused = hardware
            .grow_disk(&name("data"), Bytes::gib(1))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("3GiB") && refused.contains("1GiB is less"),
            "{refused}"
        );
        let unknown = Err(DiskProblem::Unknown(name("none")));
        assert_eq!(hardware.grow_disk(&name("none"), Bytes::gib(9)), unknown);
        assert_eq!(hardware.remove_disk(&name("none")), unknown);
    }

    #[test]
    fn a_disks_name_fits_a_serial_number_and_is_none_that_every_vm_has() {
        for good in ["data", "a", "log-2", "12345678901234567890"] {
            name(good);
        }
        for bad in [
            "",
            "root",
            "swap",
            "cidata",
            "123456789012345678901",
            "a,b",
            "A",
            "-a",
            "a/b",
        ] {
            bad.parse::<DiskName>().unwrap_err();
        }
    }
}
