//! Clones of VMs: their own disks with what was on another's, their own identity, of a VM that stands and of one that runs; and
//! kills at every step.

use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::{disks, guests, root};

const REFUSED: i32 = 1;
const NOT_FOUND: i32 = 3;

fn shown(lab: &Lab, vm: &str) -> serde_json::Value {
    let text = lab.seedbed(&["show", vm, "--format", "json"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    shown[0].clone()
}

fn identity(lab: &Lab, vm: &str) -> [String; 4] {
    let shown = shown(lab, vm);
    ["ip", "mac", "uuid", "tap"].map(|field| shown[field].as_str().unwrap().to_owned())
}

fn state(lab: &Lab, vm: &str) -> String {
    shown(lab, vm)["state"].as_str().unwrap().to_owned()
}

/// The argument of the device by which a guest knows that it is not the machine that its disk was in.
fn generation(lab: &Lab, vm: &str) -> String {
    let line = lab.seedbed(&["render", vm, "--as", "qemu"]).ok();
    let word = line
        .split_whitespace()
        .find(|word| word.contains("vmgenid,guid="));
    word.unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[test]
fn a_clone_has_what_was_on_the_disk_and_nothing_else_of_its_source() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    disks::add(&lab, 1, &[]);
    disks::written_to(&lab, "web1");
    lab.seedbed(&["set", "web1", "--alias", "www"]).ok();
    let said = lab.seedbed(&["clone", "web1", "web[2-3]"]).ok();
    assert!(
        said.contains("web2 is stopped") && said.contains("web3 is stopped"),
        "{said}"
    );
    let written = ("disk@1".to_owned(), [1, 0x77, 0x77]);
    let mut identities = Vec::new();
    for vm in ["web1", "web2", "web3"] {
        assert_eq!(disks::seen(&lab, vm), written, "{vm}");
        identities.extend(identity(&lab, vm));
        identities.push(generation(&lab, vm));
    }
    let count = identities.len();
    identities.sort();
    identities.dedup();
    assert_eq!(identities.len(), count, "two VMs share something: {identities:?}");
    assert_eq!(lab.listing("state/vms/web2"), ["disk.qcow2", "swap.raw"]);

    // Each goes its own way, and starts.
    lab.seedbed(&["reset", "web1"]).ok();
    assert_eq!(disks::seen(&lab, "web2"), written);
    lab.seedbed(&["start", "web[1-3]"]).ok();

    for (words, code, says) in [
        (
            &["clone", "web1", "web4"][..],
            REFUSED,
            &["web1 is running", "--live"][..],
        ),
        (&["clone", "web9", "web4"], NOT_FOUND, &["web9"]),
        (
            &["clone", "web1", "web4", "web2", "--live"],
            REFUSED,
            &["web2 is registered already"],
        ),
    ] {
        lab.seedbed(words).refused(code, says);
    }
    lab.seedbed(&["add", "nas"]).ok();
    lab.seedbed(&["clone", "nas", "nas2"])
        .refused(REFUSED, &["run by someone else"]);
    assert_eq!(lab.listing("state/vms"), ["web1", "web2", "web3"]);
}

#[test]
fn a_guest_that_runs_is_cloned_and_runs_on() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(&lab, &["web1", "--wait=120"])).ok();
    let pid = lab.qemus();
    lab.seedbed(&["clone", "web1", "web2", "--live", "--start"]).ok();
    let runs = eventually(Duration::from_secs(5), || state(&lab, "web1") == "running");
    assert!(runs, "{}", state(&lab, "web1"));
    assert!(lab.qemus().contains(&pid[0]));
    assert!(
        !lab.listing("state/vms/web1")
            .contains(&"standing-still".to_owned())
    );
    lab.seedbed(&["wait", "web2", "--for", "ready", "--timeout", "120s"])
        .ok();
    // One that was paused by hand stays so.
    lab.seedbed(&["pause", "web1"]).ok();
    lab.seedbed(&["clone", "web1", "web3", "--live"]).ok();
    assert_eq!(state(&lab, "web1"), "paused");
}

/// Steps of `src/daemon/failpoint.rs`, and whether the clones are there after a kill behind it.
const STEPS: [(&str, bool); 4] = [
    ("registered", false),
    ("standing still", false),
    ("cloned", false),
    ("launched", true),
];

#[test]
fn a_daemon_killed_at_any_step_of_a_clone_leaves_all_or_nothing_and_a_source_that_runs() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    disks::add(&lab, 1, &[]);
    disks::launch(&lab, "web1");
    let pid = lab.qemus();
    for (step, stays) in STEPS {
        lab.stop_daemon();
        lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
        lab.wait_for_daemon();
        let cut_short = lab.seedbed(&["clone", "web1", "web[2-3]", "--live"]);
        assert_ne!(
            cut_short.code, 0,
            "the daemon was not killed at `{step}`: {cut_short}"
        );
        assert_eq!(lab.daemon_ended(Duration::from_secs(60)), None, "{step}");
        lab.start_daemon();
        let runs = eventually(Duration::from_secs(5), || state(&lab, "web1") == "running");
        assert!(runs, "after a kill at `{step}`, web1 is {}", state(&lab, "web1"));
        assert_eq!(lab.qemus(), pid, "{step}");
        assert!(
            !lab.listing("state/vms/web1")
                .contains(&"standing-still".to_owned()),
            "{step}"
        );
        let expected: &[&str] = if stays {
            &["web1", "web2", "web3"]
        } else {
            &["web1"]
        };
        assert_eq!(lab.listing("state/vms"), expected, "{step}");
        let names = lab.seedbed(&["list", "--format", "json"]).ok();
        assert_eq!(names.contains("web2") && names.contains("web3"), stays, "{step}");
        if stays {
            lab.seedbed(&["start", "web[2-3]"]).ok();
            lab.seedbed(&["delete", "web[2-3]", "--force"]).ok();
        }
    }
}
