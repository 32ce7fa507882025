//! Disks that no guest runs on: real file systems, real mounts; and nothing that stays, whoever is killed.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use seedbed::offline::door;
use seedbed::offline::job::{Disk, Format, Job, Outcome, Task};
use seedbed::offline::lint::Report;

use crate::lab::{Lab, Run, SEEDBED, eventually};
use crate::{guests, root};

const FINDINGS: i32 = 5;
const DIRTY: &str = "0123456789abcdef0123456789abcdef\n";

/// A directory with disks, and what a worker mounts over.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("seedbed-offline-")
            .tempdir()
            .unwrap();
        fs::create_dir(dir.path().join("scratch")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A raw disk with a guest in it that has a machine-id, a host key and a lease: `kind` on the whole disk, or in a partition.
    fn disk(&self, kind: &str, partitioned: bool) -> PathBuf {
        let disk = self.path(&format!("{kind}-{partitioned}.raw"));
        let script = format!(
            r#"set -e
            disk=$1; mkdir -p "$2"; offset=0; truncate -s 400M "$disk"
            if {partitioned}; then
                printf 'label: gpt\n1 : size=2MiB\n2 : size=390MiB\n' | sfdisk -q "$disk"
                offset=$(sfdisk -d "$disk" | sed -n 's/.*2 : start= *\([0-9]*\),.*/\1/p'); offset=$((offset * 512))
            fi
            truncate -s 380M "$disk.fs"
            case {kind} in
                ext4) mke2fs -q -t ext4 "$disk.fs" ;;
                xfs) mkfs.xfs -q "$disk.fs" ;;
                btrfs) mkfs.btrfs -q "$disk.fs" ;;
            esac
            mount -n -o loop "$disk.fs" "$2"
            cd "$2"
            mkdir -p etc/ssh usr/lib boot/grub var/lib/dhcp root
            echo 'PRETTY_NAME="Test OS 1"' >etc/os-release
            printf '{id}' >etc/machine-id
            echo key >etc/ssh/ssh_host_rsa_key
            echo lease >var/lib/dhcp/dhclient.leases
            echo 'linux /vmlinuz root=UUID=1 console=ttyS0' >boot/grub/grub.cfg
            cd /; umount -n "$2"
            dd if="$disk.fs" of="$disk" bs=1M seek=$((offset / 1048576)) conv=notrunc,sparse status=none
            rm "$disk.fs""#,
            id = DIRTY.trim_end()
        );
        let made = Run::of(
            Command::new("unshare")
                .args([
                    "--mount",
                    "--propagation",
                    "private",
                    "bash",
                    "-c",
                    &script,
                    "disk",
                ])
                .arg(&disk)
                .arg(self.path("mnt")),
        );
        made.ok();
        disk
    }

    fn job(&self, disk: &Path, format: Format, task: Task) -> Job {
        Job {
            disk: Disk {
                path: disk.to_owned(),
                format,
            },
            backing: None,
            task,
            scratch: self.path("scratch"),
            seconds: 120,
        }
    }

    /// Whether a mount, a loop device or a process of this bench is there.
    fn left(&self) -> Vec<String> {
        let mark = self.dir.path().to_str().unwrap();
        let mut left = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let process = entry.path();
            let read = |name: &str| fs::read(process.join(name)).unwrap_or_default();
            for name in ["cmdline", "mountinfo"] {
                if String::from_utf8_lossy(&read(name)).contains(mark) {
                    left.push(format!("{} of {}", name, process.display()));
                }
            }
        }
        for entry in fs::read_dir("/sys/block").unwrap().filter_map(Result::ok) {
            let file = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
            if file.contains(mark) || file.trim_end() == "/disk" {
                left.push(format!("{} on {file}", entry.path().display()));
            }
        }
        left
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        let gone = eventually(Duration::from_secs(30), || self.left().is_empty());
        assert!(gone, "left: {:?}", self.left());
    }
}

