//! Options on the hardware that VMs are created with, and keep.

use crate::control::{HardwareChange, NewHardware};

/// What new VMs are created with.
#[derive(Debug, clap::Args)]
pub(super) struct Created {
    /// A model of a processor that stays the same on every host and QEMU, such as EPYC-Rome-v4; the host's own when not given
    #[arg(long, value_name = "MODEL")]
    cpu_model: Option<String>,
    /// Another disk, which its guest finds as /dev/disk/by-id/virtio-NAME
    #[arg(long, value_name = "NAME=SIZE")]
    add_disk: Vec<String>,
}

impl Created {
    pub(super) fn wanted(self) -> NewHardware {
        NewHardware {
            cpu_model: self.cpu_model,
            add_disks: self.add_disk,
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
    /// A larger disk: SIZE of its own, or NAME=SIZE of another
    #[arg(long, short, value_name = "SIZE|NAME=SIZE")]
    disk: Vec<String>,
    /// Another disk, which its guest finds as /dev/disk/by-id/virtio-NAME
    #[arg(long, value_name = "NAME=SIZE")]
    add_disk: Vec<String>,
    /// Take one of its other disks away, with what is on it
    #[arg(long, value_name = "NAME")]
    remove_disk: Vec<String>,
}

impl Changed {
    /// The ids of its options, for the group of what can be changed.
    pub(super) const IDS: [&str; 5] = ["machine_type", "cpu_model", "disk", "add_disk", "remove_disk"];

    pub(super) fn wanted(self) -> HardwareChange {
        HardwareChange {
            machine_type: self.machine_type,
            cpu_model: self.cpu_model,
            disk: self.disk,
            add_disks: self.add_disk,
            remove_disks: self.remove_disk,
        }
    }
}
