//! L02, L20: the daemon, or a VM's QEMU, is killed at each step of launch, start, stop, clone and delete, twenty times at each: the
//! next daemon puts right what is half-done, and nothing leaks.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::{add_empty, launch, nothing_is_left, on_the_host, program, shown, with_web1};
use crate::lab::{Lab, Run, Running, eventually};
use crate::root;

const TIMES: usize = 20;

/// Of `src/daemon/failpoint.rs`: what a launch does, of which the start is a part.
const LAUNCH: [&str; 7] = [
    "registered",
    "cloned",
    "tap",
    "guarded",
    "spawned",
    "running",
    "launched",
];
const START: [&str; 4] = ["tap", "guarded", "spawned", "running"];
const STOP: [&str; 4] = ["stop asked", "powered off", "unguarded", "stopped"];
/// Of a clone of a VM that runs: each step, and whether the clone is there after a kill behind it.
const CLONE: [(&str, bool); 4] = [
    ("registered", false),
    ("standing still", false),
    ("cloned", false),
    ("launched", true),
];
const DELETE: [&str; 7] = [
    "stop asked",
    "powered off",
    "unguarded",
    "stopped",
    "delete stopped",
    "deleted",
    "disks set aside",
];
const UNDO: [&str; 3] = ["undo stopped", "undo disks removed", "undone"];

fn lab() -> Lab {
    let lab = Lab::new();
    add_empty(&lab);
    lab
}

/// The next daemon is killed at this step.
fn armed(lab: &mut Lab, step: &str) {
    lab.stop_daemon();
    lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
    lab.wait_for_daemon();
}

/// Does something that the daemon does not survive, and starts the next one, which is killed at this step again.
fn cut_short(lab: &mut Lab, step: &str, work: impl FnOnce(&Lab) -> Run) {
    let run = work(lab);
    assert_ne!(run.code, 0, "the daemon was not killed at `{step}`: {run}");
    assert_eq!(lab.daemon_ended(Duration::from_secs(60)), None, "at `{step}`");
    lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
    lab.wait_for_daemon();
}

/// Either it runs with all that belongs to that, or nothing of it is there.
fn whole_or_down(lab: &Lab, step: &str) {
    let state = shown(lab, "web1", "state");
    let (qemus, taps) = (lab.qemus().len(), lab.taps().len());
    let groups = lab.cgroups().len();
    if state == "running" {
        assert_eq!((qemus, taps), (1, 1), "at `{step}`");
        assert!(groups <= 1, "at `{step}`");
    } else {
        assert_eq!(state, "stopped", "at `{step}`");
        assert_eq!(on_the_host(lab), Vec::<String>::new(), "at `{step}`");
    }
}

#[test]
fn l02_a_daemon_killed_at_each_step_of_a_launch_leaves_all_or_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab();
    for step in LAUNCH {
        armed(&mut lab, step);
        for _ in 0..TIMES {
            cut_short(&mut lab, step, |lab| Run::of(&mut launch(lab, &["web1"])));
            let there = lab.seedbed(&["show", "web1"]).code == 0;
            assert_eq!(there, step == "launched", "after a kill at `{step}`");
            if there {
                lab.seedbed(&["delete", "web1", "--force"]).ok();
            }
            nothing_is_left(&lab, &format!("a kill at `{step}` of a launch"));
            let hosts = lab.seedbed(&["hosts"]).ok();
            assert!(!hosts.contains("web1"), "a kill at `{step}` left a name: {hosts}");
        }
    }
}