fn work(job: &Job) -> Result<Report, String> {
    match door::work_by(&mut door::worker(PathBuf::from(SEEDBED)), job) {
        Ok(Outcome::Report(report)) => Ok(report),
        other => Err(format!("{other:?}")),
    }
}

fn rules(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| &*finding.rule).collect()
}

fn sum(path: &Path) -> String {
    Run::of(Command::new("sha256sum").arg(path)).ok()
}

#[test]
fn every_file_system_is_linted_without_a_change_and_sealed() {
    if !root() {
        return;
    }
    let bench = Bench::new();
    for (kind, partitioned) in [
        ("ext4", false),
        ("ext4", true),
        ("xfs", true),
        ("btrfs", true),
        ("btrfs", false),
    ] {
        let disk = bench.disk(kind, partitioned);
        let before = sum(&disk);
        let report = work(&bench.job(&disk, Format::Raw, Task::Lint)).unwrap();
        assert_eq!(report.facts.distribution.as_deref(), Some("Test OS 1"), "{kind}");
        for rule in ["machine-id", "host-keys", "leases"] {
            assert!(rules(&report).contains(&rule), "{kind}: {report:?}");
        }
        assert_eq!(sum(&disk), before, "{kind}: looking changed the disk");

        let sealed = work(&bench.job(&disk, Format::Raw, Task::Seal)).unwrap();
        assert!(
            rules(&sealed).starts_with(&["machine-id", "host-keys", "leases"]),
            "{sealed:?}"
        );
        let again = work(&bench.job(&disk, Format::Raw, Task::Lint)).unwrap();
        assert!(
            again.findings.iter().all(|finding| !finding.sealed),
            "{kind}: {again:?}"
        );
        fs::remove_file(disk).unwrap();
    }
    bench.nothing_is_left();
}

#[test]
fn an_overlay_is_sealed_and_its_base_stays() {
    if !root() {
        return;
    }
    let bench = Bench::new();
    let (base, overlay) = (bench.disk("ext4", true), bench.path("overlay.qcow2"));
    let before = sum(&base);
    let mut create = Command::new("qemu-img");
    create
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .arg(&base)
        .arg(&overlay);
    Run::of(&mut create).ok();
    let mut job = bench.job(&overlay, Format::Qcow2, Task::Seal);
    job.backing = Some(Disk {
        path: base.clone(),
        format: Format::Raw,
    });
    assert!(rules(&work(&job).unwrap()).contains(&"machine-id"));
    job.task = Task::Lint;
    assert!(!rules(&work(&job).unwrap()).contains(&"machine-id"));
    assert_eq!(sum(&base), before);
    Run::of(Command::new("qemu-img").args(["check", "-q"]).arg(&overlay)).ok();
}

