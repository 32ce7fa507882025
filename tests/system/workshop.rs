//! Images are edited and installed by guests that power themselves off: each end of one, and a daemon that is killed at each step.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::{guests, root};

const PATIENCE: Duration = Duration::from_secs(120);

/// A lab with the tiny guest as image `tiny`.
fn lab() -> Lab {
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    lab
}

fn edit(lab: &Lab, more: &[&str]) -> Command {
    let words = [
        "image",
        "edit",
        "tiny",
        "--memory",
        guests::MEMORY,
        "--key",
        guests::KEY,
    ];
    lab.command(&[&words[..], more].concat())
}

/// An install medium whose installer is the tiny guest, in the layout of Debian's mini.iso.
fn iso(lab: &Lab) -> PathBuf {
    let (tree, iso) = (lab.path("media"), lab.path("tiny.iso"));
    if !iso.exists() {
        fs::create_dir(&tree).unwrap();
        let tiny = guests::tiny();
        fs::copy(tiny.join("vmlinuz"), tree.join("linux")).unwrap();
        fs::copy(tiny.join("initrd.img"), tree.join("initrd.gz")).unwrap();
        let mut write = Command::new("xorrisofs");
        write.args(["-quiet", "-R", "-V", "TINY", "-o"]);
        Run::of(write.arg(&iso).arg(&tree)).ok();
    }
    iso
}

fn install(lab: &Lab, more: &[&str]) -> Command {
    let iso = iso(lab);
    let words = ["image", "install", "sys", "--iso", iso.to_str().unwrap()];
    let size = ["--memory", "128M", "--disk", "64M"];
    lab.command(&[&words[..], &size, more].concat())
}

/// Starts a command that stays at the console, with a hand on what is typed there.
fn attached(mut command: Command) -> Child {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until a workshop that a client has just begun comes to a rung.
fn comes_to(lab: &Lab, vm: &str, rung: &str) {
    let begun = eventually(PATIENCE, || lab.seedbed(&["show", vm]).code == 0);
    assert!(begun, "{}", lab.daemon_log());
    lab.seedbed(&["wait", vm, "--for", rung, "--timeout", "120s"])
        .ok();
}

/// Types a line into the guest once it has come so far.
fn type_line(lab: &Lab, client: &mut Child, vm: &str, rung: &str, line: &str) {
    comes_to(lab, vm, rung);
    let shell = eventually(PATIENCE, || lab.seedbed(&["log", vm]).ok().contains(":/# "));
    assert!(shell, "{}", lab.seedbed(&["log", vm]).ok());
    let typed = client.stdin.as_mut().unwrap();
    writeln!(typed, "{line}").unwrap();
}

fn sha256(lab: &Lab, image: &str) -> String {
    let disk = lab.path(&format!("state/images/{image}/disk"));
    Run::of(Command::new("sha256sum").arg(disk)).ok()
}

/// The first bytes of an image's disk as a guest sees it.
fn beginning(lab: &Lab, image: &str) -> String {
    let (disk, raw) = (lab.path(&format!("state/images/{image}/disk")), lab.path("raw"));
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "qcow2", "-O", "raw"]);
    Run::of(convert.arg(disk).arg(&raw)).ok();
    let bytes = fs::read(raw).unwrap();
    String::from_utf8_lossy(&bytes[..16]).into_owned()
}

fn nothing_left(lab: &Lab, when: &str) {
    let left = || {
        (
            lab.qemus(),
            lab.taps(),
            lab.listing("state/vms"),
            lab.listing("run/vms"),
        )
    };
    eventually(Duration::from_secs(60), || {
        left() == (vec![], vec![], vec![], vec![])
    });
    assert_eq!(
        left(),
        (vec![], vec![], vec![], vec![]),
        "{when}:\n{}",
        lab.daemon_log()
    );
}

