//! The worker's inner half: it finds the guest's root file system, mounts it, and does the task.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::export::place;
use super::mount::Mount;
use super::reach;
use crate::offline::job::{Access, Job, Outcome, Task};
use crate::offline::root::{Kind, Root};
use crate::offline::volumes::{Content, Volume, volumes};
use crate::offline::{customize, lint, seal};

/// Where a Btrfs has its root, in the order of trying: as it says itself, then by the names that distributions use.
const SUBVOLUMES: [Option<&str>; 4] = [
    None,
    Some("subvol=@"),
    Some("subvol=root"),
    Some("subvol=@rootfs"),
];

/// Does the job on the disk that the outer half exported.
pub(super) fn outcome(job: &Job) -> Outcome {
    done(job).unwrap_or_else(Outcome::Failed)
}

fn done(job: &Job) -> Result<Outcome, String> {
    let disk = place(&job.scratch);
    let found = look(&disk).map_err(|error| format!("the disk could not be read: {error}"))?;
    let at = job.scratch.join("root");
    fs::create_dir_all(&at).map_err(|error| error.to_string())?;
    let (system, subvolume) = root_volume(&disk, &found, &at)?;
    let mounted = Mount::volume(&disk, &system, job.task.access(), subvolume, &at)
        .map_err(|error| error.to_string())?;
    reach("door inside");
    let boot = boot_volume(&disk, &found, &system, &at);
    let outcome = Root::open(&at)
        .map_err(|error| error.to_string())
        .and_then(|root| perform(&job.task, &root));
    reach("door worked");
    if let Some(boot) = boot {
        boot.unmount().map_err(|error| error.to_string())?;
    }
    mounted.unmount().map_err(|error| error.to_string())?;
    outcome
}

fn perform(task: &Task, root: &Root) -> Result<Outcome, String> {
    match task {
        Task::Lint => Ok(Outcome::Report(lint::lint(root))),
        Task::Seal => seal::seal(root)
            .map(Outcome::Report)
            .map_err(|error| error.to_string()),
        Task::Customize { plan, dry_run: true } => customize::preview(root, plan)
            .map(Outcome::Customized)
            .map_err(|error| error.to_string()),
        Task::Customize { plan, dry_run: false } => customize::apply(root, plan)
            .map(Outcome::Customized)
            .map_err(|error| error.to_string()),
    }
}

fn look(disk: &Path) -> io::Result<Vec<Volume>> {
    let mut file = File::open(disk)?;
    // A block device has no length, but an end.
    let len = file.seek(SeekFrom::End(0))?;
    let read = |offset: u64, count: usize| {
        let mut bytes = Vec::new();
        let mut file = &file;
        file.seek(SeekFrom::Start(offset))?;
        file.take(count as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    volumes(&read, len)
}

/// The volume that has a guest's root directory, and the mount option that leads to it.
fn root_volume(disk: &Path, found: &[Volume], at: &Path) -> Result<(Volume, Option<&'static str>), String> {
    let mut roots = Vec::new();
    let mut damaged = Vec::new();
    for volume in found
        .iter()
        .filter(|volume| volume.content.file_system().is_some())
    {
        let options = if volume.content == Content::Btrfs {
            SUBVOLUMES.as_slice()
        } else {
            &[None]
        };
        for option in options {
            match Mount::volume(disk, volume, Access::Read, *option, at) {
                Ok(_mounted) if Root::open(at).is_ok_and(|root| is_root(&root)) => {
                    roots.push((*volume, *option));
                    break;
                }
                Ok(_mounted) => {}
                Err(error) if option.is_none() => damaged.push(error.to_string()),
                Err(_) => {}
            }
        }
    }
    match roots.as_slice() {
        [root] => Ok(*root),
        [] => Err(no_root(found, &damaged)),
        several => {
            let shown: Vec<_> = several.iter().map(|(volume, _)| volume.to_string()).collect();
            Err(format!(
                "the disk has {} root file systems ({}): only disks with one system can be worked on offline",
                several.len(),
                shown.join("; ")
            ))
        }
    }
}

fn no_root(found: &[Volume], damaged: &[String]) -> String {
    let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
    let shown = if shown.is_empty() {
        "no partition and no file system".to_owned()
    } else {
        shown.join("; ")
    };
    let mut text = format!(
        "no root file system that can be mounted is on the disk ({shown}): Seedbed looks into ext4, XFS and Btrfs, in partitions \
         or without, and not into LVM, RAID or encrypted volumes. Boot a VM of it and look from within"
    );
    for error in damaged {
        text.push_str("; ");
        text.push_str(error);
    }
    text
}

fn is_root(root: &Root) -> bool {
    let named = ["/etc/os-release", "/usr/lib/os-release", "/etc/debian_version"];
    root.exists("/etc") && root.exists("/usr") && named.iter().any(|path| root.exists(path))
}

/// Mounts `/boot`, read-only, where it is a file system of its own: it is told by the kernel in it.
fn boot_volume(disk: &Path, found: &[Volume], system: &Volume, at: &Path) -> Option<Mount> {
    let root = Root::open(at).ok()?;
    let fstab = root.read_text("/etc/fstab").ok()??;
    fstab
        .lines()
        .find(|line| !line.starts_with('#') && line.split_whitespace().nth(1) == Some("/boot"))?;
    // A link would have the host's mount(8) follow it.
    let status = root.status("/boot").ok()??;
    if status.kind != Kind::Directory {
        return None;
    }
    drop(root);
    let place = at.join("boot");
    found
        .iter()
        .filter(|volume| *volume != system && volume.content.file_system().is_some())
        .find_map(|volume| {
            let mounted = Mount::volume(disk, volume, Access::Read, None, &place).ok()?;
            let names = Root::open(&place).ok()?.list("/").ok()?;
            let kernel = names
                .iter()
                .any(|name| name.starts_with("vmlinuz") || name == "grub" || name == "grub2");
            kernel.then_some(mounted)
        })
}
