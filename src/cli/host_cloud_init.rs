//! What the host's own cloud-init says of a user-data, where it has one: `cloud-init schema -c FILE`.
//!
//! Run by root, the tool leaves `/run/cloud-init` behind on a host that is no cloud VM. So it is never run by root: it runs as who
//! called sudo, else as nobody, and reads the document from memory that only its descriptor leads to.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tokio::process::Command;

use crate::model::cloud_init::Release;
use crate::seed;

/// How long the tool may take, all in all: it is Python, which needs many seconds on a host that is busy with starting VMs.
const DEADLINE: Duration = Duration::from_secs(60);
/// The most findings of the tool that are told.
const MOST_TOLD: usize = 20;
/// The user and group that own nothing.
const NOBODY: u32 = 65_534;

/// What the tool found, a line each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HostFindings {
    /// What its schema does not allow.
    pub(super) problems: Vec<String>,
    /// What it deprecates, or why it said nothing.
    pub(super) warnings: Vec<String>,
}

/// Asks the host's cloud-init about a cloud-config; nothing is found in other documents, and on a host that has none.
///
/// A tool that fails is a warning: what is wrong with it is no reason to refuse anything.
pub(super) async fn findings(bytes: &[u8]) -> HostFindings {
    if !seed::is_cloud_config(bytes) {
        return HostFindings::default();
    }
    let Some(tool) = installed() else {
        return HostFindings::default();
    };
    let asked = tokio::time::timeout(DEADLINE, ask(&tool, bytes)).await;
    let failed = |why: String| HostFindings {
        warnings: vec![format!("the cloud-init on this host did not check it: {why}")],
        ..HostFindings::default()
    };
    match asked {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => failed(format!("it took more than {} seconds", DEADLINE.as_secs())),
    }
}

async fn ask(tool: &Path, bytes: &[u8]) -> std::io::Result<HostFindings> {
    let told = run(tool, &["--version"], Stdio::null()).await?;
    let version = told.text.split_whitespace().last().unwrap_or_default();
    let release = version.parse::<Release>();
    let name = match &release {
        Ok(_) => format!("cloud-init {version} on this host"),
        Err(_) => "the cloud-init on this host".to_owned(),
    };
    // Before 22.1 it was a tool for developers.
    let is_old = release.is_ok_and(|release| release < FIRST);
    let words = if is_old {
        &["devel", "schema", "-c", "/dev/stdin"][..]
    } else {
        &["schema", "-c", "/dev/stdin"]
    };
    let said = run(tool, words, document(bytes)?.into()).await?;
    Ok(understood(&said, &name))
}

/// The first release whose `schema` is a command of its own.
const FIRST: Release = Release::new(22, 1);

/// The document as a file in memory.
fn document(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("user-data", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// How the tool ended, and all it printed.
#[derive(Debug)]
struct Said {
    is_success: bool,
    text: String,
}

/// Ends the tool and what it started, however the waiting for it ends.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It is gone already where all went well.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

/// Where the host has the tool.
fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|folder| folder.join("cloud-init"));
    places.find(|place| place.is_absolute() && place.is_file())
}

async fn run(tool: &Path, words: &[&str], input: Stdio) -> std::io::Result<Said> {
    let mut command = Command::new(tool);
    command
        .args(words)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if geteuid().is_root() {
        let (user, group) = caller();
        command.uid(user).gid(group);
    }
    let child = command.spawn()?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let _group = Group(pid);
    let output = child.wait_with_output().await?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Said {
        is_success: output.status.success(),
        text: String::from_utf8_lossy(&text).into_owned(),
    })
}

/// Who called sudo, where it was no other root; else nobody.
fn caller() -> (u32, u32) {
    let id = |name| std::env::var(name).ok()?.parse().ok().filter(|id| *id != 0);
    match (id("SUDO_UID"), id("SUDO_GID")) {
        (Some(user), Some(group)) => (user, group),
        _ => (NOBODY, NOBODY),
    }
}

const ERRORS: &str = "Cloud config schema errors: ";
const DEPRECATIONS: &str = "Cloud config schema deprecations: ";

/// What the tool's words mean.
fn understood(said: &Said, name: &str) -> HostFindings {
    let told = |mark: &str| -> Vec<String> {
        let lines = said.text.lines().filter_map(|line| line.split_once(mark));
        let mut told: Vec<_> = lines.flat_map(|(_, list)| split(list)).collect();
        told.dedup();
        told.truncate(MOST_TOLD);
        told.iter().map(|one| format!("{name}: {one}")).collect()
    };
    let mut found = HostFindings {
        problems: if said.is_success { Vec::new() } else { told(ERRORS) },
        warnings: told(DEPRECATIONS),
    };
    if !said.is_success && found.problems.is_empty() {
        let last = said.text.lines().rfind(|line| !line.trim().is_empty());
        let why = last.unwrap_or("it said nothing").trim();
        found.warnings.push(format!("{name} did not check it: {why}"));
    }
    found
}

/// The parts of a list whose parts may have commas of their own: each starts with a path, such as `users.0: `.
fn split(list: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for piece in list.trim().split(", ") {
        let starts = piece.split_once(": ").is_some_and(|(path, _)| {
            !path.is_empty()
                && path
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/'))
        });
        match parts.last_mut() {
            Some(last) if !starts => {
                last.push_str(", ");
                last.push_str(piece);
            }
            _ => parts.push(piece.to_owned()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(is_success: bool, text: &str) -> HostFindings {
        let text = text.to_owned();
        understood(&Said { is_success, text }, "cloud-init 25.1.4 on this host")
    }

    #[test]
    fn errors_are_problems_and_deprecations_warnings() {
        let found = said(
            false,
            "2026-11-29 04:43:24,679 - schema.py[WARNING]: datasource not detected\n\
             Cloud config schema deprecations: users.1.lock-passwd:  Deprecated in version 22.3.\n\
             Invalid user-data /dev/stdin\n\
             Error: Cloud config schema errors: packages: 'foo' is not of type 'array', users.0: {'name': 'a', 'x': ['b: c', 1]} is wrong\n",
        );
        assert_eq!(
            found.problems,
            [
                "cloud-init 25.1.4 on this host: packages: 'foo' is not of type 'array'",
                "cloud-init 25.1.4 on this host: users.0: {'name': 'a', 'x': ['b: c', 1]} is wrong"
            ]
        );
        assert_eq!(
            found.warnings,
            ["cloud-init 25.1.4 on this host: users.1.lock-passwd:  Deprecated in version 22.3."]
        );
    }

    #[test]
    fn a_tool_that_fails_is_a_warning() {
        assert_eq!(
            said(false, "Traceback (most recent call last):\nModuleNotFoundError: No module named 'yaml'\n\n"),
            HostFindings {
                problems: Vec::new(),
                warnings: vec![
                    "cloud-init 25.1.4 on this host did not check it: ModuleNotFoundError: No module named 'yaml'".to_owned()
                ],
            }
        );
        assert_eq!(said(true, "Valid schema /dev/stdin\n"), HostFindings::default());
    }
}
