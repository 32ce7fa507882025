//! The QEMU command line of a VM: pure, and the same for the same VM, so that a guest sees the same hardware at every
//! start.
//!
//! Works with QEMU 7.2 (Debian 12) and later. Disks are `-blockdev` nodes in JSON and nothing is probed, so that no path
//! and no header can name another file; in `key=value` options a comma is doubled.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Accel, SeedDevice, events, nics, workshop};
use crate::model::image::{Boot, DiskFormat};
use crate::model::{ExtraDisk, Image, Machine, MachineType, Network, Places, Uefi, Vm, VmName};

/// The number of the tap's file descriptor in QEMU.
pub const TAP_FD: i32 = 3;
/// The number of the file descriptor of install media in QEMU.
pub const MEDIA_FD: i32 = 4;
/// The number of the file descriptor in QEMU of the socket it has its serial port at, where its console's broker waits already.
pub const SERIAL_FD: i32 = 5;

/// By which a guest gives memory back to the host: what it is asked for, and what it has no use for. VMs from before it was
/// there do not get it.
const BALLOON: &str = "virtio-balloon-pci,id=balloon0,free-page-reporting=on,bus=pcie.0,addr=0x7";

/// What the host decides about a VM's QEMU.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// QEMU's binary, absolute.
    pub qemu: &'a Path,
    /// What executes the guest.
    pub accel: Accel,
    /// Where disks and sockets lie.
    pub places: &'a Places,
    /// The SMBIOS system serial number, which carries the seed URL (guest-contract §1.2); empty for none.
    pub smbios_serial: &'a str,
    /// The SMBIOS product name, which agents tell clouds apart by; empty for QEMU's own.
    pub smbios_product: &'a str,
    /// What tells the VM about itself without the network, where its image needs that.
    pub seed: Option<&'a SeedDevice>,
    /// The networks of its NICs beside the first, in their order.
    pub more_networks: &'a [Arc<Network>],
}

/// Why no command line can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// QEMU's JSON takes only UTF-8, and no argument can hold a NUL.
    #[error("{what} `{text}` can not be passed to QEMU: use a text of UTF-8 without control characters")]
    Text {
        /// What it is.
        what: &'static str,
        /// The text, escaped.
        text: String,
    },
    /// The kernel takes 107 bytes (`unix(7)`).
    #[error(
        "socket path {0} is longer than the 107 bytes a Unix socket can have: choose a shorter run directory"
    )]
    SocketPath(String),
}

/// QEMU's arguments, its own path first. The devices' PCI addresses are fixed: a NIC keeps its name in the guest
/// whatever else the VM has.
pub fn argv(
    vm: &Vm,
    machine: &Machine,
    image: &Image,
    network: &Network,
    settings: &Settings<'_>,
) -> Result<Vec<String>, CommandError> {
    let mut args = Args(vec![text("QEMU's path", settings.qemu)?]);
    args.base(vm, machine, settings)?;
    match vm.install() {
        Some(install) => workshop::installation(&mut args, vm, install, settings.places)?,
        None => args.disk(vm, image, settings.places)?,
    }
    if machine.swap.0 > 0 {
        args.swap(&vm.name, settings.places)?;
    }
    for disk in machine.extra_disks() {
        args.extra_disk(&vm.name, disk, settings.places)?;
    }
    let has_ports = machine.is_pinned();
    nics::put(&mut args, vm, has_ports, (network, settings.more_networks));
    args.pair("-object", "rng-builtin,id=rng0");
    args.pair("-device", "virtio-rng-pci,rng=rng0,bus=pcie.0,addr=0x5");
    if machine.is_pinned() {
        args.pair("-device", BALLOON);
    }
    if let Some(seed) = settings.seed {
        args.0.extend(seed.args(&vm.name, settings.places)?);
    }
    args.control(&vm.name, settings.places)?;
    events::socket(&mut args, &vm.name, settings.places)?;
    match vm.install() {
        Some(install) => workshop::installer(&mut args, &vm.name, install, settings.places)?,
        None => args.boot(vm, image, settings.places)?,
    }
    Ok(args.0)
}

/// The accelerator that a command line names.
pub(super) fn accel<'a>(args: impl IntoIterator<Item = &'a str>) -> Option<Accel> {
    let mut args = args.into_iter();
    args.find(|arg| *arg == "-accel")?;
    match args.next()?.split(',').next()? {
        "kvm" => Some(Accel::Kvm),
        "tcg" => Some(Accel::Tcg),
        _ => None,
    }
}

