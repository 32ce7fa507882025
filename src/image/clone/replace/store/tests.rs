//! Disks that take the place of others: whole, by a kill at any point, and reading the same where they are to.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::model::image::DiskFormat;
use crate::model::{Bytes, Hosting, Places, Timestamp, examples};

struct Lab {
    directory: TempDir,
    store: Store,
    vm: Vm,
    machine: Machine,
}

/// A store with a VM of it whose disks are there; nothing without root, who alone gives files to another user.
fn lab() -> Option<(Lab, Image)> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root, to give files to another user");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    files::passage(directory.path()).unwrap();
    let places = Places::new(directory.path().join("state"), directory.path().join("run"));
    let machine = Machine {
        image: "base@1".parse().unwrap(),
        disk: Bytes::mib(12),
        swap: Bytes::mib(64),
        ..examples::machine()
    };
    let vm = Vm {
        hosting: Hosting::from(machine.clone()),
        ..examples::vm("web1", "10.77.0.11")
    };
    let lab = Lab {
        store: Store::open(places).unwrap(),
        directory,
        vm,
        machine,
    };
    let image = lab.image(
        "base@1",
        DiskFormat::Qcow2,
        &["write -P 0xaa 0 4M", "write -P 0xab 6M 1M"],
    );
    lab.store.make_disks(&lab.vm, &lab.machine, &image).unwrap();
    Some((lab, image))
}

impl Lab {
    /// An image of 8 MiB that these commands of `qemu-io` wrote.
    fn image(&self, id: &str, format: DiskFormat, writes: &[&str]) -> Image {
        let file = self.directory.path().join("source");
        run(Command::new("qemu-img")
            .args(["create", "-q", "-f", format.as_str()])
            .arg(&file)
            .arg("8M"));
        io(&file, format.as_str(), writes);
        let source = crate::image::examples::source(id, file, format);
        self.store.add(&source, Timestamp(7), |_, _| {}).unwrap()
    }

    fn disk(&self) -> PathBuf {
        self.store.places.disk(&self.vm.name)
    }

    /// All that a guest reads of its disk.
    fn content(&self, image: &Image) -> Vec<u8> {
        let raw = self.directory.path().join("raw");
        let chain = format!("json:{}", self.store.chain(&self.disk(), Some(image)).unwrap());
        run(Command::new("qemu-img")
            .args(["convert", "-O", "raw", &chain])
            .arg(&raw));
        fs::read(raw).unwrap()
    }

    fn files(&self) -> Vec<String> {
        files::names(&self.store.places.vm(&self.vm.name)).unwrap()
    }
}

fn io(path: &Path, format: &str, writes: &[&str]) {
    let mut command = Command::new("qemu-io");
    command.args(["-f", format]);
    for write in writes {
        command.args(["-c", write]);
    }
    run(command.arg(path));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// Writes into the clone as its guest would.
fn guest_writes(lab: &Lab) {
    // The base that the header names is there, so that QEMU opens it by its own.
    io(
        &lab.disk(),
        "qcow2",
        &["write -P 0xcc 1M 64k", "write -P 0xcd 10M 1M", "write -z 6M 128k"],
    );
}

#[test]
fn fresh_disks_take_the_place_of_those_that_were_written_to() {
    let Some((lab, image)) = lab() else { return };
    let fresh = (
        lab.content(&image),
        fs::read(lab.store.places.swap(&lab.vm.name)).unwrap(),
    );
    guest_writes(&lab);
    fs::write(lab.store.places.swap(&lab.vm.name), "swapped out").unwrap();
    lab.store.make_next_disks(&lab.vm, &lab.machine, &image).unwrap();
    assert_eq!(lab.files(), ["disk.qcow2", "next", "swap.raw"]);
    assert!(lab.content(&image) != fresh.0, "nothing is in place yet");
    lab.store.put_next_disks(&lab.vm.name).unwrap();
    assert_eq!(lab.files(), ["disk.qcow2", "swap.raw"]);
    assert_eq!(
        (
            lab.content(&image),
            fs::read(lab.store.places.swap(&lab.vm.name)).unwrap()
        ),
        fresh
    );
    let uid = identity::uid(lab.vm.address);
    let metadata = fs::metadata(lab.disk()).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (uid, 0o600));
    // Done again, as after a kill, it changes nothing.
    lab.store.put_next_disks(&lab.vm.name).unwrap();
    assert!(lab.content(&image) == fresh.0);
}

