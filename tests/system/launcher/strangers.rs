//! L04, L05: processes and interfaces that look like a VM's and are not.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{launch, on_the_host, shown, with_web1};
use crate::lab::{Lab, Run, Running, eventually};
use crate::root;

const REFUSED: i32 = 1;

/// The command line of the one QEMU of a lab.
fn argv(lab: &Lab) -> Vec<String> {
    let line = fs::read(format!("/proc/{}/cmdline", lab.qemus()[0])).unwrap();
    let line = String::from_utf8(line).unwrap();
    line.split_terminator('\0').map(str::to_owned).collect()
}

/// A process with a VM's command line, as this user.
fn pretender(argv: &[String], uid: u32) -> Running {
    let mut command = Command::new("/usr/bin/python3");
    // The arguments after the script are shown as the process's own; the first word is free.
    command
        .arg0(&argv[0])
        .args(["-c", "import time; time.sleep(600)"])
        .args(&argv[1..])
        .uid(uid)
        .gid(uid)
        .stdin(Stdio::null());
    Running::start(&mut command)
}

#[test]
fn l04_a_process_that_only_looks_like_a_vms_qemu_is_never_signalled() {
    if !root() {
        return;
    }
    let mut lab = with_web1();
    let argv = argv(&lab);
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    let vms_user = 1_900_000_000 + (0x0a4d_0000 & 0x07ff_ffff);
    // Of another user, and of a user that another VM could have, while this VM's sockets are its own.
    let mut strangers = vec![pretender(&argv, 0), pretender(&argv, 65_534)];
    let seen = eventually(Duration::from_secs(10), || lab.qemus().len() == 2);
    assert!(seen, "the strangers did not start: {:?}", lab.processes());
    lab.seedbed(&["start", "web1"]).ok();
    strangers.push(pretender(&argv, vms_user + 0xfffe));
    let seen = eventually(Duration::from_secs(10), || lab.qemus().len() == 4);
    assert!(seen, "{:?}", lab.processes());
    assert_eq!(
        shown(&lab, "web1", "pid"),
        lab.qemus()
            .into_iter()
            .find(|pid| fs::read_link(format!("/proc/{pid}/exe"))
                .unwrap()
                .ends_with("qemu-system-x86_64"))
            .unwrap()
    );
    // One that another VM's guest took over, and that says now that it is web1's: it can not leave its group.
    Run::of(&mut launch(&lab, &["web2"])).ok();
    let user = std::os::unix::fs::MetadataExt::uid(&fs::metadata(lab.path("run/vms/web2")).unwrap());
    let turned = pretender(&argv, user);
    for group in lab
        .cgroups()
        .iter()
        .filter(|group| group.to_string_lossy().contains("web2"))
    {
        fs::write(group.join("cgroup.procs"), turned.0.id().to_string()).unwrap();
    }
    lab.kill_daemon();
    lab.start_daemon();
    lab.seedbed(&["restart", "web1", "--force"]).ok();
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    strangers.push(turned);
    for stranger in &mut strangers {
        assert_eq!(stranger.0.try_wait().unwrap(), None, "a stranger was ended");
    }
    // With the VM whose group it is in, it ends.
    strangers.pop();
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    lab.stop_daemon();
    lab.start_daemon();
    for stranger in &mut strangers {
        assert_eq!(stranger.0.try_wait().unwrap(), None, "a stranger was ended");
    }
}

#[test]
fn l04_a_number_that_another_process_has_now_is_not_acted_on() {
    if !root() {
        return;
    }
    let mut lab = with_web1();
    // What an older launcher, or another program, would have left as its memory.
    let mut other = Running::start(Command::new("sleep").arg("600"));
    for place in ["run/vms/web1/pid", "run/web1.pid", "state/vms/web1/qemu.pid"] {
        fs::write(lab.path(place), other.0.id().to_string()).unwrap();
    }
    Run::of(Command::new("kill").args(["-9", &lab.qemus()[0].to_string()])).ok();
    lab.kill_daemon();
    lab.start_daemon();
    assert_eq!(shown(&lab, "web1", "state"), "stopped");
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    assert_eq!(other.0.try_wait().unwrap(), None);
}

