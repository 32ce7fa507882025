//! L11: whatever a QEMU that its guest took over says on its control socket, starts and stops end in time, and other VMs are served.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{add_empty, launch, nothing_is_left, program};
use crate::lab::{Lab, Run, eventually};
use crate::root;

/// Stands where QEMU is expected, and does to who connects what its VM is named after.
const HOSTILE: &str = r#"#!/usr/bin/python3
import os, re, socket, sys, threading
words = sys.argv
if "-name" not in words:
    # It is only asked what it is.
    os.execv("/usr/bin/qemu-system-x86_64", ["/usr/bin/qemu-system-x86_64"] + words[1:])
path = next(w for w in words if w.startswith("socket,id=qmp,path=")).split("path=")[1].split(",server=")[0]
kind = re.search(r"guest=([a-z]+)", " ".join(words)).group(1)

def listen(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(20)
    return server

server = listen(path)
events = listen(next(w for w in words if w.startswith("socket,id=events,path=")).split("path=")[1].split(",server=")[0])

def serve(peer):
    try:
        peer.sendall(b'{"QMP":{}}\n')
        for line in peer.makefile("rb"):
            if b'"query-status"' in line or b'"qmp_capabilities"' in line:
                number = re.search(rb'"id":(\d+)', line).group(1)
                if kind == "garbage" and b'"query-status"' in line:
                    peer.sendall(b"\x1b[2J\xff\x00 nonsense\n")
                elif kind == "endless" and b'"query-status"' in line:
                    while True:
                        peer.sendall(b"[" * 1000000)
                else:
                    peer.sendall(b'{"return":{"status":"running"},"id":' + number + b'}\n')
            elif kind == "flood":
                while True:
                    peer.sendall(b'{"event":"RTC_CHANGE"}\n' * 1000)
            elif kind == "close":
                peer.close()
                return
            elif kind == "cut":
                peer.sendall(b'{"return":{')
                peer.close()
                return
            # `deaf` says nothing at all.
    except OSError:
        pass

def tell(peer):
    try:
        peer.sendall(b'{"QMP":{}}\n')
        for line in peer.makefile("rb"):
            number = re.search(rb'"id":(\d+)', line).group(1)
            peer.sendall(b'{"return":{"status":"paused"},"id":' + number + b'}\n')
            if kind == "chatter" and b'"query-status"' in line:
                stamp = b',"timestamp":{"seconds":1,"microseconds":0}}\n'
                peer.sendall((b'{"event":"RESET","data":{"guest":true,"reason":"guest-reset"}' + stamp
                    + b'{"event":"BLOCK_IO_ERROR","data":{"action":"report"}' + stamp
                    + b'{"event":"RESUME"' + stamp) * 50 + b'{"event":"STOP"' + stamp)
    except OSError:
        pass

def accept(server, serve):
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

threading.Thread(target=accept, args=(events, tell), daemon=True).start()
accept(server, serve)
"#;

/// A lab whose QEMU is that one.
fn with_hostile() -> Lab {
    let mut lab = Lab::new();
    add_empty(&lab);
    let hostile = program(&lab, "hostile", HOSTILE);
    lab.stop_daemon();
    lab.configure(&format!("qemu: {}", hostile.display()));
    lab.start_daemon();
    lab
}

#[test]
fn l11_starts_and_stops_of_hostile_qemus_end_in_time_and_leave_nothing() {
    if !root() {
        return;
    }
    let lab = with_hostile();
    for kind in ["garbage", "endless"] {
        let run = Run::of(&mut launch(&lab, &[kind]));
        assert!(run.code == 1 && run.stderr.contains("QEMU sent"), "{run}");
        assert!(!run.stderr.contains('\u{1b}'), "{run}");
    }
    nothing_is_left(&lab, "starts of hostile QEMUs");
    let kinds = ["flood", "close", "cut", "deaf"];
    Run::of(&mut launch(&lab, &kinds)).ok();
    #[expect(clippy::disallowed_methods, reason = "the test measures")]
    let from = Instant::now();
    let stops: Vec<_> = kinds
        .iter()
        .map(|kind| {
            let mut stop = lab.command(&["stop", kind, "--deadline", "2s"]);
            stop.stdout(Stdio::piped()).stderr(Stdio::piped());
            stop.spawn().unwrap()
        })
        .collect();
    // Meanwhile the daemon answers others.
    lab.seedbed(&["list"]).ok();
    for stop in stops {
        Run::waited(stop).ok();
    }
    // The guest's deadline, QEMU's own 10 s, and the kill.
    assert!(from.elapsed() < Duration::from_secs(30), "{:?}", from.elapsed());
    lab.seedbed(&["delete", "--all", "--force"]).ok();
    nothing_is_left(&lab, "stops of hostile QEMUs");
}

#[test]
fn l11_what_a_qemu_says_without_end_is_told_once_a_minute() {
    if !root() {
        return;
    }
    let lab = with_hostile();
    Run::of(&mut launch(&lab, &["chatter"])).ok();
    let words = [
        "chatter reboots",
        "chatter is paused",
        "could not read or write a disk of chatter",
    ];
    let told = || words.map(|word| lab.daemon_log().matches(word).count());
    let all = eventually(Duration::from_secs(10), || told().iter().all(|count| *count > 0));
    assert!(all, "{:?}", told());
    let enough = eventually(Duration::from_secs(4), || told().iter().any(|count| *count > 2));
    assert!(!enough, "{:?} of {words:?}", told());
    // Meanwhile the daemon answers, and knows better than any word what is true.
    lab.seedbed(&["list"]).ok();
    lab.seedbed(&["kill", "chatter"]).ok();
    lab.seedbed(&["delete", "--all"]).ok();
    nothing_is_left(&lab, "a QEMU that says too much");
}
