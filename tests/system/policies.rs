//! VMs that are started without being asked for by name: after a crash, after others, and with the host.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::lifecycle::Shell;
use crate::{guests, root};

const SOON: Duration = Duration::from_secs(60);

fn shown(lab: &Lab, name: &str) -> serde_json::Value {
    let json = lab.seedbed(&["show", name, "--format", "json"]).ok();
    serde_json::from_str::<serde_json::Value>(&json).unwrap()[0].clone()
}

fn state(lab: &Lab, name: &str) -> String {
    shown(lab, name)["state"].as_str().unwrap().to_owned()
}

fn is(lab: &Lab, name: &str, wanted: &str) {
    let arrived = eventually(SOON, || state(lab, name) == wanted);
    assert!(arrived, "{name} is {}\n{}", state(lab, name), lab.daemon_log());
}

/// Kills a VM's QEMU behind Seedbed's back; its number.
fn crash(lab: &Lab, name: &str) -> u64 {
    let pid = shown(lab, name)["pid"].as_u64().unwrap();
    Run::of(Command::new("kill").args(["-9", &pid.to_string()])).ok();
    pid
}

/// Waits until a VM runs in another process than this one.
fn runs_anew(lab: &Lab, name: &str, before: u64) {
    let anew = eventually(SOON, || {
        shown(lab, name)["pid"].as_u64().is_some_and(|pid| pid != before)
    });
    assert!(anew, "{:#}\n{}", shown(lab, name), lab.daemon_log());
}

fn lab_with_tiny() -> Lab {
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    lab
}

#[test]
fn l01_a_qemu_that_crashes_leaves_its_reason_and_the_end_of_its_console() {
    if !root() {
        return;
    }
    let mut lab = lab_with_tiny();
    Run::of(&mut guests::launch(&lab, &["web1", "--wait=120"])).ok();
    let ip = shown(&lab, "web1")["ip"].clone();
    crash(&lab, "web1");
    let gone = eventually(Duration::from_secs(20), || {
        state(&lab, "web1") == "failed" && lab.taps().is_empty()
    });
    assert!(gone, "{} {:?}", state(&lab, "web1"), lab.taps());
    let waited = lab.seedbed(&["wait", "web1", "--for", "ready", "--timeout", "60s"]);
    waited.refused(1, &["web1 failed: QEMU ended with signal: 9"]);
    for restarted in [false, true] {
        if restarted {
            lab.kill_daemon();
            lab.start_daemon();
        }
        let sheet = lab.seedbed(&["show", "web1"]).ok();
        for part in ["signal: 9", "Failed at:", "Console:", "TINY-READY name=web1.lab"] {
            assert!(sheet.contains(part), "no {part:?} in\n{sheet}");
        }
        assert!(lab.seedbed(&["list"]).ok().contains("failed"));
    }
    lab.seedbed(&["start", "web1"]).ok();
    let after = shown(&lab, "web1");
    assert_eq!(after["ip"], ip);
    assert!(
        after["failure"].is_null() && after.get("console_tail").is_none(),
        "{after:#}"
    );
    lab.seedbed(&["stop", "web1"]).ok();
    lab.kill_daemon();
    lab.start_daemon();
    assert_eq!(state(&lab, "web1"), "stopped");

    // An adopted QEMU has no exit status for us: that it said nothing before its end tells.
    lab.seedbed(&["start", "web1"]).ok();
    lab.kill_daemon();
    lab.start_daemon();
    crash(&lab, "web1");
    is(&lab, "web1", "failed");
    assert!(lab.seedbed(&["show", "web1"]).ok().contains("without a word"));
}

