//! Deleting that can be undone: with real disks, a real guest, and kills at every step.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::{disks, guests, root};

const REFUSED: i32 = 1;
const NOT_FOUND: i32 = 3;

/// A lab in which a deletion can be undone for this long.
fn lab(window: &str) -> Lab {
    let mut lab = Lab::without_daemon();
    lab.configure(&format!("undo_window: {window}"));
    lab.start_daemon();
    lab
}

fn json(lab: &Lab, words: &[&str]) -> serde_json::Value {
    let text = lab.seedbed(&[words, &["--format", "json"]].concat()).ok();
    serde_json::from_str(&text).unwrap()
}

fn field(lab: &Lab, vm: &str, field: &str) -> String {
    json(lab, &["show", vm])[0][field].as_str().unwrap().to_owned()
}

/// Who a VM is.
fn identity(lab: &Lab, vm: &str) -> [String; 4] {
    ["ip", "mac", "uuid", "tap"].map(|name| field(lab, vm, name))
}

fn kept(lab: &Lab) -> Vec<String> {
    let all = json(lab, &["list", "--deleted"]);
    let names = all.as_array().unwrap().iter();
    names
        .map(|deleted| deleted["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_deleted_guest_frees_what_it_had_and_comes_back_as_it_was() {
    if !root() {
        return;
    }
    let lab = lab("1h");
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(&lab, &["web1", "--wait=120"])).ok();
    let before = identity(&lab, "web1");
    let said = lab.seedbed(&["delete", "web1", "--force"]).ok();
    assert!(
        said.contains("is free (for 1h, this undoes it: seedbed undelete web1)"),
        "{said}"
    );
    let left = (
        lab.qemus(),
        lab.taps(),
        lab.listing("state/vms"),
        lab.listing("run/vms"),
    );
    assert_eq!(left, (vec![], vec![], vec![], vec![]));
    lab.seedbed(&["show", "web1"])
        .refused(NOT_FOUND, &["web1", "seedbed undelete web1"]);
    assert_eq!(kept(&lab), ["web1"]);
    // Its user may be another VM's by now: nobody but root comes near its disk.
    let folder = fs::metadata(lab.path("state/deleted")).unwrap();
    assert_eq!((folder.uid(), folder.permissions().mode() & 0o777), (0, 0o700));

    // Its address is another's at once, and then comes back only when it is free again, or as another.
    lab.seedbed(&["add", "nas", "--ip", &before[0]]).ok();
    lab.seedbed(&["undelete", "web1"]).refused(
        REFUSED,
        &["can not come back as it was", &before[0], "nas", "--anew"],
    );
    assert_eq!(kept(&lab), ["web1"]);
    lab.seedbed(&["delete", "nas"]).ok();
    let said = lab.seedbed(&["undelete", "web1"]).ok();
    assert_eq!(said, format!("web1 is back, stopped, at {}\n", before[0]));
    assert_eq!(identity(&lab, "web1"), before);
    assert_eq!(
        (kept(&lab), lab.listing("state/deleted")),
        (vec!["nas".to_owned()], vec![])
    );
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["wait", "web1", "--for", "ready", "--timeout", "120s"])
        .ok();

    // Where it can not have what it had, it gets something else, and its disk is its new user's.
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    lab.seedbed(&["add", "nas2", "--ip", &before[0]]).ok();
    lab.seedbed(&["undelete", "web1", "--anew"]).ok();
    let [ip, mac, uuid, _] = identity(&lab, "web1");
    assert!(
        ip != before[0] && mac == before[1] && uuid == before[2],
        "{ip} {mac} {uuid}"
    );
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["wait", "web1", "--for", "ready", "--timeout", "120s"])
        .ok();
}

#[test]
fn of_a_name_that_is_taken_again_the_old_vm_comes_back_by_another() {
    if !root() {
        return;
    }
    let lab = lab("1h");
    disks::add(&lab, 1, &[]);
    disks::written_to(&lab, "web1");
    let old = identity(&lab, "web1");
    lab.seedbed(&["delete", "web1"]).ok();
    disks::launch(&lab, "web1");
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    lab.seedbed(&["undelete", "web1"]).refused(
        REFUSED,
        &["a VM named web1 is registered already", "--as NEWNAME"],
    );
    let said = lab.seedbed(&["undelete", "web1", "--as", "old"]).ok();
    assert!(
        said.starts_with("old is back, stopped, at ") && said.contains("another instance"),
        "{said}"
    );
    assert_eq!(disks::seen(&lab, "old"), ("disk@1".to_owned(), [1, 0x77, 0x77]));
    assert_eq!(disks::seen(&lab, "web1"), ("disk@1".to_owned(), [1, 1, 0]));
    let (new, back) = (identity(&lab, "web1"), identity(&lab, "old"));
    assert!(
        new.iter().zip(&back).all(|(one, other)| one != other),
        "{new:?} {back:?}"
    );
    // The name's own identity is the new one's.
    assert_eq!(new[2], old[2]);
    lab.seedbed(&["start", "old"]).ok();
    lab.seedbed(&["undelete", "web1"])
        .refused(NOT_FOUND, &["no deleted VM `web1`"]);
}

