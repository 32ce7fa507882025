//! Why the store could not do something.

use std::path::PathBuf;

use super::clone::overlay::OverlayError;
use super::clone::swap::SwapSizeError;
use super::files::{FileError, SourceError};
use super::format::Refused;
use super::media::MediaError;
use crate::model::{Bytes, ImageId};

/// Why something could not be put into the store, or made from it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is not one we clone.
    #[error("{} {why}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        why: Refused,
    },
    /// The file has no installer that can be started.
    #[error("{} {why}", path.display())]
    Media {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        why: MediaError,
    },
    /// The file can not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is one of that name.
    #[error("{0} exists already: delete it first, or choose another name")]
    Exists(String),
    /// Another call is making it right now.
    #[error("{0} is being made right now: wait until that is done")]
    Busy(String),
    /// An initrd or a command line, without the kernel they are for.
    #[error("an initrd or a kernel command line needs a kernel: give one as well, or leave them out")]
    NoKernel,
    /// The base is not what was added.
    #[error("image {image} is damaged: {} {what}", path.display())]
    Damaged {
        /// Which image.
        image: ImageId,
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A disk that its image does not fit on.
    #[error(
        "a disk of {asked} is too small for image {image}, whose disk is {needed}: ask for at least {needed}"
    )]
    TooSmall {
        /// The size that was asked for.
        asked: Bytes,
        /// The image.
        image: ImageId,
        /// Its size.
        needed: Bytes,
    },
    /// The overlay can not be made.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// The swap disk can not be made.
    #[error(transparent)]
    Swap(#[from] SwapSizeError),
    /// The kernel refused.
    #[error(transparent)]
    File(#[from] FileError),
}
