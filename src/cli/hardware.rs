//! Options on the hardware that VMs are created with, and keep.

use crate::control::{HardwareChange, NewHardware};

/// What new VMs are created with.
#[derive(Debug, clap::Args)]
pub(super) struct Created {
    /// A model of a processor that stays the same on every host and QEMU, such as EPYC-Rome-v4; the host's own when not given
    #[arg(long, value_name = "MODEL")]
    cpu_model: Option<String>,
}

impl Created {
    pub(super) fn wanted(self) -> NewHardware {
        NewHardware {
            cpu_model: self.cpu_model,
        }
    }
}

/// What can be changed of it.
#[derive(Debug, clap::Args)]
pub(super) struct Changed {
    /// The machine type of QEMU's, such as pc-q35-7.2, or newest
    #[arg(long, value_name = "TYPE")]
    machine_type: Option<String>,
    /// A model of a processor, such as EPYC-Rome-v4, or host
    #[arg(long, value_name = "MODEL")]
    cpu_model: Option<String>,
}

impl Changed {
    /// The ids of its options, for the group of what can be changed.
    pub(super) const IDS: [&str; 2] = ["machine_type", "cpu_model"];

    pub(super) fn wanted(self) -> HardwareChange {
        HardwareChange {
            machine_type: self.machine_type,
            cpu_model: self.cpu_model,
        }
    }
}
