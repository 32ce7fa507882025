//! The rules of changes to what a VM was created with, and to its disks. Pure.

use crate::model::hardware::{DiskProblem, grow};
use crate::model::{Bytes, CpuModel, DiskName, Hardware, Machine, MachineType};

/// What to change of what a managed VM was created with; what is `None`, or not named, stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HardwareEdit {
    /// Another board.
    pub machine_type: Option<MachineType>,
    /// Another processor; `Some(None)` is the host's own.
    pub cpu_model: Option<Option<CpuModel>>,
    /// A larger root disk.
    pub disk: Option<Bytes>,
    /// Extra disks that become larger.
    pub grow_disks: Vec<(DiskName, Bytes)>,
    /// Disks it gets besides.
    pub add_disks: Vec<(DiskName, Bytes)>,
    /// Extra disks that are taken away.
    pub remove_disks: Vec<DiskName>,
}

/// Changes a machine's hardware.
pub(super) fn edit(machine: &mut Machine, edit: HardwareEdit) -> Result<(), DiskProblem> {
    let mut hardware = machine.hardware.take().unwrap_or_default();
    hardware.machine_type = edit.machine_type.or(hardware.machine_type);
    hardware.cpu_model = edit.cpu_model.unwrap_or(hardware.cpu_model);
    if let Some(size) = edit.disk {
        grow(&mut machine.disk, size, || "root disk".to_owned())?;
    }
    for (name, size) in &edit.grow_disks {
        hardware.grow_disk(name, *size)?;
    }
    for name in &edit.remove_disks {
        hardware.remove_disk(name)?;
    }
    for (name, size) in edit.add_disks {
        hardware.add_disk(name, size)?;
    }
    machine.hardware = (*hardware != Hardware::default()).then_some(hardware);
    Ok(())
}
