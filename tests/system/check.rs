//! `check` against what is really on the wire: 200 machines with their own hardware addresses, real SSH servers among them, dead
//! ones, and one that has taken another's address.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{Client, Lab, Run, Running, eventually, say};
use crate::turn::Turn;
use crate::{guests, root};

/// A check as JSON, and its exit code.
fn check(lab: &Lab, names: &[&str]) -> (i32, Vec<Value>) {
    let run = lab.seedbed(&[&["check", "--format", "json"], names].concat());
    let checks = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    (run.code, checks)
}

fn text<'a>(check: &'a Value, field: &str) -> &'a str {
    check[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} in {check}"))
}

const LAST: u32 = 200;

fn name(number: u32) -> String {
    format!("v{number:03}")
}

fn address(number: u32) -> String {
    format!("10.77.0.{}", 10 + number)
}

fn mac(number: u32) -> String {
    format!("52:54:00:aa:00:{number:02x}")
}

/// Those whose host key the registry knows, and that have it: as many as one sshd listens at.
const KEYED: std::ops::RangeInclusive<u32> = 1..=16;
/// One with another host key than it told, and one whose SSH server is gone.
const OTHER_KEY: u32 = 17;
const CLOSED: u32 = 18;
/// Those that only greet as SSH servers do.
const GREETING: std::ops::RangeInclusive<u32> = 19..=190;
/// Nobody is there.
const DEAD: std::ops::RangeInclusive<u32> = 191..=199;
/// Another machine has its address.
const TAKEN: u32 = 200;

/// 200 machines in one namespace: each a macvlan with a hardware address and an IP of its own.
struct Crowd {
    client: Client,
    servers: Vec<Running>,
}

impl Crowd {
    fn new(lab: &mut Lab) -> Self {
        let client = lab.client("52:54:00:bb:00:00");
        // Each answers for its own address alone, and asks from it.
        for setting in ["arp_ignore=1", "arp_announce=2", "rp_filter=0"] {
            for of in ["all", "default"] {
                client
                    .run(&["sysctl", "-qw", &format!("net.ipv4.conf.{of}.{setting}")])
                    .ok();
            }
        }
        let mut batch = String::new();
        for number in (1..=LAST).filter(|number| !DEAD.contains(number)) {
            let mac = if number == TAKEN {
                "52:54:00:cc:00:01".to_owned()
            } else {
                mac(number)
            };
            let ip = address(number);
            writeln!(batch, "link add mv{number} link eth0 type macvlan mode bridge").unwrap();
            writeln!(batch, "link set mv{number} address {mac} up").unwrap();
            writeln!(batch, "addr add {ip}/24 dev mv{number}").unwrap();
        }
        let path = lab.path("machines");
        fs::write(&path, batch).unwrap();
        client.run(&["ip", "-batch", &path.to_string_lossy()]).ok();
        Self {
            client,
            servers: Vec::new(),
        }
    }

    fn serve(&mut self, words: &[&str]) {
        self.servers.push(Running::start(&mut self.client.command(words)));
    }

    /// What a first boot tells: the public half of a host key.
    fn phones_home(&self, number: u32, key: &str) {
        let url = "http://10.77.0.1/phone-home";
        let said = ["--data-urlencode", &format!("pub_key_ed25519={key}"), url];
        let interface = format!("mv{number}");
        let curl = [
            "curl",
            "-sS",
            "--fail",
            "--max-time",
            "10",
            "--interface",
            &interface,
        ];
        self.client.run(&[&curl[..], &said].concat()).ok();
    }
}

/// A host key: the path of its private half, and its public one.
fn host_key(lab: &Lab, name: &str) -> (String, String) {
    let path = lab.path(name).to_string_lossy().into_owned();
    Run::of(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path])).ok();
    let public = fs::read_to_string(format!("{path}.pub")).unwrap();
    (path, public.trim().to_owned())
}

