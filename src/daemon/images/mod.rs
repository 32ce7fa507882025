//! Requests about base images.

use std::sync::Arc;

use super::{Daemon, customize, info, selection, workshop};
use crate::control::serve::ProgressSink;
use crate::control::{Answer, ImageRequest, Refusal};
use crate::model::{Directory, Image, ImageId, ImageRef};
use crate::registry::Change;

mod add;
pub(super) mod commit;
mod generations;
pub(in crate::daemon) mod offline;
mod verified;

pub(super) use add::{absolute, account};
pub(super) use verified::verified;

/// Does what is asked.
pub(super) async fn handle(
    daemon: &Arc<Daemon>,
    request: ImageRequest,
    progress: ProgressSink,
) -> Result<Answer, Refusal> {
    match request {
        ImageRequest::Add(request) => {
            let image = add::add(daemon, request, progress).await?;
            Ok(shown(daemon, &[image]))
        }
        ImageRequest::Commit(request) => {
            let image = commit::commit(daemon, request, progress).await?;
            Ok(shown(daemon, &[image]))
        }
        ImageRequest::Customize { names, dry_run } => customize::now(daemon, &names, dry_run, &progress)
            .await
            .map(Answer::Text),
        ImageRequest::Install(request) => {
            let vm = workshop::install(daemon, request, progress).await?;
            Ok(Answer::Vms(vec![info::vm(daemon, &vm)]))
        }
        ImageRequest::Edit(request) => {
            let vm = workshop::edit(daemon, request, progress).await?;
            Ok(Answer::Vms(vec![info::vm(daemon, &vm)]))
        }
        ImageRequest::Await { vm } => workshop::outcome(daemon, &vm, &progress).await,
        ImageRequest::List { names } => Ok(shown(daemon, &named_or_all(&daemon.directory(), &names)?)),
        ImageRequest::Promote { image } => generations::promote(daemon, &image).await.map(Answer::Done),
        ImageRequest::Collect { names, keep, dry_run } => {
            let gone = generations::collect(daemon, &names, keep, dry_run).await?;
            Ok(shown(daemon, &gone))
        }
        ImageRequest::Lint { names } => offline::lint(daemon, &names).await.map(Answer::Lints),
        ImageRequest::Seal { image, no_promote } => {
            let sealed = offline::seal(daemon, &image, !no_promote, &progress).await?;
            Ok(Answer::Lints(vec![sealed]))
        }
        ImageRequest::Delete { name } => generations::delete(daemon, &name).await.map(Answer::Done),
    }
}

pub(super) fn shown(daemon: &Daemon, images: &[Arc<Image>]) -> Answer {
    Answer::Images(images.iter().map(|image| info::image(daemon, image)).collect())
}

/// The generations that these words name, each `NAME` for all of an image or `NAME@NUMBER`; or all there are.
fn named_or_all(directory: &Directory, names: &[String]) -> Result<Vec<Arc<Image>>, Refusal> {
    if names.is_empty() {
        return Ok(directory.images().cloned().collect());
    }
    let mut images = Vec::new();
    for name in names {
        let named: ImageRef = selection::parse(name)?;
        let before = images.len();
        match named.generation {
            None => images.extend(directory.generations(&named.name).cloned()),
            Some(_) => images.extend(directory.image_named(&named).cloned()),
        }
        if images.len() == before {
            return Err(unknown(directory, &named));
        }
    }
    Ok(images)
}

/// The generation that is meant.
pub(super) fn named(directory: &Directory, named: &ImageRef) -> Result<Arc<Image>, Refusal> {
    let image = directory.image_named(named).cloned();
    image.ok_or_else(|| unknown(directory, named))
}

/// There is no such image; which generations there are, where only the number is wrong.
fn unknown(directory: &Directory, named: &ImageRef) -> Refusal {
    let there: Vec<_> = directory
        .generations(&named.name)
        .map(|image| image.id.to_string())
        .collect();
    let refusal = Refusal::not_found(format!("there is no image `{named}`"));
    if there.is_empty() {
        refusal.hint(
            "`seedbed image list` shows the images; `seedbed image build debian-12 --suite bookworm` makes one",
        )
    } else {
        refusal.hint(format!("there are {}", there.join(", ")))
    }
}

/// Registers a generation whose files are in the store; they go again where that is refused.
pub(super) async fn register(
    daemon: &Arc<Daemon>,
    image: Image,
    promote: bool,
) -> Result<Arc<Image>, Refusal> {
    let id = image.id.clone();
    if let Err(error) = daemon.commit(Change::PutImage { image, promote }).await {
        remove_files(daemon, std::slice::from_ref(&id)).await?;
        return Err(error.into());
    }
    daemon
        .directory()
        .image(&id)
        .cloned()
        .ok_or_else(|| Refusal::not_found(format!("image `{id}` was deleted meanwhile")))
}

async fn remove_files(daemon: &Daemon, ids: &[ImageId]) -> Result<(), Refusal> {
    let (store, ids) = (daemon.store.clone(), ids.to_owned());
    tokio::task::spawn_blocking(move || ids.iter().try_for_each(|id| store.remove(id).map(|_| ()))).await??;
    Ok(())
}