#[test]
fn l02_a_daemon_killed_at_each_step_of_a_start_leaves_all_or_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab();
    Run::of(&mut launch(&lab, &["web1"])).ok();
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    let address = shown(&lab, "web1", "ip");
    for step in START {
        armed(&mut lab, step);
        for _ in 0..TIMES {
            cut_short(&mut lab, step, |lab| lab.seedbed(&["start", "web1"]));
            whole_or_down(&lab, step);
            lab.seedbed(&["stop", "web1", "--force"]).ok();
            assert_eq!(on_the_host(&lab), Vec::<String>::new(), "at `{step}`");
        }
    }
    assert_eq!(shown(&lab, "web1", "ip"), address);
    lab.seedbed(&["delete", "web1"]).ok();
    nothing_is_left(&lab, "a delete after all");
}

#[test]
fn l02_a_daemon_killed_at_each_step_of_a_stop_leaves_all_or_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab();
    Run::of(&mut launch(&lab, &["web1"])).ok();
    for step in STOP {
        armed(&mut lab, step);
        for _ in 0..TIMES {
            lab.seedbed(&["start", "web1"]).ok();
            cut_short(&mut lab, step, |lab| lab.seedbed(&["stop", "web1", "--force"]));
            whole_or_down(&lab, step);
        }
    }
}

#[test]
fn l02_a_daemon_killed_at_each_step_of_a_clone_leaves_all_or_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab();
    Run::of(&mut launch(&lab, &["web1"])).ok();
    let source = lab.qemus();
    for (step, stays) in CLONE {
        armed(&mut lab, step);
        for _ in 0..TIMES {
            cut_short(&mut lab, step, |lab| {
                lab.seedbed(&["clone", "web1", "web2", "--live"])
            });
            let runs = eventually(Duration::from_secs(20), || {
                shown(&lab, "web1", "state") == "running"
            });
            assert!(runs && lab.qemus() == source, "at `{step}`: {}", lab.daemon_log());
            let there: &[&str] = if stays { &["web1", "web2"] } else { &["web1"] };
            assert_eq!(lab.listing("state/vms"), there, "at `{step}`");
            if stays {
                lab.seedbed(&["delete", "web2", "--now"]).ok();
            }
        }
    }
    lab.seedbed(&["delete", "web1", "--force", "--now"]).ok();
    nothing_is_left(&lab, "a delete after all");
}

#[test]
fn l02_a_daemon_killed_at_each_step_of_a_delete_leaves_a_vm_or_none() {
    if !root() {
        return;
    }
    let mut lab = lab();
    for step in DELETE {
        armed(&mut lab, step);
        for _ in 0..TIMES {
            if lab.seedbed(&["show", "web1"]).code != 0 {
                Run::of(&mut launch(&lab, &["web1"])).ok();
            }
            lab.seedbed(&["start", "web1"]).ok();
            cut_short(&mut lab, step, |lab| lab.seedbed(&["delete", "web1", "--force"]));
            if lab.seedbed(&["show", "web1"]).code == 0 {
                whole_or_down(&lab, step);
                assert_eq!(lab.listing("state/vms"), ["web1"], "at `{step}`");
            } else {
                assert!(["deleted", "disks set aside"].contains(&step), "at `{step}`");
                nothing_is_left(&lab, &format!("a kill at `{step}` of a delete"));
            }
        }
    }
}

#[test]
fn l02_a_daemon_killed_while_it_takes_a_launch_back_leaves_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab();
    lab.stop_daemon();
    // It says what it is, and starts nobody.
    let text =
        "#!/bin/sh\ncase \"$*\" in *guest=*) exit 1 ;; esac\nexec /usr/bin/qemu-system-x86_64 \"$@\"\n";
    let failing = program(&lab, "failing", text);
    lab.configure(&format!("qemu: {}", failing.display()));
    lab.start_daemon();
    for step in UNDO {
        armed(&mut lab, step);
        for _ in 0..TIMES {
            let run = Run::of(&mut launch(&lab, &["web1"]));
            assert_ne!(run.code, 0, "{run}");
            assert_eq!(lab.daemon_ended(Duration::from_secs(60)), None, "at `{step}`");
            // Its recovery takes the same steps where there is still something to take back.
            lab.start_daemon();
            lab.seedbed(&["show", "web1"]).refused(3, &["web1"]);
            nothing_is_left(&lab, &format!("a kill at `{step}`"));
            armed(&mut lab, step);
        }
    }
}