#[test]
fn what_is_not_looked_into_is_named() {
    if !root() {
        return;
    }
    let bench = Bench::new();
    let disk = bench.path("lvm.raw");
    let mut bytes = vec![0; 8 << 20];
    bytes[512..520].copy_from_slice(b"LABELONE");
    fs::write(&disk, &bytes).unwrap();
    let error = work(&bench.job(&disk, Format::Raw, Task::Lint)).unwrap_err();
    assert!(
        error.contains("the whole disk: LVM") && error.contains("not into LVM"),
        "{error}"
    );

    fs::write(&disk, vec![0; 8 << 20]).unwrap();
    let error = work(&bench.job(&disk, Format::Raw, Task::Lint)).unwrap_err();
    assert!(error.contains("no partition and no file system"), "{error}");

    // A file system of which only the first mark is there.
    bytes[512..520].fill(0);
    bytes[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    fs::write(&disk, &bytes).unwrap();
    let error = work(&bench.job(&disk, Format::Raw, Task::Lint)).unwrap_err();
    assert!(error.contains("ext4 could not be mounted"), "{error}");

    let error = work(&bench.job(&bench.path("none.raw"), Format::Raw, Task::Lint)).unwrap_err();
    assert!(error.contains("No such file"), "{error}");
    bench.nothing_is_left();
}

/// A worker that was given its job; its pipe is open.
fn begun(job: &Job, failpoint: Option<&str>) -> Child {
    use std::io::Write as _;
    let mut worker = door::worker(PathBuf::from(SEEDBED));
    if let Some(step) = failpoint {
        worker.env("SEEDBED_FAILPOINT", step);
    }
    let mut child = worker
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let line = serde_json::to_string(job).unwrap() + "\n";
    child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    child
}

fn kill(pid: u32) {
    // It may be gone by itself.
    drop(
        Command::new("kill")
            .args(["-9", &pid.to_string()])
            .stderr(Stdio::null())
            .status(),
    );
}

fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

#[test]
fn whoever_is_killed_at_whatever_moment_nothing_is_left_and_the_disk_is_sound() {
    if !root() {
        return;
    }
    let bench = Bench::new();
    let disk = bench.disk("ext4", true);
    let job = bench.job(&disk, Format::Raw, Task::Seal);
    for moment in (0..14).map(|step| Duration::from_millis(step * 15)) {
        for victim in ["its parent", "the worker", "the pipe"] {
            let mut child = begun(&job, None);
            // Nothing to wait for: any moment is as good as another.
            assert!(!eventually(moment, || false));
            match victim {
                "its parent" => kill(child.id()),
                "the worker" => child_of(child.id()).into_iter().for_each(kill),
                _ => drop(child.stdin.take()),
            }
            drop(child.wait());
            bench.nothing_is_left();
        }
    }
    work(&job).unwrap();
    assert!(!rules(&work(&bench.job(&disk, Format::Raw, Task::Lint)).unwrap()).contains(&"machine-id"));
}

#[test]
fn a_worker_that_ends_at_any_step_leaves_nothing() {
    if !root() {
        return;
    }
    let bench = Bench::new();
    let disk = bench.disk("ext4", false);
    let job = bench.job(&disk, Format::Raw, Task::Seal);
    for step in ["door mounted", "door exported", "door inside", "door worked"] {
        let mut child = begun(&job, Some(step));
        let ended = child.wait().unwrap();
        assert!(ended.code().is_some() || ended.signal().is_some());
        bench.nothing_is_left();
    }
    // Its server alone.
    let mut child = begun(&job, Some("none"));
    let find = || {
        let said = Command::new("pgrep")
            .args(["-f", bench.path("scratch/disk").to_str().unwrap()])
            .output();
        String::from_utf8(said.unwrap().stdout).unwrap()
    };
    if eventually(Duration::from_secs(5), || {
        !find().is_empty() || child.try_wait().unwrap().is_some()
    }) {
        find()
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .for_each(kill);
    }
    drop(child.wait());
    bench.nothing_is_left();
}

#[test]
fn a_job_has_an_end() {
    if !root() {
        return;
    }
    let bench = Bench::new();
    let disk = bench.disk("ext4", false);
    let mut job = bench.job(&disk, Format::Raw, Task::Lint);
    job.seconds = 0;
    let error = work(&job).unwrap_err();
    assert!(error.contains("took more than 0 seconds"), "{error}");
    bench.nothing_is_left();
}

fn linted(lab: &Lab, name: &str) -> (i32, serde_json::Value) {
    let run = lab.seedbed(&["image", "lint", name, "--format", "json"]);
    let code = run.code;
    (
        code,
        serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}")),
    )
}

