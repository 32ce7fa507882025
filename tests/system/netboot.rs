//! Machines that boot from the network: firmware's iPXE gets an address, its script, kernel and initrd from us, and the guest
//! comes up as any other.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::{guests, root};

const PXE1: &str = "52:54:00:aa:00:21";

/// A machine of someone else's with nothing to boot from but its network card, whose ROM is iPXE or that of `rom`.
struct Machine {
    qemu: Child,
    console: std::path::PathBuf,
}

impl Machine {
    /// Powers it on, with its card on the lab's bridge.
    fn power_on(lab: &Lab, rom: &str, firmware: &[&str]) -> Self {
        for words in [
            &["ip", "tuntap", "add", "plug0", "mode", "tap"][..],
            &["ip", "link", "set", "plug0", "master", "br0", "up"],
        ] {
            Run::of(&mut lab.inside(words)).ok();
        }
        let console = lab.path("console");
        let serial = format!("file:{}", console.display());
        let card = format!("virtio-net-pci,netdev=net0,mac={PXE1},bootindex=0{rom}");
        let mut qemu = lab.inside(&[
            "qemu-system-x86_64",
            "-nodefaults",
            "-display",
            "none",
            "-no-user-config",
        ]);
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-m", "512M"]);
        qemu.args(["-netdev", "tap,id=net0,ifname=plug0,script=no,downscript=no"]);
        qemu.args(["-device", &card, "-serial", &serial, "-boot", "strict=on"]);
        qemu.args([
            "-object",
            "rng-builtin,id=rng0",
            "-device",
            "virtio-rng-pci,rng=rng0",
        ]);
        qemu.args(firmware).stdout(Stdio::null()).stderr(Stdio::inherit());
        // The namespace wrapper replaces itself by QEMU, so this is QEMU's own process.
        Self {
            qemu: qemu.spawn().unwrap(),
            console,
        }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.qemu.kill().ok();
        self.qemu.wait().ok();
    }
}

/// SeaBIOS and iPXE write to the serial line where there are no graphics.
const BIOS: [&str; 2] = ["-machine", "q35,graphics=off"];

fn comes_up(lab: &Lab, machine: &Machine) {
    let waited = lab.seedbed(&["wait", "pxe1", "--for", "metadata", "--timeout", "120s"]);
    assert!(
        waited.code == 0,
        "{waited}\n-- console\n{}\n-- daemon\n{}",
        machine.said(),
        lab.daemon_log()
    );
    let ready = "TINY-READY name=pxe1.lab ip=10.77.0.21 ";
    let said = eventually(Duration::from_secs(60), || machine.said().contains(ready));
    assert!(said, "the guest did not say {ready:?}:\n{}", machine.said());
    for part in ["script", "kernel", "initrd"] {
        let fetches = format!("pxe1 fetches the {part} of its network boot");
        assert!(
            lab.daemon_log().contains(&fetches),
            "{fetches}: {}",
            lab.daemon_log()
        );
    }
}

#[test]
fn a_machine_with_an_ipxe_rom_boots_an_image_from_the_network() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    lab.seedbed(&[
        "add",
        "pxe1",
        "--mac",
        PXE1,
        "--ip",
        "10.77.0.21",
        "--netboot",
        "tiny",
    ])
    .ok();
    let script = lab.seedbed(&["render", "pxe1", "--as", "ipxe"]).ok();
    assert!(
        script.contains("kernel http://10.77.0.1/boot/kernel initrd=initrd console=ttyS0"),
        "{script}"
    );
    let machine = Machine::power_on(&lab, "", &BIOS);
    comes_up(&lab, &machine);
}

#[test]
fn uefi_firmware_boots_an_image_by_http_through_ipxe() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    lab.seedbed(&[
        "add",
        "pxe1",
        "--mac",
        PXE1,
        "--ip",
        "10.77.0.21",
        "--netboot",
        "tiny",
    ])
    .ok();
    let boot = lab.path("state/boot");
    fs::create_dir(&boot).unwrap();
    fs::copy("/usr/lib/ipxe/ipxe.efi", boot.join("ipxe.efi")).unwrap();
    let variables = lab.path("variables.fd");
    fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &variables).unwrap();
    let variables = format!("if=pflash,format=raw,file={}", variables.display());
    let firmware = [
        "-machine",
        "q35",
        "-drive",
        "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
        "-drive",
        &variables,
        // What it would wait for first, for minutes.
        "-fw_cfg",
        "name=opt/org.tianocore/IPv4PXESupport,string=n",
        "-fw_cfg",
        "name=opt/org.tianocore/IPv6PXESupport,string=n",
    ];
    // Without the ROM, the firmware has to do it by itself.
    let machine = Machine::power_on(&lab, ",romfile=", &firmware);
    comes_up(&lab, &machine);
    let fetches = "pxe1 fetches the loader of its network boot";
    assert!(lab.daemon_log().contains(fetches), "{}", lab.daemon_log());
}

#[test]
fn a_vm_of_ours_boots_an_image_from_the_network() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    let size = ["--memory", "512M", "--swap", "0"];
    let place = ["--ip", "10.77.0.21", "--key", guests::KEY];
    let words = [
        &["launch", "pxe1", "--image", "tiny", "--netboot", "tiny"][..],
        &size,
        &place,
    ]
    .concat();
    lab.seedbed(&words).ok();
    let waited = lab.seedbed(&["wait", "pxe1", "--for", "metadata", "--timeout", "180s"]);
    let said = || lab.seedbed(&["log", "pxe1"]).ok();
    assert!(waited.code == 0, "{waited}\n{}\n{}", said(), lab.daemon_log());
    let ready = eventually(Duration::from_secs(60), || {
        said().contains("TINY-READY name=pxe1.lab ip=10.77.0.21 ")
    });
    assert!(ready, "{}", said());
    for part in ["script", "kernel", "initrd"] {
        let fetches = format!("pxe1 fetches the {part} of its network boot");
        assert!(lab.daemon_log().contains(&fetches), "{}", lab.daemon_log());
    }
}
