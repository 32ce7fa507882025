//! One tiny guest through its life: stop, start, restart, console, log, a daemon restart in between.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::{guests, root};

fn lab_with_web1() -> Lab {
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    launch(&lab, "web1");
    lab
}

fn launch(lab: &Lab, name: &str) {
    Run::of(&mut guests::launch(lab, &[name, "--wait=120"])).ok();
}

fn show(lab: &Lab, field: &str) -> serde_json::Value {
    show_of(lab, "web1", field)
}

fn show_of(lab: &Lab, name: &str, field: &str) -> serde_json::Value {
    let json = lab.seedbed(&["show", name, "--format", "json"]).ok();
    let vms: serde_json::Value = serde_json::from_str(&json).unwrap();
    let vm = if vms.is_array() { vms[0].clone() } else { vms };
    vm[field].clone()
}

#[test]
fn a_guest_is_stopped_started_and_restarted() {
    if !root() {
        return;
    }
    let lab = lab_with_web1();
    let ip = show(&lab, "ip");
    lab.seedbed(&["stop", "web1", "--deadline", "30s"]).ok();
    assert_eq!(
        (show(&lab, "state"), lab.qemus(), lab.taps()),
        ("stopped".into(), vec![], vec![])
    );
    lab.seedbed(&["wait", "web1", "--for", "ready", "--timeout", "5s"])
        .refused(1, &["web1", "not running"]);
    lab.seedbed(&["start", "web1"]).ok();
    lab.seedbed(&["wait", "web1", "--for", "ready", "--timeout", "120s"])
        .ok();
    lab.seedbed(&["restart", "web1", "--force"]).ok();
    lab.seedbed(&["wait", "web1", "--timeout", "120s"]).ok();
    assert_eq!(show(&lab, "ip"), ip);
    // Starting what runs is no error, and starts nothing.
    lab.seedbed(&["start", "web1"]).ok();
    assert_eq!(lab.qemus().len(), 1);
}

#[test]
fn a_guest_survives_a_daemon_restart_and_a_daemon_crash() {
    if !root() {
        return;
    }
    let mut lab = lab_with_web1();
    let before = (lab.qemus(), lab.taps());
    assert_eq!(before.0.len(), 1);
    lab.stop_daemon();
    assert_eq!(
        (lab.qemus(), lab.taps()),
        before,
        "the guest went with the daemon"
    );
    lab.start_daemon();
    assert_eq!(show(&lab, "state"), "running");
    lab.kill_daemon();
    lab.start_daemon();
    assert_eq!((lab.qemus(), lab.taps()), before);
    assert_eq!(show(&lab, "pid"), before.0[0]);
    lab.seedbed(&["stop", "web1"]).ok();
    assert_eq!(
        (show(&lab, "state"), lab.qemus(), lab.taps()),
        ("stopped".into(), vec![], vec![])
    );
}

#[test]
fn a_qemu_that_is_killed_is_seen_and_leaves_nothing() {
    if !root() {
        return;
    }
    let lab = lab_with_web1();
    Run::of(Command::new("kill").args(["-9", &lab.qemus()[0].to_string()])).ok();
    let seen = eventually(Duration::from_secs(5), || show(&lab, "state") == "failed");
    assert!(seen, "{:?}", show(&lab, "state"));
    assert!(
        show(&lab, "failure").as_str().unwrap().contains("signal"),
        "{:?}",
        show(&lab, "failure")
    );
    assert_eq!(lab.taps(), [""; 0]);
    let rules = Run::of(&mut lab.inside(&["nft", "list", "ruleset"])).ok();
    assert!(!rules.contains("tap-web1"), "{rules}");
}

#[test]
fn a_guest_that_powers_itself_off_is_stopped() {
    if !root() {
        return;
    }
    let lab = lab_with_web1();
    let mut console = lab
        .command(&["console", "web1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    console
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"\npoweroff -f\n")
        .unwrap();
    lab.seedbed(&["wait", "web1", "--for", "stopped", "--timeout", "30s"])
        .ok();
    drop(console.stdin.take());
    let output = console.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("^]"),
        "the console did not say how to leave it:\n{said}"
    );
    assert_eq!(show(&lab, "state"), "stopped");
    assert!(
        lab.seedbed(&["log", "web1"]).ok().contains("TINY-READY"),
        "the log starts at power-on"
    );
}

/// A hardware address and an IP, and whose they are.
struct Station {
    name: &'static str,
    mac: String,
    ip: String,
}

fn station(lab: &Lab, name: &'static str) -> Station {
    let text = |field| show_of(lab, name, field).as_str().unwrap().to_owned();
    Station {
        name,
        mac: text("mac"),
        ip: text("ip"),
    }
}

/// A root shell in a guest, on its serial console.
pub(crate) struct Shell<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) name: &'static str,
    pub(crate) typed: u32,
}

