//! A base image: a read-only disk that VMs are clones of.

use super::bytes::Bytes;
use super::cloud_init::Release;
use super::generation::ImageId;
use super::time::Timestamp;

/// A base image in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name commands use, and which generation it is.
    pub id: ImageId,
    /// When this generation was made the current one, in the order of such decisions about the image; 0 for never. The highest is
    /// the current one.
    pub promoted: u32,
    /// Where it came from, in a few words.
    pub origin: String,
    /// How the disk is stored; declared at import and never guessed from a file a guest wrote.
    pub format: DiskFormat,
    /// SHA-256 of the disk file at import, in lower-case hexadecimal.
    pub sha256: String,
    /// The size of the disk a guest sees.
    pub virtual_size: Bytes,
    /// The size of the file.
    pub file_size: Bytes,
    /// How the file looked when it was hashed: while it looks so, it is not hashed again. `None` where nobody looked.
    pub stamp: Option<FileStamp>,
    /// The account that gets the keys: the distribution's default user, `debian` for Debian's images.
    pub default_user: String,
    /// How it starts.
    pub boot: Boot,
    /// How it learns who it is.
    pub view: View,
    /// The release of its cloud-init, where that is known: what a user-data may say depends on it.
    pub cloud_init: Option<Release>,
    /// When it was added.
    pub created: Timestamp,
}

/// What the kernel tells of a file that is another when somebody wrote to it, or put another in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    /// Its inode.
    pub inode: u64,
    /// Its length in bytes.
    pub len: u64,
    /// When its content changed, in nanoseconds since the epoch.
    pub modified: i64,
    /// When its inode changed, likewise. No system call sets this one.
    pub changed: i64,
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

/// How a guest learns who it is: what its agent reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum View {
    /// Whatever cloud-init can find over HTTP.
    #[default]
    Auto,
    /// cloud-init's `NoCloud`, over HTTP.
    NoCloud,
    /// The metadata service of `OpenStack`, over HTTP.
    OpenStack,
    /// The metadata service of EC2, over HTTP.
    Ec2,
    /// cloud-init's `NoCloud`, on a volume with the label `cidata`.
    Cidata,
    /// Ignition's config, by QEMU's firmware configuration.
    Ignition,
    /// systemd's system credentials, by the SMBIOS table.
    Credentials,
    /// Nothing in the guest asks: it is written into its disk before it starts.
    Offline,
    /// Nothing but DHCP.
    None,
}

impl View {
    /// All views, in the order they are shown.
    pub const ALL: [Self; 9] = [
        Self::Auto,
        Self::NoCloud,
        Self::OpenStack,
        Self::Ec2,
        Self::Cidata,
        Self::Ignition,
        Self::Credentials,
        Self::Offline,
        Self::None,
    ];

    /// The word commands use for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::NoCloud => "nocloud",
            Self::OpenStack => "openstack",
            Self::Ec2 => "ec2",
            Self::Cidata => "cidata",
            Self::Ignition => "ignition",
            Self::Credentials => "credentials",
            Self::Offline => "offline",
            Self::None => "none",
        }
    }

    /// Whether it carries vendor-data, and so what a template says.
    pub const fn has_vendor_data(self) -> bool {
        match self {
            Self::Auto | Self::NoCloud | Self::OpenStack | Self::Cidata => true,
            Self::Ec2 | Self::Ignition | Self::Credentials | Self::Offline | Self::None => false,
        }
    }

    /// Whether accounts and host keys that are made here reach a guest: by vendor-data, or written into its disk.
    pub const fn has_accounts(self) -> bool {
        self.has_vendor_data() || matches!(self, Self::Offline)
    }

    /// Whether somebody in the guest reads a user-data.
    pub const fn has_user_data(self) -> bool {
        !matches!(self, Self::Credentials | Self::Offline | Self::None)
    }

    /// The view of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.as_str() == name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_is_found_by_its_own_word_and_by_no_other() {
        for view in View::ALL {
            assert_eq!(View::named(view.as_str()), Some(view));
        }
        assert_eq!((View::named("Cidata"), View::named("")), (None, None));
    }
}
