//! A disk of any format as one plain file: by qemu-storage-daemon over FUSE, or by qemu-nbd where there is no FUSE.
//!
//! What is opened is named in full (driver, file, base): nothing is guessed from what a guest wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use serde_json::{Value, json};

use crate::offline::job::{Access, Disk, Format, Job};

/// Where the disk is a file.
pub(super) fn place(scratch: &Path) -> PathBuf {
    scratch.join("disk")
}

/// The disk as a file, while its server runs.
#[derive(Debug)]
pub(super) struct Export {
    server: Pid,
}

impl Export {
    /// Starts the server; the disk is at [`place`] when this returns.
    pub(super) fn start(job: &Job) -> Result<Self, String> {
        let pid_file = job.scratch.join("server.pid");
        if Path::new("/dev/fuse").exists() {
            over_fuse(job, &pid_file)?;
        } else {
            over_nbd(job, &pid_file)?;
        }
        let pid = fs::read_to_string(&pid_file).ok();
        let server = pid
            .and_then(|pid| pid.trim().parse().ok())
            .and_then(Pid::from_raw);
        server
            .map(|server| Self { server })
            .ok_or_else(|| "the server of the disk did not say its process id".to_owned())
    }

    /// Has the server write everything, and waits for its end.
    pub(super) fn stop(self, most: Duration) -> Result<(), String> {
        let failed = |error: rustix::io::Errno| format!("the disk could not be closed: {error}");
        let ended = rustix::process::pidfd_open(self.server, PidfdFlags::empty()).map_err(failed)?;
        rustix::process::kill_process(self.server, Signal::TERM).map_err(failed)?;
        let mut watched = [PollFd::new(&ended, PollFlags::IN)];
        let most = Timespec::try_from(most).map_err(|error| error.to_string())?;
        let count = rustix::event::poll(&mut watched, Some(&most)).map_err(failed)?;
        if count == 0 {
            return Err("the disk could not be closed in time".to_owned());
        }
        // It is our child since the process that started it ended: we are the first of our namespace.
        match rustix::process::waitpid(Some(self.server), WaitOptions::empty()).map_err(failed)? {
            Some((_, status)) if status.exit_status() == Some(0) => Ok(()),
            status => Err(format!(
                "the disk could not be closed: its server ended with {status:?}"
            )),
        }
    }
}

fn over_fuse(job: &Job, pid_file: &Path) -> Result<(), String> {
    let mountpoint = place(&job.scratch);
    fs::write(&mountpoint, "").map_err(|error| format!("{}: {error}", mountpoint.display()))?;
    let writable = job.task.access() == Access::Write;
    let export = json!({
        "type": "fuse", "id": "disk", "node-name": "disk", "writable": writable,
        "mountpoint": text(&mountpoint)?, "allow-other": "off",
    });
    let mut server = confined("qemu-storage-daemon");
    server
        .arg("--blockdev")
        .arg(block_node(job)?.to_string())
        .arg("--export")
        .arg(export.to_string())
        .arg("--daemonize")
        .arg("--pidfile")
        .arg(pid_file);
    started(server, "qemu-storage-daemon, of the package qemu-utils")
}

/// By the first network block device that nobody uses. The module lets udev see the guest's partitions, which FUSE does not:
/// it is the second choice.
fn over_nbd(job: &Job, pid_file: &Path) -> Result<(), String> {
    let free = (0..16)
        .map(|number| format!("nbd{number}"))
        .find(|name| {
            let state = Path::new("/sys/block").join(name);
            state.exists() && !state.join("pid").exists()
        })
        .ok_or(
            "there is neither /dev/fuse nor a free /dev/nbd: load the kernel module fuse (`modprobe fuse`)",
        )?;
    let device = Path::new("/dev").join(free);
    let mut server = confined("qemu-nbd");
    if job.task.access() == Access::Read {
        server.arg("--read-only");
    }
    server
        .arg("--fork")
        .arg("--pid-file")
        .arg(pid_file)
        .arg("--connect")
        .arg(&device)
        .arg(format!("json:{}", block_node(job)?));
    started(server, "qemu-nbd, of the package qemu-utils")?;
    std::os::unix::fs::symlink(&device, place(&job.scratch)).map_err(|error| error.to_string())
}

/// A program of QEMU that reads what a guest wrote: as root, because it mounts, but with nothing of root's beside that.
fn confined(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--no-new-privs", "--clear-groups", "--bounding-set"])
        .arg("-all,+sys_admin,+dac_override")
        .args(["--", "prlimit", "--core=0", "--as=4294967296", "--", program]);
    command
}

fn started(mut server: Command, what: &str) -> Result<(), String> {
    let output = server
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{what}, could not be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().take(400).collect();
    Err(format!("the disk could not be opened by {what}: {said}"))
}

fn block_node(job: &Job) -> Result<Value, String> {
    let mut node = layer(&job.disk, job.task.access() == Access::Read)?;
    if let (Some(backing), Format::Qcow2, Value::Object(node)) = (&job.backing, job.disk.format, &mut node) {
        let mut base = layer(backing, true)?;
        if let (Format::Qcow2, Value::Object(base)) = (backing.format, &mut base) {
            base.insert("backing".to_owned(), Value::Null);
        }
        node.insert("backing".to_owned(), base);
    } else if let (Format::Qcow2, Value::Object(node)) = (job.disk.format, &mut node) {
        node.insert("backing".to_owned(), Value::Null);
    }
    if let Value::Object(node) = &mut node {
        node.insert("node-name".to_owned(), "disk".into());
    }
    Ok(node)
}

fn layer(disk: &Disk, read_only: bool) -> Result<Value, String> {
    let file =
        json!({"driver": "file", "filename": text(&disk.path)?, "read-only": read_only, "discard": "unmap"});
    Ok(json!({"driver": disk.format, "read-only": read_only, "discard": "unmap", "file": file}))
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str()
        .ok_or_else(|| format!("{} is no text, which QEMU needs", path.display()))
}