fn ssh_servers(lab: &Lab, crowd: &mut Crowd) -> String {
    let (private, public) = host_key(lab, "host-key");
    fs::create_dir_all("/run/sshd").unwrap();
    let mut config = format!("HostKey {private}\nPidFile none\nUsePAM no\nMaxStartups 500\n");
    for number in KEYED {
        writeln!(config, "ListenAddress {}", address(number)).unwrap();
    }
    let path = lab.path("sshd_config").to_string_lossy().into_owned();
    // Since OpenSSH 9.8 it shuts out who comes often and never logs in: here one sshd is sixteen machines.
    fs::write(&path, format!("{config}PerSourcePenalties no\n")).unwrap();
    let knows = Command::new("/usr/sbin/sshd")
        .args(["-t", "-f", &path])
        .output()
        .unwrap();
    if !knows.status.success() {
        fs::write(&path, config).unwrap();
    }
    crowd.serve(&["/usr/sbin/sshd", "-D", "-f", &path]);
    // Dropbear, with a key of its own that it makes itself.
    let key = lab.path("dropbear-key").to_string_lossy().into_owned();
    let at = format!("{}:22", address(OTHER_KEY));
    Run::of(Command::new("dropbearkey").args(["-t", "ed25519", "-f", &key])).ok();
    crowd.serve(&["dropbear", "-F", "-r", &key, "-p", &at]);
    let greeters: Vec<_> = GREETING.map(|number| format!("'{}'", address(number))).collect();
    let greeter = format!(
        "import asyncio\n\
         async def greet(reader, writer):\n\
         \x20   writer.write(b'SSH-2.0-greeter\\r\\n')\n\
         \x20   await reader.read(1)\n\
         \x20   writer.close()\n\
         async def main():\n\
         \x20   await (await asyncio.start_server(greet, [{}], 22)).serve_forever()\n\
         asyncio.run(main())\n",
        greeters.join(", ")
    );
    crowd.serve(&["/usr/bin/python3", "-c", &greeter]);
    public
}

/// A lab that knows all of them.
fn lab_with_all() -> Lab {
    let lab = Lab::new();
    let mut roster = "name,mac,ip\n".to_owned();
    for number in 1..=LAST {
        writeln!(roster, "{},{},{}", name(number), mac(number), address(number)).unwrap();
    }
    let path = lab.path("roster.csv");
    fs::write(&path, roster).unwrap();
    lab.seedbed(&["import", "--from", "csv", &path.to_string_lossy()])
        .ok();
    lab
}

/// What a check of all says, and how long it took where nothing else was in its way.
fn fastest_of_three(lab: &Lab) -> ((i32, Vec<Value>), Duration) {
    let timed = || {
        #[expect(clippy::disallowed_methods, reason = "what the test measures")]
        let begun = Instant::now();
        (check(lab, &[]), begun.elapsed())
    };
    let all = [timed(), timed(), timed()];
    all.into_iter().min_by_key(|(_, took)| *took).unwrap()
}

#[test]
fn two_hundred_machines_are_checked_within_three_seconds() {
    if !root() {
        return;
    }
    let _alone = Turn::alone();
    let mut lab = lab_with_all();
    let mut crowd = Crowd::new(&mut lab);
    let public = ssh_servers(&lab, &mut crowd);
    for number in KEYED.chain([OTHER_KEY, CLOSED]) {
        crowd.phones_home(number, &public);
    }
    let all_keyed = format!("v[{}-{}]", &name(1)[1..], &name(16)[1..]);
    let up = eventually(Duration::from_secs(20), || {
        check(&lab, &[&all_keyed, "v[019-190]"]).0 == 0
    });
    assert!(up, "{:#?}", check(&lab, &[&all_keyed]));

    let ((code, checks), took) = fastest_of_three(&lab);
    say(&format!("200 machines were checked in {} ms", took.as_millis()));
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!((code, checks.len()), (1, 200));
    for (number, check) in (1..).zip(&checks) {
        is_judged(number, check);
    }
    assert!(
        text(&checks[0], "ssh_banner").starts_with("SSH-2.0-OpenSSH_"),
        "{}",
        checks[0]
    );
    let problem = |number: u32| {
        let check = &checks[number as usize - 1];
        check["problems"][0].as_str().unwrap().to_owned()
    };
    assert_eq!(problem(191), "nobody answers for its address");
    assert_eq!(
        problem(TAKEN),
        "52:54:00:cc:00:01 answers for its address, instead of it"
    );
    assert!(problem(OTHER_KEY).starts_with("its SSH server has a host key that is not the VM's: SHA256:"));
    cron_reads_only_what_is_wrong(&lab, &all_keyed);
}

