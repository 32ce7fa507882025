//! Snapshots: of a VM that stands and of one that runs, gone back to, kept over other disks and a deletion; and kills at every step.

use std::fs;
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::{disks, guests, root};

const REFUSED: i32 = 1;
const NOT_FOUND: i32 = 3;

fn shown(lab: &Lab, vm: &str, field: &str) -> String {
    let text = lab.seedbed(&["show", vm, "--format", "json"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    shown[0][field].as_str().unwrap().to_owned()
}

fn snapshots(lab: &Lab, vm: &str) -> Vec<(String, bool)> {
    let text = lab.seedbed(&["snapshot", "list", vm, "--format", "json"]).ok();
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    all.iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap().to_owned(),
                one["live"].as_bool().unwrap(),
            )
        })
        .collect()
}

fn generation(lab: &Lab, vm: &str) -> String {
    let line = lab.seedbed(&["render", vm, "--as", "qemu"]).ok();
    let word = line
        .split_whitespace()
        .find(|word| word.contains("vmgenid,guid="));
    word.unwrap_or_else(|| panic!("{line}")).to_owned()
}

fn write(lab: &Lab, vm: &str) {
    let disk = lab.path(&format!("state/vms/{vm}/disk.qcow2"));
    let command = ["-f", "qcow2", "-c", "write -P 0x55 512k 64k"];
    Run::of(std::process::Command::new("qemu-io").args(command).arg(disk)).ok();
}

fn written() -> (String, [u8; 3]) {
    ("disk@1".to_owned(), [1, 0x77, 0x77])
}

#[test]
fn a_vm_goes_back_to_what_was_on_its_disks_and_its_guest_is_told() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    lab.configure("undo_window: 1h");
    lab.start_daemon();
    disks::add(&lab, 1, &[]);
    disks::add(&lab, 2, &["--next"]);
    disks::written_to(&lab, "web1");
    assert_eq!(
        lab.seedbed(&["snapshot", "create", "web1"]).ok(),
        "snapshot 1 of web1 is taken\n"
    );
    lab.seedbed(&["snapshot", "create", "web1", "good"]).ok();
    lab.seedbed(&["snapshot", "create", "web1", "good"])
        .refused(REFUSED, &["has a snapshot good already"]);
    write(&lab, "web1");
    assert_eq!(disks::seen(&lab, "web1").1, [1, 0x55, 0x77]);
    let (uuid, before) = (shown(&lab, "web1", "uuid"), generation(&lab, "web1"));
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["snapshot", "restore", "web1", "good"])
        .refused(REFUSED, &["web1 is running", "--force"]);
    lab.seedbed(&["snapshot", "restore", "web1", "good", "--force"])
        .ok();
    assert_eq!(disks::seen(&lab, "web1"), written());
    assert_eq!(shown(&lab, "web1", "uuid"), uuid, "it is who it was");
    let after = generation(&lab, "web1");
    assert_ne!(
        after, before,
        "its guest would make the random numbers that it made before"
    );

    // Other disks leave the snapshots as they are, and their image stays.
    lab.seedbed(&["rebase", "web1"]).ok();
    assert_eq!(disks::seen(&lab, "web1"), ("disk@2".to_owned(), [2, 2, 0]));
    lab.seedbed(&["image", "delete", "disk@1"])
        .refused(REFUSED, &["web1"]);
    assert!(!lab.seedbed(&["image", "gc"]).ok().contains("disk@1"));
    lab.seedbed(&["delete", "web1"]).ok();
    lab.seedbed(&["image", "delete", "disk@1"])
        .refused(REFUSED, &["web1", "seedbed delete --deleted"]);
    lab.seedbed(&["undelete", "web1"]).ok();
    assert_eq!(
        snapshots(&lab, "web1"),
        [("1".to_owned(), false), ("good".to_owned(), false)]
    );
    lab.seedbed(&["snapshot", "restore", "web1", "1", "--start"]).ok();
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    assert_eq!(disks::seen(&lab, "web1"), written());
    assert_eq!(
        shown(&lab, "web1", "uuid"),
        uuid,
        "cloud-init knows the disk by it"
    );

    lab.seedbed(&["snapshot", "restore", "web1", "bad"])
        .refused(NOT_FOUND, &["no snapshot `bad`", "there are 1, good"]);
    for name in ["1", "good"] {
        lab.seedbed(&["snapshot", "delete", "web1", name]).ok();
    }
    assert_eq!(lab.listing("state/vms/web1/snapshots"), [""; 0]);
    lab.seedbed(&["clone", "web1", "web2"]).ok();
    assert_ne!(generation(&lab, "web2"), generation(&lab, "web1"));
}

#[test]
fn a_guest_that_runs_runs_on_and_its_snapshot_boots() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(&lab, &["web1", "--wait=120"])).ok();
    let pid = lab.qemus();
    let said = lab.seedbed(&["snapshot", "create", "web1"]).ok();
    assert_eq!(said, "snapshot 1 of web1 is taken, as after a power cut\n");
    let runs = eventually(Duration::from_secs(5), || {
        shown(&lab, "web1", "state") == "running"
    });
    assert!(runs && lab.qemus() == pid, "{}", shown(&lab, "web1", "state"));
    assert_eq!(snapshots(&lab, "web1"), [("1".to_owned(), true)]);
    lab.seedbed(&["snapshot", "restore", "web1", "1", "--force", "--start"])
        .ok();
    lab.seedbed(&["wait", "web1", "--for", "ready", "--timeout", "120s"])
        .ok();
    lab.seedbed(&["add", "nas"]).ok();
    lab.seedbed(&["snapshot", "create", "nas"])
        .refused(REFUSED, &["run by someone else"]);
}

