//! Guests that wear the metadata service out, by real tools: nobody else notices, and an answer reaches nobody behind a guest.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::{Client, Lab, Run, Running, eventually};
use crate::root;

const EVIL: (&str, &str) = ("52:54:00:aa:00:01", "10.77.0.50");
const GOOD: (&str, &str) = ("52:54:00:aa:00:02", "10.77.0.51");
const META_DATA: &str = "http://10.77.0.1/nocloud/meta-data";
/// Connections that the daemon takes from one address.
const PER_SOURCE: usize = 64;

/// A registered machine of someone else's, with its address.
fn machine(lab: &mut Lab, name: &str, (mac, address): (&str, &str)) -> Client {
    lab.seedbed(&["add", name, "--mac", mac, "--ip", address]).ok();
    let client = lab.client(mac);
    client.set_address(&format!("{address}/24"));
    client
}

/// It reads its own document, within this many seconds.
fn is_served(client: &Client, name: &str, seconds: &str) {
    let read = client
        .run(&["curl", "-sS", "--max-time", seconds, META_DATA])
        .ok();
    assert!(read.contains(&format!("{name}.lab")), "{read}");
}

/// How many connections the host has open to one address.
fn open_to(lab: &Lab, address: &str) -> usize {
    let filter = ["state", "established", "sport", "=", ":80", "and", "dst", address];
    let listed = Run::of(&mut lab.inside(&[&["ss", "-Htn"][..], &filter].concat())).ok();
    listed.lines().count()
}

/// CPU time that the daemon has used, in ticks of 10 ms.
fn ticks(lab: &Lab) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", lab.daemon_pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn h01_slow_headers_and_bodies_are_cut_and_nobody_else_waits() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (evil, good) = (machine(&mut lab, "evil", EVIL), machine(&mut lab, "good", GOOD));
    for kind in ["-H", "-B", "-X"] {
        let mut slow = evil.command(&[
            "slowhttptest",
            kind,
            "-c",
            "1000",
            "-r",
            "500",
            "-i",
            "10",
            "-l",
            "8",
        ]);
        slow.args(["-p", "2", "-u", META_DATA]);
        let slow = Running::start(&mut slow);
        assert!(
            eventually(Duration::from_secs(5), || open_to(&lab, EVIL.1) > 0),
            "{kind}"
        );
        for _ in 0..10 {
            is_served(&good, "good", "2");
        }
        drop(slow);
    }
    let none = eventually(Duration::from_secs(8), || open_to(&lab, EVIL.1) == 0);
    assert!(none, "connections outlive their deadline");
    is_served(&evil, "evil", "2");
}

/// Opens so many connections a second from these addresses, holds them, and says how many were made.
const FLOOD: &str = "
import socket, sys, time
rate, seconds, sources = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
held, began = [], time.monotonic()
while (passed := time.monotonic() - began) < seconds:
    while len(held) < passed * rate and len(held) < rate * seconds:
        s = socket.socket()
        s.setblocking(False)
        s.bind((sources[len(held) % len(sources)], 0))
        s.connect_ex(('10.77.0.1', 80))
        held.append(s)
    time.sleep(0.002)
time.sleep(3)
print(len(held))
";

#[test]
fn h13_a_flood_of_connections_takes_64_places_and_nobody_elses() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (evil, good) = (machine(&mut lab, "evil", EVIL), machine(&mut lab, "good", GOOD));
    let words = [
        "prlimit",
        "--nofile=20000",
        "python3",
        "-c",
        FLOOD,
        "2000",
        "4",
        EVIL.1,
    ];
    let mut flood = evil.command(&words).stdout(Stdio::piped()).spawn().unwrap();
    assert!(eventually(Duration::from_secs(5), || open_to(&lab, EVIL.1) >= PER_SOURCE));
    for _ in 0..10 {
        is_served(&good, "good", "2");
    }
    // What was made and not yet accepted is closed as soon as it is.
    let capped = eventually(Duration::from_secs(5), || open_to(&lab, EVIL.1) <= PER_SOURCE);
    let mut made = String::new();
    std::io::Read::read_to_string(flood.stdout.as_mut().unwrap(), &mut made).unwrap();
    assert!(flood.wait().unwrap().success());
    assert!(capped, "{} connections are open", open_to(&lab, EVIL.1));
    assert!(made.trim().parse::<u32>().unwrap() > 2_000, "no flood: {made}");
}

#[test]
fn h14_a_full_file_table_is_waited_out_without_spinning() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    lab.start_daemon_by(&["prlimit", "--nofile=256:256"]);
    lab.wait_for_daemon();
    let (evil, good) = (machine(&mut lab, "evil", EVIL), machine(&mut lab, "good", GOOD));
    let others: Vec<String> = (100..110).map(|last| format!("10.77.0.{last}")).collect();
    for address in &others {
        evil.run(&["ip", "addr", "add", &format!("{address}/24"), "dev", "eth0"])
            .ok();
    }
    let mut words = vec!["python3", "-c", FLOOD, "500", "4"];
    words.extend(others.iter().map(String::as_str));
    let flood = Running::start(&mut evil.command(&words));
    let full = || lab.daemon_log().contains("can not accept metadata connections");
    assert!(
        eventually(Duration::from_secs(4), full),
        "the table was never full"
    );
    let before = ticks(&lab);
    assert!(
        !eventually(Duration::from_secs(1), || ticks(&lab) - before > 50),
        "it spins"
    );
    drop(flood);
    let recovers = || {
        let read = good.run(&["curl", "-sS", "--max-time", "2", META_DATA]);
        read.stdout.contains("good.lab")
    };
    assert!(
        eventually(Duration::from_secs(60), recovers),
        "{}",
        lab.daemon_log()
    );
}

