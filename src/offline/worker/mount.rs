//! Mounting, by mount(8): it asks for a loop device that frees itself, and takes it in one step with its file system.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::offline::job::Access;
use crate::offline::volumes::{Content, Volume};

/// What every file system that a guest wrote is mounted with: none of its devices and programs are any.
const HARMLESS: &str = "nodev,nosuid,noexec,noatime";

/// Why something is not mounted, or is still.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {said}")]
pub(super) struct MountError {
    what: String,
    said: String,
}

/// Something that is mounted, until it is dropped.
#[derive(Debug)]
pub(super) struct Mount {
    at: Option<PathBuf>,
}

impl Mount {
    /// A small file system in memory.
    pub(super) fn tmpfs(at: &Path) -> Result<Self, MountError> {
        let options = "mode=0700,size=32m,nodev,nosuid,noexec";
        Self::by(
            Command::new("mount")
                .args(["-n", "-i", "-t", "tmpfs", "-o", options, "tmpfs"])
                .arg(at),
            at,
            "a file system in memory could not be mounted",
        )
    }

    /// A volume of a disk; `more` are options of its own.
    pub(super) fn volume(
        disk: &Path,
        volume: &Volume,
        access: Access,
        more: Option<&str>,
        at: &Path,
    ) -> Result<Self, MountError> {
        let Some(kind) = volume.content.file_system() else {
            return Err(MountError {
                what: volume.to_string(),
                said: "it is no file system that can be mounted".to_owned(),
            });
        };
        let mut options = format!(
            "loop,offset={},sizelimit={},{HARMLESS},{}",
            volume.offset,
            volume.len,
            for_content(volume.content, access)
        );
        if let Some(more) = more {
            options.push(',');
            options.push_str(more);
        }
        Self::by(
            Command::new("mount")
                .args(["-n", "-i", "-t", kind, "-o", &options])
                .arg(disk)
                .arg(at),
            at,
            &format!("{volume} could not be mounted"),
        )
    }

    fn by(command: &mut Command, at: &Path, what: &str) -> Result<Self, MountError> {
        run(command, what)?;
        Ok(Self {
            at: Some(at.to_owned()),
        })
    }

    /// Unmounts it: what was written is on the disk then.
    pub(super) fn unmount(mut self) -> Result<(), MountError> {
        self.at.take().map_or(Ok(()), |at| unmount(&at))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // On the way out after an error, which is the one to report; the end of the namespace unmounts it for certain.
        if let Some(at) = self.at.take() {
            unmount(&at).ok();
        }
    }
}

fn unmount(at: &Path) -> Result<(), MountError> {
    let what = format!("{} could not be unmounted", at.display());
    run(Command::new("umount").args(["-n", "-i"]).arg(at), &what)
}

/// A disk that is only looked at is not written to, and a damaged one is no reason to stop the host: the file system itself
/// may ask for that.
const fn for_content(content: Content, access: Access) -> &'static str {
    match (content, access) {
        (Content::Xfs, Access::Read) => "ro,norecovery,nouuid",
        (Content::Xfs, Access::Write) => "rw,nouuid",
        (Content::Btrfs, Access::Read) => "ro,rescue=nologreplay",
        (Content::Btrfs, Access::Write) => "rw",
        (_, Access::Read) => "ro,noload,errors=continue",
        (_, Access::Write) => "rw,errors=remount-ro",
    }
}

fn run(command: &mut Command, what: &str) -> Result<(), MountError> {
    let failed = |said: String| MountError {
        what: what.to_owned(),
        said,
    };
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(said.trim().chars().take(400).collect()))
}
