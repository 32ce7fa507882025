//! The console of a real guest: many at it at once, and nobody there; a daemon, a broker, a QEMU that is killed.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::lab::{Lab, Run, eventually, say};
use crate::{guests, root};

const SOON: Duration = Duration::from_secs(60);

fn lab_with_web1() -> Lab {
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    Run::of(&mut guests::launch(&lab, &["web1", "--wait=120"])).ok();
    lab
}

/// Adds the tiny guest as an image whose kernel tells of its boot from the first line on.
fn add_talkative(lab: &Lab) {
    let tiny = guests::tiny();
    let file = |name: &str| tiny.join(name).to_string_lossy().into_owned();
    let cmdline = fs::read_to_string(tiny.join("cmdline")).unwrap();
    let cmdline = cmdline.trim().replace(" quiet", "");
    let (disk, kernel, initrd) = (file("disk.qcow2"), file("vmlinuz"), file("initrd.img"));
    let words = [
        "image", "add", "tiny", &disk, "--kernel", &kernel, "--initrd", &initrd,
    ];
    lab.seedbed(&[&words[..], &["--cmdline", &cmdline]].concat()).ok();
}

/// Somebody at a console, without a terminal.
struct Viewer {
    child: Child,
    typing: Option<ChildStdin>,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Viewer {
    fn attach(lab: &Lab, more: &[&str]) -> Self {
        let words = [&["console", "web1"], more].concat();
        let mut child = lab
            .command(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (typing, mut out) = (child.stdin.take(), child.stdout.take().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut part) {
                all.lock().unwrap().extend(&part[..count]);
            }
        });
        Self { child, typing, seen }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.typing.as_mut().unwrap(), "{line}").unwrap();
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    #[track_caller]
    fn sees(&self, text: &str) {
        assert!(
            eventually(SOON, || self.seen().contains(text)),
            "no {text:?} in:\n{}",
            self.seen()
        );
    }

    /// The VM ends, and so does this.
    fn ends(mut self) {
        let mut status = None;
        let ended = eventually(SOON, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended && status.unwrap().success(), "{status:?}");
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn kill(signal: &str, pid: u32) {
    Run::of(Command::new("kill").args([signal, &pid.to_string()])).ok();
}

/// The one broker there is.
fn broker(lab: &Lab) -> u32 {
    let brokers = lab.brokers();
    assert_eq!(brokers.len(), 1, "{brokers:?}\n{}", lab.daemon_log());
    brokers[0]
}

fn nothing_left(lab: &Lab) {
    let left = || (lab.qemus(), lab.brokers(), lab.listing("run/consoles"));
    eventually(SOON, || left() == (vec![], vec![], vec![]));
    assert_eq!(left(), (vec![], vec![], vec![]), "{}", lab.daemon_log());
}

/// The private memory of a process, in KiB.
fn private(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("Private_"));
    lines
        .map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap())
        .sum()
}

#[test]
fn several_look_on_at_once_from_power_on_and_who_watches_types_nothing() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    add_talkative(&lab);
    Run::of(&mut guests::launch(&lab, &["web1", "--wait=120"])).ok();
    let cast = lab.path("web1.cast");
    let mut watching = Viewer::attach(&lab, &["--read-only", "--record", cast.to_str().unwrap()]);
    let mut typing = Viewer::attach(&lab, &[]);
    // What was said before they came.
    watching.sees("TINY-READY");
    typing.sees("TINY-READY");
    watching.types("echo BAD-$((40+1))");
    typing.types("echo GOOD-$((40+2))");
    watching.sees("GOOD-42");
    typing.sees("GOOD-42");
    let log = lab.seedbed(&["log", "web1"]).ok();
    assert!(log.contains("GOOD-42") && !log.contains("BAD-"), "{log}");
    // From the first line of the boot on.
    assert!(log.starts_with("[    0.000000] Linux version"), "{log}");
    let mut late = Viewer::attach(&lab, &["--no-scrollback"]);
    late.types("echo LATE-$((40+3))");
    late.sees("LATE-43");
    typing.sees("LATE-43");
    assert!(!late.seen().contains("GOOD-42"), "{}", late.seen());

    let pid = broker(&lab);
    say(&format!("the broker has {} KiB of its own", private(pid)));
    let user = fs::metadata(lab.path("run/vms/web1")).unwrap().uid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(
        status.contains(&format!("Uid:\t{user}\t{user}\t{user}\t{user}")),
        "{status}"
    );
    // Who ends all of a VM ends this, too.
    let group = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(group(pid), group(lab.qemus()[0]));
    // A QEMU that its guest took over can not put another socket into the place of these.
    let facts = fs::metadata(lab.path("run/consoles/web1")).unwrap();
    assert_eq!((facts.uid(), facts.mode() & 0o777), (0, 0o700));
    let log = fs::metadata(lab.path("state/vms/web1/console.log")).unwrap();
    assert_eq!((log.uid(), log.mode() & 0o777), (0, 0o600));

    lab.seedbed(&["stop", "web1"]).ok();
    watching.ends();
    typing.ends();
    nothing_left(&lab);
    let text = fs::read_to_string(cast).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["version"], 2);
    let said: String = lines[1..].iter().map(|line| line[2].as_str().unwrap()).collect();
    assert!(said.contains("TINY-READY") && said.contains("GOOD-42"), "{said}");
}