const QMP_BEFORE: &str = "socket,id=qmp,path=";
pub(super) const SOCKET_AFTER: &str = ",server=on,wait=off";

/// The path of the QMP socket, when `arg` is the argument by which [`argv`] names it. This is how a VM's process is
/// recognised.
pub(super) fn qmp_path(arg: &str) -> Option<String> {
    let escaped = arg.strip_prefix(QMP_BEFORE)?.strip_suffix(SOCKET_AFTER)?;
    Some(escaped.replace(",,", ","))
}

pub(super) struct Args(Vec<String>);

impl Args {
    pub(super) fn pair(&mut self, option: &str, value: impl Into<String>) {
        self.0.extend([option.to_owned(), value.into()]);
    }

    fn base(&mut self, vm: &Vm, machine: &Machine, settings: &Settings<'_>) -> Result<(), CommandError> {
        let hardware = machine.hardware.as_deref();
        let (accel, best) = match settings.accel {
            Accel::Kvm => ("kvm", "host"),
            // Four levels of page tables: the translator walks them for every miss, and no small guest needs five.
            Accel::Tcg => ("tcg,thread=multi", "max,la57=off"),
        };
        let model = hardware.and_then(|hardware| hardware.cpu_model.as_ref());
        // On a host that lacks something of it, a guest would silently get another processor.
        let cpu = model.map_or_else(|| best.to_owned(), |model| format!("{model},enforce"));
        let board = hardware.and_then(|hardware| hardware.machine_type.as_ref());
        let board = board.map_or("q35", MachineType::as_str);
        let cpus = machine.cpus;
        self.pair("-name", format!("guest={}", vm.name));
        self.pair("-uuid", vm.uuid.hyphenated().to_string());
        self.0
            .extend(["-no-user-config", "-nodefaults"].map(str::to_owned));
        self.pair("-display", "none");
        // No SMBus, and SATA only for a drive: guests spend time finding out that nothing is on them.
        let has_drive = vm.install().is_some_and(|install| install.has_media);
        let sata = if has_drive { "on" } else { "off" };
        let flash = match machine.uefi() {
            Some(uefi) => self.flash(&vm.name, uefi, settings.places)?,
            None => "",
        };
        self.pair(
            "-machine",
            format!("{board},sata={sata},smbus=off,vmport=off{flash}"),
        );
        self.pair("-accel", accel);
        self.pair("-cpu", cpu);
        self.pair("-smp", format!("cpus={cpus},sockets=1,cores={cpus},threads=1"));
        self.pair("-m", format!("size={}M", machine.memory.as_mib()));
        self.pair("-rtc", "base=utc");
        // An escaped guest can not start programs, gain rights, or use system calls of another age.
        self.pair(
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        );
        let said = [
            ("serial", "the SMBIOS serial number", settings.smbios_serial),
            ("product", "the SMBIOS product name", settings.smbios_product),
        ];
        let mut system = "type=1".to_owned();
        for (field, what, text) in said.into_iter().filter(|(_, _, text)| !text.is_empty()) {
            for part in [",", field, "=", &comma_safe(checked(what, text)?)] {
                system.push_str(part);
            }
        }
        if system != "type=1" {
            self.pair("-smbios", system);
        }
        self.pair(
            "-device",
            format!("vmgenid,guid={}", vm.generation_id().hyphenated()),
        );
        Ok(())
    }