#[test]
fn a_kill_between_the_two_disks_is_gone_on_with() {
    let Some((lab, image)) = lab() else { return };
    guest_writes(&lab);
    lab.store.make_next_disks(&lab.vm, &lab.machine, &image).unwrap();
    let next = lab.store.places.next_disks(&lab.vm.name);
    fs::rename(next.join("disk.qcow2"), lab.disk()).unwrap();
    lab.store.put_next_disks(&lab.vm.name).unwrap();
    assert_eq!(lab.files(), ["disk.qcow2", "swap.raw"]);
}

#[test]
fn what_a_kill_leaves_before_it_counts_is_removed() {
    let Some((lab, image)) = lab() else { return };
    let place = lab.store.places.vm(&lab.vm.name);
    fs::create_dir(place.join(".tmp-next")).unwrap();
    lab.store.make_next_disks(&lab.vm, &lab.machine, &image).unwrap();
    fs::create_dir(place.join(".tmp-next")).unwrap();
    fs::create_dir(place.join(".tmp-gone-next")).unwrap();
    lab.store.discard_next_disks(&lab.vm.name).unwrap();
    assert_eq!(lab.files(), ["disk.qcow2", "swap.raw"]);
    lab.store.discard_next_disks(&lab.vm.name).unwrap();
}

#[test]
fn a_rebased_disk_reads_the_same_on_another_base_of_either_format() {
    for format in [DiskFormat::Qcow2, DiskFormat::Raw] {
        let Some((lab, image)) = lab() else { return };
        let other = lab.image("base@2", format, &["write -P 0xbb 0 2M", "write -P 0xbb 5M 3M"]);
        guest_writes(&lab);
        let before = lab.content(&image);
        let mut told = 0;
        lab.store
            .rebase_next_disk(&lab.vm, (&image, &other), |percent| told = percent)
            .unwrap();
        assert_eq!(told, 100);
        assert!(lab.content(&image) == before, "nothing is in place yet");
        lab.store.put_next_disks(&lab.vm.name).unwrap();
        assert!(lab.content(&other) == before);
        run(Command::new("qemu-img")
            .args(["check", "-q", "-f", "qcow2"])
            .arg(lab.disk()));
        let uid = identity::uid(lab.vm.address);
        assert_eq!(fs::metadata(lab.disk()).unwrap().uid(), uid);
        assert_eq!(lab.files(), ["disk.qcow2", "swap.raw"]);
    }
}

#[test]
fn a_base_that_a_header_names_is_never_opened() {
    let Some((lab, image)) = lab() else { return };
    let other = lab.image("base@2", DiskFormat::Qcow2, &[]);
    guest_writes(&lab);
    let before = lab.content(&image);
    let elsewhere = lab.directory.path().join("elsewhere");
    run(Command::new("qemu-img")
        .args(["create", "-q", "-f", "raw"])
        .arg(&elsewhere)
        .arg("8M"));
    run(Command::new("qemu-img")
        .args(["rebase", "-u", "-F", "raw", "-b"])
        .arg(&elsewhere)
        .arg(lab.disk()));
    fs::remove_file(elsewhere).unwrap();
    lab.store
        .rebase_next_disk(&lab.vm, (&image, &other), |_| ())
        .unwrap();
    lab.store.put_next_disks(&lab.vm.name).unwrap();
    assert!(lab.content(&other) == before);
    // And what is no clone at all is not touched.
    fs::write(lab.disk(), b"QFI\xfb and nothing more").unwrap();
    let error = lab
        .store
        .rebase_next_disk(&lab.vm, (&other, &image), |_| ())
        .unwrap_err();
    assert!(matches!(error, FlattenError::Refused { .. }), "{error:?}");
    assert_eq!(lab.files(), ["disk.qcow2", "swap.raw"]);
}