#[test]
fn a_viewer_stays_while_the_daemon_is_killed_and_when_the_broker_is() {
    if !root() {
        return;
    }
    let mut lab = lab_with_web1();
    let mut viewer = Viewer::attach(&lab, &[]);
    viewer.sees("TINY-READY");
    let first = broker(&lab);
    lab.kill_daemon();
    viewer.types("echo ALONE-$((40+1))");
    viewer.sees("ALONE-41");
    lab.start_daemon();
    assert_eq!(broker(&lab), first, "the broker is the same one");
    viewer.types("echo AGAIN-$((40+2))");
    viewer.sees("AGAIN-42");

    // A broker that is killed is followed by another one, and the viewer goes over to it.
    let qemus = lab.qemus();
    kill("-9", first);
    let anew = eventually(SOON, || lab.brokers().iter().any(|pid| *pid != first));
    assert!(anew, "{}", lab.daemon_log());
    let goes_on = eventually(SOON, || {
        viewer.types("echo ANEW-$((40+3))");
        viewer.seen().contains("ANEW-43")
    });
    assert!(goes_on, "{}\n{}", viewer.seen(), lab.daemon_log());
    assert_eq!(lab.qemus(), qemus);
    // What the guest said to the one before is not lost.
    let log = lab.seedbed(&["log", "web1"]).ok();
    assert!(log.contains("TINY-READY") && log.contains("ANEW-43"), "{log}");

    // Also one that is killed while nobody is there to see it.
    lab.kill_daemon();
    kill("-9", broker(&lab));
    lab.start_daemon();
    assert!(
        eventually(SOON, || lab.brokers().len() == 1),
        "{}",
        lab.daemon_log()
    );
    let mut next = Viewer::attach(&lab, &[]);
    next.sees("ANEW-43");
    next.types("echo LAST-$((40+4))");
    next.sees("LAST-44");
    assert_eq!(lab.qemus(), qemus);
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    next.ends();
    nothing_left(&lab);
}

#[test]
fn a_broker_that_hangs_is_ended_with_its_vm() {
    if !root() {
        return;
    }
    let mut lab = lab_with_web1();
    // By the daemon that sees the VM end, ...
    kill("-STOP", broker(&lab));
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    nothing_left(&lab);
    // ... and by one that finds it so.
    lab.seedbed(&["start", "web1"]).ok();
    kill("-STOP", broker(&lab));
    lab.kill_daemon();
    kill("-9", lab.qemus()[0]);
    lab.start_daemon();
    nothing_left(&lab);
}

#[test]
fn l18_the_log_of_a_guest_that_never_stops_talking_is_bounded() {
    const LONGEST: u64 = 4 << 20;
    if !root() {
        return;
    }
    let lab = lab_with_web1();
    // One who does not look keeps nobody waiting.
    let blind = Viewer::attach(&lab, &["--read-only"]);
    kill("-STOP", blind.child.id());
    let mut typing = Viewer::attach(&lab, &["--no-scrollback"]);
    typing.types("yes 'spew spew spew spew spew spew spew spew spew' | head -c 4500000; echo SPEW-$((40+2))");
    let file =
        |name: &str| fs::metadata(lab.path("state/vms/web1").join(name)).map_or(0, |facts| facts.len());
    let files = || [file("console.log"), file("console.log.1")];
    let mut largest = [0; 2];
    let done = eventually(Duration::from_secs(300), || {
        let now = files();
        largest = [largest[0].max(now[0]), largest[1].max(now[1])];
        typing.seen().contains("SPEW-42")
    });
    assert!(done, "{largest:?}");
    assert_eq!(file("console.log.1"), LONGEST, "both files are used");
    assert!(largest.iter().all(|size| *size <= LONGEST), "{largest:?}");
    let log = lab.seedbed(&["log", "web1"]).ok();
    assert!(log.trim_end().contains("SPEW-42") && log.len() as u64 > LONGEST);
    let own = private(broker(&lab));
    say(&format!("after it the broker has {own} KiB of its own"));
    kill("-CONT", blind.child.id());
    blind.sees("SPEW-42");
    lab.seedbed(&["delete", "web1", "--force"]).ok();
    nothing_left(&lab);
}
