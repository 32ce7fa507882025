//! L13: a `/dev/kvm` that does not run guests is told, with what to do; software is used only where that is allowed.

use std::fs;
use std::time::Duration;

use super::{add_empty, launch};
use crate::lab::{Lab, Run};
use crate::root;

/// Puts something else in the place of `/dev/kvm`, in the daemon's own mount namespace.
const REPLACED: &str = r#"mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null
[ -e /dev/kvm ] || exec "$@"
if [ "$0" = gone ]; then mount --bind "$LAB/gone" /dev/kvm; else mount --bind /dev/null /dev/kvm; fi
exec "$@""#;

#[test]
fn l13_a_kvm_that_runs_no_guests_is_refused_where_it_is_asked_for_and_told_where_not() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    // A socket's file can not be opened at all, and /dev/null opens but is no KVM.
    let _listener = std::os::unix::net::UnixListener::bind(lab.path("gone")).unwrap();
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap();
    let virtualises = processor
        .split_whitespace()
        .any(|flag| flag == "vmx" || flag == "svm");
    for kind in ["gone", "null"] {
        if kind == "null" && virtualises {
            // What opens there is taken for KVM on a processor that has it: nothing asks it yet.
            continue;
        }
        lab.configure("accel: kvm");
        lab.start_daemon_by(&["unshare", "--mount", "sh", "-c", REPLACED, kind]);
        assert_eq!(
            lab.daemon_ended(Duration::from_secs(60)),
            Some(1),
            "{}",
            lab.daemon_log()
        );
        let log = lab.daemon_log();
        for part in ["asks for KVM, but /dev/kvm", "accel: auto"] {
            assert!(log.contains(part), "no {part:?} in:\n{log}");
        }
        lab.configure("accel: auto");
        lab.start_daemon_by(&["unshare", "--mount", "sh", "-c", REPLACED, kind]);
        lab.wait_for_daemon();
        assert!(
            lab.daemon_log().contains("ten times slower than KVM"),
            "{}",
            lab.daemon_log()
        );
        if kind == "gone" {
            add_empty(&lab);
        }
        Run::of(&mut launch(&lab, &[&format!("web-{kind}")])).ok();
        let line = fs::read_to_string(format!("/proc/{}/cmdline", lab.qemus()[0])).unwrap();
        assert!(line.contains("tcg,"), "{line}");
        lab.seedbed(&["delete", "--all", "--force"]).ok();
        lab.stop_daemon();
    }
}
