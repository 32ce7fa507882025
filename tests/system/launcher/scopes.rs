//! Where systemd runs, each VM is a scope of its own, and the service that started it may end, be killed and come back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{add_empty, launch, nothing_is_left, shown};
use crate::lab::{Lab, Run, Running, SEEDBED, cgroup_tree, eventually};
use crate::root;

const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/launcher/systemd.sh");
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/systemd/seedbed.service");

/// A systemd that runs the shipped service in a lab.
struct Manager {
    process: Running,
    group: Option<PathBuf>,
}

impl Manager {
    fn start(lab: &Lab) -> Self {
        let folder = lab.path("");
        let folder = folder.to_string_lossy();
        let process = Running::start(&mut lab.inside(&[TREE, folder.trim_end_matches('/'), UNIT, SEEDBED]));
        let name = Path::new(folder.trim_end_matches('/')).file_name().unwrap();
        lab.wait_for_daemon();
        Self {
            process,
            group: cgroup_tree().map(|tree| tree.join(name)),
        }
    }

    /// systemctl, where this systemd is.
    fn ctl(&self, words: &[&str]) -> String {
        let own = self.process.0.id().to_string();
        let first = Run::of(Command::new("pgrep").args(["--parent", &own])).ok();
        let mut command = Command::new("nsenter");
        command.args(["--target", first.trim(), "--mount", "--pid", "--", "systemctl"]);
        Run::of(command.args(words)).ok()
    }

    /// The scopes of VMs that it has.
    fn scopes(&self) -> Vec<String> {
        let list = [
            "list-units",
            "--type=scope",
            "--plain",
            "--no-legend",
            "--all",
            "seedbed*",
        ];
        let listed = self.ctl(&list);
        let names = listed.lines().filter_map(|line| line.split_whitespace().next());
        names.map(str::to_owned).collect()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.process.0.kill().ok();
        self.process.0.wait().ok();
        if let Some(group) = &self.group {
            // The kernel is a moment behind the end of the last process.
            eventually(Duration::from_secs(5), || {
                let mut find = Command::new("find");
                let removed = find
                    .arg(group)
                    .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
                removed.output().is_ok() && !group.exists()
            });
        }
    }
}

fn group_of(pid: u32) -> String {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let ours = groups.lines().find_map(|line| line.strip_prefix("0::"));
    ours.unwrap_or_else(|| panic!("{groups}")).to_owned()
}

#[test]
fn each_vm_is_a_scope_of_systemds_and_outlives_the_service() {
    if !root() {
        return;
    }
    let lab = Lab::without_daemon();
    let systemd = Manager::start(&lab);
    add_empty(&lab);
    Run::of(&mut launch(&lab, &["web1", "web2"])).ok();
    let scopes = systemd.scopes();
    assert_eq!(scopes.len(), 2, "{scopes:?}\n{}", lab.daemon_log());
    let mut qemus = lab.qemus();
    for pid in &qemus {
        let group = group_of(*pid);
        assert!(
            scopes
                .iter()
                .any(|scope| group.ends_with(&format!(".slice/{scope}"))),
            "{group}"
        );
    }
    let limits = systemd.ctl(&["show", "-p", "TasksMax,MemoryMax,CollectMode", &scopes[0]]);
    assert!(
        limits.contains("TasksMax=2048") && !limits.contains("MemoryMax=infinity"),
        "{limits}"
    );

    // The service is restarted, as by an upgrade, and killed: systemd starts it again, and no VM is hurt.
    for words in [
        &["restart", "seedbed.service"][..],
        &["kill", "--signal=KILL", "seedbed.service"],
    ] {
        systemd.ctl(words);
        lab.wait_for_daemon();
        let up = eventually(Duration::from_secs(20), || {
            ["web1", "web2"]
                .iter()
                .all(|name| shown(&lab, name, "state") == "running")
        });
        assert!(up, "after {words:?}: {}", lab.daemon_log());
        let mut now = lab.qemus();
        now.sort_unstable();
        qemus.sort_unstable();
        assert_eq!(now, qemus, "after {words:?}");
        assert_eq!(systemd.scopes(), scopes, "after {words:?}");
    }

    // A scope ends with its VM, however that ends.
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    Run::of(Command::new("kill").arg("-9").arg(lab.qemus()[0].to_string())).ok();
    let gone = eventually(Duration::from_secs(20), || systemd.scopes().is_empty());
    assert!(gone, "{:?}", systemd.scopes());
    lab.seedbed(&["start", "--all"]).ok();
    assert_eq!(systemd.scopes().len(), 2, "{}", lab.daemon_log());
    lab.seedbed(&["delete", "--all", "--force"]).ok();
    let gone = eventually(Duration::from_secs(20), || systemd.scopes().is_empty());
    assert!(gone, "{:?}", systemd.scopes());
    nothing_is_left(&lab, "a delete under systemd");
}
