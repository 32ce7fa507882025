//! The rules of changes to what a VM was created with. Pure.

use crate::model::{CpuModel, Machine, MachineType};

/// What to change of what a managed VM was created with; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HardwareEdit {
    /// Another board.
    pub machine_type: Option<MachineType>,
    /// Another processor; `Some(None)` is the host's own.
    pub cpu_model: Option<Option<CpuModel>>,
}

/// A machine after a change of its hardware.
pub(super) fn edited(machine: &mut Machine, edit: HardwareEdit) {
    let mut hardware = machine.hardware.take().unwrap_or_default();
    hardware.machine_type = edit.machine_type.or(hardware.machine_type);
    hardware.cpu_model = edit.cpu_model.unwrap_or(hardware.cpu_model);
    machine.hardware = Some(hardware);
}
