//! Where everything lies on disk: one function per file, so that no path is put together twice.

use std::path::{Path, PathBuf};

use super::deleted::DeletedId;
use super::generation::ImageId;
use super::name::{DiskName, NetworkName, SnapshotName, VmName};

/// The two directories everything lies in: what must survive a host reboot, and what must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    state: PathBuf,
    run: PathBuf,
}

impl Places {
    /// The places under a state directory (`/var/lib/seedbed`) and a run directory (`/run/seedbed`).
    pub fn new(state: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            run: run.into(),
        }
    }

    /// What survives a reboot.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// What does not.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The registry's file.
    pub fn registry(&self) -> PathBuf {
        self.state.join("registry.redb")
    }

    /// The generated hosts file.
    pub fn hosts(&self) -> PathBuf {
        self.state.join("hosts")
    }

    /// The generated `known_hosts` file.
    pub fn known_hosts(&self) -> PathBuf {
        self.state.join("known_hosts")
    }

    /// The generated `ssh_config` file.
    pub fn ssh_config(&self) -> PathBuf {
        self.state.join("ssh_config")
    }

    /// All generated files of single networks.
    pub fn exports(&self) -> PathBuf {
        self.state.join("exports")
    }

    /// The generated files of one network.
    pub fn exports_of(&self, network: &NetworkName) -> PathBuf {
        self.exports().join(network.as_str())
    }

    /// The hardware addresses without a record that were seen.
    pub fn discovered(&self) -> PathBuf {
        self.run.join("discovered")
    }

    /// In which boot of the host VMs were last started with it.
    pub fn boot_id(&self) -> PathBuf {
        self.state.join("boot_id")
    }

    /// All base images.
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    /// The directory of one generation of an image: `disk`, and where it starts by kernel, `kernel` and `initrd`.
    pub fn image(&self, id: &ImageId) -> PathBuf {
        self.images().join(id.to_string())
    }

    /// An image's disk file.
    pub fn image_disk(&self, id: &ImageId) -> PathBuf {
        self.image(id).join("disk")
    }

    /// An image's kernel.
    pub fn image_kernel(&self, id: &ImageId) -> PathBuf {
        self.image(id).join("kernel")
    }

    /// An image's initrd.
    pub fn image_initrd(&self, id: &ImageId) -> PathBuf {
        self.image(id).join("initrd")
    }

    /// The operator's own templates, where the configuration names no other place.
    pub fn templates(&self) -> PathBuf {
        self.state.join("templates")
    }

    /// What the operator puts there for firmware that boots from the network: `ipxe.efi` and the like.
    pub fn boot_files(&self) -> PathBuf {
        self.state.join("boot")
    }

    /// All VMs' lasting files.
    pub fn vms(&self) -> PathBuf {
        self.state.join("vms")
    }

    /// One VM's lasting files.
    pub fn vm(&self, name: &VmName) -> PathBuf {
        self.vms().join(name.as_str())
    }

    /// A VM's root disk: a qcow2 overlay on its image.
    pub fn disk(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("disk.qcow2")
    }

    /// One of a VM's disks beside its own.
    pub fn extra_disk(&self, name: &VmName, disk: &DiskName) -> PathBuf {
        self.vm(name).join(format!("disk-{disk}.qcow2"))
    }

    /// What a VM's UEFI remembers: a copy of its own.
    pub fn uefi_variables(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("uefi-vars.fd")
    }

    /// What was written last into the disk of a VM without an agent.
    pub fn customized(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("customized")
    }

    /// All snapshots of a VM.
    pub fn snapshots(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("snapshots")
    }

    /// The disks of one of them.
    pub fn snapshot(&self, name: &VmName, snapshot: &SnapshotName) -> PathBuf {
        self.snapshots(name).join(snapshot.as_str())
    }

    /// Says that a running VM stands still for work on its disks, and has to go on.
    pub fn standing_still(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("standing-still")
    }

    /// A VM's swap disk: raw, formatted.
    pub fn swap(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("swap.raw")
    }

    /// Where disks lie that are to take the place of a VM's.
    pub fn next_disks(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("next")
    }

    /// What QEMU shows a VM about itself, beside its disks; made anew at each start.
    pub fn seed(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("seed")
    }

    /// The installer of a VM that a system is installed in.
    pub fn installer(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("installer")
    }

    /// Its kernel.
    pub fn installer_kernel(&self, name: &VmName) -> PathBuf {
        self.installer(name).join("kernel")
    }

    /// Its initrd.
    pub fn installer_initrd(&self, name: &VmName) -> PathBuf {
        self.installer(name).join("initrd")
    }

    /// A VM's serial log, from its last power-on.
    pub fn console_log(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("console.log")
    }

    /// What QEMU itself said on its standard error.
    pub fn qemu_log(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("qemu.log")
    }

    /// Why a VM failed since it was last started.
    pub fn failure(&self, name: &VmName) -> PathBuf {
        self.vm(name).join("failure.json")
    }

    /// What a worker mounts a disk over, in a namespace of its own; nobody else sees anything there.
    pub fn offline(&self) -> PathBuf {
        self.run.join("offline")
    }

    /// The lasting files of all deleted VMs that can be undone. Only root passes: the user that owns one's disks may be another
    /// VM's by now.
    pub fn deleted(&self) -> PathBuf {
        self.state.join("deleted")
    }

    /// The lasting files of one deleted VM.
    pub fn deleted_vm(&self, id: &DeletedId) -> PathBuf {
        self.deleted().join(id.to_string())
    }

    /// All VMs' sockets.
    pub fn sockets(&self) -> PathBuf {
        self.run.join("vms")
    }

    /// The rungs that VMs were seen on.
    pub fn rungs(&self) -> PathBuf {
        self.run.join("rungs")
    }

    /// The rung that a VM was last seen on, in one word.
    pub fn rung(&self, name: &VmName) -> PathBuf {
        self.rungs().join(name.as_str())
    }

    /// The rungs that VMs which someone else runs were last seen on, a name and a word a line. No VM has such a name.
    pub fn external_rungs(&self) -> PathBuf {
        self.rungs().join(".external")
    }

    /// That a VM was asked to power off, while it has not done so. No VM has such a name.
    pub fn stopping(&self, name: &VmName) -> PathBuf {
        self.rungs().join(format!(".stopping.{name}"))
    }

    /// That the cards of a VM were changed since it was started. No VM has such a name.
    pub fn changed_cards(&self, name: &VmName) -> PathBuf {
        self.rungs().join(format!(".cards.{name}"))
    }

    /// Which ports of VMs that someone else runs are guarded, a file each.
    pub fn ports(&self) -> PathBuf {
        self.run.join("ports")
    }

    /// One VM's sockets.
    pub fn vm_sockets(&self, name: &VmName) -> PathBuf {
        self.sockets().join(name.as_str())
    }

    /// A VM's QMP socket.
    pub fn qmp(&self, name: &VmName) -> PathBuf {
        self.vm_sockets(name).join("qmp")
    }

    /// The QMP socket at which the daemon hears what happens in a VM.
    pub fn events(&self, name: &VmName) -> PathBuf {
        self.vm_sockets(name).join("events")
    }

    /// All VMs' sockets for their consoles.
    pub fn consoles(&self) -> PathBuf {
        self.run.join("consoles")
    }

    /// One VM's sockets for its console, in a folder that its QEMU can not change.
    pub fn console_sockets(&self, name: &VmName) -> PathBuf {
        self.consoles().join(name.as_str())
    }

    /// The socket at which a VM's QEMU has its serial port; the VM's broker sits there.
    pub fn serial(&self, name: &VmName) -> PathBuf {
        self.console_sockets(name).join("serial")
    }

    /// The socket at which a VM's broker takes viewers.
    pub fn console(&self, name: &VmName) -> PathBuf {
        self.console_sockets(name).join("console")
    }
}
