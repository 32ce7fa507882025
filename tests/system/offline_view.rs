//! Clones of images without cloud-init: what they are to be is written into their disks before they start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::{guests, root};

mod crashes;

/// A base that is configured as Debian's with ifupdown, and that the tiny guest's kernel boots without looking at it: what is
/// written into its clones is looked at from outside.
pub(super) fn add_base(lab: &Lab) -> PathBuf {
    let tree = lab.path("tree");
    for (path, text) in [
        ("usr/lib/os-release", "ID=debian\n"),
        ("sbin/ifup", ""),
        (
            "etc/network/interfaces",
            "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet static\n\taddress 192.0.2.7/24\n",
        ),
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/shadow", "root:*:19000:0:99999:7:::\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/hostname", "base\n"),
        ("etc/ssh/ssh_host_rsa_key", "the base's\n"),
    ] {
        let file = tree.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let disk = lab.path("base.raw");
    fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    Run::of(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .args([&tree, &disk]),
    )
    .ok();
    guests::add_tiny_on(lab, "base", "offline", &disk);
    lab.path("state/images/base@1/disk")
}

pub(super) fn launch(lab: &Lab, name: &str) -> Run {
    let mut launch = lab.command(&["launch", name, "--image", "base", "--memory", guests::MEMORY]);
    Run::of(launch.args(["--key", guests::KEY, "--swap", "16M"]))
}

/// A file in the disk of a stopped VM, read by debugfs(8).
pub(super) fn file_in(lab: &Lab, name: &str, path: &str) -> String {
    let raw = lab.path("looked-at.raw");
    let disk = lab.path(&format!("state/vms/{name}/disk.qcow2"));
    Run::of(
        Command::new("qemu-img")
            .args(["convert", "-f", "qcow2", "-O", "raw"])
            .args([&disk, &raw]),
    )
    .ok();
    Run::of(
        Command::new("debugfs")
            .args(["-R", &format!("cat {path}")])
            .arg(&raw),
    )
    .ok()
}

pub(super) fn sha256(file: &Path) -> String {
    let sum = Run::of(Command::new("sha256sum").arg(file)).ok();
    sum.split(' ').next().unwrap().to_owned()
}

/// What writing into disks could leave on the host, of this lab.
pub(super) fn left(lab: &Lab) -> Vec<String> {
    let ours = lab.path("").to_string_lossy().into_owned();
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let mounts = String::from_utf8_lossy(&read("mounts")).into_owned();
        let is_tool = words.contains("offline-worker") || words.contains("qemu-storage-daemon");
        if is_tool && (words.contains(&ours) || mounts.contains(&ours)) {
            left.push(words);
        }
        left.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&ours))
                .map(str::to_owned),
        );
    }
    let loops =
        Run::of(Command::new("losetup").args(["--list", "--noheadings", "--output", "NAME,BACK-FILE"])).ok();
    left.extend(
        loops
            .lines()
            .filter(|line| line.contains(&ours))
            .map(str::to_owned),
    );
    left
}

#[test]
fn a_clones_own_disk_says_who_it_is_and_the_base_is_not_touched() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let base = add_base(&lab);
    let before = sha256(&base);
    launch(&lab, "web1").ok();
    launch(&lab, "web2").ok();
    lab.seedbed(&["stop", "web[1-2]", "--force"]).ok();
    for (name, other) in [("web1", "web2"), ("web2", "web1")] {
        assert_eq!(file_in(&lab, name, "/etc/hostname"), format!("{name}\n"));
        assert!(file_in(&lab, name, "/etc/hosts").contains(&format!("127.0.1.1\t{name}.lab {name}\n")));
        assert!(file_in(&lab, name, "/root/.ssh/authorized_keys").contains(guests::KEY));
        assert!(file_in(&lab, name, "/etc/fstab").contains("/dev/disk/by-id/virtio-swap none swap"));
        assert_eq!(file_in(&lab, name, "/etc/ssh/ssh_host_rsa_key"), "");
        let key = file_in(&lab, name, "/etc/ssh/ssh_host_ed25519_key.pub");
        assert_ne!(key, file_in(&lab, other, "/etc/ssh/ssh_host_ed25519_key.pub"));
        let known = fs::read_to_string(lab.path("state/known_hosts")).unwrap();
        assert!(known.contains(key.trim()), "{known}");
    }
    assert_eq!(sha256(&base), before);
    assert_eq!(left(&lab), Vec::<String>::new());
}