#[test]
fn l04_a_qemu_that_ended_and_was_not_reaped_is_no_running_vm() {
    if !root() {
        return;
    }
    let mut lab = with_web1();
    let argv = argv(&lab);
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    // Its parent never asks how it ended: it stays a zombie, with the number and the user of a VM.
    let script = "import os,sys,time\n\
        pid=os.fork()\n\
        if pid==0: os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1])); os.execv('/bin/true', sys.argv[2:])\n\
        print(pid,flush=True); time.sleep(600)";
    let uid = (1_900_000_000 + (u32::from_be_bytes([10, 77, 0, 2]) & 0x07ff_ffff)).to_string();
    let mut parent = Command::new("/usr/bin/python3");
    parent.args(["-c", script, &uid]).args(&argv);
    let mut parent = Running(parent.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    let stdout = parent.0.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let state = || fs::read_to_string(format!("/proc/{}/stat", line.trim())).unwrap();
    assert!(eventually(Duration::from_secs(10), || state().contains(") Z ")));
    lab.kill_daemon();
    lab.start_daemon();
    assert_eq!(shown(&lab, "web1", "state"), "stopped");
    lab.seedbed(&["start", "web1"]).ok();
    assert_eq!(lab.qemus().len(), 1);
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    assert!(state().contains(") Z "));
}

fn ip(lab: &Lab, words: &[&str]) -> Run {
    Run::of(&mut lab.inside(&[&["ip"], words].concat()))
}

#[test]
fn l05_a_tap_that_is_someone_elses_is_refused_and_left_alone() {
    if !root() {
        return;
    }
    let lab = with_web1();
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    let tap = shown(&lab, "web1", "tap").as_str().unwrap().to_owned();
    ip(&lab, &["link", "add", &tap, "type", "bridge"]).ok();
    lab.seedbed(&["start", "web1"])
        .refused(REFUSED, &["web1", &tap, "no tap of this kind", "rename it"]);
    let left: Vec<_> = on_the_host(&lab);
    assert_eq!(left, [format!("tap {tap}")], "the stranger's interface alone");
    let link = ip(&lab, &["-d", "link", "show", &tap]).ok();
    assert!(link.contains("bridge") && !link.contains("master"), "{link}");
    ip(&lab, &["link", "del", &tap]).ok();
    lab.seedbed(&["start", "web1"]).ok();
}

#[test]
fn l05_a_bridge_that_is_gone_is_said_and_nothing_stays_half_started() {
    if !root() {
        return;
    }
    let mut lab = with_web1();
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    ip(&lab, &["link", "set", "br0", "down"]).ok();
    ip(&lab, &["link", "set", "br0", "name", "br9"]).ok();
    let run = lab.seedbed(&["start", "web1"]);
    assert!(run.code == REFUSED && run.stderr.contains("br0"), "{run}");
    let rules = Run::of(&mut lab.inside(&["nft", "list", "ruleset"])).ok();
    assert!(!rules.contains("tap-web1"), "{rules}");
    assert_eq!(
        (lab.qemus(), lab.taps(), lab.cgroups()),
        (vec![], vec![], Vec::<PathBuf>::new())
    );
    ip(&lab, &["link", "set", "br9", "name", "br0"]).ok();
    ip(&lab, &["link", "set", "br0", "up"]).ok();
    lab.stop_daemon();
    lab.start_daemon();
    lab.seedbed(&["start", "web1"]).ok();
    // Taken down under it, it runs on, and is put right by the next look.
    ip(&lab, &["link", "set", "br0", "down"]).ok();
    ip(&lab, &["link", "set", "br0", "up"]).ok();
    assert_eq!(shown(&lab, "web1", "state"), "running");
    let back = eventually(Duration::from_secs(30), || {
        on_the_host(&lab).iter().any(|each| each.starts_with("neighbour"))
    });
    assert!(back, "{:?}", on_the_host(&lab));
}
