//! Changes of base images: generations come, are made current, and go when nobody needs them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::change::{Batch, Effect};
use super::refusal::{Listed, Refusal};
use crate::model::image::Boot;
use crate::model::{Directory, Image, ImageId, ImageName, NetBoot, Vm, VmName};

/// Adds a generation, or replaces the one of its number.
pub(super) fn put(directory: &Directory, mut image: Image, promote: bool) -> Result<Effect, Refusal> {
    // A clone holds only what differs from its base: under another base it is noise.
    let old = directory.image(&image.id);
    if old.is_some_and(|old| old.sha256 != image.sha256 || old.boot != image.boot) {
        refuse_if_cloned(directory, &image.id)?;
    }
    if promote || directory.current(image.id.name()).is_none() {
        check_current(directory, &image)?;
        image.promoted = next_promotion(directory, image.id.name());
    } else {
        image.promoted = old.map_or(0, |old| old.promoted);
    }
    Ok(written(image))
}

/// Makes a generation the one that new clones are made of.
pub(super) fn promote(directory: &Directory, id: &ImageId) -> Result<Effect, Refusal> {
    let Some(image) = directory.image(id) else {
        return Err(Refusal::UnknownImage { image: id.into() });
    };
    if directory
        .current(id.name())
        .is_some_and(|current| current.id == *id)
    {
        return Ok(Effect {
            batch: Batch::default(),
            vms: Vec::new(),
        });
    }
    check_current(directory, image)?;
    Ok(written(Image {
        promoted: next_promotion(directory, id.name()),
        ..Image::clone(image)
    }))
}

/// Deletes generations that nobody needs.
pub(super) fn remove(directory: &Directory, ids: Vec<ImageId>) -> Result<Effect, Refusal> {
    for id in &ids {
        if directory.image(id).is_none() {
            return Err(Refusal::UnknownImage { image: id.into() });
        }
        refuse_if_cloned(directory, id)?;
    }
    for name in ids.iter().map(ImageId::name).collect::<BTreeSet<_>>() {
        let goes = |id: &ImageId| ids.contains(id);
        let stays = directory.generations(name).any(|image| !goes(&image.id));
        match directory.current(name).filter(|current| goes(&current.id)) {
            Some(current) if stays => {
                return Err(Refusal::CurrentGeneration {
                    image: (&current.id).into(),
                });
            }
            Some(current) => refuse_if_used(&current.id, booting(directory, name))?,
            None => {}
        }
    }
    Ok(Effect {
        batch: Batch {
            removed_images: ids,
            ..Batch::default()
        },
        vms: Vec::new(),
    })
}

fn written(image: Image) -> Effect {
    Effect {
        batch: Batch {
            put_images: vec![Arc::new(image)],
            ..Batch::default()
        },
        vms: Vec::new(),
    }
}

fn next_promotion(directory: &Directory, name: &ImageName) -> u32 {
    let current = directory.current(name);
    current.map_or(0, |current| current.promoted).saturating_add(1)
}

/// VMs that boot the image from the network need its kernel.
fn check_current(directory: &Directory, image: &Image) -> Result<(), Refusal> {
    let boots = || booting(directory, image.id.name()).next();
    match image.boot {
        Boot::Disk => boots().map_or(Ok(()), |vm| {
            Err(Refusal::NoKernel {
                vm: vm.name.clone(),
                image: (&image.id).into(),
            })
        }),
        Boot::Kernel { .. } => Ok(()),
    }
}

fn booting<'a>(directory: &'a Directory, name: &'a ImageName) -> impl Iterator<Item = &'a Arc<Vm>> {
    let boots = move |vm: &&Arc<Vm>| matches!(vm.boot(), Some(NetBoot::Image(booted)) if booted == name);
    directory.each_vm().filter(boots)
}

fn refuse_if_cloned(directory: &Directory, id: &ImageId) -> Result<(), Refusal> {
    refuse_if_used(id, directory.clones_of(id))?;
    let deleted: BTreeSet<VmName> = directory
        .deleted_clones_of(id)
        .map(|deleted| deleted.id.name.clone())
        .collect();
    if deleted.is_empty() {
        return Ok(());
    }
    Err(Refusal::ImageKept {
        image: id.into(),
        deleted: Listed(deleted.into_iter().collect()),
    })
}

fn refuse_if_used<'a>(id: &ImageId, users: impl Iterator<Item = &'a Arc<Vm>>) -> Result<(), Refusal> {
    let users: BTreeSet<VmName> = users.map(|vm| vm.name.clone()).collect();
    if users.is_empty() {
        return Ok(());
    }
    Err(Refusal::ImageInUse {
        image: id.into(),
        clones: Listed(users.into_iter().collect()),
    })
}
