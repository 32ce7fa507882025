//! Names outside the daemon: generated files that foreign servers read, names on the host itself, and moving in.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::{Lab, Run, eventually, say};
use crate::root;

const SOON: Duration = Duration::from_secs(60);
/// Longer than it takes the daemon to look whether everything is as it was left.
const NEXT_LOOK: Duration = Duration::from_secs(25);

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn is_installed(program: &str) -> bool {
    let found = Path::new("/usr/sbin").join(program).exists() || Path::new("/usr/bin").join(program).exists();
    if !found {
        say(&format!("skipped: {program} is not installed"));
    }
    found
}

#[test]
fn generated_files_follow_each_change_and_say_what_the_server_answers() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    lab.seedbed(&["add", "web1", "--ip", "10.77.0.20", "--alias", "www"])
        .ok();
    lab.seedbed(&["dns", "add", "@", "TXT", "v=spf1 -all"]).ok();
    let exports = lab.path("state/exports/lab");
    let whole = |text: &str| text.contains("www IN CNAME web1.lab.\n") && text.contains("@ IN TXT");
    assert!(
        eventually(SOON, || whole(&read(&exports.join("zone")))),
        "{}",
        read(&exports.join("zone"))
    );
    for (form, file) in [
        ("zone", "zone"),
        ("reverse-zone", "reverse-zone-0.77.10.in-addr.arpa"),
        ("dnsmasq-dhcp", "dnsmasq-dhcp-hosts"),
        ("dnsmasq-hosts", "dnsmasq-hosts"),
        ("kea", "kea-reservations.json"),
    ] {
        let shown = lab.seedbed(&["export", form]).ok();
        assert!(
            eventually(SOON, || read(&exports.join(file)) == shown),
            "{file}:\n{}\n{form}:\n{shown}",
            read(&exports.join(file))
        );
    }
    // The start of authority is the server's own, to the last number.
    let asked = |zone: &str| {
        let words = ["dig", "+short", "@10.77.0.1", zone, "SOA"];
        Run::of(&mut lab.inside(&words)).ok().trim().to_owned()
    };
    for (zone, file) in [
        ("lab", "zone"),
        ("0.77.10.in-addr.arpa", "reverse-zone-0.77.10.in-addr.arpa"),
    ] {
        let start = format!("@ IN SOA {}\n", asked(zone));
        assert!(read(&exports.join(file)).contains(&start), "{start}");
    }
    lab.seedbed(&["delete", "web1"]).ok();
    assert!(eventually(SOON, || !read(&exports.join("zone")).contains("web1")));
}

#[test]
fn dnsmasq_serves_what_was_exported_for_it() {
    if !root() || !is_installed("dnsmasq") {
        return;
    }
    let mut lab = Lab::new();
    lab.seedbed(&["add", "web1", "--ip", "10.77.0.20", "--alias", "www"])
        .ok();
    let (names, hosts) = (lab.path("names"), lab.path("dhcp-hosts"));
    fs::write(&names, lab.seedbed(&["export", "dnsmasq-hosts"]).ok()).unwrap();
    fs::write(&hosts, lab.seedbed(&["export", "dnsmasq-dhcp"]).ok()).unwrap();
    let client = lab.client("52:54:00:00:00:99");
    let log = fs::File::create(lab.path("dnsmasq.log")).unwrap();
    let mut dnsmasq = client.command(&[
        "dnsmasq",
        "--no-daemon",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        "--pid-file=",
        "--port=5353",
        "--interface=lo",
        "--bind-interfaces",
        "--dhcp-range=10.77.0.0,static",
    ]);
    dnsmasq
        .arg(format!("--addn-hosts={}", names.display()))
        .arg(format!("--dhcp-hostsfile={}", hosts.display()))
        .stderr(log);
    let mut dnsmasq = dnsmasq.spawn().unwrap();
    let ask = |words: &[&str]| {
        let dig = ["dig", "+short", "+time=1", "+tries=1", "-p", "5353", "@127.0.0.1"];
        client.run(&[&dig, words].concat()).stdout.trim().to_owned()
    };
    let up = eventually(SOON, || ask(&["web1.lab"]) == "10.77.0.20");
    let answers = [ask(&["www"]), ask(&["-x", "10.77.0.20"])];
    dnsmasq.kill().unwrap();
    dnsmasq.wait().unwrap();
    let said = read(&lab.path("dnsmasq.log"));
    assert!(up, "{said}");
    assert_eq!(answers, ["10.77.0.20", "web1.lab."], "{said}");
    assert!(said.contains(&format!("read {}", hosts.display())), "{said}");
    assert!(!said.contains("bad"), "{said}");
}

