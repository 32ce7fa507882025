//! L11: whatever a QEMU that its guest took over says on its control socket, starts and stops end in time, and other VMs are served.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{add_empty, launch, nothing_is_left, program};
use crate::lab::{Lab, Run};
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
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(20)

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

while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"#;

#[test]
fn l11_starts_and_stops_of_hostile_qemus_end_in_time_and_leave_nothing() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    add_empty(&lab);
    let hostile = program(&lab, "hostile", HOSTILE);
    lab.stop_daemon();
    lab.configure(&format!("qemu: {}", hostile.display()));
    lab.start_daemon();
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