    /// The two flash chips of a board with UEFI: its code, and the variables. What the board is told of them.
    fn flash(&mut self, vm: &VmName, uefi: &Uefi, places: &Places) -> Result<&'static str, CommandError> {
        let code = json!({
            "driver": "raw", "node-name": "uefi-code", "read-only": true,
            "file": file("the firmware's path", &uefi.code, true)?,
        });
        let variables = json!({
            "driver": "raw", "node-name": "uefi-vars",
            "file": file("the firmware's path", &places.uefi_variables(vm), false)?,
        });
        self.pair("-blockdev", code.to_string());
        self.pair("-blockdev", variables.to_string());
        Ok(",pflash0=uefi-code,pflash1=uefi-vars")
    }

    fn disk(&mut self, vm: &Vm, image: &Image, places: &Places) -> Result<(), CommandError> {
        let base = file("a disk's path", &places.image_disk(&image.id), true)?;
        let backing = match image.format {
            // Whatever the base's header says, it is not followed any further.
            DiskFormat::Qcow2 => {
                json!({"driver": "qcow2", "node-name": "base", "read-only": true, "file": base, "backing": null})
            }
            DiskFormat::Raw => json!({"driver": "raw", "node-name": "base", "read-only": true, "file": base}),
        };
        let disk = json!({
            "driver": "qcow2", "node-name": "root", "discard": "unmap", "backing": backing,
            "file": file("a disk's path", &places.disk(&vm.name), false)?,
        });
        self.pair("-blockdev", disk.to_string());
        self.pair(
            "-device",
            "virtio-blk-pci,drive=root,serial=root,bootindex=1,bus=pcie.0,addr=0x3",
        );
        Ok(())
    }

    fn swap(&mut self, name: &VmName, places: &Places) -> Result<(), CommandError> {
        let swap = json!({
            "driver": "raw", "node-name": "swap", "discard": "unmap",
            "file": file("a disk's path", &places.swap(name), false)?,
        });
        self.pair("-blockdev", swap.to_string());
        self.pair(
            "-device",
            "virtio-blk-pci,drive=swap,serial=swap,bus=pcie.0,addr=0x4",
        );
        Ok(())
    }

    fn extra_disk(&mut self, vm: &VmName, disk: &ExtraDisk, places: &Places) -> Result<(), CommandError> {
        let (node, name, slot) = (disk.node(), &disk.name, disk.slot);
        let path = places.extra_disk(vm, name);
        let blockdev = json!({
            "driver": "qcow2", "node-name": node, "discard": "unmap", "backing": null,
            "file": file("a disk's path", &path, false)?,
        });
        self.pair("-blockdev", blockdev.to_string());
        self.pair(
            "-device",
            format!("virtio-blk-pci,drive={node},serial={name},bus=pcie.0,addr={slot:#x}"),
        );
        Ok(())
    }

    fn control(&mut self, name: &VmName, places: &Places) -> Result<(), CommandError> {
        let qmp = socket(&places.qmp(name))?;
        self.pair("-chardev", format!("{QMP_BEFORE}{qmp}{SOCKET_AFTER}"));
        self.pair("-mon", "chardev=qmp,mode=control");
        // Those of its console do not appear here, but can be the longest: what makes them has no better word on that.
        for path in [places.serial(name), places.console(name)] {
            socket(&path)?;
        }
        // It starts when its broker is connected: nothing that the guest says is lost.
        let serial = format!("socket,id=serial0,fd={SERIAL_FD},server=on,wait=on");
        self.pair("-chardev", serial);
        self.pair("-serial", "chardev:serial0");
        Ok(())
    }

    fn boot(&mut self, vm: &Vm, image: &Image, places: &Places) -> Result<(), CommandError> {
        match &image.boot {
            // A kernel given to QEMU would come before the network.
            _ if vm.boot().is_some() => self.pair("-boot", "strict=on"),
            Boot::Disk => self.pair("-boot", "strict=on"),
            Boot::Kernel { initrd, cmdline } => {
                self.pair(
                    "-kernel",
                    text("a kernel's path", &places.image_kernel(&image.id))?,
                );
                if *initrd {
                    self.pair(
                        "-initrd",
                        text("an initrd's path", &places.image_initrd(&image.id))?,
                    );
                }
                self.pair("-append", checked("the kernel command line", cmdline)?);
            }
        }
        Ok(())
    }
}

pub(super) fn file(what: &'static str, path: &Path, read_only: bool) -> Result<Value, CommandError> {
    let filename = text(what, path)?;
    Ok(if read_only {
        json!({"driver": "file", "filename": filename, "read-only": true})
    } else {
        json!({"driver": "file", "filename": filename, "discard": "unmap"})
    })
}

pub(super) fn socket(path: &Path) -> Result<String, CommandError> {
    const LONGEST: usize = 107;
    let text = text("a socket's path", path)?;
    if text.len() > LONGEST {
        Err(CommandError::SocketPath(text))
    } else {
        Ok(comma_safe(&text))
    }
}

pub(super) fn text(what: &'static str, path: &Path) -> Result<String, CommandError> {
    let refused = || CommandError::Text {
        what,
        text: path.display().to_string().escape_debug().to_string(),
    };
    let text = path.to_str().ok_or_else(refused)?;
    checked(what, text).map(str::to_owned)
}

pub(super) fn checked<'a>(what: &'static str, text: &'a str) -> Result<&'a str, CommandError> {
    if text.chars().any(char::is_control) {
        let text = text.escape_debug().to_string();
        Err(CommandError::Text { what, text })
    } else {
        Ok(text)
    }
}

/// A value for `key=value,key=value`: QEMU reads two commas as one of the text.
pub(super) fn comma_safe(text: &str) -> String {
    text.replace(',', ",,")
}

#[cfg(test)]
pub(super) mod tests;
