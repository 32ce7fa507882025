//! Named steps at which a test can kill the daemon, to prove that a kill anywhere leaves nothing half-done.
//!
//! Compiled into debug builds only; a release daemon has no such switch.

/// The steps of a launch and a start (those of writing into a disk among them), then those of making an image, of a workshop
/// besides, of replacing disks, of a stop, of a delete, of a launch that is taken back, and of a NIC that comes or goes, in order.
#[cfg(debug_assertions)]
pub(super) const STEPS: &[&str] = &[
    "registered",
    "cloned",
    "customizing",
    "customized",
    "tap",
    "guarded",
    "spawned",
    "running",
    "launched",
    "image copying",
    "image added",
    "generation begun",
    "generation written",
    "generation published",
    "seal copied",
    "seal done",
    "workshop ended",
    "workshop registered",
    "disks made",
    "disks replaced",
    "disks in place",
    "deleted",
    "disks set aside",
    "deletion final",
    "undelete registered",
    "disks brought back",
    "undeleted",
    "extra disk made",
    "extra disks registered",
    "stop asked",
    "powered off",
    "unguarded",
    "stopped",
    "delete stopped",
    "undo stopped",
    "undo disks removed",
    "undone",
    "standing still",
    "snapshot taken",
    "snapshot kept",
    "snapshot forgotten",
    "nic tap",
    "nic guarded",
    "nic given",
    "nic backed",
    "nic plugged",
    "nic let go",
    "nic cut off",
    "nic freed",
];

/// Ends the process without any clean-up, as `kill -9` would, if `SEEDBED_FAILPOINT` names this step. Where `SEEDBED_FAILPOINT_RUN`
/// names a program, that is run instead: it can do to others at this step what it likes.
#[cfg(debug_assertions)]
pub(super) fn reach(step: &str) {
    debug_assert!(STEPS.contains(&step), "unknown failpoint {step}");
    if std::env::var_os("SEEDBED_FAILPOINT").is_none_or(|wanted| wanted != step) {
        return;
    }
    let Some(program) = std::env::var_os("SEEDBED_FAILPOINT_RUN") else {
        std::process::abort();
    };
    if let Err(error) = std::process::Command::new(program).status() {
        tracing::error!("failpoint `{step}`: {error}.");
    }
}

/// Nothing: a release daemon can not be told to fail.
#[cfg(not(debug_assertions))]
pub(super) const fn reach(_step: &str) {}
