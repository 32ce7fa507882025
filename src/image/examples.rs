//! Values for this module's tests.

use std::path::PathBuf;

use super::AddSource;
use crate::model::image::{DiskFormat, View};

/// A disk file that is to become an image.
pub(super) fn source(id: &str, file: PathBuf, format: DiskFormat) -> AddSource {
    AddSource {
        id: id.parse().unwrap(),
        origin: "source".into(),
        file,
        format,
        kernel: None,
        initrd: None,
        cmdline: None,
        default_user: "debian".into(),
        view: View::Auto,
        cloud_init: None,
    }
}
