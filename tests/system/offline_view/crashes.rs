//! A kill at any step of writing into a disk leaves no mount, no loop device, no process and no half VM, and the base as it was.

use std::time::Duration;

use super::{add_base, file_in, launch, left, sha256};
use crate::lab::{Lab, Running, eventually};
use crate::{guests, root};

/// Around the writing, of the steps of `src/daemon/failpoint.rs`.
const STEPS: [&str; 2] = ["customizing", "customized"];

#[test]
fn a_daemon_killed_while_it_writes_into_a_disk_leaves_nothing_of_a_launch() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let base = add_base(&lab);
    let before = sha256(&base);
    for step in STEPS {
        killed_at(&mut lab, step, |lab| assert_ne!(launch(lab, "web1").code, 0));
        let all = (lab.qemus(), lab.taps(), lab.listing("state/vms"), left(&lab));
        assert_eq!(all, (vec![], vec![], vec![], vec![]), "a kill at `{step}`");
        assert_eq!(sha256(&base), before, "a kill at `{step}`");
    }
    launch(&lab, "web1").ok();
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    assert_eq!(file_in(&lab, "web1", "/etc/hostname"), "web1\n");
}

#[test]
fn a_vm_whose_disk_was_being_written_to_is_written_to_again_at_its_next_start() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let base = add_base(&lab);
    let before = sha256(&base);
    launch(&lab, "web1").ok();
    for (step, user) in STEPS.into_iter().zip(["ann", "bob"]) {
        lab.seedbed(&["stop", "web1", "--force"]).ok();
        lab.seedbed(&["set", "web1", "--user", user]).ok();
        killed_at(&mut lab, step, |lab| {
            assert_ne!(lab.seedbed(&["start", "web1"]).code, 0);
        });
        assert_eq!(left(&lab), Vec::<String>::new(), "a kill at `{step}`");
        lab.seedbed(&["start", "web1"]).ok();
        lab.seedbed(&["wait", "web1", "--for", "dhcp", "--timeout", "120s"])
            .ok();
        lab.seedbed(&["stop", "web1", "--force"]).ok();
        assert!(
            file_in(&lab, "web1", "/etc/passwd").contains(user),
            "a kill at `{step}`"
        );
        assert_eq!(sha256(&base), before, "a kill at `{step}`");
        lab.seedbed(&["start", "web1"]).ok();
    }
    assert!(lab.seedbed(&["list"]).ok().contains("web1"), "{}", guests::KEY);
}

/// Steps of the worker itself: the first half mounts and has the disk shown, the second writes into it.
const WORKERS_STEPS: [&str; 4] = ["door mounted", "door exported", "door inside", "door worked"];

#[test]
fn a_worker_that_is_killed_takes_the_launch_with_it_and_the_next_one_works() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let base = add_base(&lab);
    let before = sha256(&base);
    for step in WORKERS_STEPS {
        lab.stop_daemon();
        lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
        lab.wait_for_daemon();
        launch(&lab, "web1").refused(1, &["the disk of web1"]);
        nothing_is_left(&lab, step);
        assert_eq!(sha256(&base), before, "a worker killed at `{step}`");
    }
    lab.stop_daemon();
    lab.start_daemon();
    launch(&lab, "web1").ok();
}

#[test]
fn a_daemon_killed_while_its_worker_is_at_work_takes_it_along() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let base = add_base(&lab);
    let before = sha256(&base);
    let mut launch = lab.command(&["launch", "web1", "--image", "base", "--memory", guests::MEMORY]);
    let client = Running::start(launch.args(["--key", guests::KEY]));
    let at_work = eventually(Duration::from_secs(30), || !left(&lab).is_empty());
    assert!(at_work, "{}", lab.daemon_log());
    lab.kill_daemon();
    drop(client);
    nothing_is_left(&lab, "at work");
    lab.start_daemon();
    assert_eq!(lab.listing("state/vms"), Vec::<String>::new());
    assert_eq!(sha256(&base), before);
    super::launch(&lab, "web1").ok();
}

fn nothing_is_left(lab: &Lab, step: &str) {
    let gone = eventually(Duration::from_secs(20), || left(lab).is_empty());
    assert!(gone, "a kill at `{step}` left {:?}", left(lab));
}

/// Has the daemon killed at a step of what is done, and starts it again.
fn killed_at(lab: &mut Lab, step: &str, work: impl FnOnce(&Lab)) {
    lab.stop_daemon();
    lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
    lab.wait_for_daemon();
    work(lab);
    let ended = lab.daemon_ended(Duration::from_secs(10));
    assert_eq!(ended, None, "the daemon was not killed at `{step}`");
    lab.start_daemon();
}
