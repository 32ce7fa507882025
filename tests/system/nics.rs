//! A guest on several networks: each of its NICs has an address, a name and a filter of its own, and nothing of it is left.

use std::sync::atomic::{AtomicU32, Ordering};
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

/// A lab in which `web1` runs on the network `lab`.
fn with_web1() -> Lab {
    let mut lab = three_networks();
    lab.start_daemon();
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(
        &lab,
        &["web1", "--network", "lab", "--wait=120"],
    ))
    .ok();
    lab
}

/// What of `web1` needs a restart, in the words of `show`.
fn restart_for(lab: &Lab) -> String {
    let vm = shown(lab);
    let needs = vm["needs_restart"].as_array().cloned().unwrap_or_default();
    let words: Vec<_> = needs.iter().map(|what| what.as_str().unwrap()).collect();
    words.join(", ")
}

/// Changes the NICs of `web1`, and says what was told of that.
fn set(lab: &Lab, words: &[&str]) -> String {
    lab.seedbed(&[&["set", "web1"], words].concat()).ok()
}

/// A shell of the guest's, after those of before.
fn shell(lab: &Lab) -> Shell<'_> {
    static TYPED: AtomicU32 = AtomicU32::new(0);
    Shell {
        lab,
        name: "web1",
        typed: TYPED.fetch_add(10, Ordering::Relaxed),
    }
}

/// The taps that are on bridges.
fn attached(lab: &Lab) -> Vec<String> {
    let text = Run::of(&mut lab.inside(&["ip", "-o", "link"])).ok();
    let ports = text.lines().filter(|line| line.contains(" master br"));
    let names = ports.filter_map(|line| line.split(": ").nth(1));
    let taps = names.filter(|name| name.starts_with("tap-"));
    taps.map(str::to_owned).collect()
}

/// Has the guest ask DHCP on a NIC that came, as one with a service for that does by itself.
fn ask_dhcp(shell: &mut Shell<'_>, name: &str) {
    let line =
        format!("ip link set {name} up; udhcpc -q -i {name} -s /etc/dhcp.sh >/dev/null 2>&1; echo asked");
    assert!(shell.run(&line).contains("asked"));
}

/// Has the daemon killed at a step of a change of the NICs of `web1`, and starts another.
fn cut_short(lab: &mut Lab, step: &str, words: &[&str]) {
    lab.stop_daemon();
    lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
    lab.wait_for_daemon();
    let set = lab.seedbed(&[&["set", "web1"], words].concat());
    assert_ne!(set.code, 0, "{step}: {set}");
    assert_eq!(lab.daemon_ended(SOON), None, "{step}");
    lab.start_daemon();
}

/// That `web1` has that many NICs in all, each with its tap, its rules and its entry, and no trace of another.
fn assert_nics(lab: &Lab, count: usize, restart: &str) {
    let taps = attached(lab);
    let found = (taps.len(), permanent(lab).len(), restart_for(lab));
    assert_eq!(found, (count, count, restart.to_owned()), "{taps:?}");
    let rules = rules(lab);
    let line = |name: &str| {
        let set = rules.split_once(&format!("set {name} {{")).unwrap().1;
        let elements = set.split_once('}').unwrap().0;
        elements.matches('"').count() / 2
    };
    assert_eq!(line("taps"), count, "{rules}");
    for tap in taps {
        assert!(rules.contains(&format!("\"{tap}\"")), "{tap} has no rules");
    }
}

#[test]
fn a_nic_comes_and_goes_while_its_vm_runs_and_keeps_its_name_over_a_restart() {
    if !root() {
        return;
    }
    let mut lab = with_web1();
    let qemus = lab.qemus();
    let said = set(&lab, &["--nic", "back"]);
    assert!(said.contains("NIC back: at once"), "{said}");
    let back = address(&lab, "back");
    ask_dhcp(&mut shell(&lab), "eth1");
    let line = format!("TINY-NIC name=eth1 ip={back} router= dns= search=");
    told(&lab, &line);
    assert_served_on_both(&lab, &back);
    assert_nics(&lab, 2, "");
    // Another daemon finds it as it was.
    lab.kill_daemon();
    lab.start_daemon();
    assert_eq!(lab.qemus(), qemus);
    assert_served_on_both(&lab, &back);
    assert_nics(&lab, 2, "");
    let said = set(&lab, &["--nic", "store,ip=10.79.0.50"]);
    assert!(said.contains("NIC store: at once"), "{said}");
    ask_dhcp(&mut shell(&lab), "eth2");
    told(&lab, "TINY-NIC name=eth2 ip=10.79.0.50 router= dns= search=");
    let places = "eth0 0000:00:02.0, eth1 0000:00:18.0, eth2 0000:00:19.0";
    assert_eq!(plugs(&mut shell(&lab)), places);
    lab.seedbed(&["restart", "web1", "--force"]).ok();
    lab.seedbed(&["wait", "web1", "--timeout", "120s"]).ok();
    told(&lab, &line);
    told(&lab, "TINY-NIC name=eth2 ip=10.79.0.50 router= dns= search=");
    assert_eq!(plugs(&mut shell(&lab)), places);
    assert_nics(&lab, 3, "");

    // One that was there at the start goes as well as one that came.
    let said = set(&lab, &["--remove-nic", "back"]);
    assert!(said.contains("NIC back: taken out at once"), "{said}");
    assert_eq!(plugs(&mut shell(&lab)), "eth0 0000:00:02.0, eth2 0000:00:19.0");
    assert_eq!(dig(&lab, "10.78.0.1", &["web1.back"]), "");
    assert_nics(&lab, 2, "");
    lab.kill_daemon();
    lab.start_daemon();
    assert_nics(&lab, 2, "");
    set(&lab, &["--nic", "back"]);
    assert_nics(&lab, 3, "");
    lab.seedbed(&["set", "web1", "--nic", "back,ip=10.78.0.99"])
        .refused(1, &["web1 is running", "seedbed stop web1"]);
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    assert_nothing_left(&lab);
}

