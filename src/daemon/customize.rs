//! Clones of images without an agent: what they are to be is written into their own disks before they start.
//!
//! Beside a disk lies what was written into it last (`Places::customized`). It is written to again when that is not what the
//! record says now, or when the disk is another one.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::{Daemon, door, failpoint, images, machines, replace, selection};
use crate::control::Refusal;
use crate::control::serve::ProgressSink;
use crate::export;
use crate::model::image::View;
use crate::model::{Image, Vm};
use crate::offline::customize::{Done, Plan};
use crate::offline::job::{Disk, Format, Outcome, Task};
use crate::registry::Change;

/// Makes a VM's disk what its record says, where it is not. The caller holds the VM's lock, and it does not run.
pub(super) async fn before_start(daemon: &Arc<Daemon>, vm: &Vm, image: &Image) -> Result<(), Refusal> {
    let vm = &*daemon.directory().served(&daemon.still(vm)?);
    // What an installer is to write to has nothing in it yet.
    if vm.view(Some(image)) != View::Offline || vm.install().is_some() {
        return Ok(());
    }
    let plan = Plan::of(vm, &*daemon.network_of(vm)?, image);
    let mark = mark(daemon, vm, &plan)?;
    let path = daemon.config.places.customized(&vm.name);
    if std::fs::read_to_string(&path).is_ok_and(|kept| kept == mark) {
        return Ok(());
    }
    let done = written(daemon, vm, image, plan).await?;
    tracing::info!(vm = %vm.name, files = done.len(), "wrote into the disk of {} who it is.", vm.name);
    Ok(())
}

/// What tells that a plan was written into the disk that is there now: another disk of the VM is another file.
fn mark(daemon: &Daemon, vm: &Vm, plan: &Plan) -> Result<String, Refusal> {
    let disk = daemon.config.places.disk(&vm.name);
    let known = || {
        let metadata = std::fs::metadata(&disk)?;
        // Not every file system knows it; those that do tell a file from one that had its number before.
        let born = metadata.created().ok();
        let born = born.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok::<_, std::io::Error>((metadata.ino(), born.unwrap_or_default().as_nanos()))
    };
    let (inode, born) = known().map_err(|error| Refusal::host(format!("{}: {error}", disk.display())))?;
    Ok(format!("{} {inode} {born}\n", plan.digest()))
}

/// Writes a plan into a VM's disk, and then down that it was.
async fn written(daemon: &Arc<Daemon>, vm: &Vm, image: &Image, plan: Plan) -> Result<Vec<Done>, Refusal> {
    let mark = mark(daemon, vm, &plan)?;
    failpoint::reach("customizing");
    let done = worked(daemon, vm, image, plan, false).await?;
    failpoint::reach("customized");
    for note in done.iter().filter_map(Done::note) {
        tracing::warn!(vm = %vm.name, "the disk of {}: {note}.", vm.name);
    }
    let path = daemon.config.places.customized(&vm.name);
    let text = |out: &mut dyn std::io::Write| out.write_all(mark.as_bytes());
    // A disk that was written to once more is as it was.
    export::write_atomically(&path, 0o600, text)
        .map_err(|error| Refusal::host(format!("{}: {error}", vm.name)))?;
    Ok(done)
}

/// Has a plan written into a VM's disk, or told what that would be.
async fn worked(
    daemon: &Daemon,
    vm: &Vm,
    image: &Image,
    plan: Plan,
    dry_run: bool,
) -> Result<Vec<Done>, Refusal> {
    let places = &daemon.config.places;
    let disk = Disk {
        path: places.disk(&vm.name),
        format: Format::Qcow2,
    };
    let base = Disk {
        path: places.image_disk(&image.id),
        format: image.format.into(),
    };
    let task = Task::Customize { plan, dry_run };
    let failed = |why: &dyn std::fmt::Display| Refusal::host(format!("the disk of {}: {why}", vm.name));
    match door::work(daemon, disk, Some(base), task).await? {
        Ok(Outcome::Customized(done)) => Ok(done),
        Ok(_) => Err(failed(&"the worker did something else")),
        Err(error) => Err(failed(&error)),
    }
}

/// Writes into the disks of stopped VMs now, or only says what would be written.
pub(super) async fn now(
    daemon: &Arc<Daemon>,
    names: &[String],
    dry_run: bool,
    progress: &ProgressSink,
) -> Result<String, Refusal> {
    let vms = selection::vms(&daemon.directory(), names)?;
    let mut text = String::new();
    for vm in &vms {
        progress.line(
            vm.name.as_str(),
            if dry_run {
                "looking into its disk"
            } else {
                "writing into its disk"
            },
        );
        let done = one(daemon, vm, dry_run).await?;
        text += &told(vm, &done, dry_run);
    }
    Ok(text)
}

async fn one(daemon: &Arc<Daemon>, vm: &Arc<Vm>, dry_run: bool) -> Result<Vec<Done>, Refusal> {
    let _held = daemon.lock(vm).await;
    let vm = daemon.still(vm)?;
    let machine = machines::machine_of(&vm)?;
    replace::settled(daemon, &vm, machine).await?;
    let image = machines::image_of(daemon, machine)?;
    let view = vm.view(Some(&image));
    if view != View::Offline {
        let message = format!(
            "{} is not told who it is by its disk: its view is {}",
            vm.name,
            view.as_str()
        );
        return Err(Refusal::request(message)
            .hint("a VM of an image without cloud-init is launched with --offline, or its image added with --view offline"));
    }
    if daemon.status.seen(&vm).is_up() {
        return Err(
            Refusal::request(format!("{} is running: its disk is its own now", vm.name))
                .hint(format!("stop it first: seedbed stop {}", vm.name)),
        );
    }
    images::verified(daemon, &image).await?;
    if !dry_run {
        // It gives the VM a host key where it has none.
        let name = vm.name.clone();
        daemon.commit(Change::Released { name }).await?;
    }
    let vm = &*daemon.directory().served(&daemon.still(&vm)?);
    let plan = Plan::of(vm, &*daemon.network_of(vm)?, &image);
    if dry_run {
        return worked(daemon, vm, &image, plan, true).await;
    }
    written(daemon, vm, &image, plan).await
}

/// What was done to a VM's disk, a line for each file.
fn told(vm: &Vm, done: &[Done], dry_run: bool) -> String {
    let mut text = String::new();
    let name = &vm.name;
    let files = done.iter().filter(|done| done.note().is_none()).count();
    // Writing to a String can not fail.
    let _infallible = match (files, dry_run) {
        (0, _) => writeln!(text, "{name}: its disk is as its record says"),
        (_, true) => writeln!(text, "{name}: nothing was written; it would be"),
        (_, false) => writeln!(text, "{name}: written into its disk"),
    };
    for done in done {
        let _infallible = writeln!(text, "  {done}");
    }
    text
}
