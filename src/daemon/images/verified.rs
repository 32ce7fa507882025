//! No VM starts on a base that is not what its clone was made of.

use std::sync::Arc;

use super::super::Daemon;
use crate::control::Refusal;
use crate::image::StoreError;
use crate::model::{Directory, Image, ImageId, VmState};
use crate::registry::Change;

/// The image as it is registered, when its disk is what was added; a refusal that names its clones and the repair when not.
pub(in crate::daemon) async fn verified(daemon: &Arc<Daemon>, image: &Arc<Image>) -> Result<(), Refusal> {
    // Of a hundred VMs that start at once on a base that was only touched, one has it hashed.
    let _one = daemon.verifying.lock().await;
    let image = daemon
        .directory()
        .image(&image.id)
        .cloned()
        .unwrap_or_else(|| Arc::clone(image));
    let (store, asked) = (daemon.store.clone(), Arc::clone(&image));
    let stamp = match tokio::task::spawn_blocking(move || store.verify(&asked)).await? {
        Ok(None) => return Ok(()),
        Ok(Some(stamp)) => Some(stamp),
        Err(damaged @ StoreError::Damaged { .. }) => return Err(refusal(daemon, &image, &damaged)),
        Err(error) => return Err(error.into()),
    };
    let image = Image {
        stamp,
        ..Image::clone(&image)
    };
    daemon
        .commit(Change::PutImage {
            image,
            promote: false,
        })
        .await?;
    Ok(())
}

fn refusal(daemon: &Daemon, image: &Image, damaged: &StoreError) -> Refusal {
    let directory = daemon.directory();
    let (mut clones, mut running) = (Vec::new(), Vec::new());
    for vm in directory.clones_of(&image.id) {
        clones.push(vm.name.to_string());
        // Whoever is being started, and is refused here, does not run.
        if matches!(
            daemon.status.seen(vm).state,
            VmState::Running { .. } | VmState::Paused { .. } | VmState::Stopping { .. }
        ) {
            running.push(vm.name.to_string());
        }
    }
    let mut message = format!(
        "{damaged}. Its clones are noise on any other disk: {}",
        clones.join(", ")
    );
    if !running.is_empty() {
        message.push_str("; running on it now: ");
        message.push_str(&running.join(", "));
    }
    Refusal::host(message).hint(repair(&directory, &image.id, &image.sha256, &clones.join(" ")))
}

fn repair(directory: &Directory, id: &ImageId, sha256: &str, clones: &str) -> String {
    let others = directory.generations(id.name()).filter(|other| other.id != *id);
    let other = others.max_by_key(|other| other.promoted);
    let give_up = match other {
        Some(other) => format!("seedbed rebase {clones} --to {}", other.id),
        None => format!(
            "seedbed image add {} FILE --next && seedbed rebase {clones} --to {}@{}",
            id.name(),
            id.name(),
            id.generation().next()
        ),
    };
    format!("put back the file whose SHA-256 is {sha256}; or, to give up what is on those disks: {give_up}")
}