fn is_judged(number: u32, check: &Value) {
    assert_eq!(text(check, "name"), name(number));
    let expected = match number {
        _ if KEYED.contains(&number) => ["ok", "ok", "ok", "ok", "ok"],
        OTHER_KEY => ["wrong", "ok", "ok", "ok", "other key"],
        CLOSED => ["wrong", "ok", "ok", "ok", "closed"],
        _ if GREETING.contains(&number) => ["ok", "ok", "ok", "ok", "key unknown"],
        _ if DEAD.contains(&number) => ["wrong", "silent", "silent", "ok", "silent"],
        _ => ["wrong", "52:54:00:cc:00:01", "ok", "ok", "closed"],
    };
    let seen = ["verdict", "arp", "ping", "dns", "ssh"].map(|field| text(check, field));
    assert_eq!(seen, expected, "{check:#}");
    let asked = KEYED.contains(&number) || number == OTHER_KEY || number == CLOSED;
    assert_eq!(check["metadata_seconds_ago"].is_u64(), asked, "{check:#}");
}

fn cron_reads_only_what_is_wrong(lab: &Lab, well: &str) {
    let quiet = lab.seedbed(&["check", "--quiet", well]);
    assert_eq!(
        (quiet.code, &*quiet.stdout, &*quiet.stderr),
        (0, "", ""),
        "{quiet}"
    );
    let quiet = lab.seedbed(&["check", "--quiet"]);
    let wrong = DEAD.count() + 3;
    assert_eq!(
        (quiet.code, quiet.stdout.lines().count()),
        (1, wrong + 1),
        "{quiet}"
    );
    assert_eq!(quiet.stderr, "");
    lab.seedbed(&["check", "nobody"]).refused(3, &["no VM `nobody`"]);
}

#[test]
fn a_vm_of_ours_is_checked_while_it_runs_and_after() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(&lab, &["web1", "--wait=120"])).ok();
    let seen = |fields: &[&str]| {
        let (code, checks) = check(&lab, &[]);
        let words: Vec<_> = fields
            .iter()
            .map(|field| text(&checks[0], field).to_owned())
            .collect();
        (code, words.join(" "))
    };
    // The tiny guest has no SSH server, and never told a host key.
    let fields = ["verdict", "state", "step", "arp", "ping", "dns", "ssh"];
    assert_eq!(seen(&fields), (0, "ok running ready ok ok ok closed".to_owned()));
    let table = lab.seedbed(&["check"]).ok();
    assert!(
        table.starts_with("NAME   IP") && table.trim_end().ends_with("ok"),
        "{table}"
    );
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    let fields = ["verdict", "state", "arp", "ssh"];
    assert_eq!(seen(&fields), (0, "stopped stopped silent not asked".to_owned()));
    lab.seedbed(&["start", "web1"]).ok();
    Run::of(Command::new("kill").args(["-9", &lab.qemus()[0].to_string()])).ok();
    let fields = ["verdict", "state", "arp", "ssh"];
    let failed = eventually(Duration::from_secs(10), || {
        seen(&fields) == (1, "wrong failed silent not asked".to_owned())
    });
    assert!(failed, "{:?}", seen(&fields));
}
