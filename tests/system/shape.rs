//! The shape of a VM: what was pinned when it was created, and what can be changed later.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::{guests, root};

/// A lab with `web1`, launched with these words, ready.
fn lab_with_web1(words: &[&str]) -> Lab {
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    let words = [&["web1", "--wait=120"], words].concat();
    Run::of(&mut guests::launch(&lab, &words)).ok();
    lab
}

/// A field of what `show` tells of `web1`.
fn show(lab: &Lab, field: &str) -> serde_json::Value {
    let json = lab.seedbed(&["show", "web1", "--format", "json"]).ok();
    let vms: serde_json::Value = serde_json::from_str(&json).unwrap();
    let vm = if vms.is_array() { vms[0].clone() } else { vms };
    vm[field].clone()
}

/// The words that follow an option of the QEMU that runs.
fn running(lab: &Lab, option: &str) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{}/cmdline", lab.qemus()[0])).unwrap();
    let text = String::from_utf8(line).unwrap();
    let words: Vec<&str> = text.split('\0').collect();
    let named = words.windows(2).filter(|pair| pair[0] == option);
    named.map(|pair| pair[1].to_owned()).collect()
}

/// A script that is QEMU, but for this one word of its answers and arguments.
fn qemu_that_calls(word: &str, another: &str) -> String {
    format!(
        r#"case "$*" in *"-machine none"*) qemu-system-x86_64 "$@" | sed 's/{word}/{another}/g' ;;
*) exec qemu-system-x86_64 "$@" ;; esac"#
    )
}

