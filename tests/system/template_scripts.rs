//! The scripts of the built-in templates, run as root in a mount namespace whose /etc and /srv are their own; apt, systemd and the
//! clock are stand-ins, because a guest with a mirror is more than a test can ask for. Accounts are made by the real useradd.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::lab::{Lab, Run};
use crate::merging::document;
use crate::root;

/// What a script finds and leaves.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for folder in ["etc", "srv", "bin"] {
            std::fs::create_dir(directory.path().join(folder)).unwrap();
        }
        for file in ["passwd", "group", "shadow", "gshadow", "login.defs"] {
            let copied = std::fs::copy(
                Path::new("/etc").join(file),
                directory.path().join("etc").join(file),
            );
            assert!(copied.is_ok() || file == "gshadow", "{file}: {copied:?}");
        }
        let place = Self { directory };
        place.program("systemctl", "echo systemctl \"$@\" >>$LOG");
        place.program("sleep", "echo sleep \"$@\" >>$LOG");
        place.program(
            "apt-cache",
            "case \"$3\" in '^docker-cli$'|'^docker-compose$') echo found;; esac",
        );
        place
    }

    /// Puts a program in front of the real one.
    fn program(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path("bin").join(name);
        std::fs::write(
            &path,
            format!("#!/bin/sh\nLOG={}\n{script}\n", self.path("log").display()),
        )
        .unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn run(&self, script: &str) -> Run {
        let file = self.path("script");
        std::fs::write(&file, script).unwrap();
        let own = "mount --bind \"$0/etc\" /etc && mount --bind \"$0/srv\" /srv && PATH=\"$0/bin:$PATH\" exec sh \"$0/script\"";
        Run::of(
            Command::new("unshare")
                .args(["--mount", "sh", "-c", own])
                .arg(self.directory.path()),
        )
    }
}

/// The last script of a template.
fn script_of(template: &str) -> String {
    let mut lab = Lab::without_daemon();
    lab.start_daemon();
    let words = [
        "add",
        "web1",
        "--mac",
        "52:54:00:aa:00:61",
        "--template",
        template,
    ];
    lab.seedbed(&words).ok();
    let archive = document(&lab, "web1", "vendor-data");
    let parts: Vec<serde_yaml::Mapping> = serde_yaml::from_slice(&archive).unwrap();
    parts.last().unwrap()["content"].as_str().unwrap().to_owned()
}

const LOCKED_TWICE: &str = "echo apt-get \"$@\" >>$LOG\n[ $(grep -c apt-get $LOG) -gt 2 ] || { echo 'Could not get lock' >&2; exit 100; }";

#[test]
fn docker_host_waits_for_apt_and_sets_docker_up_before_it_starts() {
    if !root() {
        return;
    }
    let (place, script) = (Place::new(), script_of("docker-host"));
    place.program("apt-get", LOCKED_TWICE);
    let run = place.run(&script);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stderr
            .contains("docker-host: apt-get update failed (attempt 2 of 10)"),
        "{run}"
    );
    let log = place.read("log");
    let lines: Vec<_> = log.lines().collect();
    assert!(
        lines[5].ends_with("install docker.io docker-cli docker-compose"),
        "{log}"
    );
    assert_eq!(lines[6], "systemctl enable --now docker.service", "{log}");
    let config: serde_json::Value = serde_json::from_str(&place.read("etc/docker/daemon.json")).unwrap();
    assert_eq!(config["default-address-pools"][0]["base"], "172.30.0.0/15");

    // What the user put there stays, and what fails for good is told.
    std::fs::write(place.path("etc/docker/daemon.json"), "{}").unwrap();
    place.program("apt-get", "case \"$*\" in *install*) exit 100;; esac");
    let run = place.run(&script);
    run.refused(1, &["docker-host: can not install docker.io docker-cli"]);
    assert_eq!(place.read("etc/docker/daemon.json"), "{}");
}

#[test]
fn ci_runner_makes_an_account_that_nobody_logs_in_to_by_password() {
    if !root() {
        return;
    }
    let (place, script) = (Place::new(), script_of("ci-runner"));
    place.program("apt-get", LOCKED_TWICE);
    // Again, as on a guest whose user-data made the account.
    for _ in 0..2 {
        let run = place.run(&script);
        assert_eq!(run.code, 0, "{run}");
    }
    assert!(place.read("etc/passwd").contains(":/srv/runner:/bin/bash\n"));
    assert!(place.read("etc/shadow").contains("\nrunner:!:"));
    assert!(place.path("srv/runner").is_dir());
    assert!(
        place
            .read("log")
            .contains("install git curl ca-certificates build-essential jq")
    );
}
