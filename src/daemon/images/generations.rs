//! Which generation of an image is the current one, and which nobody needs any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{Daemon, selection};
use super::{named_or_all, remove_files};
use crate::control::Refusal;
use crate::model::{Directory, Image, ImageId, ImageName, ImageRef};
use crate::registry::Change;

/// Makes a generation the one that new clones are made of.
pub(super) async fn promote(daemon: &Arc<Daemon>, name: &str) -> Result<String, Refusal> {
    let named: ImageRef = selection::parse(name)?;
    let image = super::named(&daemon.directory(), &named)?;
    if named.generation.is_none() {
        return Err(
            Refusal::request(format!("`{named}` does not say which generation")).hint(format!(
                "the current one is {}; `seedbed image list {named}` shows all",
                image.id
            )),
        );
    }
    daemon.commit(Change::Promote(image.id.clone())).await?;
    Ok(format!(
        "new clones of {} are made of {} now",
        named.name, image.id
    ))
}

/// Deletes an image, or one generation of it.
pub(super) async fn delete(daemon: &Arc<Daemon>, name: &str) -> Result<String, Refusal> {
    let doomed = named_or_all(&daemon.directory(), &[name.to_owned()])?;
    remove(daemon, &doomed).await?;
    Ok(format!("image {name} is deleted"))
}

/// Deletes the generations that are neither current nor needed, but for the newest `keep` of each image; says which.
pub(super) async fn collect(
    daemon: &Arc<Daemon>,
    names: &[String],
    keep: usize,
    dry_run: bool,
) -> Result<Vec<Arc<Image>>, Refusal> {
    let directory = daemon.directory();
    let doomed = unneeded(&directory, named_or_all(&directory, names)?, keep);
    if !dry_run && !doomed.is_empty() {
        remove(daemon, &doomed).await?;
    }
    Ok(doomed)
}

fn unneeded(directory: &Directory, images: Vec<Arc<Image>>, keep: usize) -> Vec<Arc<Image>> {
    let mut of_each: BTreeMap<ImageName, BTreeMap<ImageId, Arc<Image>>> = BTreeMap::new();
    for image in images {
        let current = directory
            .current(image.id.name())
            .is_some_and(|current| current.id == image.id);
        let needed = directory.clones_of(&image.id).next().is_some()
            || directory.deleted_clones_of(&image.id).next().is_some();
        if !current && !needed {
            of_each
                .entry(image.id.name().clone())
                .or_default()
                .insert(image.id.clone(), image);
        }
    }
    of_each
        .into_values()
        .flat_map(|generations| {
            let goes = generations.len().saturating_sub(keep);
            generations.into_values().take(goes)
        })
        .collect()
}

async fn remove(daemon: &Arc<Daemon>, doomed: &[Arc<Image>]) -> Result<(), Refusal> {
    let ids: Vec<ImageId> = doomed.iter().map(|image| image.id.clone()).collect();
    daemon.commit(Change::RemoveImages(ids.clone())).await?;
    remove_files(daemon, &ids).await
}
