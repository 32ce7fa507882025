//! L19: the daemon is killed, and restarted, beside fifty VMs that run: none of them notices.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{add_empty, launch, nothing_is_left};
use crate::lab::{Client, Lab, Run, eventually, say};
use crate::root;
use crate::turn::Turn;

const MANY: usize = 50;
/// How long a client may be without an answer, from the kill on: the daemon's start, in a debug build on two busy processors.
const GAP: Duration = Duration::from_secs(10);

/// When each QEMU began, and its control group: what would be another one had it been started anew or moved.
fn lives(lab: &Lab) -> BTreeSet<(u32, String, String)> {
    let life = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let began = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .nth(19)
            .unwrap();
        let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        (pid, began.to_owned(), group)
    };
    lab.qemus().into_iter().map(life).collect()
}

fn running(lab: &Lab) -> usize {
    let json = lab.seedbed(&["list", "--format", "json"]).ok();
    let vms: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    vms.iter().filter(|vm| vm["state"] == "running").count()
}

/// Ends the daemon, starts the next one, and says how long a client was without an answer.
fn gap(lab: &mut Lab, client: &Client, restart: &str) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the test measures")]
    let from = Instant::now();
    if restart == "killed" {
        lab.kill_daemon();
    } else {
        lab.stop_daemon();
    }
    lab.start_daemon_with(&[]);
    let leased = eventually(Duration::from_secs(60), || {
        let asks = "udhcpc -i eth0 -f -q -n -t 1 -T 1 -s /bin/true".split(' ');
        let asks: Vec<_> = asks.collect();
        client.run(&asks).code == 0
    });
    assert!(leased, "{restart}: {}", lab.daemon_log());
    from.elapsed()
}

#[test]
fn l19_fifty_vms_are_not_disturbed_by_kills_and_restarts_of_the_daemon() {
    if !root() {
        return;
    }
    let _alone = Turn::alone();
    let mut lab = Lab::new();
    add_empty(&lab);
    lab.seedbed(&["add", "client", "--mac", "52:54:00:00:00:51"]).ok();
    let client = lab.client("52:54:00:00:00:51");
    Run::of(&mut launch(&lab, &[&format!("vps[01-{MANY}]")])).ok();
    let before = (lives(&lab), lab.taps(), lab.cgroups());
    assert_eq!((before.0.len(), before.1.len()), (MANY, MANY));
    for restart in ["killed", "restarted", "killed"] {
        let gap = gap(&mut lab, &client, restart);
        say(&format!(
            "DHCP beside {MANY} VMs after the daemon was {restart}: answered {gap:.1?} later"
        ));
        assert!(gap < GAP, "{restart}: {gap:?}");
        lab.wait_for_daemon();
        assert_eq!(running(&lab), MANY, "{restart}");
        assert_eq!((lives(&lab), lab.taps(), lab.cgroups()), before, "{restart}");
        let rules = Run::of(&mut lab.inside(&["nft", "list", "ruleset"])).ok();
        for vm in ["tap-vps01", "tap-vps50"] {
            assert!(rules.contains(vm), "{restart}: {vm} is not guarded");
        }
    }
    lab.seedbed(&["delete", "--all", "--force"]).ok();
    nothing_is_left(&lab, "fifty VMs");
}
