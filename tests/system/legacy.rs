//! The old scripts' names lead to the commands that replaced them: each is run for real, and says which command it is now.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::lab::{Lab, Run, SEEDBED};
use crate::{guests, root};

/// A wrapper, by its name, with the `seedbed` under test in its path.
fn legacy(lab: &Lab, script: &str, args: &[&str]) -> Run {
    let bin = lab.path("bin");
    if !bin.exists() {
        std::fs::create_dir(&bin).unwrap();
        symlink(SEEDBED, bin.join("seedbed")).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("contrib/legacy")
        .join(script);
    let mut command = lab.inside(&[&*script.to_string_lossy()]);
    let path = std::env::var("PATH").unwrap();
    command
        .args(args)
        .env("PATH", format!("{}:{path}", bin.display()));
    Run::of(&mut command)
}

/// The wrapper said what it is now, did it, and this was its answer.
fn is_now(run: Run, command: &str) -> String {
    let line = format!("is now: {command}");
    assert!(
        run.stderr.lines().any(|said| said.ends_with(&line)),
        "does not say {line:?}: {run}"
    );
    run.ok()
}

#[test]
fn each_old_script_names_its_command_and_does_it() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    let small = ["--memory", guests::MEMORY, "--key", guests::KEY];
    let launch = [&["tiny", "vps[01-02]", "--wait=120"][..], &small].concat();
    let launched = is_now(
        legacy(&lab, "make_images.sh", &launch),
        &format!(
            "seedbed launch --image tiny vps[01-02] --wait=120 {}",
            small.join(" ")
        ),
    );
    assert!(launched.contains("vps02 is ready"), "{launched}");
    let checked = is_now(legacy(&lab, "check_hosts.sh", &["vps01"]), "seedbed check vps01");
    assert!(
        checked.contains("vps01") && checked.trim_end().ends_with("ok"),
        "{checked}"
    );
    lab.seedbed(&["stop", "--all", "--force"]).ok();
    let started = is_now(legacy(&lab, "vps_start.sh", &[]), "seedbed start --all");
    assert_eq!(started.matches("is running").count(), 2, "{started}");
    lab.seedbed(&["stop", "--all", "--force"]).ok();

    let edit = [&["tiny", "--detach"][..], &small].concat();
    let edited = is_now(
        legacy(&lab, "base-start.sh", &edit),
        &format!("seedbed image edit {}", edit.join(" ")),
    );
    assert!(edited.contains("edit-tiny runs"), "{edited}");
    lab.seedbed(&["delete", "edit-tiny", "--force"]).ok();
    installs(&lab);
    legacy(&lab, "make_images.sh", &["tiny"]).refused(2, &["usage: make_images.sh IMAGE NAME..."]);
}

fn installs(lab: &Lab) {
    let (tree, iso) = (lab.path("media"), lab.path("tiny.iso"));
    std::fs::create_dir(&tree).unwrap();
    let tiny = guests::tiny();
    std::fs::copy(tiny.join("vmlinuz"), tree.join("linux")).unwrap();
    std::fs::copy(tiny.join("initrd.img"), tree.join("initrd.gz")).unwrap();
    let mut write = Command::new("xorrisofs");
    write.args(["-quiet", "-R", "-V", "TINY", "-o"]);
    Run::of(write.arg(&iso).arg(&tree)).ok();
    let iso = iso.to_string_lossy().into_owned();
    let more = ["--memory", "128M", "--disk", "64M", "--detach"];
    let installing = is_now(
        legacy(lab, "qemu-install-os.sh", &[&["sys", &*iso][..], &more].concat()),
        &format!("seedbed image install sys --iso {iso} {}", more.join(" ")),
    );
    assert!(installing.contains("install-sys runs"), "{installing}");
    lab.seedbed(&["delete", "install-sys", "--force"]).ok();
}
