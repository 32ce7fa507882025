//! The worker's outer half: it has the disk shown as a file, starts the half that mounts it, and ends when its daemon does.

use std::fs;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use super::door::VERB;
use super::job::{Job, Outcome};

mod export;
mod inside;
mod mount;

/// The most bytes of a job.
const JOB_MAX: u64 = 4 << 20;
/// How long the disk may take to be written and closed.
const CLOSING: Duration = Duration::from_secs(60);
/// What says that this is the inner half.
pub const INSIDE: &str = "--inside";

/// Does the job on standard input and prints its outcome, as JSON.
pub fn run(inside: bool) -> io::Result<()> {
    let mut line = String::new();
    io::BufReader::with_capacity(1, io::stdin().take(JOB_MAX)).read_line(&mut line)?;
    let job: Job = serde_json::from_str(&line)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if inside {
        let outcome = inside::outcome(&job);
        return fs::write(outcome_file(&job.scratch), serde_json::to_vec(&outcome)?);
    }
    let outcome = supervise(&job, &line).unwrap_or_else(Outcome::Failed);
    let mut out = io::stdout().lock();
    out.write_all(&serde_json::to_vec(&outcome)?)?;
    out.flush()
}

fn outcome_file(scratch: &Path) -> PathBuf {
    scratch.join("outcome")
}

fn supervise(job: &Job, line: &str) -> Result<Outcome, String> {
    let _scratch = mount::Mount::tmpfs(&job.scratch).map_err(|error| error.to_string())?;
    reach("door mounted");
    let export = export::Export::start(job)?;
    reach("door exported");
    let mut inner = inner(line).map_err(|error| format!("the inner worker could not be run: {error}"))?;
    await_end(&inner, job.seconds)?;
    let status = inner.wait().map_err(|error| error.to_string())?;
    // Only what is on the disk counts.
    export.stop(CLOSING)?;
    let outcome = fs::read(outcome_file(&job.scratch))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    outcome.ok_or_else(|| format!("the inner worker ended without an answer ({status})"))
}

/// The half that mounts the file system, in a mount namespace of its own.
fn inner(line: &str) -> io::Result<Child> {
    let program = std::env::args_os().next().unwrap_or_default();
    let mut inner = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(program)
        .args([VERB, INSIDE])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    if let Some(mut pipe) = inner.stdin.take() {
        pipe.write_all(line.as_bytes())?;
    }
    Ok(inner)
}

/// Waits until the inner half has ended. Fails, and so ends it, when the daemon is gone or the time is over.
fn await_end(inner: &Child, seconds: u64) -> Result<(), String> {
    let pid = Pid::from_child(inner);
    let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|error| error.to_string())?;
    let stdin = io::stdin();
    let most = Timespec::try_from(Duration::from_secs(seconds)).map_err(|error| error.to_string())?;
    loop {
        let mut watched = [
            PollFd::new(&ended, PollFlags::IN),
            PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN | PollFlags::HUP),
        ];
        match rustix::event::poll(&mut watched, Some(&most)) {
            Ok(0) => return Err(format!("it took more than {seconds} seconds and was ended")),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
        let [end, gone] = &watched;
        if !end.revents().is_empty() {
            return Ok(());
        }
        if !gone.revents().is_empty() {
            return Err("whoever asked for it is gone".to_owned());
        }
    }
}

/// Ends the process at a named step, as `kill -9` would: debug builds only, for tests.
#[cfg(debug_assertions)]
fn reach(step: &str) {
    if std::env::var_os("SEEDBED_FAILPOINT").is_some_and(|wanted| wanted == step) {
        std::process::abort();
    }
}

/// Nothing: a release worker can not be told to fail.
#[cfg(not(debug_assertions))]
const fn reach(_step: &str) {}