#[test]
fn a_clone_that_is_taken_back_leaves_the_disks_of_a_deleted_vm_that_lie_at_its_place() {
    if !root() {
        return;
    }
    let lab = lab("1h");
    disks::add(&lab, 1, &[]);
    disks::launch(&lab, "web1");
    disks::written_to(&lab, "web2");
    // Nothing can be put into a file.
    let (deleted, kept_there) = (lab.path("state/deleted"), lab.path("state/deleted.kept"));
    fs::rename(&deleted, &kept_there).unwrap();
    fs::write(&deleted, "").unwrap();
    let refused = |words: &[&str], says: &[&str]| {
        lab.seedbed(words).refused(REFUSED, says);
        assert_eq!(lab.listing("state/vms"), ["web1", "web2"], "{words:?}");
        let there = lab.seedbed(&["list", "--format", "json"]).ok();
        assert!(!there.contains("web2"), "{words:?}: {there}");
    };
    refused(&["delete", "web2"], &["web2 is deleted, and can be undone, but"]);
    refused(&["clone", "web1", "web2", "--live"], &["state/deleted"]);
    // Its source can not be made to stand still, so that nobody has looked at its place yet.
    let (qmp, away) = (lab.path("run/vms/web1/qmp"), lab.path("run/vms/web1/away"));
    fs::rename(&qmp, &away).unwrap();
    refused(
        &["clone", "web1", "web2", "--live"],
        &["web1 could not be paused"],
    );
    fs::rename(&away, &qmp).unwrap();
    disks::add(&lab, 2, &["--next"]);
    let launch = ["launch", "web2", "--image", "disk@2", "--key", guests::KEY];
    refused(&launch, &["state/deleted"]);

    fs::remove_file(&deleted).unwrap();
    fs::rename(&kept_there, &deleted).unwrap();
    lab.seedbed(&["clone", "web1", "web2", "--live"]).ok();
    lab.seedbed(&["undelete", "web2", "--as", "web3"]).ok();
    assert_eq!(disks::seen(&lab, "web3"), ("disk@1".to_owned(), [1, 0x77, 0x77]));
    assert_eq!(disks::seen(&lab, "web2"), ("disk@1".to_owned(), [1, 1, 0]));
}

#[test]
fn images_that_an_undo_needs_stay_until_that_is_given_up() {
    if !root() {
        return;
    }
    let lab = lab("1h");
    disks::add(&lab, 1, &[]);
    disks::written_to(&lab, "web1");
    disks::add(&lab, 2, &["--next"]);
    lab.seedbed(&["delete", "web1"]).ok();
    lab.seedbed(&["image", "delete", "disk@1"])
        .refused(REFUSED, &["web1", "seedbed delete --deleted"]);
    let gc = lab.seedbed(&["image", "gc"]);
    assert!(
        gc.stderr
            .contains("disk@1 is kept for deleted VMs that can be undone (web1)"),
        "{gc}"
    );
    assert_eq!(lab.listing("state/images"), ["disk@1", "disk@2"]);
    // A VM of the name that lives is not touched by that.
    lab.seedbed(&["add", "web1"]).ok();
    lab.seedbed(&["delete", "--deleted", "web1"]).ok();
    lab.seedbed(&["show", "web1"]).ok();
    lab.seedbed(&["delete", "--deleted", "web1"])
        .refused(NOT_FOUND, &["no deleted VM `web1`"]);
    lab.seedbed(&["image", "delete", "disk@1"]).ok();
    assert_eq!((kept(&lab), lab.listing("state/deleted")), (vec![], vec![]));

    // At once, and of one that was deleted before.
    disks::launch_of(&lab, "web2", "disk@2");
    lab.seedbed(&["delete", "web2", "--force", "--now"]).ok();
    assert_eq!((kept(&lab), lab.listing("state/deleted")), (vec![], vec![]));
    disks::launch_of(&lab, "web3", "disk@2");
    lab.seedbed(&["delete", "web3", "--force"]).ok();
    assert_eq!(kept(&lab), ["web3"]);
    lab.seedbed(&["delete", "web3", "--now"]).ok();
    assert_eq!((kept(&lab), lab.listing("state/deleted")), (vec![], vec![]));
}

