//! The disk of a VM becomes a generation of an image.

use std::sync::Arc;

use super::super::{Daemon, failpoint, machines, replace, selection};
use crate::control::serve::ProgressSink;
use crate::control::{CommitVm, Refusal};
use crate::model::{Image, ImageId, ImageName, Vm};

/// Makes one whole disk of a stopped VM's clone and its base, and registers it.
pub(super) async fn commit(
    daemon: &Arc<Daemon>,
    request: CommitVm,
    progress: ProgressSink,
) -> Result<Arc<Image>, Refusal> {
    let name: ImageName = selection::parse(&request.image)?;
    let vm = selection::named(&daemon.directory(), &request.vm)?;
    let _held = daemon.lock(&vm).await;
    let vm = daemon.still(&vm)?;
    replace::settled(daemon, &vm, machines::machine_of(&vm)?).await?;
    if daemon.status.seen(&vm).is_up() {
        return Err(Refusal::request(format!(
            "{} is running: its disk changes while it is read",
            vm.name
        ))
        .hint(format!("stop it first: seedbed stop {}", vm.name)));
    }
    let origin = format!("the disk of {}", vm.name);
    let seal = if request.no_seal { Seal::No } else { Seal::Yes };
    let image = made(daemon, &vm, name, (origin, seal), &progress).await?;
    super::register(daemon, image, !request.no_promote).await
}

/// Whether a disk is sealed before it becomes a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) enum Seal {
    /// It is.
    Yes,
    /// It stays as its VM left it.
    No,
}

/// The next generation of an image, in the store but not registered yet, out of the disk of a VM whose lock the caller holds.
pub(in crate::daemon) async fn made(
    daemon: &Arc<Daemon>,
    vm: &Arc<Vm>,
    name: ImageName,
    (origin, seal): (String, Seal),
    progress: &ProgressSink,
) -> Result<Image, Refusal> {
    let base = machines::image_of(daemon, machines::machine_of(vm)?)?;
    let next = daemon.directory().next_generation(&name);
    let id = ImageId::new(name, next);
    let (store, vm, now) = (daemon.store.clone(), Arc::clone(vm), daemon.clock.now());
    let (told_by, like) = (progress.clone(), Arc::clone(&base));
    let making = tokio::task::spawn_blocking(move || {
        let making = store.make(&id)?;
        failpoint::reach("generation begun");
        let what = format!("copying the disk of {}", vm.name);
        store.flatten(
            &vm,
            &like,
            &making.disk(),
            told_by.tenths(id.name().as_str(), &what),
        )?;
        failpoint::reach("generation written");
        Ok::<_, Refusal>(making)
    })
    .await??;
    let mut like = Image::clone(&base);
    if seal == Seal::Yes {
        let seen = super::offline::seal_or_tell(daemon, &making, progress).await;
        like.cloud_init = seen.or(like.cloud_init);
    }
    let store = daemon.store.clone();
    let image = tokio::task::spawn_blocking(move || making.finish(&store, &like, origin, now)).await??;
    failpoint::reach("generation published");
    Ok(image)
}
