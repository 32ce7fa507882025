//! A base image: a read-only disk that VMs are clones of.

use super::bytes::Bytes;
use super::name::ImageName;
use super::time::Timestamp;

/// A base image in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name commands use.
    pub name: ImageName,
    /// How the disk is stored; declared at import and never guessed from a file a guest wrote.
    pub format: DiskFormat,
    /// SHA-256 of the disk file at import, in lower-case hexadecimal.
    pub sha256: String,
    /// The size of the disk a guest sees.
    pub virtual_size: Bytes,
    /// The size of the file.
    pub file_size: Bytes,
    /// The account that gets the keys: the distribution's default user, `debian` for Debian's images.
    pub default_user: String,
    /// How it starts.
    pub boot: Boot,
    /// When it was added.
    pub created: Timestamp,
}

/// The format of a disk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFormat {
    /// QEMU's copy-on-write format.
    Qcow2,
    /// Plain sectors.
    Raw,
}

impl DiskFormat {
    /// The name QEMU gives the format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

/// How a VM of an image starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// The firmware starts the boot loader that is on the disk.
    Disk,
    /// QEMU loads a kernel (and an initrd) that the image carries beside its disk.
    Kernel {
        /// Whether an initrd belongs to it.
        initrd: bool,
        /// The kernel's command line.
        cmdline: String,
    },
}
