//! L06, L08, L17: bases that are no files, disks that are full, and links where a VM's own files were.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{add_empty, launch, nothing_is_left, on_the_host, with_web1};
use crate::lab::{Lab, Run, Running, eventually};
use crate::root;

const REFUSED: i32 = 1;

#[test]
fn a_name_that_is_too_long_for_the_sockets_in_the_run_directory_is_told_so() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    add_empty(&lab);
    // What QEMU listens at would fit: what its console listens at does not.
    let spare = 107 - lab.path("run/vms//events").as_os_str().len();
    let name = "w".repeat(spare.min(63));
    Run::of(&mut launch(&lab, &[&name])).refused(REFUSED, &["107", "choose a shorter run directory"]);
    nothing_is_left(&lab, "a VM of too long a name");
}

#[test]
fn l06_a_base_that_is_no_file_of_ours_starts_nobody() {
    if !root() {
        return;
    }
    let lab = with_web1();
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    let disk = lab.path("state/images/empty@1/disk");
    let kept = lab.path("kept");
    fs::rename(&disk, &kept).unwrap();
    let made = |words: &[&str]| {
        Run::of(Command::new(words[0]).args(&words[1..]).arg(&disk)).ok();
    };
    let refused = |says: &str| {
        lab.seedbed(&["start", "web1"])
            .refused(REFUSED, &["empty@1", says]);
        Run::of(&mut launch(&lab, &["web2"])).refused(REFUSED, &["empty@1"]);
        assert_eq!(on_the_host(&lab), Vec::<String>::new());
        assert_eq!(lab.listing("state/vms"), ["web1"]);
    };
    refused("is missing");
    made(&["mkdir"]);
    refused("is not a regular file");
    fs::remove_dir(&disk).unwrap();
    made(&["mkfifo"]);
    refused("is not a regular file");
    fs::remove_file(&disk).unwrap();
    Run::of(Command::new("mknod").arg(&disk).args(["b", "7", "255"])).ok();
    refused("is not a regular file");
    fs::remove_file(&disk).unwrap();
    symlink(&kept, &disk).unwrap();
    refused("is not a regular file");
    fs::remove_file(&disk).unwrap();
    fs::rename(&kept, &disk).unwrap();
    lab.seedbed(&["start", "web1"]).ok();
}

/// A small file system, unmounted when it is dropped.
struct Small(PathBuf);

impl Small {
    fn over(folder: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let option = format!("size={size},mode=711");
        Run::of(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &option, "none"])
                .arg(&folder),
        )
        .ok();
        Self(folder)
    }

    fn resize(&self, size: &str) {
        let option = format!("remount,size={size}");
        Run::of(Command::new("mount").args(["-o", &option]).arg(&self.0)).ok();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

#[test]
fn l08_a_clone_that_does_not_fit_is_undone_and_works_when_there_is_room() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    let vms = Small::over(lab.path("state/vms"), "16M");
    lab.start_daemon();
    add_empty(&lab);
    // From no room at all to nearly enough.
    for size in ["4k", "16k", "64k", "128k", "192k"] {
        vms.resize(size);
        let run = Run::of(&mut launch(&lab, &["web1", "--swap", "16M"]));
        if run.code == 0 {
            lab.seedbed(&["delete", "web1", "--force"]).ok();
        } else {
            assert!(
                run.code == REFUSED && run.stderr.contains("web1"),
                "{size}: {run}"
            );
            assert!(run.stderr.contains("No space left"), "{size}: {run}");
        }
        nothing_is_left(&lab, size);
        assert_eq!(
            lab.seedbed(&["list", "--format", "json"]).ok().trim(),
            "[]",
            "{size}"
        );
    }
    vms.resize("16M");
    Run::of(&mut launch(&lab, &["web1", "--swap", "8M"])).ok();
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    lab.stop_daemon();
    drop(vms);
}

/// As the VM's own user: puts links to a directory of root's in the place of its sockets, as fast as it can.
const RACE: &str = r#"
import os, sys
sockets, victim = sys.argv[1:]
os.umask(0)
while True:
    for name in ("qmp", "serial", "sub"):
        path = f"{sockets}/{name}"
        for act in (lambda: os.unlink(path), lambda: os.rmdir(path), lambda: os.symlink(victim, path),
                    lambda: os.unlink(path), lambda: os.mkdir(path), lambda: os.symlink(victim, f"{path}/deep")):
            try:
                act()
            except OSError:
                pass
"#;

#[test]
fn l17_links_in_a_vms_socket_directory_lead_the_daemon_nowhere() {
    if !root() {
        return;
    }
    let mut lab = with_web1();
    let victim = lab.path("victim");
    fs::create_dir(&victim).unwrap();
    let treasure: Vec<_> = (0..20).map(|number| victim.join(number.to_string())).collect();
    for file in &treasure {
        fs::write(file, "treasure").unwrap();
    }
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o755)).unwrap();
    let before = fs::metadata(&victim).unwrap().modified().unwrap();
    for round in 0..4 {
        lab.seedbed(&["start", "web1"]).ok();
        let sockets = lab.path("run/vms/web1");
        let uid = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&sockets).unwrap()).to_string();
        let mut race = Command::new("setpriv");
        race.args([
            "--reuid",
            &uid,
            "--regid",
            &uid,
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            RACE,
        ]);
        let race = Running::start(race.arg(&sockets).arg(&victim));
        let begun = eventually(Duration::from_secs(10), || {
            sockets.join("sub").symlink_metadata().is_ok()
        });
        assert!(begun, "the race did not begin");
        if round == 3 {
            lab.kill_daemon();
            lab.start_daemon();
        }
        // It may or may not be possible to remove the directory while someone fills it: nothing else may happen.
        lab.seedbed(&["stop", "web1", "--force"]).ok();
        drop(race);
        for file in &treasure {
            assert_eq!(fs::read_to_string(file).unwrap(), "treasure", "round {round}");
            let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(file).unwrap());
            assert_eq!(owner, 0, "round {round}");
        }
        assert_eq!(
            fs::metadata(&victim).unwrap().modified().unwrap(),
            before,
            "round {round}"
        );
    }
    lab.seedbed(&["delete", "web1"]).ok();
    nothing_is_left(&lab, "the race");
}
