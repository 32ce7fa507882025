//! Why VMs failed, and what their consoles showed last: kept beside their disks, so that it can be read until the next start,
//! also after a restart of the daemon or of the host.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Daemon;
use crate::console::files::before;
use crate::export;
use crate::model::{Timestamp, VmName};

/// How much of a console is kept: octets to read, lines, and characters a line.
const READ: u64 = 8 * 1024;
const LINES: usize = 12;
const LINE: usize = 200;

/// How a VM failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Failure {
    /// When, in seconds since the Unix epoch.
    pub(super) at: u64,
    /// What happened, in one sentence.
    pub(super) why: String,
    /// The last lines of its console.
    pub(super) console: Vec<String>,
    /// Whether it is to be started again.
    pub(super) again: bool,
}

/// Keeps why a VM failed. Where that is not possible, it is lost with this daemon.
pub(super) fn keep(daemon: &Daemon, vm: &VmName, why: &str, again: bool) {
    let Timestamp(at) = daemon.clock.now();
    let failure = Failure {
        at,
        why: why.to_owned(),
        console: tail(&daemon.config.places.console_log(vm)),
        again,
    };
    write(daemon, vm, &failure);
}

/// Somebody does not want a VM to run: no daemon starts it again for what was before.
pub(super) fn leave_alone(daemon: &Daemon, vm: &VmName) {
    if let Some(failure) = kept(daemon, vm).filter(|failure| failure.again) {
        let again = false;
        write(daemon, vm, &Failure { again, ..failure });
    }
}

fn write(daemon: &Daemon, vm: &VmName, failure: &Failure) {
    let path = daemon.config.places.failure(vm);
    let written = |out: &mut dyn Write| serde_json::to_writer(out, failure).map_err(io::Error::from);
    if let Err(error) = export::write_atomically(&path, 0o600, written) {
        tracing::warn!(%vm, "could not keep why {vm} failed: {error}.");
    }
}

/// Why a VM failed since it was last started.
pub(super) fn kept(daemon: &Daemon, vm: &VmName) -> Option<Failure> {
    let text = std::fs::read_to_string(daemon.config.places.failure(vm)).ok()?;
    serde_json::from_str(&text).ok()
}

/// A VM runs: why it failed before is of no use any more.
pub(super) fn forget(daemon: &Daemon, vm: &VmName) {
    let path = daemon.config.places.failure(vm);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%vm, "could not remove {}: {error}.", path.display());
        }
        _ => {}
    }
}

/// The last lines of a console, without what a terminal would act upon. Its log has just begun anew where it was full.
fn tail(log: &Path) -> Vec<String> {
    let end = |path: &Path| -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(READ);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(READ).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let mut bytes = end(&before(log)).unwrap_or_default();
    bytes.extend(end(log).unwrap_or_default());
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(printable).filter(|line| !line.trim().is_empty());
    let mut last: Vec<String> = lines.collect();
    last.drain(..last.len().saturating_sub(LINES));
    last
}

/// A line without control characters and the sequences that begin with ESC (ECMA-48 §5.4).
fn printable(line: &str) -> String {
    let mut chars = line.chars().peekable();
    let mut text = String::new();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            let parameters = |char: &char| !matches!(char, '@'..='~');
            while chars.next_if(parameters).is_some() {}
            chars.next();
        } else if !char.is_control() {
            text.push(char);
        }
    }
    text.chars().take(LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines_as_a_person_sees_them() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let lines: Vec<String> = (0..20).map(|number| format!("line {number}\r\n\r\n")).collect();
        std::fs::write(
            log.path(),
            lines.concat() + "\u{1b}[1;31mpanic\u{1b}[0m\u{7} \u{1b}c\"now\"\r\n",
        )
        .unwrap();
        let tail = super::tail(log.path());
        assert_eq!(tail.len(), LINES);
        assert_eq!(
            (tail[0].as_str(), tail[LINES - 1].as_str()),
            ("line 9", "panic c\"now\"")
        );
        let earlier = before(log.path());
        std::fs::write(&earlier, "the beginning\nof a ").unwrap();
        std::fs::write(log.path(), "line\n").unwrap();
        assert_eq!(super::tail(log.path()), ["the beginning", "of a line"]);
        std::fs::remove_file(&earlier).unwrap();
        std::fs::write(log.path(), vec![b'x'; 100_000]).unwrap();
        assert_eq!(super::tail(log.path()), ["x".repeat(LINE)]);
        std::fs::write(log.path(), "\u{1b}[").unwrap();
        assert_eq!(super::tail(log.path()), [""; 0]);
        assert_eq!(super::tail(Path::new("/nonexistent")), [""; 0]);
    }
}
