//! The stored forms of base images.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{RecordError, error, field};
use crate::model::generation::ImageRefError;
use crate::model::image::{Boot, DiskFormat, FileStamp, View};
use crate::model::{Bytes, Generation, Image, ImageId, ImageRef, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry) struct ImageV1 {
    name: String,
    format: String,
    sha256: String,
    virtual_size: u64,
    file_size: u64,
    default_user: String,
    /// `None` when the firmware boots the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernel: Option<KernelV1>,
    created: u64,
    /// Since schema 3, as are the next three; 1 before.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    generation: u32,
    /// The registry of a release without generations has one of each image: the current one.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    promoted: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    origin: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<StampV3>,
    /// Since schema 3; `None` for what cloud-init finds by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    view: Option<String>,
    /// Since schema 3; the release of its cloud-init.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cloud_init: Option<String>,
}

const fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_first(number: &u32) -> bool {
    *number == 1
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry) struct StampV3 {
    inode: u64,
    len: u64,
    modified: i64,
    changed: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry) struct KernelV1 {
    initrd: bool,
    cmdline: String,
}

/// How a generation is named in documents and as a key: the first one as the image alone, as before there were others.
pub(in crate::registry) fn image_key(id: &ImageId) -> String {
    if id.generation() == Generation::FIRST {
        id.name().to_string()
    } else {
        id.to_string()
    }
}

/// A generation that is named so.
#[derive(Debug, Clone)]
pub(in crate::registry) struct StoredImage(pub(super) ImageId);

impl FromStr for StoredImage {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        let ImageRef { name, generation } = text.parse()?;
        Ok(Self(ImageId::new(name, generation.unwrap_or(Generation::FIRST))))
    }
}

impl From<&Image> for ImageV1 {
    fn from(image: &Image) -> Self {
        Self {
            name: image.id.name().to_string(),
            generation: image.id.generation().number(),
            promoted: image.promoted,
            origin: image.origin.clone(),
            stamp: image.stamp.map(StampV3::from),
            format: image.format.as_str().to_owned(),
            sha256: image.sha256.clone(),
            virtual_size: image.virtual_size.0,
            file_size: image.file_size.0,
            default_user: image.default_user.clone(),
            kernel: match &image.boot {
                Boot::Disk => None,
                Boot::Kernel { initrd, cmdline } => Some(KernelV1 {
                    initrd: *initrd,
                    cmdline: cmdline.clone(),
                }),
            },
            created: image.created.0,
            view: (image.view != View::Auto).then(|| image.view.as_str().to_owned()),
            cloud_init: image.cloud_init.map(|release| release.to_string()),
        }
    }
}

impl TryFrom<ImageV1> for Image {
    type Error = RecordError;

    fn try_from(stored: ImageV1) -> Result<Self, RecordError> {
        let unknown = |name, text: &str| error(name, &format_args!("`{}` is unknown", text.escape_debug()));
        let format = [DiskFormat::Qcow2, DiskFormat::Raw]
            .into_iter()
            .find(|format| format.as_str() == stored.format)
            .ok_or_else(|| unknown("format", &stored.format))?;
        let view = stored.view.map_or(Ok(View::Auto), |text| {
            View::named(&text).ok_or_else(|| unknown("view", &text))
        })?;
        Ok(Self {
            id: ImageId::new(
                field("name", &stored.name)?,
                Generation::numbered(stored.generation)
                    .ok_or_else(|| error("generation", &"is counted from 1"))?,
            ),
            promoted: stored.promoted,
            origin: stored.origin,
            stamp: stored.stamp.map(FileStamp::from),
            format,
            sha256: stored.sha256,
            virtual_size: Bytes(stored.virtual_size),
            file_size: Bytes(stored.file_size),
            default_user: stored.default_user,
            boot: stored.kernel.map_or(Boot::Disk, |kernel| Boot::Kernel {
                initrd: kernel.initrd,
                cmdline: kernel.cmdline,
            }),
            created: Timestamp(stored.created),
            view,
            cloud_init: stored
                .cloud_init
                .map(|release| field("cloud_init", &release))
                .transpose()?,
        })
    }
}

impl From<FileStamp> for StampV3 {
    fn from(stamp: FileStamp) -> Self {
        let FileStamp {
            inode,
            len,
            modified,
            changed,
        } = stamp;
        Self {
            inode,
            len,
            modified,
            changed,
        }
    }
}

impl From<StampV3> for FileStamp {
    fn from(stored: StampV3) -> Self {
        let StampV3 {
            inode,
            len,
            modified,
            changed,
        } = stored;
        Self {
            inode,
            len,
            modified,
            changed,
        }
    }
}
