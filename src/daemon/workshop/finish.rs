//! The end of a workshop: what is made of its disk.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::super::images::commit::Seal;
use super::super::{Daemon, failpoint, images, launch};
use super::outcome::Stage;
use crate::control::serve::ProgressSink;
use crate::control::{Frame, Refusal};
use crate::model::{Image, Vm};

/// A VM has just started, or was found running: where it is a workshop, its end is waited for from now on.
pub(in crate::daemon) fn began(daemon: &Daemon, vm: &Vm) {
    if vm.workshop().is_some() {
        daemon.outcomes.begin(&vm.name);
    }
}

/// Makes an image of a workshop whose QEMU has ended, when its guest wanted that (`clean`), and deletes it. What can not be made an image now,
/// because the host's disk is full or the like, is kept.
pub(in crate::daemon) async fn ended(daemon: &Arc<Daemon>, vm: &Arc<Vm>, clean: bool) {
    let _held = daemon.lock(vm).await;
    // Who deleted it, or undid its launch, had the lock before.
    let Ok(vm) = daemon.still(vm) else {
        let gone = Refusal::request(format!("{} was deleted: nothing was made of it", vm.name));
        daemon.outcomes.tell(&vm.name, Stage::Nothing(gone));
        return;
    };
    failpoint::reach("workshop ended");
    let stage = if clean {
        match publish(daemon, &vm).await {
            Ok(image) => {
                failpoint::reach("workshop registered");
                launch::undo(daemon, &vm).await;
                tracing::info!(vm = %vm.name, image = %image.id, "{} has become image {}.", vm.name, image.id);
                Stage::Made(image.id.clone())
            }
            Err(refusal) => Stage::Nothing(kept(&vm, &refusal)),
        }
    } else {
        launch::undo(daemon, &vm).await;
        Stage::Nothing(unclean(&vm))
    };
    if let Stage::Nothing(refusal) = &stage {
        tracing::error!(vm = %vm.name, "{refusal}.");
    }
    daemon.outcomes.tell(&vm.name, stage);
}

/// What is to be done with a disk that could not be made an image.
fn kept(vm: &Vm, refusal: &Refusal) -> Refusal {
    let image = vm.workshop().map(|workshop| workshop.image.to_string());
    let (name, image) = (&vm.name, image.unwrap_or_default());
    Refusal::host(format!("no image was made of {name}: {}", refusal.message)).hint(format!(
        "its disk is kept until the daemon is restarted: mend that, and seedbed image commit {name} {image} && seedbed delete {name}"
    ))
}

/// The disk as the next generation of its image, registered and current.
async fn publish(daemon: &Arc<Daemon>, vm: &Arc<Vm>) -> Result<Arc<Image>, Refusal> {
    let Some(workshop) = vm.workshop() else {
        return Err(Refusal::internal(format!("{} is no workshop", vm.name)));
    };
    let origin = match workshop.install() {
        Some(install) => format!("the installer of {}", install.family.name()),
        None => match vm.machine() {
            Some(machine) => format!("{}, edited", machine.image),
            None => String::new(),
        },
    };
    let progress = told_on(daemon, vm);
    let image =
        images::commit::made(daemon, vm, workshop.image.clone(), (origin, Seal::Yes), &progress).await?;
    images::register(daemon, image, true).await
}

/// Where the making says how far it is, for those who wait.
fn told_on(daemon: &Arc<Daemon>, vm: &Arc<Vm>) -> ProgressSink {
    let (sink, mut frames) = ProgressSink::channel(CancellationToken::new());
    let (daemon, vm) = (Arc::clone(daemon), vm.name.clone());
    tokio::spawn(async move {
        while let Some(frame) = frames.recv().await {
            if let Frame::Progress(line) = frame {
                daemon.outcomes.progress(&vm, line.stage);
            }
        }
    });
    sink
}

fn unclean(vm: &Vm) -> Refusal {
    let (what, again) = match vm.workshop() {
        Some(workshop) if workshop.install().is_some() => (
            "the installer did not come to its end",
            format!("seedbed image install {}", workshop.image),
        ),
        Some(workshop) => (
            "its guest did not power itself off, so its file systems may be half-written",
            format!("seedbed image edit {}", workshop.image),
        ),
        None => ("it is no workshop", String::new()),
    };
    Refusal::request(format!("nothing was made of {}: {what}", vm.name)).hint(format!(
        "what was done in it is gone, and no image was touched; begin again: {again}"
    ))
}
