//! What a file looks like by its first bytes, and why it is refused as a base image.
//!
//! A format is declared and never guessed: this knowledge only ever refuses, or says what to do instead.

use crate::model::Bytes;

/// The largest disk that is accepted: far above what anyone clones, far below where sizes overflow.
pub const LARGEST: Bytes = Bytes(64 << 40);

const SECTOR: u64 = 512;

/// How many bytes from the end of a file are looked at: two formats name themselves there only.
pub const TAIL: usize = 512;

/// Why a disk file is not taken, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another format than the declared one, or not a disk at all.
    #[error("is {found}, not a {declared} disk: {remedy}")]
    Format {
        /// What it looks like.
        found: &'static str,
        /// What it was said to be.
        declared: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// It refers to another file, which would be read with our rights.
    #[error(
        "refers to another file ({0}): flatten it with `qemu-img convert -O qcow2` on a machine you trust it on, and add the result"
    )]
    OtherFile(&'static str),
    /// It holds more than one plain disk.
    #[error("{0}: copy the disk with `qemu-img convert -O qcow2`, and add the result")]
    NotPlain(&'static str),
    /// It was not closed cleanly, or is damaged.
    #[error("is marked {0}: stop whatever uses it, repair it with `qemu-img check -r all`, and add it again")]
    Unclean(&'static str),
    /// It needs features that we do not know.
    #[error(
        "needs qcow2 features this version does not know (bits {0:#x}): convert it with `qemu-img convert -O qcow2`"
    )]
    Feature(u64),
    /// Its header contradicts itself or the file.
    #[error(
        "has a broken header ({0}): it is damaged, cut short or crafted; get the image again and compare its checksum"
    )]
    Broken(&'static str),
    /// Larger than any disk we serve.
    #[error(
        "claims a disk of {0}, more than the {LARGEST} that are supported: compare its checksum with its publisher's, or make a smaller disk"
    )]
    TooLarge(Bytes),
    /// A raw file that is no whole disk.
    #[error("{0}: it is cut short or no disk; get the image again and compare its checksum")]
    NoDisk(&'static str),
}

/// Checks a file that is declared to be raw, and returns the size of its disk. `head` is its first bytes, `tail` its last
/// [`TAIL`], and `len` its whole length.
///
/// # Errors
/// Also when it looks like another format: whoever says raw of such a file is mistaken, or means to have it probed later.
pub fn raw(head: &[u8], tail: &[u8], len: u64) -> Result<Bytes, Refused> {
    if let Some(found) = known(head).or_else(|| known_by_tail(tail)) {
        return Err(foreign(found, "raw"));
    }
    match len {
        0 => Err(Refused::NoDisk("is empty")),
        _ if !len.is_multiple_of(SECTOR) => Err(Refused::NoDisk("is not a multiple of 512 bytes long")),
        _ if len > LARGEST.0 => Err(Refused::TooLarge(Bytes(len))),
        _ => Ok(Bytes(len)),
    }
}

/// Refuses whatever does not start as a qcow2 image of version 2 or later.
pub fn must_be_qcow2(head: &[u8]) -> Result<(), Refused> {
    match known(head) {
        Some(QCOW2) => Ok(()),
        Some(found) => Err(foreign(found, "qcow2")),
        None => Err(Refused::Format {
            found: "no known disk format",
            declared: "qcow2",
            remedy: "if it is a plain disk of sectors, declare it raw",
        }),
    }
}

fn foreign(found: &'static str, declared: &'static str) -> Refused {
    let remedy = match found {
        QCOW2 => "declare it qcow2",
        ARCHIVE_GZIP | ARCHIVE_XZ | ARCHIVE_ZSTD | ARCHIVE_BZIP2 | ARCHIVE_ZIP | ARCHIVE_7Z | ARCHIVE_TAR => {
            "unpack it first, and add the disk that is in it"
        }
        LUKS => "decrypt it first, because encrypted base images are not supported",
        _ => "convert it with `qemu-img convert -O qcow2` on a machine you trust it on, and add the result",
    };
    Refused::Format {
        found,
        declared,
        remedy,
    }
}

const QCOW2: &str = "a qcow2 image";
const ARCHIVE_GZIP: &str = "a gzip archive";
const ARCHIVE_XZ: &str = "an xz archive";
const ARCHIVE_ZSTD: &str = "a zstd archive";
const ARCHIVE_BZIP2: &str = "a bzip2 archive";
const ARCHIVE_ZIP: &str = "a zip archive";
const ARCHIVE_7Z: &str = "a 7z archive";
const ARCHIVE_TAR: &str = "a tar archive (an OVA appliance is one)";
const LUKS: &str = "an encrypted (LUKS) disk";

