//! L14: the same VM started many times at once, and started while it is stopped.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::{launch, nothing_is_left, on_the_host, program, shown, with_web1};
use crate::lab::{Lab, Run, eventually};
use crate::root;

fn begun(lab: &Lab, commands: &[&[&str]]) -> Vec<Child> {
    let begin = |words: &&[&str]| {
        let mut command = lab.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    commands.iter().map(begin).collect()
}

fn at_once(lab: &Lab, commands: &[&[&str]]) -> Vec<Run> {
    begun(lab, commands).into_iter().map(Run::waited).collect()
}

#[test]
fn l14_disks_are_copied_one_after_the_other_where_one_at_once_is_set() {
    if !root() {
        return;
    }
    let mut lab = with_web1();
    Run::of(&mut launch(&lab, &["web2"])).ok();
    lab.seedbed(&["stop", "--all", "--force"]).ok();
    lab.seedbed(&["snapshot", "create", "web2", "old"]).ok();
    lab.stop_daemon();
    lab.configure("starts: {at_once: 1}");
    let (busy, go) = (lab.path("busy"), lab.path("go"));
    let text = format!(
        "#!/bin/sh\n[ -e {go} ] && exit\n: > {busy}\nuntil [ -e {go} ]; do sleep 0.1; done\n",
        busy = busy.display(),
        go = go.display()
    );
    let waits = program(&lab, "waits", &text).to_string_lossy().into_owned();
    lab.start_daemon_with(&[("SEEDBED_FAILPOINT", "cloned"), ("SEEDBED_FAILPOINT_RUN", &waits)]);
    lab.wait_for_daemon();
    let first = launch(&lab, &["web3"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(eventually(Duration::from_secs(10), || busy.exists()));
    let others = begun(
        &lab,
        &[
            &["snapshot", "create", "web1", "new"],
            &["snapshot", "restore", "web2", "old"],
            &["clone", "web1", "web4"],
        ],
    );
    let copied = || {
        let of = |vm: &str, what: &str| lab.listing(&format!("state/vms/{vm}")).contains(&what.to_owned());
        of("web1", "snapshots") || of("web2", "next") || of("web4", "disk.qcow2")
    };
    assert!(
        !eventually(Duration::from_secs(1), copied),
        "{}",
        lab.daemon_log()
    );
    fs::write(&go, "").unwrap();
    for run in others.into_iter().chain([first]) {
        Run::waited(run).ok();
    }
    assert!(copied());
    lab.seedbed(&["delete", "--all", "--force"]).ok();
    nothing_is_left(&lab, "copies in turn");
}

#[test]
fn l14_two_hundred_starts_at_once_are_one_start() {
    if !root() {
        return;
    }
    let lab = with_web1();
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    for run in at_once(&lab, &[&["start", "web1"][..]; 200]) {
        run.ok();
    }
    assert_eq!((lab.qemus().len(), lab.taps().len()), (1, 1));
    assert!(lab.cgroups().len() <= 1);
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    nothing_is_left(&lab, "200 starts");
}

#[test]
fn l14_starts_and_stops_at_once_end_in_one_of_both() {
    if !root() {
        return;
    }
    let lab = with_web1();
    let stop: &[&str] = &["stop", "web1", "--force"];
    for round in 0..10 {
        let mut commands = vec![&["start", "web1"][..]; 6];
        commands.extend([stop; 6]);
        commands.extend([&["restart", "web1", "--force"][..]; 2]);
        let rotated = round % commands.len();
        commands.rotate_left(rotated);
        for run in at_once(&lab, &commands) {
            run.ok();
        }
        let settled = eventually(Duration::from_secs(10), || {
            let state = shown(&lab, "web1", "state");
            state == "running" || state == "stopped"
        });
        assert!(settled, "{}", shown(&lab, "web1", "state"));
        let up = usize::from(shown(&lab, "web1", "state") == "running");
        assert_eq!((lab.qemus().len(), lab.taps().len()), (up, up), "round {round}");
        if up == 0 {
            assert_eq!(on_the_host(&lab), Vec::<String>::new(), "round {round}");
        }
    }
}