impl Shell<'_> {
    /// What a line prints.
    ///
    /// The console echoes what is typed, so the marks around the output are computed by the shell: typed they look
    /// different.
    pub(crate) fn run(&mut self, line: &str) -> String {
        self.typed += 1;
        let number = self.typed;
        let mut console = self
            .lab
            .command(&["console", self.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let text = format!("\necho OUTPUT-$((1000+{number})); {line}; echo END-$((1000+{number}))\n");
        let typed = console.stdin.as_mut().unwrap().write_all(text.as_bytes());
        typed.unwrap();
        let (from, to) = (
            format!("OUTPUT-{}", 1000 + number),
            format!("END-{}", 1000 + number),
        );
        let mut log = String::new();
        let done = eventually(Duration::from_secs(60), || {
            log = self.lab.seedbed(&["log", self.name]).ok();
            log.contains(&to)
        });
        console.kill().unwrap();
        console.wait().unwrap();
        assert!(done, "{} did not finish `{line}`:\n{log}", self.name);
        let (_, output) = log.split_once(&from).unwrap();
        output.split_once(&to).unwrap().0.trim().to_owned()
    }

    /// Takes a hardware address and an IP, and asks for the documents of whoever it is taken for. What came is printed.
    ///
    /// Without wget's own `-T`, which crashes in Debian's static busybox (see contrib/tiny-guest).
    fn asks_as(&mut self, station: &Station) -> String {
        let (mac, ip) = (&station.mac, &station.ip);
        self.run(&format!(
            "ip link set eth0 down; ip link set eth0 address {mac}; ip link set eth0 up; ip addr flush dev eth0; \
             ip addr add {ip}/24 dev eth0; rm -f /run/got; \
             busybox timeout 8 wget -q -O /run/got http://10.77.0.1/nocloud/meta-data; cat /run/got"
        ))
    }

    /// As itself it gets its own documents, so that getting nothing as another says something.
    fn gets_its_own(&mut self) {
        let own = station(self.lab, self.name);
        let got = self.asks_as(&own);
        assert!(got.contains(&format!("\"{}.lab\"", self.name)), "{got}");
    }

    fn gets_nothing_as(&mut self, victim: &Station) {
        let got = self.asks_as(victim);
        assert!(!got.contains(".lab"), "taken for {}: {got}", victim.name);
        // wget left no file, or an empty one: the `cat` that prints it was reached either way.
        assert!(got.is_empty() || got.contains("can't open '/run/got'"), "{got}");
    }
}

#[test]
fn a_guest_can_not_speak_as_another() {
    if !root() {
        return;
    }
    let mut lab = lab_with_web1();
    launch(&lab, "web2");
    lab.seedbed(&["add", "db1", "--mac", "52:54:00:00:00:51", "--ip", "10.77.0.51"])
        .ok();
    let (web1, web2, db1) = (station(&lab, "web1"), station(&lab, "web2"), station(&lab, "db1"));
    let mut typed = 0;
    for restarted in [false, true] {
        if restarted {
            lab.stop_daemon();
            lab.start_daemon();
        }
        let mut shell = Shell {
            lab: &lab,
            name: "web1",
            typed,
        };
        // The thief first, so that nothing has told the new daemon of the victim.
        for victim in [&db1, &web2] {
            shell.gets_nothing_as(victim);
        }
        shell.gets_its_own();
        typed = shell.typed;
    }
    assert_eq!(show_of(&lab, "db1", "step"), serde_json::Value::Null);
    lab.seedbed(&["stop", "web2", "--force"]).ok();
    a_machine_of_someone_elses_can_not_speak_as_a_stopped_guest(&mut lab, [&web1, &web2, &db1]);
}

/// On a port that nobody guards: as an external VM it is served, as one of ours it is not, running or stopped.
fn a_machine_of_someone_elses_can_not_speak_as_a_stopped_guest(
    lab: &mut Lab,
    [running, stopped, external]: [&Station; 3],
) {
    let thief = lab.client(&external.mac);
    let asks_as = |who: &Station| {
        thief.become_another(&who.mac, &format!("{}/24", who.ip));
        let url = "http://10.77.0.1/nocloud/meta-data";
        thief.run(&["curl", "-sS", "--max-time", "5", "-w", "\n%{http_code}", url])
    };
    let own = asks_as(external).ok();
    assert!(own.contains("\"db1.lab\"") && own.ends_with("200"), "{own}");
    // The packet filter lets it say nothing at all as a VM that runs.
    let as_running = asks_as(running);
    assert!(
        as_running.code != 0 && as_running.stdout.ends_with("000"),
        "{as_running}"
    );
    let as_stopped = asks_as(stopped).ok();
    assert_eq!(as_stopped, "ask again\n\n503");
    assert!(lab.daemon_log().contains("does not run under Seedbed's guard"));
    assert!(asks_as(external).ok().ends_with("200"));
}

#[test]
fn render_shows_the_exact_bytes_before_anything_boots() {
    if !root() {
        return;
    }
    let lab = lab_with_web1();
    let render = |view: &str| lab.seedbed(&["render", "web1", "--as", view]).ok();
    let ip = show(&lab, "ip").as_str().unwrap().to_owned();
    assert!(render("nocloud").contains("web1.lab"));
    assert!(render("hosts").contains(&ip));
    lab.seedbed(&["add", "nas"]).ok();
    let both = lab.seedbed(&["render", "web1", "nas", "--as", "nocloud"]).ok();
    assert!(
        both.starts_with("# web1\n") && both.contains("\n# nas\n"),
        "{both}"
    );
    assert!(render("dhcp").contains(&ip));
    let qemu = render("qemu");
    assert!(qemu.contains("ds=nocloud-net;s=http://10.77.0.1/"), "{qemu}");
}
