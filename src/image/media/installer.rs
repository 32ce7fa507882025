//! The installers we know: where each has its kernel and initrd on its media, and how it is told to use a serial console, and
//! to ask nobody.

use std::fmt::Write as _;
use std::io::{Read, Seek};

use super::iso::{Extent, Iso, IsoError};

/// The serial console of every installer: the first port, at the speed that installed systems then have.
const CONSOLE: &str = "console=ttyS0,115200n8";
/// The largest kernel and initrd that are taken: RHEL's initrd of 10 has 150 MiB, Ubuntu's less.
const LARGEST_KERNEL: u64 = 256 << 20;
const LARGEST_INITRD: u64 = 1 << 30;

/// Whose installer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Debian's, and of distributions that use it as it is.
    Debian,
    /// Ubuntu's live server.
    Ubuntu,
    /// Anaconda: RHEL, Alma, Rocky, CentOS Stream, Fedora Server.
    RedHat,
    /// Alpine's `setup-alpine`.
    Alpine,
}

/// Why no installer can be started from a file.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// It can not be read.
    #[error(transparent)]
    Iso(#[from] IsoError),
    /// It has no kernel where one is looked for.
    #[error(
        "has no installer that is known: neither Debian's (/install.amd/vmlinuz, /linux), Ubuntu's server (/casper/vmlinuz), \
         one of the RHEL family (/images/pxeboot/vmlinuz) nor Alpine's (/boot/vmlinuz-lts); use a netinst, server or boot ISO \
         for amd64"
    )]
    Unknown,
    /// It has one without the other, or one that is too large to be one.
    #[error(
        "has a kernel, {kernel}, and no initrd {initrd} of a size to go with it: get it again and compare its checksum"
    )]
    Incomplete {
        /// The kernel's path.
        kernel: String,
        /// The initrd's.
        initrd: String,
    },
}

/// An installer on its media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installer {
    /// Whose it is.
    pub family: Family,
    /// Its kernel.
    pub kernel: Extent,
    /// Its initrd.
    pub initrd: Extent,
    /// The label of the volume.
    pub label: String,
}

/// Where a family has its kernel and initrd; the first that is there counts.
const PLACES: [(Family, &str, &str); 11] = [
    (Family::Debian, "/install.amd/vmlinuz", "/install.amd/initrd.gz"),
    (Family::Ubuntu, "/casper/vmlinuz", "/casper/initrd"),
    (Family::Ubuntu, "/casper/vmlinuz", "/casper/initrd.gz"),
    (Family::Ubuntu, "/casper/hwe-vmlinuz", "/casper/hwe-initrd"),
    (
        Family::RedHat,
        "/images/pxeboot/vmlinuz",
        "/images/pxeboot/initrd.img",
    ),
    (Family::Alpine, "/boot/vmlinuz-virt", "/boot/initramfs-virt"),
    (Family::Alpine, "/boot/vmlinuz-lts", "/boot/initramfs-lts"),
    (Family::Alpine, "/boot/vmlinuz-vanilla", "/boot/initramfs-vanilla"),
    (Family::Debian, "/install/vmlinuz", "/install/initrd.gz"),
    // mini.iso, and the tree of a network boot.
    (Family::Debian, "/linux", "/initrd.gz"),
    (
        Family::Debian,
        "/debian-installer/amd64/linux",
        "/debian-installer/amd64/initrd.gz",
    ),
];

impl Installer {
    /// Finds the installer of a volume.
    pub fn find<R: Read + Seek>(iso: &mut Iso<R>) -> Result<Self, MediaError> {
        let mut half = None;
        for (family, kernel, initrd) in PLACES {
            let Some(kernel_at) = iso.file(kernel)?.filter(|found| fits(*found, LARGEST_KERNEL)) else {
                continue;
            };
            match iso.file(initrd)?.filter(|found| fits(*found, LARGEST_INITRD)) {
                Some(initrd_at) => {
                    return Ok(Self {
                        family,
                        kernel: kernel_at,
                        initrd: initrd_at,
                        label: iso.label().to_owned(),
                    });
                }
                None => half = half.or(Some((kernel, initrd))),
            }
        }
        Err(
            half.map_or(MediaError::Unknown, |(kernel, initrd)| MediaError::Incomplete {
                kernel: kernel.to_owned(),
                initrd: initrd.to_owned(),
            }),
        )
    }
}

fn fits(extent: Extent, largest: u64) -> bool {
    (1..=largest).contains(&extent.len)
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Debian, Self::Ubuntu, Self::RedHat, Self::Alpine];

    /// The word records use for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
            Self::RedHat => "redhat",
            Self::Alpine => "alpine",
        }
    }

    /// The account that its installed systems' cloud-init makes.
    pub const fn default_user(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
            Self::RedHat => "cloud-user",
            Self::Alpine => "alpine",
        }
    }

    /// The memory that its installer needs, in MiB, with some to spare.
    pub const fn memory_mib(self) -> u64 {
        match self {
            Self::Debian | Self::Alpine => 1024,
            Self::Ubuntu | Self::RedHat => 3072,
        }
    }

    /// The kernel command line of its installer: on the serial console, and with `answers`, the URL under which our answers
    /// for it lie (with a slash at its end), without questions.
    pub fn command_line(self, label: &str, answers: Option<&str>) -> String {
        let mut line = String::new();
        // Writing to a String can not fail.
        let _infallible = match (self, answers) {
            // What is behind the dashes is for the installed system too.
            (Self::Debian, None) => write!(line, "{CONSOLE} TERM=linux --- {CONSOLE}"),
            // Lines instead of screens: the log of the console can be read.
            (Self::Debian, Some(url)) => write!(
                line,
                "auto=true priority=critical url={url}preseed.cfg interface=auto DEBIAN_FRONTEND=text TERM=linux {CONSOLE} --- \
                 {CONSOLE}"
            ),
            (Self::Ubuntu, None) => write!(line, "{CONSOLE} ---"),
            (Self::Ubuntu, Some(url)) => write!(line, "{CONSOLE} autoinstall ds=nocloud-net;s={url} ---"),
            (Self::RedHat, answers) => {
                let label = label.replace('\\', "\\x5c").replace(' ', "\\x20");
                let stage2 = write!(line, "inst.stage2=hd:LABEL={label} inst.text {CONSOLE}");
                stage2.and_then(|()| match answers {
                    Some(url) => write!(line, " ip=dhcp inst.ks={url}kickstart.cfg inst.cmdline"),
                    None => Ok(()),
                })
            }
            (Self::Alpine, answers) => {
                let modules = write!(line, "modules=loop,squashfs,sd-mod,usb-storage {CONSOLE}");
                modules.and_then(|()| match answers {
                    Some(url) => write!(line, " ip=dhcp apkovl={url}alpine.apkovl.tar.gz"),
                    None => Ok(()),
                })
            }
        };
        line
    }
}

#[cfg(test)]
mod tests;