#[test]
fn h21_a_request_from_the_host_or_another_bridge_is_refused() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let good = machine(&mut lab, "good", GOOD);
    let own = Run::of(&mut lab.inside(&["curl", "-sS", "--max-time", "3", META_DATA]));
    assert!(!own.stdout.contains("instance-id"), "{own}");
    Run::of(&mut lab.inside(&["ip", "link", "add", "br9", "type", "bridge"])).ok();
    Run::of(&mut lab.inside(&["ip", "addr", "add", "10.99.0.1/24", "dev", "br9"])).ok();
    Run::of(&mut lab.inside(&["ip", "link", "set", "br9", "up"])).ok();
    let stranger = lab.client("52:54:00:aa:00:09");
    stranger.move_to("br9");
    stranger.set_address("10.99.0.9/24");
    stranger
        .run(&["ip", "route", "add", "default", "via", "10.99.0.1"])
        .ok();
    let asked = stranger.run(&["curl", "-sS", "--max-time", "2", META_DATA]);
    assert!(asked.code == 28 && asked.stdout.is_empty(), "{asked}");
    is_served(&good, "good", "2");
}

/// Reads a document, and prints the TTL of every packet of the answer.
const TTLS: &str = "
import socket, subprocess, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
s.bind(('eth0', 0))
subprocess.run(['curl', '-sS', '--max-time', '5', sys.argv[1]], check=True, stdout=subprocess.DEVNULL)
s.settimeout(0.5)
ttls = set()
try:
    while True:
        p = s.recv(2048)[14:]
        if p[9] == 6 and socket.inet_ntoa(p[12:16]) == '10.77.0.1' and p[20:22] == b'\\x00\\x50':
            ttls.add(p[8])
except socket.timeout:
    print(sorted(ttls))
";

/// A container behind a guest, which routes for it under its own address.
struct Container(String);

impl Container {
    fn behind(guest: &Client) -> Self {
        let (name, host) = (format!("{}-x", guest.namespace()), guest.namespace());
        let ip = |words: &[&str]| drop(Run::of(Command::new("ip").args(words)).ok());
        ip(&["netns", "add", &name]);
        let pair = [
            "link", "add", "ctr0", "type", "veth", "peer", "name", "eth0", "netns",
        ];
        ip(&[&["-n", host][..], &pair, &[name.as_str()]].concat());
        ip(&["-n", host, "addr", "add", "172.17.0.1/24", "dev", "ctr0"]);
        ip(&["-n", host, "link", "set", "ctr0", "up"]);
        ip(&["-n", &name, "addr", "add", "172.17.0.2/24", "dev", "eth0"]);
        ip(&["-n", &name, "link", "set", "eth0", "up"]);
        ip(&["-n", &name, "route", "add", "default", "via", "172.17.0.1"]);
        let rules = "add table ip t\nadd chain ip t c { type nat hook postrouting priority 100; }\n\
                     add rule ip t c oifname eth0 masquerade";
        guest.run(&["sysctl", "-qw", "net.ipv4.ip_forward=1"]).ok();
        guest.run(&["nft", rules]).ok();
        Self(name)
    }

    fn asks(&self) -> Run {
        let words = [
            "netns",
            "exec",
            &self.0,
            "curl",
            "-sS",
            "--max-time",
            "3",
            META_DATA,
        ];
        Run::of(Command::new("ip").args(words))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        Command::new("ip").args(["netns", "del", &self.0]).output().ok();
    }
}

#[test]
fn h22_answers_have_a_ttl_of_1_and_do_not_reach_a_container_unless_they_shall() {
    if !root() {
        return;
    }
    for hops in [1, 2] {
        let mut lab = Lab::without_daemon();
        if hops != 1 {
            let config = lab.path("config.yaml");
            let text = fs::read_to_string(&config).unwrap();
            fs::write(&config, format!("{text}\n  metadata: {{ttl: {hops}}}\n")).unwrap();
        }
        lab.start_daemon();
        let good = machine(&mut lab, "good", GOOD);
        let ttls = good.run(&["python3", "-c", TTLS, META_DATA]).ok();
        assert_eq!(ttls.trim(), format!("[{hops}]"));
        let container = Container::behind(&good);
        let asked = container.asks();
        if hops == 1 {
            assert!(asked.code == 28 && asked.stdout.is_empty(), "{asked}");
        } else {
            assert!(asked.ok().contains("good.lab"));
        }
    }
}
