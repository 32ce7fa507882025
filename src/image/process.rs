//! `qemu-img`, the only image tool that is run on what a guest wrote: as the guest's own QEMU user, and with bounded memory.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::process::{Command, Stdio};

/// What it may take of the host's memory: QEMU's tables for a disk of 64 TiB fit.
const MEMORY: &str = "--as=1610612736";

/// Why it did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The programs are not there.
    #[error("setpriv, prlimit (of the package util-linux) and qemu-img (qemu-utils) are needed: {0}")]
    Programs(io::Error),
    /// It failed, with these last words.
    #[error("qemu-img failed: {0}")]
    Failed(String),
}

/// Runs it as this user, who can open what that VM's QEMU could open and nothing else. `progress` gets per cent.
pub(super) fn qemu_img(user: u32, words: &[&OsStr], progress: &mut dyn FnMut(u32)) -> Result<(), ToolError> {
    let mut program = Command::new("setpriv")
        // It ends with whoever waits for it, and can not outlive the file it writes.
        .args(["--pdeathsig", "KILL", "--clear-groups"])
        .args([format!("--reuid={user}"), format!("--regid={user}")])
        .args(["--no-new-privs", "--", "prlimit", MEMORY, "--core=0", "--"])
        .arg("qemu-img")
        .args(words)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(ToolError::Programs)?;
    let complaints = program.stderr.take().map(|stderr| {
        std::thread::spawn(move || {
            let mut said = Vec::new();
            // What could be read of the complaint is what is shown.
            stderr.take(4096).read_to_end(&mut said).ok();
            said
        })
    });
    if let Some(mut stdout) = program.stdout.take() {
        let mut bytes = [0; 256];
        while let Ok(read @ 1..) = stdout.read(&mut bytes) {
            if let Some(done) = bytes.get(..read).and_then(percent) {
                progress(done);
            }
        }
    }
    let status = program.wait().map_err(ToolError::Programs)?;
    let said = complaints
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    Err(ToolError::Failed(
        String::from_utf8_lossy(&said).trim().to_owned(),
    ))
}

/// The last `(12.34/100%)` of what `qemu-img -p` says.
fn percent(said: &[u8]) -> Option<u32> {
    let text = str::from_utf8(said).ok()?;
    let (_, last) = text.rsplit_once('(')?;
    last.split(['.', '/']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_what_qemu_img_says() {
        assert_eq!(percent(b"    (0.00/100%)\r    (41.20/100%)\r"), Some(41));
        assert_eq!(percent(b"    (100.00/100%)\r\n"), Some(100));
        assert_eq!(percent(b"nothing"), None);
    }
}
