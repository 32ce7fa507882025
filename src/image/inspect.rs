//! The qcow2 header reader that looks at every disk file before any QEMU tool does.
//!
//! A disk image can make its reader open other files (a backing file, an external data file), and a file that is said
//! to be raw can carry the header of such an image. Offsets are those of QEMU's `docs/interop/qcow2.txt`; the rules are
//! stricter than the format's, because a base image has no reason to be anything but one whole, clean disk.

use std::ops::RangeInclusive;

use super::format::{self, LARGEST, Refused};
use crate::model::Bytes;

/// How many bytes from the start of a file the inspector wants to see; fewer where the file is shorter.
pub const HEAD: usize = 64 << 10;

const V2_HEADER: u64 = 72;
const V3_HEADER: u64 = 104;
/// QEMU's own limits on what it loads into memory at open.
const L1_TABLE_MAX: u64 = 32 << 20;
const REFCOUNT_TABLE_MAX: u64 = 8 << 20;

const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
const KNOWN_FEATURES: u64 = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE | EXTENDED_L2;

/// An autoclear bit: the external data file is a plain disk by itself.
const EXTERNAL_DATA_RAW: u64 = 1 << 1;

/// Subclusters are 32 to a cluster, and no smaller than a sector.
const EXTENDED_L2_CLUSTER_BITS: u32 = 14;
const SECTOR: u64 = 512;
/// No clean image needs more than this beside its disk, not even one whose deleted snapshots left their clusters behind.
const OVERHEAD: u64 = 64 << 20;
const TIMES_ITS_DISK: u64 = 4;

const EXTENSION_END: u32 = 0;
const EXTENSION_ENCRYPTION: u32 = 0x0537_be77;
const EXTENSION_BITMAPS: u32 = 0x2385_2875;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;

/// What a good qcow2 header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Qcow2Info {
    /// The format's version, 2 or 3.
    pub version: u32,
    /// The size of the disk a guest sees.
    pub virtual_size: Bytes,
    /// The cluster size is two to this power.
    pub cluster_bits: u32,
}

/// Checks a file that is declared to be qcow2. `head` is its first [`HEAD`] bytes (all of it where it is shorter) and
/// `len` its whole length.
pub fn qcow2(head: &[u8], len: u64) -> Result<Qcow2Info, Refused> {
    look(head, len, Base::None)
}

/// Checks a clone of ours in the same way: it may name a base, which whoever opens it has to name instead.
pub fn overlay(head: &[u8], len: u64) -> Result<Qcow2Info, Refused> {
    look(head, len, Base::Named)
}

/// What a header may say of a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    None,
    Named,
}

fn look(head: &[u8], len: u64, base: Base) -> Result<Qcow2Info, Refused> {
    let reader = Reader(head);
    format::must_be_qcow2(head)?;
    let version = reader.u32(4).ok_or(SHORT)?;
    if !matches!(version, 2 | 3) {
        return Err(Refused::Broken("its version is neither 2 nor 3"));
    }
    let header = Header::read(reader, version).ok_or(SHORT)?;
    header.check_plain(base)?;
    header.check_sizes(len)?;
    extensions(reader, &header, base)?;
    Ok(Qcow2Info {
        version,
        virtual_size: Bytes(header.size),
        cluster_bits: header.cluster_bits,
    })
}

const SHORT: Refused = Refused::Broken("it ends within its header");

/// Reads big-endian numbers; `None` past the end.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_be_bytes)
    }
}

/// The fields of the header that are looked at.
struct Header {
    version: u32,
    backing_file_offset: u64,
    backing_file_size: u32,
    cluster_bits: u32,
    size: u64,
    crypt_method: u32,
    l1_size: u32,
    l1_table_offset: u64,
    refcount_table_offset: u64,
    refcount_table_clusters: u32,
    nb_snapshots: u32,
    incompatible_features: u64,
    autoclear_features: u64,
    refcount_order: u32,
    length: u64,
    compression_type: u8,
}

impl Header {
    fn read(reader: Reader<'_>, version: u32) -> Option<Self> {
        let newer = version >= 3;
        let length = if newer {
            u64::from(reader.u32(100)?)
        } else {
            V2_HEADER
        };
        let compression_type = match reader.array::<1>(104) {
            Some([kind]) if newer && length > V3_HEADER => kind,
            _ => 0,
        };
        Some(Self {
            version,
            backing_file_offset: reader.u64(8)?,
            backing_file_size: reader.u32(16)?,
            cluster_bits: reader.u32(20)?,
            size: reader.u64(24)?,
            crypt_method: reader.u32(32)?,
            l1_size: reader.u32(36)?,
            l1_table_offset: reader.u64(40)?,
            refcount_table_offset: reader.u64(48)?,
            refcount_table_clusters: reader.u32(56)?,
            nb_snapshots: reader.u32(60)?,
            incompatible_features: if newer { reader.u64(72)? } else { 0 },
            autoclear_features: if newer { reader.u64(88)? } else { 0 },
            refcount_order: if newer { reader.u32(96)? } else { 4 },
            length,
            compression_type,
        })
    }

