//! L09, the other half: what the real `qemu-img` makes is accepted, and read as `qemu-img info` reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::lab::{Lab, Run};
use crate::root;

/// What `qemu-img create -f qcow2 -o ...` is told: the options, and the size.
const CREATED: [(&str, &str); 38] = [
    ("compat=0.10", "8M"),
    ("compat=0.10,cluster_size=512", "8M"),
    ("compat=0.10,cluster_size=2M", "8M"),
    ("compat=0.10,preallocation=metadata", "8M"),
    ("compat=1.1", "8M"),
    ("cluster_size=512", "8M"),
    ("cluster_size=1k", "8M"),
    ("cluster_size=2k", "8M"),
    ("cluster_size=4k", "8M"),
    ("cluster_size=8k", "8M"),
    ("cluster_size=16k", "8M"),
    ("cluster_size=32k", "8M"),
    ("cluster_size=128k", "8M"),
    ("cluster_size=256k", "8M"),
    ("cluster_size=512k", "8M"),
    ("cluster_size=1M", "8M"),
    ("cluster_size=2M", "8M"),
    ("refcount_bits=1", "8M"),
    ("refcount_bits=2", "8M"),
    ("refcount_bits=4", "8M"),
    ("refcount_bits=8", "8M"),
    ("refcount_bits=32", "8M"),
    ("refcount_bits=64", "8M"),
    ("refcount_bits=64,cluster_size=512", "8M"),
    ("lazy_refcounts=on", "8M"),
    ("compression_type=zstd", "8M"),
    ("preallocation=metadata", "8M"),
    ("preallocation=metadata,cluster_size=2M", "512"),
    ("preallocation=falloc", "8M"),
    ("preallocation=full", "8M"),
    ("extended_l2=on", "8M"),
    ("extended_l2=on,cluster_size=16k", "8M"),
    ("extended_l2=on,cluster_size=2M,compression_type=zstd", "8M"),
    ("cluster_size=64k", "512"),
    ("cluster_size=64k", "1000"),
    ("cluster_size=64k", "2T"),
    ("cluster_size=512", "100G"),
    ("cluster_size=2M", "64T"),
];

/// What is done to files `data` (4 MiB of raw disk) and `new.qcow2` (8 MiB) with `qemu-img`, one command a line; the
/// result is `made.qcow2`.
const MADE: [(&str, &str); 13] = [
    ("a copy", "convert -f raw -O qcow2 data made.qcow2"),
    (
        "compressed with zlib",
        "convert -c -f raw -O qcow2 data made.qcow2",
    ),
    (
        "compressed with zstd",
        "convert -c -f raw -O qcow2 -o compression_type=zstd data made.qcow2",
    ),
    (
        "compressed small clusters",
        "convert -c -f raw -O qcow2 -o cluster_size=512 data made.qcow2",
    ),
    (
        "a compressed copy of version 2",
        "convert -c -f raw -O qcow2 -o compat=0.10 data made.qcow2",
    ),
    (
        "grown",
        "convert -f raw -O qcow2 data made.qcow2\nresize -q -f qcow2 made.qcow2 1T",
    ),
    (
        "shrunk",
        "convert -f raw -O qcow2 data made.qcow2\nresize -q --shrink -f qcow2 made.qcow2 1M",
    ),
    (
        "without its snapshots",
        "convert -f raw -O qcow2 data made.qcow2\nsnapshot -c one made.qcow2\nsnapshot -d one made.qcow2",
    ),
    (
        "without its bitmap",
        "convert -f raw -O qcow2 data made.qcow2\nbitmap --add made.qcow2 one\nbitmap --remove made.qcow2 one",
    ),
    (
        "of version 2, amended",
        "convert -f raw -O qcow2 -o compat=0.10 data made.qcow2\namend -f qcow2 -o compat=1.1 made.qcow2",
    ),
    (
        "of version 3, amended",
        "convert -f raw -O qcow2 data made.qcow2\namend -f qcow2 -o compat=0.10 made.qcow2",
    ),
    (
        "a clone, flattened",
        "create -q -f qcow2 -b new.qcow2 -F qcow2 made.qcow2\nrebase -f qcow2 -b  made.qcow2",
    ),
    (
        "committed into",
        "create -q -f qcow2 made.qcow2 8M\ncreate -q -f qcow2 -b made.qcow2 -F qcow2 top.qcow2\n\
         commit -q -f qcow2 top.qcow2",
    ),
];

/// A lab with the images that were added to it.
struct Added {
    lab: Lab,
    images: Vec<(String, PathBuf, Value)>,
}

impl Added {
    fn new() -> Self {
        let lab = Lab::new();
        let data: Vec<u8> = (0..4_u32 << 18)
            .flat_map(|word| (word >> 4).to_le_bytes())
            .collect();
        fs::write(lab.path("data"), data).unwrap();
        let added = Self {
            lab,
            images: Vec::new(),
        };
        added.qemu_img(&["create", "-q", "-f", "qcow2", "new.qcow2", "8M"]);
        added
    }

