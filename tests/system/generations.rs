//! Generations of an image: made of a VM's disk, promoted, collected; and a base that is not what it was starts nobody.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, Run};
use crate::{guests, root};

const REFUSED: i32 = 1;
const NOT_FOUND: i32 = 3;

fn images(lab: &Lab) -> Vec<(String, bool, Vec<String>)> {
    let text = lab.seedbed(&["image", "list", "--format", "json"]).ok();
    let images: serde_json::Value = serde_json::from_str(&text).unwrap();
    let images = images.as_array().unwrap().iter();
    images
        .map(|image| {
            let id = format!("{}@{}", image["name"].as_str().unwrap(), image["generation"]);
            let users = image["used_by"].as_array().unwrap().iter();
            let users = users.map(|user| user.as_str().unwrap().to_owned()).collect();
            (id, image["current"].as_bool().unwrap(), users)
        })
        .collect()
}

fn names(lab: &Lab) -> Vec<String> {
    images(lab).into_iter().map(|(id, ..)| id).collect()
}

/// A stopped clone of `tiny@1` in whose disk `mark` is written, where the base has nothing.
fn marked(lab: &Lab, mark: &str) {
    guests::add_tiny(lab, "tiny");
    Run::of(&mut guests::launch(lab, &["web1", "--wait=120"])).ok();
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    let disk = lab.path("state/vms/web1/disk.qcow2");
    let write = format!("write -P {mark} 1M 64k");
    Run::of(
        Command::new("qemu-io")
            .args(["-f", "qcow2", "-c", &write])
            .arg(disk),
    )
    .ok();
}

#[test]
fn a_vms_disk_becomes_the_next_generation_and_old_ones_go_when_nobody_needs_them() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    marked(&lab, "0x5e");
    let base = fs::read(lab.path("state/images/tiny@1/disk")).unwrap();

    lab.seedbed(&["image", "commit", "web1", "tiny"]).ok();
    let made = lab.path("state/images/tiny@2/disk");
    let look = "read -P 0x5e 1M 64k";
    let said = Run::of(
        Command::new("qemu-io")
            .args(["-r", "-f", "qcow2", "-c", look])
            .arg(&made),
    )
    .ok();
    assert!(!said.contains("failed"), "{said}");
    let check = ["check", "-f", "qcow2"];
    Run::of(Command::new("qemu-img").args(check).arg(&made)).ok();
    let seen = fs::metadata(&made).unwrap();
    assert_eq!((seen.uid(), seen.mode() & 0o7777), (0, 0o444));
    let one = || ("tiny@1".to_owned(), false, vec!["web1".to_owned()]);
    assert_eq!(images(&lab), [one(), ("tiny@2".to_owned(), true, vec![])]);
    let show = lab.seedbed(&["image", "show", "tiny@2"]).ok();
    assert!(show.contains("the disk of web1"), "{show}");

    // New clones are made of it; whoever is a clone of the old one stays on that.
    Run::of(&mut guests::launch(&lab, &["web2", "--wait=120"])).ok();
    lab.seedbed(&["start", "web1"]).ok();
    let users = |name: &str| vec![name.to_owned()];
    assert_eq!(images(&lab), [one(), ("tiny@2".to_owned(), true, users("web2"))]);
    lab.seedbed(&["image", "commit", "web1", "tiny"])
        .refused(REFUSED, &["web1 is running", "seedbed stop web1"]);

    lab.seedbed(&["image", "promote", "tiny"])
        .refused(REFUSED, &["does not say which generation", "tiny@2"]);
    lab.seedbed(&["image", "promote", "tiny@7"])
        .refused(NOT_FOUND, &["tiny@7", "there are tiny@1, tiny@2"]);
    lab.seedbed(&["image", "promote", "tiny@1"]).ok();
    lab.seedbed(&["image", "delete", "tiny@1"])
        .refused(REFUSED, &["web1"]);
    lab.seedbed(&["image", "delete", "tiny@2"])
        .refused(REFUSED, &["web2"]);
    assert_eq!(
        lab.seedbed(&["image", "gc", "--format", "json"]).ok().trim(),
        "[]"
    );
    lab.seedbed(&["delete", "web2", "--force"]).ok();
    let would = lab.seedbed(&["image", "gc", "--dry-run"]).ok();
    assert!(would.contains("tiny@2") && !would.contains("tiny@1"), "{would}");
    assert_eq!(
        lab.seedbed(&["image", "gc", "--keep", "1", "--format", "json"])
            .ok()
            .trim(),
        "[]"
    );
    assert_eq!(names(&lab), ["tiny@1", "tiny@2"]);
    lab.seedbed(&["image", "gc"]).ok();
    assert_eq!(names(&lab), ["tiny@1"]);
    assert_eq!(lab.listing("state/images"), ["tiny@1"]);
    assert!(base == fs::read(lab.path("state/images/tiny@1/disk")).unwrap());
}