#[test]
fn a_vm_that_ends_by_itself_is_started_again_as_its_policy_says() {
    if !root() {
        return;
    }
    let mut lab = lab_with_tiny();
    Run::of(&mut guests::launch(
        &lab,
        &["web1", "--restart", "on-failure", "--wait=120"],
    ))
    .ok();
    let first = crash(&lab, "web1");
    runs_anew(&lab, "web1", first);
    assert_eq!(shown(&lab, "web1")["restarts"], 1);
    // Who stops it while it waits for its next start has stopped it.
    // (On a busy host a short pause is over before it is seen; each is twice as long as the one before.)
    let is_due = eventually(Duration::from_secs(120), || {
        if let Some(pid) = shown(&lab, "web1")["pid"].as_u64() {
            Run::of(Command::new("kill").args(["-9", &pid.to_string()])).ok();
        }
        lab.seedbed(&["show", "web1"]).ok().contains("next at")
    });
    assert!(is_due, "{}", lab.daemon_log());
    lab.seedbed(&["stop", "web1"]).ok();
    let started = eventually(Duration::from_secs(4), || !lab.qemus().is_empty());
    assert!(!started, "{}", lab.daemon_log());

    // The end that no daemon saw is a failure too, and the one that was asked for is none.
    lab.seedbed(&["start", "web1"]).ok();
    let unseen = shown(&lab, "web1")["pid"].as_u64().unwrap();
    lab.kill_daemon();
    Run::of(Command::new("kill").args(["-9", &unseen.to_string()])).ok();
    lab.start_daemon();
    runs_anew(&lab, "web1", unseen);
    lab.seedbed(&["wait", "web1", "--timeout", "120s"]).ok();
    let mut shell = Shell {
        lab: &lab,
        name: "web1",
        typed: 0,
    };
    shell.run("(sleep 1; poweroff -f) >/dev/null 2>&1 & true");
    is(&lab, "web1", "stopped");

    lab.seedbed(&["set", "web1", "--restart", "always"]).ok();
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["wait", "web1", "--timeout", "120s"]).ok();
    let before = shown(&lab, "web1")["pid"].as_u64().unwrap();
    let mut shell = Shell {
        lab: &lab,
        name: "web1",
        typed: 1,
    };
    shell.run("(sleep 1; poweroff -f) >/dev/null 2>&1 & true");
    runs_anew(&lab, "web1", before);
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    let started = eventually(Duration::from_secs(3), || !lab.qemus().is_empty());
    assert!(
        !started,
        "a VM that was stopped was started\n{}",
        lab.daemon_log()
    );
}

#[test]
fn vms_start_after_those_they_need_and_fail_with_them() {
    if !root() {
        return;
    }
    let lab = lab_with_tiny();
    Run::of(&mut guests::launch(&lab, &["db1"])).ok();
    // Launched while db1 boots: it waits, and says for whom.
    let launched = Run::of(&mut guests::launch(&lab, &["web1", "--after", "db1:ready"]));
    assert!(
        launched.stderr.contains("web1: waiting for db1:ready"),
        "{launched}"
    );
    launched.ok();
    assert_eq!(shown(&lab, "db1")["step"], "ready");
    Run::of(&mut guests::launch(&lab, &["web2", "--after", "db9:ready"])).refused(1, &["there is no VM db9"]);
    lab.seedbed(&["set", "db1", "--after", "web1"])
        .refused(1, &["db1 would start after itself, by way of web1"]);

    lab.seedbed(&["kill", "--all"]).ok();
    lab.seedbed(&["start", "web1"]).refused(
        1,
        &["web1 is not started", "db1:ready", "db1 is not running", "hint:"],
    );
    let both = lab.seedbed(&["start", "web1", "db1"]);
    assert!(both.stderr.contains("web1: waiting for db1:ready"), "{both}");
    both.ok();
    assert_eq!(shown(&lab, "db1")["step"], "ready");

    lab.seedbed(&["kill", "--all"]).ok();
    let disk = lab.path("state/vms/db1/disk.qcow2");
    std::fs::rename(&disk, disk.with_extension("away")).unwrap();
    lab.seedbed(&["start", "--all"]).refused(
        1,
        &["2 of 2 failed", "web1 is not started", "db1:ready: db1 failed"],
    );
    assert_eq!(lab.qemus(), [0; 0]);
    lab.seedbed(&["set", "web1", "--after", ""]).ok();
    lab.seedbed(&["start", "web1"]).ok();
}

