//! Launches that fail, and what a restart or another program must not take away. (Kills at each step: `launcher`.)

use std::process::Stdio;
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::{guests, root};

#[test]
fn a_launch_whose_qemu_does_not_start_is_undone() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    lab.stop_daemon();
    // It tells what it is, and starts nothing.
    lab.replace_qemu(r#"case "$*" in *"-machine none"*) exec qemu-system-x86_64 "$@" ;; *) exit 1 ;; esac"#);
    lab.start_daemon();
    Run::of(&mut guests::launch(&lab, &["web[1-3]"])).refused(1, &["3 of 3 failed", "web1"]);
    let left = (
        lab.qemus(),
        lab.taps(),
        lab.listing("state/vms"),
        lab.listing("run/vms"),
    );
    assert_eq!(left, (vec![], vec![], vec![], vec![]));
    assert_eq!(lab.seedbed(&["list", "--format", "json"]).ok().trim(), "[]");
}

#[test]
fn a_launch_and_a_delete_at_once_leave_a_whole_vm_or_none() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    for round in 0..4 {
        let mut launch = guests::launch(&lab, &["web1"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Deleted as soon as it is registered, at whatever step the launch is then.
        let deleted = eventually(Duration::from_secs(60), || {
            lab.seedbed(&["delete", "web1", "--force"]).code == 0
        });
        launch.wait().unwrap();
        assert!(deleted, "round {round}");
        assert_eq!(lab.seedbed(&["list", "--format", "json"]).ok().trim(), "[]");
        let left = (
            lab.qemus(),
            lab.taps(),
            lab.listing("state/vms"),
            lab.listing("run/vms"),
        );
        assert_eq!(left, (vec![], vec![], vec![], vec![]), "round {round}");
    }
}

#[test]
fn a_ready_guest_is_ready_after_a_daemon_restart_too() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(&lab, &["web1", "--wait=120"])).ok();
    lab.kill_daemon();
    lab.start_daemon();
    // A tiny guest has no SSH server, and phones home only when it boots: what was seen has to be remembered.
    lab.seedbed(&["wait", "web1", "--for", "ready", "--timeout", "3s"])
        .ok();
}

#[test]
fn firewall_tables_that_someone_flushes_come_back() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let tables = || Run::of(&mut lab.inside(&["nft", "list", "tables"])).ok();
    assert!(
        tables().contains("bridge seedbed") && tables().contains("ip seedbed"),
        "{}",
        tables()
    );
    Run::of(&mut lab.inside(&["nft", "flush", "ruleset"])).ok();
    let back = eventually(Duration::from_secs(20), || {
        tables().contains("bridge seedbed") && tables().contains("ip seedbed")
    });
    assert!(back, "{}", lab.daemon_log());
}