#[test]
fn the_hosts_file_has_our_block_while_it_is_to_and_all_else_stays() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    let hosts = lab.path("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    lab.configure("host_names: hosts");
    lab.configure(&format!("hosts_file: {}", hosts.display()));
    lab.start_daemon();
    lab.seedbed(&["add", "web1", "--ip", "10.77.0.20"]).ok();
    let line = "\n10.77.0.20  web1.lab web1\n";
    assert!(
        eventually(SOON, || read(&hosts).contains(line)),
        "{}",
        read(&hosts)
    );
    let sheet = lab.seedbed(&["show", "network"]).ok();
    let told = format!("hosts file {} (managed block)", hosts.display());
    assert!(sheet.contains(&told), "{sheet}");
    // Somebody else writes the file anew: the block comes back, behind what is there now.
    fs::write(&hosts, "127.0.0.1 localhost me\n").unwrap();
    assert!(
        eventually(NEXT_LOOK, || read(&hosts).contains(line)),
        "{}",
        read(&hosts)
    );
    assert!(read(&hosts).starts_with("127.0.0.1 localhost me\n# BEGIN seedbed "));
    // A block that is cut off is nobody's to repair but the operator's.
    let torn = read(&hosts).lines().take(3).collect::<Vec<_>>().join("\n");
    fs::write(&hosts, &torn).unwrap();
    let problem = || lab.seedbed(&["show", "network"]).ok();
    assert!(
        eventually(NEXT_LOOK, || problem().contains("line 2 begins Seedbed's block")),
        "{}",
        problem()
    );
    assert_eq!(read(&hosts), torn);
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    assert!(
        eventually(NEXT_LOOK, || read(&hosts).contains(line)),
        "{}",
        read(&hosts)
    );
    lab.stop_daemon();
    lab.configure("host_names: off");
    lab.start_daemon();
    assert!(
        eventually(SOON, || read(&hosts) == "127.0.0.1 localhost\n"),
        "{}",
        read(&hosts)
    );
}

/// A D-Bus and a systemd-resolved of the lab's own, then the daemon: what runs in this process afterwards.
const RESOLVED: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus /run/systemd/resolve
chown systemd-resolve:systemd-resolve /run/systemd/resolve
dbus-daemon --system --nofork --nopidfile & echo $! >"$LAB/dbus.pid"
for try in $(seq 100); do [ -S /run/dbus/system_bus_socket ] && break; sleep 0.05; done
/lib/systemd/systemd-resolved & echo $! >"$LAB/resolved.pid"
for try in $(seq 100); do resolvectl status >/dev/null 2>&1 && break; sleep 0.05; done
exec "$@"
"#;

struct Companions<'a>(&'a Lab);

impl Drop for Companions<'_> {
    fn drop(&mut self) {
        for file in ["resolved.pid", "dbus.pid"] {
            let pid = read(&self.0.path(file));
            Command::new("kill").arg(pid.trim()).status().ok();
        }
    }
}