#[test]
fn a_vm_that_can_not_go_back_runs_on() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    disks::add(&lab, 1, &[]);
    disks::written_to(&lab, "web1");
    for name in ["good", "bad"] {
        lab.seedbed(&["snapshot", "create", "web1", name]).ok();
    }
    lab.seedbed(&["start", "web1"]).ok();
    let pid = lab.qemus();
    let refused = |name: &str, says: &str| {
        lab.seedbed(&["snapshot", "restore", "web1", name, "--force"])
            .refused(REFUSED, &[says]);
        assert_eq!(
            (shown(&lab, "web1", "state"), lab.qemus()),
            ("running".to_owned(), pid.clone()),
            "{says}"
        );
        assert!(!lab.listing("state/vms/web1").contains(&"next".to_owned()));
    };
    fs::write(lab.path("state/vms/web1/snapshots/bad/disk.qcow2"), "no disk").unwrap();
    refused("bad", "disk.qcow2");
    let base = lab.path("state/images/disk@1/disk");
    let whole = fs::read(&base).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&base, damaged).unwrap();
    refused("good", "disk@1");
    lab.seedbed(&["rebase", "web1", "--force", "--to", "disk@1"]).ok();
    lab.seedbed(&["reset", "web1", "--force"])
        .refused(REFUSED, &["disk@1"]);
    assert_eq!(lab.qemus(), pid);

    fs::write(&base, whole).unwrap();
    lab.seedbed(&["snapshot", "restore", "web1", "good", "--force"])
        .ok();
    assert_eq!(disks::seen(&lab, "web1"), written());
}

/// How often the daemon is killed at each step.
const TIMES: usize = 5;

/// Steps of `src/daemon/failpoint.rs`, the command that comes to them, and after a kill behind it whether the snapshot `new` is
/// there, and whether the disk is that of the snapshot `old`.
const STEPS: [(&str, &[&str], bool, bool); 7] = [
    ("standing still", &["create", "web1", "new"], false, false),
    ("snapshot taken", &["create", "web1", "new"], false, false),
    ("snapshot kept", &["create", "web1", "new"], true, false),
    ("disks made", &["restore", "web1", "old", "--force"], false, false),
    (
        "disks replaced",
        &["restore", "web1", "old", "--force"],
        false,
        true,
    ),
    (
        "disks in place",
        &["restore", "web1", "old", "--force"],
        false,
        true,
    ),
    ("snapshot forgotten", &["delete", "web1", "new"], false, false),
];

/// The VM that stood still while it was copied does so no longer.
fn goes_on(lab: &Lab, step: &str) {
    let state = || shown(lab, "web1", "state");
    let runs = eventually(Duration::from_secs(30), || state() == "running");
    assert!(runs, "after a kill at `{step}`, web1 is {}", state());
}

#[test]
fn a_daemon_killed_at_any_step_of_a_snapshot_leaves_all_of_it_or_nothing() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    disks::add(&lab, 1, &[]);
    for step in STEPS {
        for _ in 0..TIMES {
            cut_short(&mut lab, step);
        }
    }
}

/// Comes to a step at which the daemon is killed, and sees to what is there behind it.
fn cut_short(lab: &mut Lab, (step, command, taken, restored): (&str, &[&str], bool, bool)) {
    disks::written_to(lab, "web1");
    lab.seedbed(&["snapshot", "create", "web1", "old"]).ok();
    write(lab, "web1");
    if command[0] == "delete" {
        lab.seedbed(&["snapshot", "create", "web1", "new"]).ok();
    }
    lab.seedbed(&["start", "web1"]).ok();
    lab.stop_daemon();
    lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
    lab.wait_for_daemon();
    let cut_short = lab.seedbed(&[&["snapshot"], command].concat());
    assert_ne!(
        cut_short.code, 0,
        "the daemon was not killed at `{step}`: {cut_short}"
    );
    assert_eq!(lab.daemon_ended(Duration::from_secs(60)), None, "{step}");
    lab.start_daemon();
    // To go back, it is powered off once the disks are made.
    if !restored {
        goes_on(lab, step);
    }
    let expected: &[&str] = if taken { &["new", "old"] } else { &["old"] };
    assert_eq!(lab.listing("state/vms/web1/snapshots"), expected, "{step}");
    assert_eq!(snapshots(lab, "web1").len(), expected.len(), "{step}");
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    let disk = if restored { 0x77 } else { 0x55 };
    assert_eq!(disks::seen(lab, "web1").1, [1, disk, 0x77], "{step}");
    let files = lab.listing("state/vms/web1");
    assert!(
        !files
            .iter()
            .any(|file| file == "next" || file == "standing-still"),
        "{step}: {files:?}"
    );
    lab.seedbed(&["snapshot", "restore", "web1", "old"]).ok();
    assert_eq!(disks::seen(lab, "web1"), written(), "{step}");
    lab.seedbed(&["delete", "web1"]).ok();
    assert_eq!(lab.listing("state/vms"), [""; 0], "{step}");
}
