//! What happens in a running guest is known at once: pauses by hand and by a full disk, reboots, a pulled plug.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::lifecycle::Shell;
use crate::{guests, root};

const SOON: Duration = Duration::from_secs(60);

fn shown(lab: &Lab, name: &str) -> serde_json::Value {
    let json = lab.seedbed(&["show", name, "--format", "json"]).ok();
    serde_json::from_str::<serde_json::Value>(&json).unwrap()[0].clone()
}

fn state(lab: &Lab) -> String {
    shown(lab, "web1")["state"].as_str().unwrap().to_owned()
}

fn lab_with_web1() -> Lab {
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(&lab, &["web1", "--wait=120"])).ok();
    lab
}

#[test]
fn a_guest_is_paused_resumed_and_killed() {
    if !root() {
        return;
    }
    let mut lab = lab_with_web1();
    let said = lab.seedbed(&["pause", "web1"]).ok();
    assert!(said.contains("web1 is paused (by hand)"), "{said}");
    // Once more is no error, and a daemon that starts anew finds it so.
    lab.seedbed(&["pause", "--all"]).ok();
    lab.kill_daemon();
    lab.start_daemon();
    assert!(eventually(SOON, || state(&lab) == "paused"), "{}", state(&lab));
    lab.seedbed(&["start", "web1"]).ok();
    assert_eq!(state(&lab), "paused", "a start does not resume");
    lab.seedbed(&["resume", "web1"]).ok();
    assert_eq!(state(&lab), "running");
    let mut shell = Shell {
        lab: &lab,
        name: "web1",
        typed: 0,
    };
    assert_eq!(shell.run("echo it goes on"), "it goes on");

    // A paused guest is asked to power off as any other.
    lab.seedbed(&["pause", "web1"]).ok();
    lab.seedbed(&["stop", "web1", "--deadline", "30s"]).ok();
    assert!(lab.seedbed(&["log", "web1"]).ok().contains("TINY-POWEROFF"));
    lab.seedbed(&["pause", "web1"])
        .refused(1, &["web1 is not running"]);

    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["kill", "web1"]).ok();
    assert_eq!(
        (state(&lab), lab.qemus(), lab.taps()),
        ("stopped".into(), vec![], vec![])
    );
}

#[test]
fn a_guest_that_reboots_itself_climbs_its_ladder_anew() {
    if !root() {
        return;
    }
    let lab = lab_with_web1();
    let (pid, qemus) = (shown(&lab, "web1")["pid"].clone(), lab.qemus());
    lab.seedbed(&["pause", "web1"]).ok();
    lab.seedbed(&["resume", "web1"]).ok();
    assert_eq!(shown(&lab, "web1")["step"], "ready", "a pause is no reboot");
    let mut shell = Shell {
        lab: &lab,
        name: "web1",
        typed: 0,
    };
    // The console's log goes on over it: the mark that ends the line is printed first.
    shell.run("(sleep 1; reboot -f) >/dev/null 2>&1 & true");
    let fell = eventually(SOON, || shown(&lab, "web1")["step"] == "started");
    assert!(fell, "{:?}\n{}", shown(&lab, "web1")["step"], lab.daemon_log());
    assert!(lab.daemon_log().contains("web1 reboots"));
    lab.seedbed(&["wait", "web1", "--for", "ip", "--timeout", "120s"])
        .ok();
    assert_eq!((shown(&lab, "web1")["pid"].clone(), lab.qemus()), (pid, qemus));
}

/// A file system of a few MiB in the place of a lab's disks.
struct Small(PathBuf);

impl Small {
    fn mounted(lab: &Lab, size: &str) -> Self {
        let place = lab.path("state/vms");
        std::fs::create_dir_all(&place).unwrap();
        let option = format!("size={size},mode=0711");
        Run::of(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &option, "vms"])
                .arg(&place),
        )
        .ok();
        Self(place)
    }

    fn resized(&self, size: &str) {
        Run::of(
            Command::new("mount")
                .args(["-o", &format!("remount,size={size}")])
                .arg(&self.0),
        )
        .ok();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.0).output().ok();
    }
}

#[test]
fn a_guest_whose_host_disk_is_full_waits_and_loses_nothing() {
    if !root() {
        return;
    }
    // Mounted first: what the daemon sees is what there was when its namespace was made.
    let mut lab = Lab::without_daemon();
    let small = Small::mounted(&lab, "6m");
    lab.start_daemon();
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(&lab, &["web1", "--swap", "0", "--wait=120"])).ok();
    let mut shell = Shell {
        lab: &lab,
        name: "web1",
        typed: 0,
    };
    shell.run("(dd if=/dev/urandom of=/run/noise bs=1M count=12; dd if=/run/noise of=/dev/vda bs=1M conv=fsync; echo WRITTEN-$((40+2)) >/dev/ttyS0) >/dev/null 2>&1 & true");
    assert!(
        eventually(SOON, || state(&lab) == "paused"),
        "{}\n{}",
        state(&lab),
        lab.daemon_log()
    );
    assert_eq!(shown(&lab, "web1")["paused"], "host disk full");
    // Who waits for more hears of it at once; what was reached before stays reached.
    lab.seedbed(&["wait", "web1", "--for", "ready", "--timeout", "5s"])
        .ok();
    lab.seedbed(&["resume", "web1"])
        .refused(1, &["can not go on", "no room left"]);
    assert_eq!(state(&lab), "paused");
    small.resized("64m");
    lab.seedbed(&["resume", "web1"]).ok();
    let written = eventually(SOON, || lab.seedbed(&["log", "web1"]).ok().contains("WRITTEN-42"));
    assert!(written, "{}", state(&lab));
    assert_eq!(
        shell.run(
            "echo 3 >/proc/sys/vm/drop_caches; busybox cmp -n 12582912 /run/noise /dev/vda && echo the same"
        ),
        "the same"
    );
}
