//! The only way to a disk's files: a worker process that mounts them where nobody else sees it.
//!
//! ```text
//!   daemon --pipe--> worker (pid namespace: its end ends all of it; mount namespace A, network namespace without any)
//!                      |-- qemu-storage-daemon: the disk as one plain file, over FUSE, in A
//!                      `-- worker inside (mount namespace B): a loop device on that file, its file system, the task
//! ```
//!
//! Whatever is killed at whatever moment, no mount, loop device or process stays: the namespaces end with their last process,
//! the loop device frees itself with its last user, and the end of the pipe ends a worker whose daemon is gone.
//!
//! The file system has a namespace of its own, because a process that serves a file system must never be the last one to
//! unmount it: it would wait for itself.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use super::job::{Job, Outcome};

/// The most bytes that a worker's answer has.
const ANSWER_MAX: u64 = 8 << 20;
/// The most bytes of its complaints that are kept.
const COMPLAINT_MAX: u64 = 4096;
/// The hidden subcommand that is the worker.
pub const VERB: &str = "offline-worker";

/// Why a disk could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The worker could not be run.
    #[error("the worker for disks could not be run (by unshare, of the package util-linux): {0}")]
    Worker(#[source] io::Error),
    /// It ended without an answer.
    #[error("the worker for disks ended without an answer ({status}): {said}")]
    Died {
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        said: String,
    },
    /// It could not do it.
    #[error("{0}")]
    Failed(String),
}

/// Has a worker do something with a disk. Blocks until it is done, at most the job's time.
pub fn work(job: &Job) -> Result<Outcome, DoorError> {
    // This very program, even where its file was replaced meanwhile.
    let program = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    work_by(&mut worker(program), job)
}

/// The command that becomes a worker: `program` is a `seedbed`.
pub fn worker(program: PathBuf) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "--pid", "--net", "--ipc"])
        .args(["--fork", "--kill-child=KILL", "--"])
        .arg(program)
        .arg(VERB)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .envs(std::env::var_os("SEEDBED_FAILPOINT").map(|step| ("SEEDBED_FAILPOINT", step)));
    command
}

/// The same with a worker of the caller's.
pub fn work_by(worker: &mut Command, job: &Job) -> Result<Outcome, DoorError> {
    let mut child = worker
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(DoorError::Worker)?;
    let complaints = child.stderr.take().map(|stderr| {
        std::thread::spawn(move || {
            let mut said = Vec::new();
            // What could be read of the complaint is what is shown.
            stderr.take(COMPLAINT_MAX).read_to_end(&mut said).ok();
            said
        })
    });
    // Open until the worker is done: its end is how the worker learns that we are gone.
    let mut pipe = child.stdin.take();
    let mut text = serde_json::to_vec(job).map_err(|error| DoorError::Worker(error.into()))?;
    text.push(b'\n');
    let sent = pipe.as_mut().map_or(Ok(()), |pipe| pipe.write_all(&text));
    let mut answer = Vec::new();
    let read = child
        .stdout
        .take()
        .map_or(Ok(0), |stdout| stdout.take(ANSWER_MAX).read_to_end(&mut answer));
    drop(pipe);
    let status = child.wait().map_err(DoorError::Worker)?;
    let said = complaints
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default();
    let died = || DoorError::Died {
        status,
        said: String::from_utf8_lossy(&said).trim().to_owned(),
    };
    if sent.is_err() || read.is_err() {
        return Err(died());
    }
    match serde_json::from_slice(&answer) {
        Ok(Outcome::Failed(why)) => Err(DoorError::Failed(why)),
        Ok(outcome) => Ok(outcome),
        Err(_) => Err(died()),
    }
}