#[test]
fn an_edited_image_is_its_next_generation_and_the_one_before_stays_as_it_was() {
    if !root() {
        return;
    }
    let lab = lab();
    let before = sha256(&lab, "tiny@1");
    let mut client = attached(edit(&lab, &[]));
    type_line(
        &lab,
        &mut client,
        "edit-tiny",
        "ready",
        "echo by-hand-4711 >/dev/vda; poweroff -f",
    );
    let done = Run::waited(client);
    let shown = done.ok();
    assert!(
        shown.contains("tiny") && shown.contains("by-hand-4711"),
        "{shown}"
    );
    assert!(beginning(&lab, "tiny@2").starts_with("by-hand-4711"));
    assert_eq!(sha256(&lab, "tiny@1"), before);
    lab.seedbed(&["show", "edit-tiny"]).refused(3, &["edit-tiny"]);
    nothing_left(&lab, "after an edit");
    // A clone of it is made of the edited one; and the power button is a clean end too, also after a restart of the daemon.
    let mut lab = lab;
    let started = Run::of(&mut edit(&lab, &["--detach"])).ok();
    assert!(
        started.contains("edit-tiny runs, and becomes image tiny"),
        "{started}"
    );
    lab.seedbed(&["start", "edit-tiny"]).ok();
    lab.seedbed(&["restart", "edit-tiny"])
        .refused(1, &["is not started again", "delete edit-tiny --force"]);
    comes_to(&lab, "edit-tiny", "ready");
    lab.kill_daemon();
    lab.start_daemon();
    // What is in the way at first is no reason to lose an edit.
    let way = lab.path("state/images/tiny@3");
    fs::create_dir(&way).unwrap();
    lab.seedbed(&["stop", "edit-tiny"]).ok();
    let says = "no image was made of edit-tiny: image tiny@3 exists already";
    assert!(
        eventually(PATIENCE, || lab.daemon_log().contains(says)),
        "{}",
        lab.daemon_log()
    );
    lab.seedbed(&["start", "edit-tiny"])
        .refused(1, &["is not started again"]);
    fs::remove_dir(&way).unwrap();
    lab.seedbed(&["image", "commit", "edit-tiny", "tiny"]).ok();
    lab.seedbed(&["delete", "edit-tiny"]).ok();
    assert!(beginning(&lab, "tiny@3").starts_with("by-hand-4711"));
    nothing_left(&lab, "after a stop");
}

#[test]
fn an_edit_that_ends_in_any_other_way_makes_nothing_and_says_so() {
    if !root() {
        return;
    }
    let mut lab = lab();
    for signal in ["-KILL", "-TERM"] {
        let client = attached(edit(&lab, &[]));
        comes_to(&lab, "edit-tiny", "dhcp");
        let [qemu] = lab.qemus()[..] else {
            panic!("{:?}", lab.qemus())
        };
        Run::of(Command::new("kill").args([signal, &qemu.to_string()])).ok();
        let says = [
            "nothing was made of edit-tiny",
            "no image was touched",
            "seedbed image edit tiny",
        ];
        Run::waited(client).refused(1, &says);
        nothing_left(&lab, signal);
    }
    // Given up.
    let client = attached(edit(&lab, &[]));
    comes_to(&lab, "edit-tiny", "dhcp");
    lab.seedbed(&["delete", "edit-tiny", "--force"]).ok();
    Run::waited(client).refused(1, &["edit-tiny was deleted: nothing was made of it"]);
    nothing_left(&lab, "given up");
    // It ends while nobody sees how.
    Run::of(&mut edit(&lab, &["--detach"])).ok();
    comes_to(&lab, "edit-tiny", "dhcp");
    lab.kill_daemon();
    for qemu in lab.qemus() {
        Run::of(Command::new("kill").args(["-KILL", &qemu.to_string()])).ok();
    }
    assert!(eventually(PATIENCE, || lab.qemus().is_empty()));
    lab.start_daemon();
    nothing_left(&lab, "unseen");
    assert!(
        lab.daemon_log().contains("edit-tiny ended while nobody saw how"),
        "{}",
        lab.daemon_log()
    );
    assert_eq!(lab.listing("state/images"), ["tiny@1"]);
}

#[test]
fn what_is_installed_is_the_first_generation_of_its_image() {
    if !root() {
        return;
    }
    let lab = lab();
    let mut client = attached(install(&lab, &[]));
    type_line(
        &lab,
        &mut client,
        "install-sys",
        "dhcp",
        "echo by-installer >/dev/vda; poweroff -f",
    );
    let shown = Run::waited(client).ok();
    assert!(shown.contains("sys"), "{shown}");
    assert!(beginning(&lab, "sys@1").starts_with("by-installer"));
    let sheet = lab.seedbed(&["image", "show", "sys"]).ok();
    assert!(
        sheet.contains("debian") && sheet.contains("installer of Debian"),
        "{sheet}"
    );
    nothing_left(&lab, "after an installation");
    Run::of(&mut install(&lab, &["--detach"])).refused(1, &["image sys@1 already", "image edit"]);
    // An installer's reboot is its end as well; and what is no installer is told before anything is made.
    let iso = iso(&lab);
    let words = [
        "image",
        "install",
        "two",
        "--memory",
        "128M",
        "--disk",
        "64M",
        "--iso",
        iso.to_str().unwrap(),
    ];
    let mut client = attached(lab.command(&words));
    type_line(&lab, &mut client, "install-two", "dhcp", "reboot -f");
    Run::waited(client).ok();
    let tree = lab.path("media/linux");
    lab.seedbed(&["image", "install", "three", "--iso", tree.to_str().unwrap()])
        .refused(1, &["linux is no ISO 9660 image"]);
    lab.seedbed(&["image", "install", "three", "--netboot", "beos"])
        .refused(2, &["`beos`", "debian-12"]);
    let none = "debian-installer-99-netboot-amd64";
    lab.seedbed(&["image", "install", "three", "--netboot", "debian-99"])
        .refused(1, &[none, "--iso FILE"]);
    assert_eq!(lab.listing("state/images"), ["sys@1", "tiny@1", "two@1"]);
    nothing_left(&lab, "at last");
}

