//! A guest on several networks: each of its NICs has an address, a name and a filter of its own, and nothing of it is left.

use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::lifecycle::Shell;
use crate::{guests, root};

const SOON: Duration = Duration::from_secs(60);

/// A lab with the networks `back` and `store` beside its own, without a daemon yet.
fn three_networks() -> Lab {
    let lab = Lab::without_daemon();
    let path = lab.path("config.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let network = |(number, name): (u8, &str)| {
        format!("- name: {name}\n  bridge: br{number}\n  subnet: 10.7{number}.0.1/24\n  domain: {name}\n")
    };
    let more: String = [(8, "back"), (9, "store")].into_iter().map(network).collect();
    std::fs::write(path, text + &more).unwrap();
    lab
}

fn shown(lab: &Lab) -> serde_json::Value {
    let json = lab.seedbed(&["show", "web1", "--format", "json"]).ok();
    let vms: serde_json::Value = serde_json::from_str(&json).unwrap();
    vms[0].clone()
}

/// The address of a NIC of `web1`, by its network.
fn address(lab: &Lab, network: &str) -> String {
    let vm = shown(lab);
    let nics = vm["nics"].as_array().unwrap();
    let nic = nics.iter().find(|nic| nic["network"] == network).unwrap();
    nic["ip"].as_str().unwrap().to_owned()
}

fn dig(lab: &Lab, server: &str, words: &[&str]) -> String {
    let server = format!("@{server}");
    let all = [&["dig", "+short", server.as_str()], words].concat();
    Run::of(&mut lab.inside(&all)).ok().trim().to_owned()
}

/// The addresses that have permanent neighbour entries.
fn permanent(lab: &Lab) -> Vec<String> {
    let words = ["ip", "neigh", "show", "nud", "permanent"];
    let text = Run::of(&mut lab.inside(&words)).ok();
    let mut all: Vec<_> = text
        .lines()
        .filter(|line| line.contains(" dev br"))
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect();
    all.sort();
    all
}

fn rules(lab: &Lab) -> String {
    Run::of(&mut lab.inside(&["nft", "list", "ruleset"])).ok()
}

/// Waits until the guest says what its further NIC was told.
fn told(lab: &Lab, line: &str) {
    let mut log = String::new();
    let seen = eventually(SOON, || {
        log = lab.seedbed(&["log", "web1"]).ok();
        log.lines().any(|found| found.trim_end() == line)
    });
    assert!(seen, "no `{line}` in\n{log}");
}

fn assert_nothing_left(lab: &Lab) {
    let left = (
        lab.qemus(),
        lab.taps(),
        lab.listing("state/vms"),
        lab.listing("run/vms"),
        permanent(lab),
    );
    assert_eq!(left, (vec![], vec![], vec![], vec![], vec![]));
    assert!(!rules(lab).contains("tap-web1"), "{}", rules(lab));
    assert!(!lab.seedbed(&["hosts"]).ok().contains("web1"));
}

/// Names and addresses on both networks, as everyone is told them.
fn assert_served_on_both(lab: &Lab, back: &str) {
    assert_eq!(dig(lab, "10.77.0.1", &["web1.lab"]), "10.77.0.10");
    assert_eq!(dig(lab, "10.78.0.1", &["web1.back"]), back);
    assert_eq!(dig(lab, "10.78.0.1", &["-x", back]), "web1.back.");
    assert_eq!(permanent(lab), ["10.77.0.10", back]);
    for tap in lab.taps() {
        assert!(rules(lab).contains(&format!("\"{tap}\"")), "{tap} has no rules");
    }
    // The guest itself answers at both.
    for address in ["10.77.0.10", back] {
        Run::of(&mut lab.inside(&["ping", "-c", "1", "-W", "5", address])).ok();
    }
    let hosts = lab.seedbed(&["hosts"]).ok();
    assert!(hosts.contains("10.77.0.10  web1.lab web1\n"), "{hosts}");
    assert!(hosts.contains(&format!("{back}  web1.back\n")), "{hosts}");
}