#[test]
fn l07_a_base_that_changed_under_its_clones_starts_none_of_them_and_names_them() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(&lab, &["web[1-3]", "--wait=180"])).ok();
    lab.seedbed(&["stop", "web1", "web2", "--force"]).ok();
    let disk = lab.path("state/images/tiny@1/disk");
    let original = fs::read(&disk).unwrap();
    fs::set_permissions(&disk, fs::Permissions::from_mode(0o600)).unwrap();

    // Touched, and written over with the same bytes: that is still the base.
    fs::write(&disk, &original).unwrap();
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["stop", "web1", "--force"]).ok();

    let flip = |byte: u8| {
        let file = fs::OpenOptions::new().write(true).open(&disk).unwrap();
        file.write_all_at(&[byte], original.len() as u64 - 1).unwrap();
    };
    flip(!original[original.len() - 1]);
    let refused = |words: &[&str]| {
        lab.seedbed(&["start", "web1"]).refused(REFUSED, words);
        assert_eq!(lab.qemus().len(), 1, "web3 alone goes on");
        assert_eq!(lab.taps().len(), 1);
    };
    refused(&[
        "image tiny@1 is damaged",
        "state/images/tiny@1/disk changed since it was added",
        "web1, web2, web3",
        "running on it now: web3",
        "put back the file whose SHA-256 is",
        "seedbed rebase web1 web2 web3 --to tiny@2",
    ]);
    Run::of(&mut guests::launch(&lab, &["web4"])).refused(REFUSED, &["tiny@1 is damaged"]);
    assert!(!lab.listing("state/vms").contains(&"web4".to_owned()));

    fs::write(&disk, &original[..original.len() - 1]).unwrap();
    refused(&["changed its length"]);
    fs::remove_file(&disk).unwrap();
    refused(&["is missing"]);
    std::os::unix::fs::symlink("/etc/hostname", &disk).unwrap();
    refused(&["is not a regular file"]);
    fs::remove_file(&disk).unwrap();

    // The exact repair.
    fs::write(&disk, &original).unwrap();
    lab.seedbed(&["start", "web1", "web2"]).ok();
    lab.seedbed(&["wait", "web1", "web2", "--for", "ready", "--timeout", "120s"])
        .ok();
}

/// The steps of `src/daemon/failpoint.rs` between a VM's disk and a generation.
const STEPS: [&str; 3] = ["generation begun", "generation written", "generation published"];

#[test]
fn a_daemon_killed_while_it_makes_a_generation_leaves_none() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    marked(&lab, "0x5e");
    let files = |lab: &Lab| {
        let disk = fs::read(lab.path("state/vms/web1/disk.qcow2")).unwrap();
        let base = fs::read(lab.path("state/images/tiny@1/disk")).unwrap();
        (disk, base)
    };
    let before = files(&lab);
    let disk = lab
        .path("state/images/tiny@1/disk")
        .to_string_lossy()
        .into_owned();
    let commit = ["image", "commit", "web1", "tiny"];
    let add = ["image", "add", "other", &disk, "--disk-format", "qcow2"];
    for (step, words) in STEPS
        .map(|step| (step, &commit[..]))
        .into_iter()
        .chain(["image copying", "image added"].map(|step| (step, &add[..])))
    {
        lab.stop_daemon();
        lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
        lab.wait_for_daemon();
        let cut_short = lab.seedbed(words);
        assert_ne!(
            cut_short.code, 0,
            "the daemon was not killed at `{step}`: {cut_short}"
        );
        assert_eq!(lab.daemon_ended(Duration::from_secs(60)), None, "{step}");
        lab.start_daemon();
        assert_eq!(names(&lab), ["tiny@1"], "{step}");
        assert_eq!(lab.listing("state/images"), ["tiny@1"], "{step}");
        assert!(files(&lab) == before, "{step}");
    }
    lab.seedbed(&commit).ok();
    lab.seedbed(&add).ok();
    assert_eq!(names(&lab), ["other@1", "tiny@1", "tiny@2"]);
}