/// Kills every QEMU of this lab, and nothing else.
fn killer(lab: &Lab) -> String {
    let text = format!(
        r#"#!/usr/bin/python3
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{{pid}}/cmdline").read().split("\0")
    except OSError:
        continue
    if "qemu-system" in words[0] and any("{run}/" in word for word in words):
        os.kill(int(pid), signal.SIGKILL)
"#,
        run = lab.path("run").display()
    );
    program(lab, "killer", &text).to_string_lossy().into_owned()
}

#[test]
fn l02_a_qemu_killed_at_each_step_leaves_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let killer = killer(&lab);
    Run::of(&mut launch(&lab, &["web1"])).ok();
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    let work: [(&str, &[&str]); 5] = [
        ("spawned", &["start", "web1"]),
        ("running", &["start", "web1"]),
        ("stop asked", &["stop", "web1", "--force"]),
        ("powered off", &["stop", "web1", "--force"]),
        ("unguarded", &["stop", "web1", "--force"]),
    ];
    for (step, words) in work {
        lab.stop_daemon();
        lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step), ("SEEDBED_FAILPOINT_RUN", &killer)]);
        lab.wait_for_daemon();
        for _ in 0..TIMES {
            if words[0] == "stop" {
                lab.seedbed(&["start", "web1"]).ok();
            }
            // Started or not, stopped or not: what counts is what is there afterwards.
            let run = lab.seedbed(words);
            assert!([0, 1].contains(&run.code), "at `{step}`: {run}");
            let gone = eventually(Duration::from_secs(5), || on_the_host(&lab).is_empty());
            assert!(gone, "at `{step}`: {:?}", on_the_host(&lab));
        }
    }
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    nothing_is_left(&lab, "a delete after all");
}

/// What is done to `web1`, which runs, while its QEMU is killed at this step.
const WITH_QEMU: [(&str, &[&str]); 4] = [
    ("standing still", &["snapshot", "create", "web1", "new"]),
    ("standing still", &["clone", "web1", "web2", "--live"]),
    ("cloned", &["clone", "web1", "web2", "--live"]),
    ("delete stopped", &["delete", "web1", "--force"]),
];

#[test]
fn l02_a_qemu_killed_during_a_snapshot_a_clone_or_a_delete_leaves_what_is_whole_or_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let killer = killer(&lab);
    for (step, words) in WITH_QEMU {
        lab.stop_daemon();
        lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step), ("SEEDBED_FAILPOINT_RUN", &killer)]);
        lab.wait_for_daemon();
        for _ in 0..TIMES {
            if lab.seedbed(&["show", "web1"]).code != 0 {
                Run::of(&mut launch(&lab, &["web1", "--swap", "1M"])).ok();
            }
            lab.seedbed(&["start", "web1"]).ok();
            let run = lab.seedbed(words);
            assert!([0, 1].contains(&run.code), "at `{step}`: {run}");
            let gone = eventually(Duration::from_secs(5), || on_the_host(&lab).is_empty());
            assert!(gone, "at `{step}`: {:?}", on_the_host(&lab));
            match words[0] {
                "snapshot" => snapshot_is_whole(&lab, step, run.code == 0),
                "clone" => clone_is_whole(&lab, step, run.code == 0),
                _ => nothing_is_left(&lab, &format!("a QEMU that was killed at `{step}`")),
            }
        }
    }
}

fn snapshot_is_whole(lab: &Lab, step: &str, is_there: bool) {
    let there: &[&str] = if is_there { &["new"] } else { &[] };
    assert_eq!(lab.listing("state/vms/web1/snapshots"), there, "at `{step}`");
    let files = lab.listing("state/vms/web1");
    assert!(
        !files.contains(&"standing-still".to_owned()),
        "at `{step}`: {files:?}"
    );
    if is_there {
        lab.seedbed(&["snapshot", "restore", "web1", "new"]).ok();
        lab.seedbed(&["snapshot", "delete", "web1", "new"]).ok();
    }
}