/// Where the guest's NICs are plugged in: the name and PCI address of each.
fn plugs(shell: &mut Shell<'_>) -> String {
    let line = "for n in /sys/class/net/eth*; do echo ${n##*/} $(busybox readlink -f $n/device); done";
    let said = shell.run(line);
    let plug = |line: &str| {
        let (name, path) = line.split_once(' ')?;
        let slot = path.split('/').find(|part| part.starts_with("0000:00:"))?;
        Some(format!("{} {slot}", name.trim_start()))
    };
    said.lines().filter_map(plug).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_guest_of_two_networks_has_its_address_and_name_on_both_and_leaves_nothing() {
    if !root() {
        return;
    }
    let mut lab = three_networks();
    lab.start_daemon();
    guests::add_tiny(&lab, "tiny");
    let words = ["web1", "--network", "lab", "--nic", "back", "--wait=120"];
    Run::of(&mut guests::launch(&lab, &words)).ok();
    let back = address(&lab, "back");
    told(
        &lab,
        &format!("TINY-NIC name=eth1 ip={back} router= dns= search="),
    );
    assert_served_on_both(&lab, &back);
    let taps = lab.taps();
    assert_eq!(taps.len(), 2);
    {
        let mut shell = Shell {
            lab: &lab,
            name: "web1",
            typed: 0,
        };
        assert_eq!(plugs(&mut shell), "eth0 0000:00:02.0, eth1 0000:00:18.0");
        let routes = shell.run("ip route");
        assert_eq!(routes.matches("default").count(), 1, "{routes}");
        // By whichever NIC it asks, it is itself; but by each only as whom it is there.
        let mut asked = |url: &str| shell.run(&format!("wget -q -O - {url}"));
        let here = asked("http://10.77.0.1/nocloud/meta-data");
        assert!(here.contains("web1.lab"), "{here}");
        assert_eq!(asked("http://10.78.0.1/nocloud/meta-data"), here);
    }

    // Neither a crash of the daemon nor its restart is noticed.
    let qemus = lab.qemus();
    lab.kill_daemon();
    lab.start_daemon();
    assert_eq!((lab.qemus(), lab.taps()), (qemus, taps));
    assert_served_on_both(&lab, &back);

    lab.seedbed(&["delete", "web1", "--force"]).ok();
    assert_nothing_left(&lab);
    assert_eq!(dig(&lab, "10.78.0.1", &["web1.back"]), "");
}

#[test]
fn a_nic_that_is_added_is_there_after_a_restart_and_moves_no_other() {
    if !root() {
        return;
    }
    let mut lab = three_networks();
    lab.start_daemon();
    guests::add_tiny(&lab, "tiny");
    let words = ["web1", "--network", "lab", "--nic", "back", "--wait=120"];
    Run::of(&mut guests::launch(&lab, &words)).ok();
    let back = address(&lab, "back");
    lab.seedbed(&["set", "web1", "--remove-nic", "back"])
        .refused(1, &["web1 is running", "seedbed stop web1"]);
    let said = lab.seedbed(&["set", "web1", "--nic", "store,ip=10.79.0.50"]).ok();
    assert!(
        said.contains("NICs: from its next start on (seedbed restart web1)"),
        "{said}"
    );
    // What runs has no such NIC yet: nothing is guarded for it, also not by a daemon that finds the VM running.
    assert_eq!((lab.taps().len(), permanent(&lab).len()), (2, 2));
    lab.seedbed(&["restart", "web1", "--force"]).ok();
    lab.seedbed(&["wait", "web1", "--timeout", "120s"]).ok();
    told(&lab, "TINY-NIC name=eth2 ip=10.79.0.50 router= dns= search=");
    told(
        &lab,
        &format!("TINY-NIC name=eth1 ip={back} router= dns= search="),
    );
    {
        let mut shell = Shell {
            lab: &lab,
            name: "web1",
            typed: 0,
        };
        assert_eq!(
            plugs(&mut shell),
            "eth0 0000:00:02.0, eth1 0000:00:18.0, eth2 0000:00:19.0"
        );
    }
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    assert_eq!((lab.taps(), permanent(&lab)), (vec![], vec![]));
    lab.seedbed(&["set", "web1", "--remove-nic", "back"]).ok();
    let argv = lab.seedbed(&["render", "web1", "--as", "qemu"]).ok();
    assert!(
        argv.contains("addr=0x19") && !argv.contains("addr=0x18"),
        "{argv}"
    );
    lab.seedbed(&["delete", "web1"]).ok();
    assert_nothing_left(&lab);
}

#[test]
fn a_daemon_killed_while_it_plugs_in_leaves_no_nic_behind() {
    if !root() {
        return;
    }
    let mut lab = three_networks();
    lab.start_daemon();
    guests::add_tiny(&lab, "tiny");
    for step in ["tap", "guarded", "spawned"] {
        lab.stop_daemon();
        lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
        lab.wait_for_daemon();
        let words = ["web1", "--network", "lab", "--nic", "back", "--nic", "store"];
        let cut_short = Run::of(&mut guests::launch(&lab, &words));
        assert_ne!(cut_short.code, 0, "{cut_short}");
        assert_eq!(lab.daemon_ended(SOON), None, "{step}");
        lab.start_daemon();
        assert_nothing_left(&lab);
    }
    // Nobody holds what the VM had: whoever comes next gets it.
    lab.seedbed(&["add", "db1", "--network", "back", "--ip", "10.78.0.10"])
        .ok();
}
