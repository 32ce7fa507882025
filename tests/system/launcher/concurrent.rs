//! L14: the same VM started many times at once, and started while it is stopped.

use std::process::{Child, Stdio};
use std::time::Duration;

use super::{nothing_is_left, on_the_host, shown, with_web1};
use crate::lab::{Lab, Run, eventually};
use crate::root;

fn at_once(lab: &Lab, commands: &[&[&str]]) -> Vec<Run> {
    let started: Vec<Child> = commands
        .iter()
        .map(|words| {
            let mut command = lab.command(words);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    started.into_iter().map(Run::waited).collect()
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
