//! VMs back to their image, and onto another generation of it: with real disks, a real guest, and kills at every step.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::disks::{add, seen, written_to};
use crate::lab::{Lab, Run};
use crate::{guests, root};

/// The steps of `src/daemon/failpoint.rs`, and whether the new disk counts after a kill behind it.
const STEPS: [(&str, bool); 3] = [
    ("disks made", false),
    ("disks replaced", true),
    ("disks in place", true),
];

fn uuid(lab: &Lab, vm: &str) -> String {
    let shown = lab.seedbed(&["show", vm, "--format", "json"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown[0]["uuid"].as_str().unwrap().to_owned()
}

#[test]
fn a_vm_goes_back_to_its_image_or_onto_another_generation_with_or_without_what_was_on_it() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    add(&lab, 1, &[]);
    add(&lab, 2, &["--next"]);
    written_to(&lab, "web1");
    written_to(&lab, "web2");
    let before = uuid(&lab, "web1");
    assert_eq!(seen(&lab, "web1"), ("disk@1".to_owned(), [1, 0x77, 0x77]));

    let said = lab.seedbed(&["reset", "web1"]).ok();
    assert!(
        said.starts_with("web1 is a clone of disk@1, with nothing else on its disk"),
        "{said}"
    );
    assert_eq!(seen(&lab, "web1"), ("disk@1".to_owned(), [1, 1, 0]));
    assert_ne!(uuid(&lab, "web1"), before, "cloud-init would not set it up anew");

    let before = uuid(&lab, "web2");
    let said = lab.seedbed(&["rebase", "web2", "--keep-data"]).ok();
    assert!(
        said.starts_with("web2 is a clone of disk@2, and its disk reads as before"),
        "{said}"
    );
    assert_eq!(seen(&lab, "web2"), ("disk@2".to_owned(), [1, 0x77, 0x77]));
    assert_eq!(uuid(&lab, "web2"), before);
    let again = lab.seedbed(&["rebase", "web2"]).ok();
    assert_eq!(again, "web2 is a clone of disk@2 already\n");

    lab.seedbed(&["rebase", "web[1-2]", "--to", "disk@2"]).ok();
    assert_eq!(seen(&lab, "web1"), ("disk@2".to_owned(), [2, 2, 0]));
    // Nobody needs the first one any more.
    lab.seedbed(&["image", "delete", "disk@1"]).ok();
    lab.seedbed(&["start", "web1", "web2"]).ok();
    assert_eq!(
        lab.listing("state/vms/web1"),
        [
            "console.log",
            "console.log.1",
            "disk.qcow2",
            "qemu.log",
            "swap.raw"
        ]
    );
}

#[test]
fn what_can_not_be_replaced_is_told_and_stays() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    add(&lab, 1, &[]);
    written_to(&lab, "web1");
    lab.seedbed(&["add", "nas", "--mac", "52:54:00:aa:bb:cc", "--key", guests::KEY])
        .ok();
    for (arguments, code, says) in [
        (&["reset", "nas"][..], 1, "nas is run by someone else"),
        (&["reset", "web9"], 3, "web9"),
        (
            &["rebase", "web1", "--to", "disk@9"],
            3,
            "there is no image `disk@9`",
        ),
        (&["rebase", "web1", "--to", "other"], 1, "not to other"),
        (&["rebase", "web1", "--to", "@"], 1, "name can not be empty"),
    ] {
        lab.seedbed(arguments).refused(code, &[says]);
    }
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["reset", "web1"])
        .refused(1, &["still running: web1", "--force"]);
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    assert_eq!(seen(&lab, "web1"), ("disk@1".to_owned(), [1, 0x77, 0x77]));
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["reset", "web1", "--force", "--start"]).ok();
    lab.seedbed(&["wait", "web1", "--for", "started", "--timeout", "20s"])
        .ok();
}

#[test]
fn a_daemon_killed_at_any_step_leaves_the_old_disk_or_the_new_one() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    add(&lab, 1, &[]);
    add(&lab, 2, &["--next"]);
    let old = ("disk@1".to_owned(), [1, 0x77, 0x77]);
    for (options, new) in [
        (&["reset", "web1"][..], ("disk@1".to_owned(), [1, 1, 0])),
        (&["rebase", "web1"], ("disk@2".to_owned(), [2, 2, 0])),
        (
            &["rebase", "web1", "--keep-data"],
            ("disk@2".to_owned(), [1, 0x77, 0x77]),
        ),
    ] {
        for (step, counts) in STEPS {
            written_to(&lab, "web1");
            lab.stop_daemon();
            lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
            lab.wait_for_daemon();
            let cut_short = lab.seedbed(options);
            assert_ne!(
                cut_short.code, 0,
                "the daemon was not killed at `{step}`: {cut_short}"
            );
            assert_eq!(lab.daemon_ended(Duration::from_secs(60)), None, "{step}");
            lab.start_daemon();
            let expected = if counts { &new } else { &old };
            assert_eq!(
                seen(&lab, "web1"),
                *expected,
                "{options:?} after a kill at `{step}`"
            );
            let files = lab.listing("state/vms/web1");
            assert_eq!(
                files,
                [
                    "console.log",
                    "console.log.1",
                    "disk.qcow2",
                    "qemu.log",
                    "swap.raw"
                ],
                "{options:?}, {step}"
            );
            lab.seedbed(&["start", "web1"]).ok();
            lab.seedbed(&["delete", "web1", "--force"]).ok();
            assert_eq!(lab.listing("state/vms"), [""; 0]);
        }
    }
}

/// A lab whose VM is a real Debian that made its own host keys; and the key that opens it.
fn debian() -> (Lab, String) {
    let lab = Lab::new();
    let key = lab.path("key").to_string_lossy().into_owned();
    Run::of(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key])).ok();
    let disk = guests::debian();
    lab.seedbed(&["image", "add", "debian-12", &disk.to_string_lossy()])
        .ok();
    (lab, key)
}

#[test]
fn a_real_guest_comes_up_as_itself_after_a_reset() {
    if !root() {
        return;
    }
    let (lab, key) = debian();
    let public = format!("{key}.pub");
    let launch = [
        "launch",
        "web1",
        "--image",
        "debian-12",
        "--key",
        &public,
        "--wait=1200",
    ];
    lab.seedbed(&launch).ok();
    let inside = |command: &str| lab.seedbed(&["ssh", "web1", "--identity", &key, "--", command]);
    inside("sudo touch /first-life && sync").ok();
    let host_keys = fs::read_to_string(lab.path("state/known_hosts")).unwrap();

    lab.seedbed(&["reset", "web1", "--force"]).ok();
    let known = fs::read_to_string(lab.path("state/known_hosts")).unwrap();
    assert!(!known.contains("web1"), "keys of a disk that is gone: {known}");
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["wait", "web1", "--for", "ready", "--timeout", "20m"])
        .ok();
    let said =
        inside("hostname; test -e /first-life || echo another disk; /usr/sbin/swapon --noheadings | wc -l")
            .ok();
    assert_eq!(said, "web1\nanother disk\n1\n");
    let anew = fs::read_to_string(lab.path("state/known_hosts")).unwrap();
    assert!(anew.contains("web1") && anew != host_keys, "{anew}");
}