#[test]
fn l15_a_qemu_that_is_replaced_changes_no_vm_or_is_refused_by_name() {
    if !root() {
        return;
    }
    let mut lab = lab_with_web1(&[]);
    let pinned = show(&lab, "machine_type").as_str().unwrap().to_owned();
    assert!(pinned.starts_with("pc-q35-"), "{pinned}");
    assert!(running(&lab, "-machine")[0].starts_with(&format!("{pinned},")));
    let qemu = lab.qemus();
    lab.stop_daemon();
    // Its successor calls another board q35, and has the VM's still.
    lab.replace_qemu(&qemu_that_calls(r#""alias": "q35""#, r#""alias": "before""#));
    lab.start_daemon();
    assert_eq!(lab.qemus(), qemu, "a running VM is not hurt");
    let told = Run::of(&mut guests::launch(&lab, &["web2"]));
    told.refused(1, &["is that QEMU?", "no machine type q35"]);
    lab.replace_qemu(&qemu_that_calls(
        r#""minor": [0-9]*, "major": [0-9]*"#,
        r#""minor": 2, "major": 5"#,
    ));
    Run::of(&mut guests::launch(&lab, &["web2"])).refused(1, &["QEMU 5.2", "too old", "7.2.0 or later"]);
    // One that has forgotten the VM's board: replaced while the daemon runs.
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    lab.replace_qemu(&qemu_that_calls(&pinned, "pc-q35-99.1"));
    let started = lab.seedbed(&["start", "web1"]);
    let hint = "seedbed set web1 --machine-type newest";
    started.refused(1, &["web1 can not be started", &pinned, hint]);
    // The one that it was created with is there again.
    lab.replace_qemu(r#"exec qemu-system-x86_64 "$@""#);
    lab.seedbed(&["start", "web1"]).ok();
    assert_eq!(show(&lab, "machine_type"), pinned);
    assert!(running(&lab, "-machine")[0].starts_with(&format!("{pinned},")));
}

#[test]
fn a_processor_that_was_chosen_is_the_guests_and_one_that_nobody_knows_is_refused() {
    if !root() {
        return;
    }
    let lab = lab_with_web1(&["--cpu-model", "Westmere-v1"]);
    assert_eq!(show(&lab, "cpu_model"), "Westmere-v1");
    assert_eq!(running(&lab, "-cpu"), ["Westmere-v1,enforce"]);
    lab.seedbed(&["set", "web1", "--cpu-model", "Z80"])
        .refused(1, &["does not know the CPU model Z80"]);
    let told = lab.seedbed(&["set", "web1", "--cpu-model", "host"]).ok();
    assert!(told.contains("CPU model: from its next start on"), "{told}");
}

static ASKED: AtomicU32 = AtomicU32::new(0);

/// What a command of the guest's shell prints, typed at its console.
fn guest(lab: &Lab, command: &str) -> String {
    let number = ASKED.fetch_add(1, Ordering::Relaxed);
    // What is typed is echoed: only the shell writes the numbers.
    let typed = format!("\necho T$(({number}))-BEGIN; {command}; echo T$(({number}))-END\n");
    let (begin, end) = (format!("T{number}-BEGIN"), format!("T{number}-END"));
    let mut console = lab
        .command(&["console", "web1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = console.stdin.as_mut().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    let mut said = String::new();
    let told = eventually(Duration::from_secs(30), || {
        let log = lab.seedbed(&["log", "web1"]).ok();
        let part = log.rsplit_once(&begin).map(|(_, rest)| rest);
        let part = part.and_then(|rest| rest.split_once(&end)).map(|(part, _)| part);
        said = part.unwrap_or_default().replace('\r', "");
        part.is_some()
    });
    drop(console.stdin.take());
    console.kill().ok();
    console.wait().unwrap();
    assert!(
        told,
        "no answer to {command:?}:\n{}",
        lab.seedbed(&["log", "web1"]).ok()
    );
    said.trim().to_owned()
}

/// The disks that the guest sees: serial and size in MiB, in the order of their slots.
fn disks(lab: &Lab) -> Vec<String> {
    let command = "for d in /sys/block/vd*; do echo $(cat $d/serial) $(($(cat $d/size) / 2048)); done";
    let lines = guest(lab, command);
    let lines = lines.lines().filter(|line| !line.starts_with("swap "));
    lines.map(str::to_owned).collect()
}

fn needs_restart(lab: &Lab) -> Vec<String> {
    let needs = show(lab, "needs_restart");
    let list = needs.as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|what| what.as_str().unwrap().to_owned())
        .collect()
}

fn ready(lab: &Lab) {
    lab.seedbed(&["wait", "web1", "--timeout", "120s"]).ok();
}

#[test]
fn disks_are_added_grow_while_the_guest_looks_on_and_go() {
    if !root() {
        return;
    }
    let lab = lab_with_web1(&["--disk", "128M", "--add-disk", "data=32M"]);
    assert_eq!(disks(&lab), ["root 128", "data 32"]);
    let told = lab
        .seedbed(&["set", "web1", "--disk", "256M", "--disk", "data=64M"])
        .ok();
    assert!(
        told.contains("disk: at once") && told.contains("disk data: at once"),
        "{told}"
    );
    assert_eq!(disks(&lab), ["root 256", "data 64"]);
    let told = lab.seedbed(&["set", "web1", "--add-disk", "logs=16M"]).ok();
    assert!(told.contains("disk logs: from its next start on"), "{told}");
    assert_eq!(needs_restart(&lab), ["disk logs"]);
    for (words, says) in [
        (["--disk", "data=8M"], "a disk can only grow"),
        (["--disk", "none=8M"], "has no extra disk none"),
        (["--add-disk", "data=8M"], "has a disk data already"),
        (["--add-disk", "root=8M"], "reserved"),
        (["--add-disk", "more=1"], "can not be made"),
        (["--remove-disk", "data"], "only while it is stopped"),
    ] {
        let words = [&["set", "web1"], &words[..]].concat();
        lab.seedbed(&words).refused(1, &[says]);
    }
    lab.seedbed(&["restart", "web1", "--force"]).ok();
    ready(&lab);
    assert_eq!(disks(&lab), ["root 256", "data 64", "logs 16"]);
    assert_eq!(needs_restart(&lab), [""; 0]);
    // Its name in the guest follows from its slot, whatever other disks there are.
    let device = guest(&lab, "grep -l logs /sys/block/vd*/serial");
    let device = device.trim_end_matches("/serial").replace("/sys/block", "/dev");
    guest(&lab, &format!("echo KEPT >{device}"));

    lab.seedbed(&["stop", "web1", "--force"]).ok();
    lab.seedbed(&["set", "web1", "--remove-disk", "data", "--disk", "512M"])
        .ok();
    let left = lab.listing("state/vms/web1");
    assert!(!left.contains(&"disk-data.qcow2".to_owned()), "{left:?}");
    let disk = lab.path("state/vms/web1/disk.qcow2");
    let info = Run::of(Command::new("qemu-img").args(["info", "--output=json"]).arg(disk)).ok();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["virtual-size"], 512 << 20);
    // A fresh root disk, of the size it has; the others stay as they are.
    lab.seedbed(&["reset", "web1", "--start"]).ok();
    ready(&lab);
    assert_eq!(disks(&lab), ["root 512", "logs 16"]);
    let kept = "head -c 4 $(grep -l logs /sys/block/vd*/serial | sed 's#/sys/block#/dev#;s#/serial##')";
    assert_eq!(guest(&lab, kept), "KEPT");
}

#[test]
fn a_kill_while_disks_come_and_go_leaves_those_of_the_record() {
    if !root() {
        return;
    }
    let mut lab = lab_with_web1(&[]);
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    let file = "disk-data.qcow2".to_owned();
    for (step, words, is_there) in [
        ("extra disk made", ["--add-disk", "data=32M"], false),
        ("extra disks registered", ["--add-disk", "data=32M"], true),
        ("extra disks registered", ["--remove-disk", "data"], false),
    ] {
        lab.stop_daemon();
        lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
        lab.wait_for_daemon();
        let run = lab.seedbed(&[&["set", "web1"], &words[..]].concat());
        assert_ne!(run.code, 0, "{run}");
        lab.daemon_ended(Duration::from_secs(30));
        lab.start_daemon();
        assert_eq!(show(&lab, "extra_disks").is_array(), is_there, "{step} {words:?}");
        let there = lab.listing("state/vms/web1");
        assert_eq!(there.contains(&file), is_there, "{step} {words:?}: {there:?}");
        assert!(!there.iter().any(|name| name.starts_with(".tmp")), "{there:?}");
    }
}

/// Asks the QEMU that runs something, as its daemon does.
fn qmp(lab: &Lab, command: &str) -> serde_json::Value {
    let mut socket = UnixStream::connect(lab.path("run/vms/web1/qmp")).unwrap();
    let asked = format!("{{\"execute\":\"qmp_capabilities\"}}\n{{\"execute\":\"{command}\",\"id\":7}}\n");
    socket.write_all(asked.as_bytes()).unwrap();
    let lines = BufReader::new(socket).lines();
    let values = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let mut answers = values.filter(|value| value["id"] == 7);
    answers.next().unwrap()["return"].clone()
}

#[test]
fn memory_goes_by_the_balloon_and_comes_back_up_to_what_it_was_started_with() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    let words = [
        "launch",
        "web1",
        "--image",
        "tiny",
        "--memory",
        "160M",
        "--wait=120",
    ];
    lab.seedbed(&[&words[..], &["--key", guests::KEY]].concat()).ok();
    let total = || {
        let said = guest(&lab, "sed -n 's/MemTotal: *//p' /proc/meminfo");
        said.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let before = total();
    let told = lab.seedbed(&["set", "web1", "--memory", "96M"]).ok();
    assert!(told.contains("memory: at once"), "{told}");
    assert_eq!(qmp(&lab, "query-balloon")["actual"], 96 << 20);
    assert_eq!(before - total(), 64 << 10, "the guest has 64 MiB less");
    assert_eq!(needs_restart(&lab), [""; 0]);
    let told = lab.seedbed(&["set", "web1", "--memory", "160M"]).ok();
    assert!(told.contains("memory: at once"), "{told}");
    assert_eq!(total(), before);
    // More than it was started with.
    let told = lab
        .seedbed(&["set", "web1", "--memory", "192M", "--cpus", "2"])
        .ok();
    for part in [
        "memory: from its next start on (seedbed restart web1)",
        "160MiB",
        "CPUs: from",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(needs_restart(&lab), ["CPUs", "memory"]);
    let sheet = lab.seedbed(&["show", "web1"]).ok();
    assert!(sheet.contains("Restart for: CPUs, memory"), "{sheet}");
    lab.seedbed(&["restart", "web1", "--force"]).ok();
    ready(&lab);
    assert!(total() > before);
    assert_eq!(needs_restart(&lab), [""; 0]);
}