#[test]
fn what_is_not_undone_in_time_is_gone_also_when_the_daemon_was_down() {
    if !root() {
        return;
    }
    let mut lab = lab("3s");
    disks::add(&lab, 1, &[]);
    let gone = |lab: &Lab| {
        eventually(Duration::from_secs(20), || {
            lab.listing("state/deleted").is_empty()
        })
    };
    disks::launch(&lab, "web1");
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    assert_eq!(kept(&lab), ["web1"]);
    assert!(gone(&lab), "{}", lab.daemon_log());
    lab.seedbed(&["undelete", "web1"]).refused(NOT_FOUND, &["web1"]);

    disks::launch(&lab, "web2");
    lab.seedbed(&["delete", "web2", "--force"]).ok();
    lab.kill_daemon();
    assert_eq!(lab.listing("state/deleted").len(), 1);
    lab.start_daemon();
    assert!(gone(&lab), "{}", lab.daemon_log());
    assert_eq!(kept(&lab), [""; 0]);
}

/// How often the daemon is killed at each step.
const TIMES: usize = 5;

/// Steps of `src/daemon/failpoint.rs`, the command that comes to them, and whether the VM is there, or deleted, or gone after a
/// kill behind it.
const STEPS: [(&str, &[&str], After); 6] = [
    ("deleted", &["delete", "web1"], After::Kept),
    ("disks set aside", &["delete", "web1"], After::Kept),
    ("deletion final", &["delete", "--deleted", "web1"], After::Gone),
    ("undelete registered", &["undelete", "web1"], After::There),
    ("disks brought back", &["undelete", "web1"], After::There),
    ("undeleted", &["undelete", "web1"], After::There),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    There,
    Kept,
    Gone,
}

#[test]
fn a_daemon_killed_at_any_step_of_a_deletion_or_of_its_undoing_loses_nothing_and_leaves_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab("1h");
    disks::add(&lab, 1, &[]);
    for (step, command, after) in STEPS {
        for _ in 0..TIMES {
            cut_short(&mut lab, step, command, after);
        }
    }
}

/// Comes to a step at which the daemon is killed, and sees to what is there behind it.
fn cut_short(lab: &mut Lab, step: &str, command: &[&str], after: After) {
    disks::written_to(lab, "web1");
    let before = identity(lab, "web1");
    if command[0] != "delete" || command[1] == "--deleted" {
        lab.seedbed(&["delete", "web1"]).ok();
    }
    lab.stop_daemon();
    lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
    lab.wait_for_daemon();
    let cut_short = lab.seedbed(command);
    assert_ne!(
        cut_short.code, 0,
        "the daemon was not killed at `{step}`: {cut_short}"
    );
    assert_eq!(lab.daemon_ended(Duration::from_secs(60)), None, "{step}");
    lab.start_daemon();
    let is_there = lab.seedbed(&["show", "web1"]).code == 0;
    let is = match (is_there, kept(lab).len()) {
        (true, 0) => After::There,
        (false, 1) => After::Kept,
        (false, 0) => After::Gone,
        other => panic!("{step}: {other:?}"),
    };
    assert_eq!(is, after, "{step}:\n{}", lab.daemon_log());
    let lies = (lab.listing("state/vms").len(), lab.listing("state/deleted").len());
    let expected = match after {
        After::There => (1, 0),
        After::Kept => (0, 1),
        After::Gone => (0, 0),
    };
    assert_eq!(lies, expected, "{step}");
    if after == After::Gone {
        return;
    }
    if after == After::Kept {
        // Another VM of its name takes nothing of it.
        disks::launch(lab, "web1");
        lab.seedbed(&["delete", "web1", "--now", "--force"]).ok();
        lab.seedbed(&["undelete", "web1"]).ok();
    }
    assert_eq!(identity(lab, "web1"), before, "{step}");
    assert_eq!(
        disks::seen(lab, "web1"),
        ("disk@1".to_owned(), [1, 0x77, 0x77]),
        "{step}"
    );
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["delete", "web1", "--now", "--force"]).ok();
    let left = (
        lab.listing("state/vms"),
        lab.listing("state/deleted"),
        lab.qemus(),
        lab.taps(),
    );
    assert_eq!(left, (vec![], vec![], vec![], vec![]), "{step}");
}