#[test]
fn a_disk_is_written_to_when_the_record_was_changed_and_not_before_each_start() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    add_base(&lab);
    launch(&lab, "web1").ok();
    let writes = || lab.daemon_log().matches("wrote into the disk of web1").count();
    lab.seedbed(&["restart", "web1", "--force"]).ok();
    assert_eq!(writes(), 1, "{}", lab.daemon_log());
    let told = lab.seedbed(&["set", "web1", "--user", "ann"]).ok();
    assert!(
        told.contains("accounts: written into its disk before its next start (seedbed restart web1)"),
        "{told}"
    );
    lab.seedbed(&["image", "customize", "web1"])
        .refused(1, &["web1 is running", "seedbed stop web1"]);
    lab.seedbed(&["stop", "web1", "--force"]).ok();

    let planned = lab.seedbed(&["image", "customize", "web1", "--dry-run"]).ok();
    assert!(
        planned.contains("nothing was written") && planned.contains("changed  /etc/passwd"),
        "{planned}"
    );
    assert!(!file_in(&lab, "web1", "/etc/passwd").contains("ann"));
    let done = lab.seedbed(&["image", "customize", "web1"]).ok();
    assert!(
        done.contains("web1: written into its disk\n")
            && done.contains("new      /home/ann/.ssh/authorized_keys"),
        "{done}"
    );
    assert!(file_in(&lab, "web1", "/etc/passwd").contains("ann:x:1000:1000::/home/ann:/bin/sh"));
    let again = lab.seedbed(&["image", "customize", "web1"]).ok();
    assert!(again.contains("web1: its disk is as its record says"), "{again}");
    lab.seedbed(&["start", "web1"]).ok();
    assert_eq!(writes(), 1, "{}", lab.daemon_log());
    let shown = lab.seedbed(&["show", "web1"]).ok();
    assert!(
        shown.contains("offline: written into its disk before it starts (its image base@1 was added so)"),
        "{shown}"
    );
}

#[test]
fn what_can_not_be_written_is_refused_and_nothing_is_left_of_the_launch() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    add_base(&lab);
    guests::add_tiny(&lab, "tiny");
    // The disk of the tiny guest has nothing on it.
    let mut launch = guests::launch(&lab, &["web1", "--offline"]);
    let refused = Run::of(&mut launch);
    assert!(refused.code != 0 && refused.stderr.contains("web1"), "{refused}");
    assert_eq!(lab.listing("state/vms"), Vec::<String>::new());
    assert_eq!(left(&lab), Vec::<String>::new());
    let mut launch = lab.command(&[
        "launch",
        "web1",
        "--image",
        "base",
        "--key",
        guests::KEY,
        "--user-data",
    ]);
    let user_data = lab.path("user-data");
    fs::write(&user_data, "#cloud-config\n{}\n").unwrap();
    Run::of(launch.arg(&user_data)).refused(1, &["web1", "never reads"]);
    let mut launch = guests::launch(&lab, &["web1"]);
    Run::of(&mut launch).ok();
    lab.seedbed(&["image", "customize", "web1"])
        .refused(1, &["its view is auto", "--offline"]);
}

/// Debian 12 without cloud-init and with ifupdown.
struct Plain {
    lab: Lab,
    key: String,
}

impl Plain {
    fn ssh(&self, name: &str, login: &[&str], command: &str) -> Run {
        let mut ssh = self.lab.command(&["ssh", name, "-i", &self.key]);
        Run::of(ssh.args(login).args(["--", command]))
    }

    fn console(&self, name: &str) -> String {
        fs::read(self.lab.path(&format!("state/vms/{name}/console.log")))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn wait(&self, name: &str) {
        let run = self
            .lab
            .seedbed(&["wait", name, "--for", "ready", "--timeout", "900s"]);
        assert!(run.code == 0, "{run}\n{}", self.console(name));
    }
}

#[test]
fn debian_without_cloud_init_comes_up_as_itself_and_answers_ssh_with_its_registered_key() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let disk = guests::debian_without_cloud_init();
    lab.seedbed(&["image", "add", "plain", &disk.to_string_lossy()])
        .ok();
    let key = lab.path("key").to_string_lossy().into_owned();
    Run::of(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key])).ok();
    let public = format!("{key}.pub");
    let launch = [
        "launch",
        "old[1-2]",
        "--image",
        "plain",
        "--offline",
        "--key",
        &public,
    ];
    let base = lab.path("state/images/plain@1/disk");
    let before = sha256(&base);
    let mut launch = lab.command(&launch);
    Run::of(launch.args(["--swap", "64M", "--user", "ann,sudo"])).ok();
    let guest = Plain { lab, key };
    let mut ids = Vec::new();
    for name in ["old1", "old2"] {
        guest.wait(name);
        assert_eq!(
            guest.ssh(name, &[], "hostname; hostname -f; id -un").ok(),
            format!("{name}\n{name}.lab\ndebian\n")
        );
        let swap = guest
            .ssh(name, &["-l", "ann"], "cat /proc/swaps; sudo id -u")
            .ok();
        assert!(swap.contains("/dev/vdb") && swap.ends_with("\n0\n"), "{swap}");
        let address = guest.ssh(name, &[], "ip -4 -o address show scope global").ok();
        assert!(address.contains("10.77.0."), "{address}");
        ids.push(
            guest
                .ssh(name, &[], "cat /etc/machine-id; cat /etc/ssh/ssh_host_*.pub")
                .ok(),
        );
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(sha256(&base), before);
    assert_eq!(left(&guest.lab), Vec::<String>::new());
    guest.lab.seedbed(&["stop", "old2", "--force"]).ok();

    // Another record, and a restart: the same host to every ssh.
    guest.lab.seedbed(&["set", "old1", "--user", "bob"]).ok();
    guest.lab.seedbed(&["restart", "old1"]).ok();
    guest.wait("old1");
    assert_eq!(guest.ssh("old1", &["-l", "bob"], "id -un").ok(), "bob\n");
    let state = eventually(Duration::from_secs(120), || {
        let state = guest.ssh("old1", &[], "systemctl is-system-running").stdout;
        matches!(state.trim(), "running" | "degraded")
    });
    assert!(state, "{}", guest.console("old1"));
}
