//! Asking the installed QEMU what it is: a machine without anything, which ends when it has told.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::{Emulator, EmulatorError, LEAST, PATIENCE, Version, read_version, stranger};
use crate::machine::Accel;
use crate::machine::message::{self, Message};

/// More than any QEMU tells of itself, by ten times.
const MOST: u64 = 1 << 20;

const QUESTIONS: [&str; 5] = [
    "qmp_capabilities",
    "query-version",
    "query-machines",
    "query-cpu-definitions",
    "quit",
];

/// Asks a QEMU what it is. One that is too old is refused.
pub async fn ask(program: &Path, accel: Accel) -> Result<Emulator, EmulatorError> {
    let asked = timeout(PATIENCE, answers(program, accel)).await;
    let said = asked.map_err(|_| EmulatorError::Silent(program.to_owned()))?;
    let said = said.map_err(|source| EmulatorError::Program {
        program: program.to_owned(),
        source,
    })?;
    let [version, boards, processors] = parsed(program, &said)?;
    if let Some(found) = read_version(&version).filter(|found: &Version| *found < LEAST) {
        let program = program.to_owned();
        return Err(EmulatorError::TooOld { program, found });
    }
    Emulator::read([&version, &boards, &processors]).map_err(|why| EmulatorError::Stranger {
        program: program.to_owned(),
        why,
    })
}

/// All that it says. It ends by itself, and with whoever waits for it.
async fn answers(program: &Path, accel: Accel) -> std::io::Result<Vec<u8>> {
    let mut child = Command::new(program)
        .args(["-no-user-config", "-nodefaults", "-display", "none"])
        .args(["-machine", "none", "-accel", accel.as_str(), "-qmp", "stdio"])
        .args(["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let questions: String = (1..)
            .zip(QUESTIONS)
            .map(|(id, name)| message::command(name, id))
            .collect();
        // One that does not listen has ended, or says something else: what it said tells.
        stdin.write_all(questions.as_bytes()).await.ok();
    }
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MOST).read_to_end(&mut said).await?;
    }
    child.wait().await?;
    Ok(said)
}

/// The answers to the questions about version, boards and processors.
fn parsed(program: &Path, said: &[u8]) -> Result<[Value; 3], EmulatorError> {
    let mut answers = [Value::Null, Value::Null, Value::Null];
    let lines = said.split(|byte| *byte == b'\n');
    for line in lines.filter(|line| !line.trim_ascii().is_empty()) {
        if let Message::Return { id, value } = Message::parse(line).map_err(stranger(program))? {
            let place = usize::try_from(id).ok().and_then(|id| id.checked_sub(2));
            if let Some(answer) = place.and_then(|place| answers.get_mut(place)) {
                *answer = value;
            }
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hardware;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    const QEMU: &str = "/usr/bin/qemu-system-x86_64";

    /// A program in QEMU's place.
    fn program(directory: &tempfile::TempDir, script: &str) -> PathBuf {
        let path = directory.path().join("qemu");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    async fn refused(script: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let program = program(&directory, script);
        ask(&program, Accel::Tcg).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn the_installed_qemu_tells_what_it_is() {
        let emulator = ask(Path::new(QEMU), Accel::Tcg).await.unwrap();
        assert!(emulator.version >= LEAST);
        assert!(emulator.newest.as_str().starts_with("pc-q35-"), "{emulator:?}");
        let pinned = Hardware {
            machine_type: Some(emulator.newest.clone()),
            cpu_model: Some("qemu64-v1".parse().unwrap()),
            ..Hardware::default()
        };
        emulator.check(&pinned).unwrap();
    }

    #[tokio::test]
    async fn l15_a_qemu_that_is_too_old_or_none_is_refused_by_name() {
        let old = r#"echo '{"QMP": {}}'; echo '{"id": 2, "return": {"qemu": {"major": 5, "minor": 2, "micro": 0}}}'"#;
        let said = refused(old).await;
        assert!(
            said.contains("QEMU 5.2.0, which is too old: 7.2.0 or later"),
            "{said}"
        );
        assert!(
            refused("exit 1")
                .await
                .contains("is that QEMU? it has no version")
        );
        assert!(refused("echo hello").await.contains("is that QEMU?"));
        let gone = ask(Path::new("/nonexistent/qemu"), Accel::Tcg).await;
        assert!(gone.unwrap_err().to_string().contains("install QEMU"));
    }
}
