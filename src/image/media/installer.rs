//! The installers we know: where each has its kernel and initrd on its media, and how it is told to use a serial console, and
//! to ask nobody.

use std::io::{Read, Seek};

use super::iso::{Extent, Iso, IsoError};
use crate::model::workshop::Family;

/// The serial console of every installer: the first port, at the speed that installed systems then have.
const CONSOLE: &str = "console=ttyS0,115200n8";
/// The largest kernel and initrd that are taken: RHEL's initrd of 10 has 150 MiB, Ubuntu's less.
const LARGEST_KERNEL: u64 = 256 << 20;
const LARGEST_INITRD: u64 = 1 << 30;

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

/// The kernel command line of a family's installer: on the serial console, and with `answers`, the URL under which our answers
/// for it lie (with a slash at its end), without questions. `label` is that of its volume.
pub fn command_line(family: Family, label: &str, answers: Option<&str>) -> String {
    match (family, answers) {
        // What is behind the dashes is for the installed system too.
        (Family::Debian, None) => format!("{CONSOLE} TERM=linux --- {CONSOLE}"),
        // Lines instead of screens: the log of the console can be read.
        (Family::Debian, Some(url)) => format!(
            "auto=true priority=critical url={url}preseed.cfg interface=auto DEBIAN_FRONTEND=text TERM=linux {CONSOLE} --- \
             {CONSOLE}"
        ),
        (Family::Ubuntu, None) => format!("{CONSOLE} ---"),
        (Family::Ubuntu, Some(url)) => format!("{CONSOLE} autoinstall ds=nocloud-net;s={url} ---"),
        (Family::RedHat, answers) => {
            let label = label.replace('\\', "\\x5c").replace(' ', "\\x20");
            let told = answers.map(|url| format!(" ip=dhcp inst.ks={url}kickstart.cfg inst.cmdline"));
            let told = told.unwrap_or_default();
            format!("inst.stage2=hd:LABEL={label} inst.text {CONSOLE}{told}")
        }
        (Family::Alpine, answers) => {
            let told = answers.map(|url| format!(" ip=dhcp apkovl={url}alpine.apkovl.tar.gz"));
            let told = told.unwrap_or_default();
            format!("modules=loop,squashfs,sd-mod,usb-storage {CONSOLE}{told}")
        }
    }
}

#[cfg(test)]
mod tests;