#[test]
fn resolved_asks_the_bridge_for_its_names_and_is_told_again_when_it_forgot() {
    if !root() || !Path::new("/lib/systemd/systemd-resolved").exists() || !is_installed("dbus-daemon") {
        say("skipped: needs the packages systemd-resolved and dbus");
        return;
    }
    let mut lab = Lab::without_daemon();
    lab.configure("host_names: resolved");
    lab.start_daemon_by(&["unshare", "--mount", "sh", "-c", RESOLVED, "sh"]);
    lab.wait_for_daemon();
    // A bridge without a port that is up has no carrier, and resolved asks nobody behind such a link.
    let _client = lab.client("52:54:00:00:00:99");
    let _companions = Companions(&lab);
    lab.seedbed(&["add", "web1", "--ip", "10.77.0.20"]).ok();
    let pid = lab.daemon_pid().to_string();
    let inside = |words: &[&str]| {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &pid, "-m", "-n"])
            .args(words)
            .stdin(Stdio::null());
        Run::of(&mut command)
    };
    let query = |name: &str| inside(&["resolvectl", "query", "--legend=no", name]).stdout;
    assert!(
        eventually(SOON, || query("web1.lab").contains("10.77.0.20")),
        "{}\n{}",
        inside(&["resolvectl", "status"]),
        lab.daemon_log()
    );
    assert!(
        query("10.77.0.20").contains("web1.lab"),
        "{}",
        query("10.77.0.20")
    );
    assert!(query("web1").contains("10.77.0.20"), "{}", query("web1"));
    let sheet = lab.seedbed(&["show", "network"]).ok();
    assert!(sheet.contains("resolved (per-link DNS on br0)"), "{sheet}");
    // As after a restart of the service: links are known no more.
    inside(&["resolvectl", "revert", "br0"]).ok();
    assert!(
        eventually(NEXT_LOOK, || query("web1.lab").contains("10.77.0.20")),
        "{}",
        lab.daemon_log()
    );
}

#[test]
fn hosts_of_other_programs_move_in() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let file = lab.path("network.xml");
    let xml = "<network><ip><dhcp>\n<host mac='52:54:00:aa:bb:01' name='web1' ip='10.77.0.5'/>\n\
               <host mac='52:54:00:aa:bb:02' name='web2'/>\n</dhcp></ip>\n\
               <dns><host ip='10.77.0.5'><hostname>www</hostname></host></dns></network>\n";
    fs::write(&file, xml).unwrap();
    let file = file.display().to_string();
    let import = ["import", "--from", "libvirt", &file];
    let dry = lab.seedbed(&[&import[..], &["--dry-run"]].concat()).ok();
    assert!(
        dry.contains("10.77.0.5") && dry.contains("www") && dry.contains("web2"),
        "{dry}"
    );
    assert_eq!(lab.seedbed(&["list", "--format", "json"]).ok().trim(), "[]");
    assert_eq!(lab.seedbed(&import).ok(), "2 VMs imported\n");
    lab.seedbed(&import).refused(1, &["line 2", "web1"]);
    // What goes out comes in again, elsewhere.
    let names = lab.seedbed(&["export", "dnsmasq-dhcp"]).ok();
    lab.seedbed(&["delete", "web1", "web2"]).ok();
    let file = lab.path("hosts");
    fs::write(&file, &names).unwrap();
    lab.seedbed(&["import", "--from", "dnsmasq", &file.display().to_string()])
        .ok();
    assert_eq!(lab.seedbed(&["export", "dnsmasq-dhcp"]).ok(), names);
    // A machine that never asked can be adopted too; it is `add` with its MAC.
    assert_eq!(
        lab.seedbed(&["discovered"]).ok().trim(),
        "MAC   NETWORK   HOSTNAME   VENDOR   SEEN   TIMES"
    );
    let adopted = lab.seedbed(&["adopt", "52:54:00:aa:bb:03", "nas"]).ok();
    assert!(adopted.contains("52:54:00:aa:bb:03"), "{adopted}");
}
