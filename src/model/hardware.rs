//! What a managed VM was created with and keeps, whatever becomes of the QEMU that runs it.

use super::name::{CpuModel, MachineType};

/// The hardware of a managed VM. The default is that of a VM from before anything was pinned: what QEMU gives today.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hardware {
    /// The board, with its version: everything that a guest can see of QEMU's own making follows from it. `None` for the newest
    /// one of the QEMU that starts it.
    pub machine_type: Option<MachineType>,
    /// The model of the processor. `None` for the host's own, or under emulation the best there is.
    pub cpu_model: Option<CpuModel>,
}
