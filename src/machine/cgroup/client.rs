//! systemd's side of control groups: it is asked for a transient scope over D-Bus, by its own `busctl`.

use std::io;
use std::process::Stdio;

use tokio::process::Command;

use super::Limits;

/// Has systemd put a process into a new scope, which ends when its last process does.
///
/// (`StartTransientUnit` of org.freedesktop.systemd1(5); a job is under way when it answers.)
pub(super) async fn scope(unit: &str, slice: &str, pid: u32, limits: Limits) -> io::Result<()> {
    let (pid, tasks, memory) = (
        pid.to_string(),
        limits.tasks.to_string(),
        limits.memory.0.to_string(),
    );
    let output = Command::new("busctl")
        .args(["--system", "--quiet", "--timeout=10", "call"])
        .args(["org.freedesktop.systemd1", "/org/freedesktop/systemd1"])
        .args(["org.freedesktop.systemd1.Manager", "StartTransientUnit"])
        .args(["ssa(sv)a(sa(sv))", unit, "fail", "6"])
        .args(["Description", "s", "Virtual machine of Seedbed"])
        .args(["PIDs", "au", "1", &pid])
        .args(["Slice", "s", slice])
        .args(["CollectMode", "s", "inactive-or-failed"])
        .args(["TasksMax", "t", &tasks])
        .args(["MemoryMax", "t", &memory])
        .arg("0")
        .stdin(Stdio::null())
        .output()
        .await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said
        .trim()
        .chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect();
    Err(io::Error::other(format!("systemd made no scope: {said}")))
}