    fn qemu_img(&self, args: &[&str]) -> String {
        Run::of(Command::new("qemu-img").args(args).current_dir(self.lab.path(""))).ok()
    }

    fn info(&self, file: &Path, format: &str) -> Value {
        let text = self.qemu_img(&["info", "-f", format, "--output", "json", &file.to_string_lossy()]);
        serde_json::from_str(&text).unwrap()
    }

    /// Adds a file under the next name.
    fn add(&mut self, file: &str, format: &str) {
        let file = self.lab.path(file);
        let name = format!("honest-{}", self.images.len());
        let path = file.to_string_lossy();
        self.lab
            .seedbed(&["image", "add", &name, &path, "--disk-format", format])
            .ok();
        let info = self.info(&file, format);
        self.images.push((name, file, info));
    }

    /// What the daemon says of each image, and what lies in its store, is what `qemu-img` says of the file.
    fn read_the_same(&self, at_least: usize) {
        let told = self.lab.seedbed(&["image", "list", "--format", "json"]).ok();
        let told: Vec<Value> = serde_json::from_str(&told).unwrap();
        assert_eq!(told.len(), self.images.len());
        assert!(told.len() >= at_least, "{} images only", told.len());
        for (name, file, info) in &self.images {
            let image = told.iter().find(|image| image["name"] == name.as_str()).unwrap();
            let format = info["format"].as_str().unwrap();
            assert_eq!(image["format"], format, "{info}");
            assert_eq!(image["virtual_size"], info["virtual-size"], "{info}");
            let disk = self.lab.path(&format!("state/images/{name}@1/disk"));
            assert_eq!(
                self.info(&disk, format)["virtual-size"],
                info["virtual-size"],
                "{info}"
            );
            assert_eq!(image["file_size"], fs::metadata(&disk).unwrap().len(), "{info}");
            let same = Run::of(Command::new("cmp").arg(file).arg(&disk));
            assert_eq!(same.code, 0, "{same}");
        }
    }
}

#[test]
fn l09_what_qemu_img_creates_is_accepted_and_read_the_same() {
    if !root() {
        return;
    }
    let mut added = Added::new();
    for (number, (options, size)) in CREATED.into_iter().enumerate() {
        let file = format!("{number}.qcow2");
        added.qemu_img(&["create", "-q", "-f", "qcow2", "-o", options, &file, size]);
        added.add(&file, "qcow2");
    }
    added.read_the_same(38);
}

#[test]
fn l09_an_image_with_a_history_is_accepted_and_read_the_same() {
    if !root() {
        return;
    }
    let mut added = Added::new();
    for (name, commands) in MADE {
        for command in commands.lines() {
            added.qemu_img(&command.split(' ').collect::<Vec<_>>());
        }
        fs::rename(added.lab.path("made.qcow2"), added.lab.path(name)).unwrap();
        added.add(name, "qcow2");
    }
    added.read_the_same(13);
}

#[test]
fn l09_a_raw_disk_of_any_kind_is_accepted_and_read_the_same() {
    if !root() {
        return;
    }
    let mut added = Added::new();
    let path = |name: &str| added.lab.path(name);
    fs::write(path("a sector"), [0xff; 512]).unwrap();
    fs::File::create(path("all hole"))
        .unwrap()
        .set_len(256 << 20)
        .unwrap();
    // To a tool of QEMU these names are more than that.
    fs::copy(path("data"), path("json:{\"driver\":\"raw\"}")).unwrap();
    fs::copy(path("data"), path("nbd:127.0.0.1,x=y")).unwrap();
    fs::copy(path("data"), path("disk.vmdk")).unwrap();
    let file_system = path("ext4");
    fs::File::create(&file_system).unwrap().set_len(8 << 20).unwrap();
    Run::of(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4"])
            .arg(&file_system),
    )
    .ok();
    let mut cdrom = vec![0; 0x9000];
    cdrom[0x8001..0x8006].copy_from_slice(b"CD001");
    fs::write(path("cdrom.iso"), cdrom).unwrap();
    let mut bootable = vec![0; 1 << 20];
    bootable[510..512].copy_from_slice(b"\x55\xaa");
    // Another disk's header further in, as on a host of images.
    bootable[512..520].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    fs::write(path("bootable"), bootable).unwrap();
    for allocated in ["off", "falloc", "full"] {
        let options = format!("preallocation={allocated}");
        added.qemu_img(&["create", "-q", "-f", "raw", "-o", &options, allocated, "8M"]);
    }
    for file in [
        "data",
        "a sector",
        "all hole",
        "json:{\"driver\":\"raw\"}",
        "nbd:127.0.0.1,x=y",
        "disk.vmdk",
        "ext4",
        "cdrom.iso",
        "bootable",
        "off",
        "falloc",
        "full",
    ] {
        added.add(file, "raw");
    }
    added.read_the_same(12);
}