    /// One whole, clean, unencrypted disk that stands for itself.
    fn check_plain(&self, base: Base) -> Result<(), Refused> {
        let named = self.backing_file_offset != 0 || self.backing_file_size != 0;
        if named && base == Base::None {
            return Err(Refused::OtherFile("a backing file"));
        }
        let features = self.incompatible_features;
        if features & EXTERNAL_DATA != 0 || self.autoclear_features & EXTERNAL_DATA_RAW != 0 {
            return Err(Refused::OtherFile("an external data file"));
        }
        if features & CORRUPT != 0 {
            return Err(Refused::Unclean("corrupt"));
        }
        if features & DIRTY != 0 {
            return Err(Refused::Unclean("dirty"));
        }
        if features & !KNOWN_FEATURES != 0 {
            return Err(Refused::Feature(features & !KNOWN_FEATURES));
        }
        if self.crypt_method != 0 {
            return Err(Refused::NotPlain("is encrypted"));
        }
        if self.nb_snapshots != 0 {
            return Err(Refused::NotPlain("holds internal snapshots"));
        }
        // Zlib is 0 and has no feature bit; zstd is 1 and has it.
        let zstd = features & COMPRESSION_TYPE != 0;
        if self.compression_type > 1 || zstd != (self.compression_type == 1) {
            return Err(Refused::Broken("its compression type and feature bits disagree"));
        }
        Ok(())
    }

    /// Every size and offset is within the format's limits and within the file.
    fn check_sizes(&self, len: u64) -> Result<(), Refused> {
        if !(9..=21).contains(&self.cluster_bits) {
            return Err(Refused::Broken(
                "its cluster size is not between 512 bytes and 2 MiB",
            ));
        }
        let extended = self.incompatible_features & EXTENDED_L2 != 0;
        if extended && self.cluster_bits < EXTENDED_L2_CLUSTER_BITS {
            return Err(Refused::Broken(
                "its clusters are too small for its extended L2 entries",
            ));
        }
        let cluster = 1 << self.cluster_bits;
        if !self.lengths(cluster).contains(&self.length) || !self.length.is_multiple_of(8) {
            return Err(Refused::Broken("its header length is impossible"));
        }
        if self.refcount_order > 6 {
            return Err(Refused::Broken("its reference counts are wider than 64 bits"));
        }
        self.check_disk(len)?;
        self.check_tables(cluster, len)
    }

    /// The disk is one that a guest can use, and its file is no bomb: a hole of terabytes costs nothing to make.
    const fn check_disk(&self, len: u64) -> Result<(), Refused> {
        if self.size == 0 {
            return Err(Refused::Broken("its disk has no size"));
        }
        if self.size > LARGEST.0 {
            return Err(Refused::TooLarge(Bytes(self.size)));
        }
        if !self.size.is_multiple_of(SECTOR) {
            return Err(Refused::Broken("its disk is not a multiple of 512 bytes"));
        }
        if len > self.size * TIMES_ITS_DISK + OVERHEAD {
            return Err(Refused::NotPlain("is far longer than its disk"));
        }
        Ok(())
    }

    const fn lengths(&self, cluster: u64) -> RangeInclusive<u64> {
        match self.version {
            2 => V2_HEADER..=V2_HEADER,
            _ => V3_HEADER..=cluster,
        }
    }

    fn check_tables(&self, cluster: u64, len: u64) -> Result<(), Refused> {
        let entry = if self.incompatible_features & EXTENDED_L2 == 0 {
            8
        } else {
            16
        };
        let per_l1_entry = cluster * (cluster / entry);
        if u64::from(self.l1_size) < self.size.div_ceil(per_l1_entry) {
            return Err(Refused::Broken("its L1 table is too small for its disk"));
        }
        let l1 = Table::of(
            self.l1_table_offset,
            u64::from(self.l1_size) * 8,
            cluster,
            L1_TABLE_MAX,
            len,
        )
        .ok_or(Refused::Broken("its L1 table does not lie in the file"))?;
        let refcounts = u64::from(self.refcount_table_clusters) * cluster;
        let refcounts = Table::of(
            self.refcount_table_offset,
            refcounts,
            cluster,
            REFCOUNT_TABLE_MAX,
            len,
        )
        .ok_or(Refused::Broken(
            "its reference count table does not lie in the file",
        ))?;
        if l1.start < refcounts.end && refcounts.start < l1.end {
            return Err(Refused::Broken(
                "its L1 table and its reference count table overlap",
            ));
        }
        Ok(())
    }
}

/// Where a table lies in the file.
struct Table {
    start: u64,
    end: u64,
}

impl Table {
    /// A table that starts on a cluster other than the header's, has a size, and ends within the file.
    fn of(start: u64, size: u64, cluster: u64, max: u64, len: u64) -> Option<Self> {
        let end = start.checked_add(size)?;
        let fits =
            start >= cluster && start.is_multiple_of(cluster) && (1..=max).contains(&size) && end <= len;
        fits.then_some(Self { start, end })
    }
}

/// Walks the header extensions, which fill the first cluster from the end of the header to an end mark.
fn extensions(reader: Reader<'_>, header: &Header, base: Base) -> Result<(), Refused> {
    const UNENDED: Refused = Refused::Broken("its header extensions have no end within the first cluster");
    let first_cluster = 1_u64 << header.cluster_bits;
    let mut at = header.length;
    loop {
        let here = usize::try_from(at).map_err(|_| UNENDED)?;
        let kind = reader.u32(here).ok_or(UNENDED)?;
        if kind == EXTENSION_END {
            return Ok(());
        }
        let len = reader.u32(here.saturating_add(4)).ok_or(UNENDED)?;
        match kind {
            EXTENSION_DATA_FILE => return Err(Refused::OtherFile("an external data file")),
            EXTENSION_ENCRYPTION => return Err(Refused::NotPlain("is encrypted")),
            EXTENSION_BITMAPS => return Err(Refused::NotPlain("holds dirty bitmaps")),
            EXTENSION_BACKING_FORMAT if base == Base::None => {
                return Err(Refused::OtherFile("a backing file's format"));
            }
            _ => {}
        }
        // Every extension is padded to a multiple of eight bytes.
        at += 8 + u64::from(len).next_multiple_of(8);
        if at + 8 > first_cluster {
            return Err(UNENDED);
        }
    }
}

#[cfg(test)]
mod tests;