/// The formats that name themselves: where, how, and what they are. An ISO image is not among them: it is a raw disk.
const FORMATS: [(usize, &[u8], &str); 22] = [
    (0, b"QFI\xfb\0\0\0\x01", "a qcow version 1 image"),
    (0, b"QFI\xfb", QCOW2),
    (0, b"KDMV", "a VMDK image"),
    (0, b"COWD", "a VMDK image"),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor"),
    (0, b"vhdxfile", "a VHDX image"),
    (0, b"conectix", "a VHD image"),
    (0, b"<<< ", "a VDI image"),
    (64, b"\x7f\x10\xda\xbe", "a VDI image"),
    (0, b"QED\0", "a QED image"),
    (0, b"WithoutFreeSpace", "a Parallels image"),
    (0, b"WithouFreSpacExt", "a Parallels image"),
    (0, b"LUKS\xba\xbe", LUKS),
    (0, b"\x1f\x8b", ARCHIVE_GZIP),
    (0, b"\xfd7zXZ\0", ARCHIVE_XZ),
    (0, b"\x28\xb5\x2f\xfd", ARCHIVE_ZSTD),
    (0, b"BZh", ARCHIVE_BZIP2),
    (0, b"PK\x03\x04", ARCHIVE_ZIP),
    (0, b"7z\xbc\xaf\x27\x1c", ARCHIVE_7Z),
    (257, b"ustar", ARCHIVE_TAR),
    (0, b"Bochs Virtual HD Image", "a Bochs image"),
    (0, b"#!/bin/sh\n#V2.0 Format\n", "a compressed loop (cloop) image"),
];

/// The formats whose last sector names them: how, and what they are.
const FOOTERS: [(&[u8], &str); 2] = [
    (b"conectix", "a VHD image"),
    (b"koly\0\0\0\x04\0\0\x02\0", "an Apple disk image (dmg)"),
];

fn known_by_tail(tail: &[u8]) -> Option<&'static str> {
    FOOTERS
        .iter()
        .find(|(magic, _)| tail.starts_with(magic))
        .map(|(_, name)| *name)
}

fn known(head: &[u8]) -> Option<&'static str> {
    FORMATS
        .iter()
        .find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)))
        .map(|(_, _, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_disk_is_whole_sectors_of_anything_that_names_no_other_format() {
        assert_eq!(raw(&[0; 512], &[0; TAIL], 4096), Ok(Bytes(4096)));
        for (len, word) in [(0, "empty"), (4095, "512"), (u64::MAX - 511, "TiB")] {
            let text = raw(&[0; 512], &[0; TAIL], len).unwrap_err().to_string();
            assert!(text.contains(word), "{len}: {text}");
        }
    }

    #[test]
    fn an_iso_image_is_a_raw_disk() {
        let mut head = vec![0; 0x9000];
        head[0x8001..0x8006].copy_from_slice(b"CD001");
        assert_eq!(raw(&head, &[0; TAIL], 0x9000), Ok(Bytes(0x9000)));
    }

    #[test]
    fn a_file_that_names_another_format_is_refused_by_that_name_with_a_remedy() {
        for (at, magic, name) in FORMATS {
            let mut head = vec![0; 1024];
            head[at..at + magic.len()].copy_from_slice(magic);
            let Err(Refused::Format { found, remedy, .. }) = raw(&head, &[0; TAIL], 1024) else {
                panic!("{name} passed as raw");
            };
            assert_eq!(found, name);
            assert!(remedy.len() > 10);
        }
    }

    #[test]
    fn a_file_whose_last_sector_names_another_format_is_refused_by_that_name() {
        for (magic, name) in FOOTERS {
            let mut tail = [0; TAIL];
            tail[..magic.len()].copy_from_slice(magic);
            let Err(Refused::Format { found, .. }) = raw(&[0; 512], &tail, 1024) else {
                panic!("{name} passed as raw");
            };
            assert_eq!(found, name);
        }
    }

    #[test]
    fn a_qcow2_that_is_declared_raw_is_to_be_declared_qcow2() {
        let text = raw(b"QFI\xfb\0\0\0\x03 and so on", &[], 512)
            .unwrap_err()
            .to_string();
        assert_eq!(text, "is a qcow2 image, not a raw disk: declare it qcow2");
    }

    #[test]
    fn sectors_that_are_declared_qcow2_are_to_be_declared_raw() {
        let text = must_be_qcow2(&[0; 512]).unwrap_err().to_string();
        assert!(text.ends_with("declare it raw"), "{text}");
    }
}