/// The steps until the guest runs, and whether the workshop is there after a kill behind it.
const BEGIN: [(&str, bool); 7] = [
    ("registered", false),
    ("cloned", false),
    ("tap", false),
    ("guarded", false),
    ("spawned", false),
    ("running", false),
    ("launched", true),
];

/// The steps from the end of the guest on, and whether the image is there after a kill behind it.
const END: [(&str, bool); 5] = [
    ("workshop ended", false),
    ("generation begun", false),
    ("generation written", false),
    ("generation published", false),
    ("workshop registered", true),
];

/// Restarts the daemon so that it is killed at a step, does something, and starts it again as it should be.
fn killed_at(lab: &mut Lab, step: &str, doing: impl FnOnce(&Lab)) {
    lab.stop_daemon();
    lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
    lab.wait_for_daemon();
    doing(lab);
    let ended = lab.daemon_ended(PATIENCE);
    assert_eq!(ended, None, "the daemon ended by itself at `{step}`");
    lab.start_daemon();
}

#[test]
fn a_daemon_killed_at_any_step_of_an_edit_leaves_a_generation_or_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let before = sha256(&lab, "tiny@1");
    for (step, stays) in BEGIN {
        killed_at(&mut lab, step, |lab| {
            let cut_short = Run::of(&mut edit(lab, &["--detach"]));
            assert_ne!(cut_short.code, 0, "{step}: {cut_short}");
        });
        let there = lab.seedbed(&["show", "edit-tiny"]).code == 0;
        assert_eq!(there, stays, "after a kill at `{step}`:\n{}", lab.daemon_log());
        if !stays {
            nothing_left(&lab, step);
        }
    }
    let mut images = vec!["tiny@1".to_owned()];
    for (step, made) in END {
        if lab.seedbed(&["show", "edit-tiny"]).code != 0 {
            Run::of(&mut edit(&lab, &["--detach"])).ok();
        }
        comes_to(&lab, "edit-tiny", "ready");
        // The daemon may be gone before it can answer.
        killed_at(&mut lab, step, |lab| drop(lab.seedbed(&["stop", "edit-tiny"])));
        if made {
            images.push("tiny@2".to_owned());
        }
        nothing_left(&lab, step);
        assert_eq!(
            lab.listing("state/images"),
            images,
            "after a kill at `{step}`:\n{}",
            lab.daemon_log()
        );
        let shown = lab.seedbed(&["image", "list", "--format", "json"]).ok();
        assert_eq!(shown.matches("\"generation\"").count(), images.len(), "{shown}");
    }
    assert_eq!(sha256(&lab, "tiny@1"), before);
}

#[test]
fn a_daemon_killed_at_any_step_of_an_installation_leaves_an_image_or_nothing() {
    if !root() {
        return;
    }
    let mut lab = lab();
    for (step, stays) in BEGIN {
        killed_at(&mut lab, step, |lab| {
            let cut_short = Run::of(&mut install(lab, &["--detach"]));
            assert_ne!(cut_short.code, 0, "{step}: {cut_short}");
        });
        let there = lab.seedbed(&["show", "install-sys"]).code == 0;
        assert_eq!(there, stays, "after a kill at `{step}`:\n{}", lab.daemon_log());
        if !stays {
            nothing_left(&lab, step);
        }
    }
    for (step, made) in END {
        if lab.seedbed(&["show", "install-sys"]).code != 0 {
            Run::of(&mut install(&lab, &["--detach"])).ok();
        }
        comes_to(&lab, "install-sys", "dhcp");
        killed_at(&mut lab, step, |lab| drop(lab.seedbed(&["stop", "install-sys"])));
        nothing_left(&lab, step);
        let images: &[&str] = if made { &["sys@1", "tiny@1"] } else { &["tiny@1"] };
        assert_eq!(
            lab.listing("state/images"),
            images,
            "after a kill at `{step}`:\n{}",
            lab.daemon_log()
        );
    }
}