/// A daemon that ends at a step of `image seal` leaves the generation that there was, and nothing else.
fn killed_while_sealing(lab: &mut Lab, bench: &Bench) {
    for step in ["seal copied", "seal done"] {
        lab.kill_daemon();
        lab.start_daemon_with(&[("SEEDBED_FAILPOINT", step)]);
        lab.wait_for_daemon();
        assert_ne!(lab.seedbed(&["image", "seal", "old"]).code, 0);
        lab.kill_daemon();
        lab.start_daemon();
        let names: Vec<_> = fs::read_dir(lab.path("state/images"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["old@1"], "{step}");
        bench.nothing_is_left();
    }
}

#[test]
fn an_image_is_linted_and_its_next_generation_is_sealed() {
    if !root() {
        return;
    }
    let bench = Bench::new();
    let mut lab = Lab::new();
    let disk = bench.disk("ext4", true);
    let mut add = lab.command(&["image", "add", "old", "--disk-format", "raw"]);
    add.arg(&disk);
    Run::of(&mut add).ok();
    let base = lab.path("state/images/old@1/disk");
    let before = sum(&base);

    let (code, report) = linted(&lab, "old");
    assert_eq!(code, FINDINGS, "{report}");
    assert_eq!(report[0]["image"], "old@1");
    assert_eq!(report[0]["findings"][0]["rule"], "machine-id");
    assert_eq!(report[0]["findings"][0]["paths"][0], "/etc/machine-id");
    let shown = lab.seedbed(&["image", "lint", "old"]);
    assert_eq!(shown.code, FINDINGS);
    for part in [
        "System:      Test OS 1",
        "machine-id: a machine-id",
        "/etc/machine-id",
        "why:",
        "seal: empties it",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {shown}");
    }

    killed_while_sealing(&mut lab, &bench);
    let said = lab.seedbed(&["image", "seal", "old"]).ok();
    assert!(
        said.starts_with("old@2 is old@1 without:\n") && said.contains("left to you:"),
        "{said}"
    );
    let (_, report) = linted(&lab, "old");
    assert_eq!(report[0]["image"], "old@2", "it is the current one");
    let left = report[0]["findings"].as_array().unwrap();
    assert!(left.iter().all(|finding| finding["sealed"] == false), "{report}");
    assert_eq!(sum(&base), before);
    let said = lab.seedbed(&["image", "seal", "old"]).ok();
    assert!(said.contains("nothing in old@2 is to be sealed"), "{said}");
    lab.seedbed(&["image", "lint", "older"])
        .refused(3, &["there is no image `older`"]);
}

#[test]
fn the_image_that_is_built_here_is_clean() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let mut add = lab.command(&["image", "add", "debian-12", "--disk-format", "qcow2"]);
    add.arg(crate::guests::debian());
    Run::of(&mut add).ok();
    let (code, report) = linted(&lab, "debian-12");
    assert_eq!(
        (code, report[0]["findings"].as_array().unwrap().len()),
        (0, 0),
        "{report}"
    );
    assert_eq!(report[0]["views"][0], "auto");
    assert!(report[0]["cloud_init"].as_str().unwrap().starts_with("22.4"));
}

#[test]
fn a_committed_disk_is_sealed_unless_it_is_wanted_as_it_is() {
    if !root() {
        return;
    }
    let bench = Bench::new();
    let lab = Lab::new();
    guests::add_tiny_on(&lab, "tiny", "auto", &bench.disk("ext4", true));
    Run::of(&mut guests::launch(&lab, &["web1", "--wait=120"])).ok();
    lab.seedbed(&["stop", "web1", "--force"]).ok();
    lab.seedbed(&["image", "commit", "web1", "clean"]).ok();
    lab.seedbed(&["image", "commit", "web1", "as-it-was", "--no-seal"])
        .ok();
    let rules_of = |name: &str| {
        let (_, linted) = linted(&lab, name);
        linted.to_string()
    };
    for rule in ["machine-id", "host-keys", "leases"] {
        let quoted = format!("\"rule\":\"{rule}\"");
        assert!(!rules_of("clean").contains(&quoted), "{rule}");
        assert!(rules_of("as-it-was").contains(&quoted), "{rule}");
        assert!(rules_of("tiny").contains(&quoted), "{rule}");
    }
}