#[test]
fn l03_after_a_reboot_of_the_host_vms_start_in_order_and_no_others() {
    if !root() {
        return;
    }
    let mut lab = lab_with_tiny();
    Run::of(&mut guests::launch(&lab, &["db1", "idle", "--wait=120"])).ok();
    Run::of(&mut guests::launch(
        &lab,
        &["web1", "--after", "db1:ip", "--autostart"],
    ))
    .ok();
    lab.seedbed(&["set", "db1", "--autostart"]).ok();
    Run::of(&mut guests::launch(
        &lab,
        &["slow", "--after", "idle:ready", "--autostart"],
    ))
    .ok();
    let identity = |lab: &Lab| {
        ["db1", "web1", "idle"].map(|name| {
            let vm = shown(lab, name);
            (vm["ip"].clone(), vm["mac"].clone(), vm["uuid"].clone())
        })
    };
    let before = identity(&lab);

    // A daemon that is restarted starts nothing that was stopped.
    lab.seedbed(&["stop", "db1", "--force"]).ok();
    lab.kill_daemon();
    lab.start_daemon();
    assert_eq!(state(&lab, "db1"), "stopped");

    // The host goes down with all that runs, and its run directory.
    lab.kill_daemon();
    for pid in lab.qemus() {
        Run::of(Command::new("kill").args(["-9", &pid.to_string()])).ok();
    }
    assert!(eventually(SOON, || lab.qemus().is_empty()));
    std::fs::remove_dir_all(lab.path("run")).unwrap();
    let boot_id = lab.path("state/boot_id");
    assert!(boot_id.exists(), "it is kept after the first start");
    std::fs::write(&boot_id, "another boot\n").unwrap();
    lab.start_daemon();
    is(&lab, "web1", "running");
    is(&lab, "db1", "running");
    assert_eq!(state(&lab, "idle"), "stopped");
    assert_eq!(identity(&lab), before);
    let log = lab.daemon_log();
    assert!(log.contains("the host has started: starting 3 VMs"), "{log}");
    // One waits for somebody who was not started, and so for nobody.
    assert!(
        log.contains("slow is not started, because it starts after idle:ready"),
        "{log}"
    );
    let left = || std::fs::read_to_string(&boot_id).unwrap().lines().skip(1).count();
    assert!(eventually(SOON, || left() == 0));

    // A daemon that is killed on the way leaves the rest to the next one, and nobody who was stopped meanwhile.
    lab.seedbed(&["stop", "--all", "--force"]).ok();
    lab.kill_daemon();
    let kept = std::fs::read_to_string(&boot_id).unwrap();
    std::fs::write(&boot_id, format!("{kept}db1\n")).unwrap();
    lab.start_daemon();
    is(&lab, "db1", "running");
    assert!(eventually(SOON, || left() == 0));
    assert_eq!(state(&lab, "web1"), "stopped");
}

#[test]
fn what_is_stopped_is_started_by_nobody_who_was_about_to() {
    if !root() {
        return;
    }
    let mut lab = lab_with_tiny();
    Run::of(&mut guests::launch(&lab, &["db1", "web1"])).ok();
    lab.seedbed(&["stop", "--all", "--force"]).ok();
    // A start that waits for another VM.
    lab.seedbed(&["set", "web1", "--after", "db1:ready"]).ok();
    lab.seedbed(&["start", "db1"]).ok();
    lab.seedbed(&["pause", "db1"]).ok();
    let mut starting = lab.command(&["start", "web1"]);
    let mut starting = starting
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // (Until it has heard of it: it may not have begun to wait yet.)
    let ended = eventually(SOON, || {
        lab.seedbed(&["stop", "web1"]).ok();
        starting.try_wait().unwrap().is_some()
    });
    assert!(ended, "{}", lab.daemon_log());
    Run::waited(starting).refused(1, &["web1 was stopped while it waited"]);
    lab.seedbed(&["resume", "db1"]).ok();
    lab.seedbed(&["wait", "db1", "--for", "ready"]).ok();
    assert_eq!(state(&lab, "web1"), "stopped");

    // A start that is due after a crash, also when the daemon is another one by then.
    lab.seedbed(&["set", "db1", "--restart", "always"]).ok();
    for _ in 0..4 {
        let pid = crash(&lab, "db1");
        runs_anew(&lab, "db1", pid);
    }
    crash(&lab, "db1");
    is(&lab, "db1", "failed");
    lab.seedbed(&["stop", "db1"]).ok();
    lab.kill_daemon();
    lab.start_daemon();
    assert!(
        shown(&lab, "db1")["restart_at"].is_null(),
        "{:#}",
        shown(&lab, "db1")
    );
    let anew = eventually(Duration::from_secs(3), || state(&lab, "db1") != "failed");
    assert!(!anew, "{}", lab.daemon_log());
}