fn clone_is_whole(lab: &Lab, step: &str, is_there: bool) {
    let there: &[&str] = if is_there { &["web1", "web2"] } else { &["web1"] };
    assert_eq!(lab.listing("state/vms"), there, "at `{step}`");
    assert_eq!(lab.seedbed(&["show", "web2"]).code == 0, is_there, "at `{step}`");
    let files = lab.listing("state/vms/web1");
    assert!(
        !files.contains(&"standing-still".to_owned()),
        "at `{step}`: {files:?}"
    );
    if is_there {
        lab.seedbed(&["start", "web2"]).ok();
        lab.seedbed(&["delete", "web2", "--force"]).ok();
    }
}

#[test]
fn a_snapshot_of_a_guest_that_does_not_go_on_is_taken_back_and_does_not_stand_in_the_next_ones_way() {
    if !root() {
        return;
    }
    let mut lab = with_web1();
    let (qmp, away) = (lab.path("run/vms/web1/qmp"), lab.path("run/vms/web1/away"));
    let text = format!("#!/bin/sh\nexec mv {} {}\n", qmp.display(), away.display());
    let deaf = program(&lab, "deaf", &text).to_string_lossy().into_owned();
    lab.stop_daemon();
    lab.start_daemon_with(&[
        ("SEEDBED_FAILPOINT", "standing still"),
        ("SEEDBED_FAILPOINT_RUN", &deaf),
    ]);
    lab.wait_for_daemon();
    let create = ["snapshot", "create", "web1"];
    lab.seedbed(&create).refused(
        1,
        &["web1 was paused, and could not be resumed", "seedbed resume web1"],
    );
    snapshot_is_whole(&lab, "standing still", false);
    fs::rename(&away, &qmp).unwrap();
    lab.stop_daemon();
    lab.start_daemon();
    // Nothing says any more that it is to go on: someone may want it as it is.
    assert_eq!(shown(&lab, "web1", "state"), "paused");
    lab.seedbed(&["resume", "web1"]).ok();
    let said = lab.seedbed(&create).ok();
    assert_eq!(said, "snapshot 1 of web1 is taken, as after a power cut\n");
    assert_eq!(shown(&lab, "web1", "state"), "running");
}

#[test]
fn l20_a_daemon_that_is_stopped_or_killed_during_clones_leaves_whole_vms_and_the_base() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let base = fs::read(lab.path("state/images/empty@1/disk")).unwrap();
    for signal in ["-TERM", "-KILL", "-TERM", "-KILL"] {
        let client = Running::start(&mut launch(&lab, &["web[1-8]", "--swap", "16M"]));
        let cloning = eventually(Duration::from_secs(30), || !lab.listing("state/vms").is_empty());
        assert!(cloning, "{}", lab.daemon_log());
        let pid = lab.daemon_pid().to_string();
        Run::of(Command::new("kill").args([signal, &pid])).ok();
        lab.daemon_ended(Duration::from_secs(60));
        drop(client);
        lab.start_daemon();
        let json = lab.seedbed(&["list", "--format", "json"]).ok();
        let vms: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        let names: Vec<_> = vms.iter().map(|vm| vm["name"].as_str().unwrap()).collect();
        // Hidden drafts are listed too.
        assert_eq!(lab.listing("state/vms"), names, "{signal}");
        assert_eq!(lab.qemus().len(), names.len(), "{signal}");
        if !names.is_empty() {
            lab.seedbed(&["delete", "--all", "--force"]).ok();
        }
        nothing_is_left(&lab, signal);
        assert!(base == fs::read(lab.path("state/images/empty@1/disk")).unwrap());
    }
}
