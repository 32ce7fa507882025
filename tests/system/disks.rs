//! Images and VMs whose disks hold nothing but marks: what becomes of a disk is seen without a guest.

use std::fs;
use std::process::Command;

use crate::guests;
use crate::lab::{Lab, Run};

/// Adds a generation of `disk` of 8 MiB that begins with a megabyte of this octet.
pub(crate) fn add(lab: &Lab, octet: u8, options: &[&str]) {
    let file = lab.path(&format!("{octet}.qcow2"));
    Run::of(
        Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2"])
            .arg(&file)
            .arg("8M"),
    )
    .ok();
    write(&file, &format!("write -P {octet} 0 1M"));
    let file = file.display().to_string();
    lab.seedbed(&[&["image", "add", "disk", &file, "--view", "none"], options].concat())
        .ok();
}

pub(crate) fn write(file: &std::path::Path, command: &str) {
    Run::of(
        Command::new("qemu-io")
            .args(["-f", "qcow2", "-c", command])
            .arg(file),
    )
    .ok();
}

/// The image of a VM as the registry has it, and the first octets of what its disk reads at 0, 512 KiB and 4 MiB on that.
pub(crate) fn seen(lab: &Lab, vm: &str) -> (String, [u8; 3]) {
    let shown = lab.seedbed(&["show", vm, "--format", "json"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let image = shown[0]["image"].as_str().unwrap().to_owned();
    let base = lab.path(&format!("state/images/{image}/disk"));
    let disk = lab.path(&format!("state/vms/{vm}/disk.qcow2"));
    let chain = serde_json::json!({
        "driver": "qcow2",
        "file": {"driver": "file", "filename": disk},
        "backing": {"driver": "qcow2", "file": {"driver": "file", "filename": base}, "backing": null},
    });
    let raw = lab.path("raw");
    Run::of(
        Command::new("qemu-img")
            .args(["convert", "-O", "raw", &format!("json:{chain}")])
            .arg(&raw),
    )
    .ok();
    let bytes = fs::read(raw).unwrap();
    (image, [0, 512 << 10, 4 << 20].map(|at| bytes[at]))
}

/// Launches a small clone of the first generation.
pub(crate) fn launch(lab: &Lab, vm: &str) {
    launch_of(lab, vm, "disk@1");
}

/// Launches a small clone of this generation.
pub(crate) fn launch_of(lab: &Lab, vm: &str, image: &str) {
    lab.seedbed(&[
        "launch",
        vm,
        "--image",
        image,
        "--memory",
        "64M",
        "--swap",
        "1M",
        "--key",
        guests::KEY,
    ])
    .ok();
}

/// A VM that was launched once and is stopped; its guest wrote 0x77 at 512 KiB and at 4 MiB.
pub(crate) fn written_to(lab: &Lab, vm: &str) {
    launch(lab, vm);
    lab.seedbed(&["stop", vm, "--force"]).ok();
    let disk = lab.path(&format!("state/vms/{vm}/disk.qcow2"));
    write(&disk, "write -P 0x77 512k 64k");
    write(&disk, "write -P 0x77 4M 64k");
}
