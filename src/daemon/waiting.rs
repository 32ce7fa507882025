//! Waits until VMs reach a rung: fails as soon as one of them failed, and says what should have come next.

use std::sync::Arc;
use std::time::Duration;

use super::Daemon;
use super::status::Seen;
use crate::control::serve::ProgressSink;
use crate::control::{Refusal, Rung};
use crate::model::image::View;
use crate::model::{BootStep, Pause, Phase, Vm, VmState};

/// Waits for all of these VMs, at most `timeout`, telling each rung on the way.
pub(super) async fn wait_for(
    daemon: &Daemon,
    vms: &[Arc<Vm>],
    rung: Rung,
    timeout: Duration,
    progress: &ProgressSink,
) -> Result<(), Refusal> {
    let mut bell = daemon.status.bell();
    let mut told: Vec<Option<BootStep>> = vec![None; vms.len()];
    let climbing = async {
        loop {
            bell.mark_unchanged();
            let mut pending = false;
            for (vm, told) in vms.iter().zip(&mut told) {
                let vm = daemon.still(vm)?;
                let seen = daemon.status.seen(&vm);
                tell(&vm, &seen, told, progress);
                pending |= match arrived(daemon, &vm, &seen, rung) {
                    // It waits for others, and what it failed of before does not count.
                    Err(_) if !seen.is_up() && daemon.queue.has(&vm.name) => true,
                    arrived => !arrived?,
                };
            }
            if !pending || bell.changed().await.is_err() {
                return Ok(());
            }
        }
    };
    match tokio::time::timeout(timeout, climbing).await {
        Ok(result) => result,
        Err(_) => Err(late(daemon, vms, rung, timeout)),
    }
}

fn tell(vm: &Vm, seen: &Seen, told: &mut Option<BootStep>, progress: &ProgressSink) {
    let step = seen.progress.map(|progress| progress.step);
    if step.is_some() && *told < step {
        *told = step;
        progress.line(vm.name.as_str(), step.map_or("", BootStep::as_str));
    }
}

/// Whether a VM is as far as wanted; refused when it can not get there.
pub(super) fn arrived(daemon: &Daemon, vm: &Vm, seen: &Seen, rung: Rung) -> Result<bool, Refusal> {
    let step = match rung {
        Rung::Stopped => return Ok(matches!(seen.state, VmState::Stopped | VmState::Failed { .. })),
        Rung::Started => BootStep::Started,
        Rung::Dhcp => BootStep::Dhcp,
        Rung::Metadata => BootStep::Metadata,
        Rung::Ready => BootStep::Ready,
    };
    match &seen.state {
        VmState::Failed { why } => Err(Refusal::request(format!("{} failed: {why}", vm.name))
            .hint(format!("read its console with `seedbed log {}`", vm.name))),
        // Its disks are being cloned.
        VmState::Stopped
            if vm
                .machine()
                .is_some_and(|machine| machine.phase == Phase::Launching) =>
        {
            Ok(false)
        }
        VmState::Stopped => Err(Refusal::request(format!("{} is not running", vm.name))
            .hint(format!("start it with `seedbed start {}`", vm.name))),
        VmState::Paused { why, .. } if *why != Pause::ByHand && !seen.reached(step) => Err(Refusal::host(
            format!("{} is paused: {}", vm.name, why.sentence()),
        )
        .hint(format!("mend that, and let it go on: seedbed resume {}", vm.name))),
        // It is on its first rung, and its QEMU may still fail.
        VmState::Starting => Ok(false),
        VmState::Running { .. } | VmState::Paused { .. } | VmState::Stopping { .. } | VmState::External => {
            climbed(daemon, vm, seen, step)
        }
    }
}

/// Whether a VM's boot is as far; refused when its cloud-init says that it failed on the way to `ready`.
fn climbed(daemon: &Daemon, vm: &Vm, seen: &Seen, step: BootStep) -> Result<bool, Refusal> {
    if seen.reached(step) {
        return Ok(true);
    }
    match daemon.heard.of(&vm.name).failures.front() {
        Some(failure) if step == BootStep::Ready => Err(Refusal::request(format!(
            "cloud-init of {} reports: {failure}",
            vm.name
        ))
        .hint(format!(
            "it runs on: read why with `seedbed log {}`, mend its user-data, and start again with `seedbed reset {}`",
            vm.name, vm.name
        ))),
        _ => Ok(false),
    }
}

fn late(daemon: &Daemon, vms: &[Arc<Vm>], rung: Rung, timeout: Duration) -> Refusal {
    let behind: Vec<_> = vms
        .iter()
        .map(|vm| (vm, daemon.status.seen(vm)))
        .filter(|(vm, seen)| !arrived(daemon, vm, seen, rung).unwrap_or(false))
        .collect();
    let sentences: Vec<_> = behind.iter().map(|(vm, seen)| how_far(vm, seen, rung)).collect();
    let hint = behind.first().map_or_else(String::new, |(vm, seen)| {
        missing_step((vm, daemon.directory().view_of(vm)), seen, rung)
    });
    let rung = match rung {
        Rung::Started => "started",
        Rung::Dhcp => "ip",
        Rung::Metadata => "metadata",
        Rung::Ready => "ready",
        Rung::Stopped => "stopped",
    };
    Refusal::timeout(format!(
        "waited {} s for `{rung}`: {}",
        timeout.as_secs(),
        sentences.join("; ")
    ))
    .hint(hint)
}

fn how_far(vm: &Vm, seen: &Seen, rung: Rung) -> String {
    match (rung, seen.progress) {
        _ if matches!(seen.state, VmState::Paused { .. }) => format!("{} is paused by hand", vm.name),
        (Rung::Stopped, _) => format!("{} still runs", vm.name),
        (_, Some(progress)) => format!("{} got as far as `{}`", vm.name, progress.step),
        (_, None) => format!("nothing was heard of {} yet", vm.name),
    }
}

/// What should have come next, and where to look when it does not.
fn missing_step((vm, view): (&Vm, View), seen: &Seen, rung: Rung) -> String {
    let name = &vm.name;
    if rung == Rung::Stopped {
        return format!("power it off: seedbed stop {name}, or at once with --force");
    }
    if matches!(seen.state, VmState::Paused { .. }) {
        return format!("let it go on: seedbed resume {name}");
    }
    match seen.progress.map(|progress| progress.step) {
        None => format!("check that its NIC has the MAC shown by `seedbed show {name}`"),
        Some(BootStep::Started) => format!(
            "no DHCP request was answered yet: look for the boot loader or a kernel panic in `seedbed log {name}`"
        ),
        Some(BootStep::Dhcp) if view == View::Offline => format!(
            "it has its address, and its SSH server does not answer: does the image have one? see `seedbed log {name}`"
        ),
        Some(BootStep::Dhcp) => format!(
            "it has its address but has not asked for its metadata: does the image have cloud-init? see `seedbed log {name}`"
        ),
        Some(BootStep::Metadata) => {
            format!("cloud-init is at work or failed in a module: see `seedbed log {name}`")
        }
        Some(BootStep::Ready) => format!("{name} is ready"),
    }
}
