//! L01, L12: how a VM ends, whoever ends it: its tap, rules and group go with it, and its address stays its own.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{on_the_host, shown, with_web1};
use crate::lab::{Run, eventually};
use crate::root;

/// What takes two seconds at most on a host that is not busy with other tests.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn l01_however_a_qemu_ends_its_tap_rules_and_group_go_at_once_and_its_address_stays() {
    if !root() {
        return;
    }
    let lab = with_web1();
    let address = shown(&lab, "web1", "ip");
    // QEMU follows SIGTERM, and exits with 0; the others are how it crashes, and how the kernel ends it without memory.
    for (signal, state) in [
        ("-TERM", "stopped"),
        ("-SEGV", "failed"),
        ("-ABRT", "failed"),
        ("-KILL", "failed"),
    ] {
        lab.seedbed(&["start", "web1"]).ok();
        let pid = lab.qemus()[0].to_string();
        Run::of(Command::new("kill").args([signal, &pid])).ok();
        let gone = eventually(SOON, || on_the_host(&lab).is_empty());
        assert!(gone, "{signal} left {:?}", on_the_host(&lab));
        let seen = eventually(SOON, || shown(&lab, "web1", "state") == state);
        assert!(seen, "{signal}: {}", shown(&lab, "web1", "state"));
        assert_eq!(shown(&lab, "web1", "ip"), address);
    }
}

#[test]
fn l12_a_guest_that_ignores_the_power_button_is_powered_off_at_the_deadline() {
    if !root() {
        return;
    }
    let lab = with_web1();
    #[expect(clippy::disallowed_methods, reason = "the test measures")]
    let from = Instant::now();
    lab.seedbed(&["stop", "web1", "--deadline", "1s"]).ok();
    let took = from.elapsed();
    assert!((1..10).contains(&took.as_secs()), "{took:?}");
    assert_eq!(on_the_host(&lab), Vec::<String>::new());
}

#[test]
fn l12_a_qemu_that_is_stopped_by_a_signal_is_killed_with_all_that_is_in_its_group() {
    if !root() {
        return;
    }
    let lab = with_web1();
    let pid = lab.qemus()[0].to_string();
    Run::of(Command::new("kill").args(["-STOP", &pid])).ok();
    // Another process in its group, as a helper of its would be.
    let groups = lab.cgroups();
    let helper = groups.first().map(|group| {
        let helper = crate::lab::Running::start(Command::new("sleep").arg("600"));
        std::fs::write(group.join("cgroup.procs"), helper.0.id().to_string()).unwrap();
        helper
    });
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    assert_eq!(on_the_host(&lab), Vec::<String>::new());
    if let Some(mut helper) = helper {
        let ended = eventually(SOON, || helper.0.try_wait().unwrap().is_some());
        assert!(ended, "what was left in the group goes on");
    }
}