#[test]
fn a_nic_that_can_not_come_or_go_now_does_with_the_next_start_and_that_is_told() {
    if !root() {
        return;
    }
    let mut lab = with_web1();
    set(&lab, &["--nic", "back"]);
    let tap = lab.taps().into_iter().find(|tap| tap != "tap-web1").unwrap();
    // A guest that does not listen keeps the card, but nothing that it leads to.
    lab.seedbed(&["pause", "web1"]).ok();
    let said = set(&lab, &["--remove-nic", "back"]);
    assert!(
        said.contains("NIC back: its guest has not let go of the card"),
        "{said}"
    );
    assert!(said.contains("seedbed restart web1"), "{said}");
    assert_nics(&lab, 1, "NIC");
    let said = set(&lab, &["--nic", "back"]);
    let told = "NIC back: from its next start on (seedbed restart web1): its guest has not let go";
    assert!(said.contains(told), "{said}");
    assert_nics(&lab, 1, "NIC");
    set(&lab, &["--remove-nic", "back"]);
    lab.kill_daemon();
    lab.start_daemon();
    assert_nics(&lab, 1, "NIC");
    // Once it listens, it lets go.
    lab.seedbed(&["resume", "web1"]).ok();
    let mut needs = String::new();
    let gone = eventually(SOON, || {
        needs = restart_for(&lab);
        needs.is_empty()
    });
    assert!(gone, "{needs}");
    assert_eq!(lab.taps(), ["tap-web1"]);

    // Somebody else has an interface of the tap's name.
    let ip = |words: &[&str]| Run::of(&mut lab.inside(&[&["ip", "link"], words].concat())).ok();
    ip(&["add", &tap, "type", "bridge"]);
    let said = set(&lab, &["--nic", "back"]);
    assert!(said.contains("can not create tap"), "{said}");
    assert_eq!((permanent(&lab).len(), restart_for(&lab)), (1, "NIC".to_owned()));
    ip(&["del", &tap]);
    let said = set(&lab, &["--nic", "back"]);
    assert!(said.contains("NIC back: at once"), "{said}");
    assert_nics(&lab, 2, "");
    // What the registry would not take is found before a guest notices anything.
    lab.seedbed(&["set", "web1", "--remove-nic", "back", "--remove-nic", "store"])
        .refused(1, &["store"]);
    assert_nics(&lab, 2, "");
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    assert_eq!((lab.taps(), permanent(&lab)), (vec![], vec![]));
    lab.seedbed(&["delete", "web1"]).ok();
    assert_nothing_left(&lab);
}

#[test]
fn a_daemon_killed_while_a_nic_comes_or_goes_leaves_it_whole_or_not_at_all() {
    if !root() {
        return;
    }
    let mut lab = with_web1();
    let qemus = lab.qemus();
    for step in ["nic tap", "nic guarded", "nic given", "nic backed", "nic plugged"] {
        cut_short(&mut lab, step, &["--nic", "back"]);
        assert_eq!(lab.qemus(), qemus, "{step}");
        match step {
            "nic plugged" => assert_nics(&lab, 2, ""),
            _ => assert_nics(&lab, 1, "NIC"),
        }
        set(&lab, &["--nic", "back"]);
        assert_nics(&lab, 2, "");
        set(&lab, &["--remove-nic", "back"]);
        assert_nics(&lab, 1, "");
    }
    set(&lab, &["--nic", "back"]);
    for step in ["nic let go", "nic cut off", "nic freed"] {
        cut_short(&mut lab, step, &["--remove-nic", "back"]);
        assert_eq!(lab.qemus(), qemus, "{step}");
        assert_nics(&lab, 1, "NIC");
        set(&lab, &["--nic", "back"]);
        assert_nics(&lab, 2, "");
    }
    lab.seedbed(&["delete", "web1", "--force"]).ok();
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
