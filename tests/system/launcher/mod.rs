//! What the launcher must survive, by the names of docs/testing.md: L01, L02, L04, L05, L06, L08, L11, L12, L13, L14, L16, L17, L19, L20.
//!
//! Its VMs are real QEMUs whose disk has nothing to boot: they are up in a moment, and then idle.

mod accel;
mod beside;
mod concurrent;
mod escape;
mod files;
mod hostile_qmp;
mod killed;
mod scopes;
mod stopping;
mod strangers;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::guests::KEY;
use crate::lab::{Lab, Run};

/// Adds an image whose disk is empty.
pub(crate) fn add_empty(lab: &Lab) {
    let disk = lab.path("empty.raw");
    fs::File::create(&disk).unwrap().set_len(1 << 20).unwrap();
    let disk = disk.to_string_lossy().into_owned();
    lab.seedbed(&["image", "add", "empty", &disk, "--disk-format", "raw"])
        .ok();
}

/// A launch of clones of it.
pub(crate) fn launch(lab: &Lab, wanted: &[&str]) -> Command {
    let mut command = lab.command(&["launch", "--image", "empty", "--memory", "32M", "--key", KEY]);
    command.args(wanted);
    command
}

/// A lab with a VM that runs.
fn with_web1() -> Lab {
    let lab = Lab::new();
    add_empty(&lab);
    Run::of(&mut launch(&lab, &["web1"])).ok();
    lab
}

/// A field of a VM, as `show` tells it.
fn shown(lab: &Lab, name: &str, field: &str) -> serde_json::Value {
    let json = lab.seedbed(&["show", name, "--format", "json"]).ok();
    let vms: serde_json::Value = serde_json::from_str(&json).unwrap();
    vms[0][field].clone()
}

/// Puts a program into the lab, in a directory of its own; its path.
fn program(lab: &Lab, name: &str, text: &str) -> PathBuf {
    let folder = lab.path("programs").join(name);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("run");
    fs::write(&path, text).unwrap();
    for passed in [lab.path("programs"), folder, path.clone()] {
        fs::set_permissions(passed, fs::Permissions::from_mode(0o755)).unwrap();
    }
    path
}

/// All that a VM has on the host while it runs, by what it is; empty where none is left.
fn on_the_host(lab: &Lab) -> Vec<String> {
    let mut left = Vec::new();
    let mut add = |what: &str, found: Vec<String>| {
        left.extend(found.iter().map(|each| format!("{what} {each}")));
    };
    add("process", lab.processes());
    add("tap", lab.taps());
    add("socket", lab.listing("run/vms"));
    let groups = lab.cgroups().into_iter();
    add("group", groups.map(|path| path.display().to_string()).collect());
    let lines = |words: &[&str], of: &str| -> Vec<String> {
        let text = Run::of(&mut lab.inside(words)).ok();
        let found = text.lines().filter(|line| line.contains(of));
        found.map(|line| line.trim().to_owned()).collect()
    };
    add("rule", lines(&["nft", "list", "ruleset"], "tap-"));
    let neighbours = ["ip", "neigh", "show", "dev", "br0", "nud", "permanent"];
    add("neighbour", lines(&neighbours, "10.77.0."));
    let loops = ["losetup", "--noheadings", "--output", "BACK-FILE"];
    add("loop device", lines(&loops, &lab.path("").to_string_lossy()));
    left
}

/// Nothing is left of any VM: neither on the host nor on its disks.
fn nothing_is_left(lab: &Lab, after: &str) {
    let mut left = on_the_host(lab);
    left.extend(lab.listing("state/vms"));
    assert!(left.is_empty(), "{after} left {left:#?}\n{}", lab.daemon_log());
}
