//! What is on a disk: partitions (GPT, MBR) and what is in them, by our own reader. Pure.
//!
//! The kernel is never asked to look for partitions: each one it finds is announced to the host's udev, which may then start
//! what a guest wrote there, such as its LVM volume groups.

use std::fmt;
use std::io;

/// The sector size of partition tables; disks of QEMU have it.
const SECTOR: u64 = 512;
/// The most partitions that are looked at.
const PARTITIONS_MAX: u32 = 128;
/// UEFI 2.10, 5.3.2: the first bytes of a GPT header.
const GPT_MAGIC: &[u8] = b"EFI PART";

/// Reads so many bytes at an offset; fewer where the disk ends.
pub type ReadAt<'a> = dyn Fn(u64, usize) -> io::Result<Vec<u8>> + 'a;

/// What fills a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// ext2, ext3 and ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// A physical volume of LVM.
    Lvm,
    /// Encrypted by LUKS.
    Luks,
    /// A member of a software RAID.
    Raid,
    /// Anything else, or nothing.
    Other,
}

impl Content {
    /// The kernel's name of a file system that is mounted.
    pub const fn file_system(self) -> Option<&'static str> {
        match self {
            Self::Ext4 => Some("ext4"),
            Self::Xfs => Some("xfs"),
            Self::Btrfs => Some("btrfs"),
            Self::Lvm | Self::Luks | Self::Raid | Self::Other => None,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "XFS",
            Self::Btrfs => "Btrfs",
            Self::Lvm => "LVM",
            Self::Luks => "LUKS encryption",
            Self::Raid => "software RAID",
            Self::Other => "no Linux file system",
        })
    }
}

/// A partition, or a whole disk without any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// Its number, as the guest counts; none for a whole disk.
    pub number: Option<u32>,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// What fills it.
    pub content: Content,
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "partition {number}: {}", self.content),
            None => write!(f, "the whole disk: {}", self.content),
        }
    }
}

/// The volumes of a disk of `len` bytes.
pub fn volumes(read: &ReadAt<'_>, len: u64) -> io::Result<Vec<Volume>> {
    let whole = content(read, 0)?;
    if whole != Content::Other {
        return Ok(vec![Volume {
            number: None,
            offset: 0,
            len,
            content: whole,
        }]);
    }
    let mut extents = gpt(read)?;
    if extents.is_empty() {
        extents = mbr(read)?;
    }
    let mut volumes = Vec::new();
    for (number, start, sectors) in extents {
        let (Some(offset), Some(bytes)) = (start.checked_mul(SECTOR), sectors.checked_mul(SECTOR)) else {
            continue;
        };
        // A table that reaches beyond the disk is a guest's mistake, or its trick.
        if bytes == 0 || offset.checked_add(bytes).is_none_or(|end| end > len) {
            continue;
        }
        volumes.push(Volume {
            number: Some(number),
            offset,
            len: bytes,
            content: content(read, offset)?,
        });
    }
    Ok(volumes)
}

/// Number, first sector and length in sectors.
type Extent = (u32, u64, u64);

fn gpt(read: &ReadAt<'_>) -> io::Result<Vec<Extent>> {
    let header = read(SECTOR, 92)?;
    if !header.starts_with(GPT_MAGIC) {
        return Ok(Vec::new());
    }
    let (Some(table), Some(count), Some(size)) = (le64(&header, 72), le32(&header, 80), le32(&header, 84))
    else {
        return Ok(Vec::new());
    };
    let (count, size) = (count.min(PARTITIONS_MAX), u64::from(size));
    if !(128..=4096).contains(&size) {
        return Ok(Vec::new());
    }
    let mut extents = Vec::new();
    for index in 0..count {
        let Some(at) = table
            .checked_mul(SECTOR)
            .and_then(|start| start.checked_add(u64::from(index) * size))
        else {
            break;
        };
        let entry = read(at, 128)?;
        let unused = entry.iter().take(16).all(|byte| *byte == 0);
        if let (false, Some(first), Some(last)) = (unused, le64(&entry, 32), le64(&entry, 40)) {
            extents.push((index + 1, first, last.saturating_sub(first).saturating_add(1)));
        }
    }
    Ok(extents)
}

fn mbr(read: &ReadAt<'_>) -> io::Result<Vec<Extent>> {
    let mut extents = Vec::new();
    let table = mbr_entries(&read(0, 512)?);
    for (number, (kind, start, sectors)) in (1..).zip(table) {
        match kind {
            0 => {}
            // Extended partitions hold others.
            0x05 | 0x0f | 0x85 => logical(read, start, &mut extents)?,
            _ => extents.push((number, start, sectors)),
        }
    }
    extents.sort_unstable();
    Ok(extents)
}

/// Follows the chain of tables in an extended partition: each has one partition, and where the next table is.
fn logical(read: &ReadAt<'_>, extended: u64, extents: &mut Vec<Extent>) -> io::Result<()> {
    let mut at = extended;
    for number in 5..PARTITIONS_MAX {
        let entries = mbr_entries(&read(at.saturating_mul(SECTOR), 512)?);
        let [first, next, ..] = entries.as_slice() else {
            break;
        };
        if first.0 != 0 {
            extents.push((number, at.saturating_add(first.1), first.2));
        }
        if next.0 == 0 {
            break;
        }
        at = extended.saturating_add(next.1);
    }
    Ok(())
}

/// Type, first sector and length of the four entries; none where no table is.
fn mbr_entries(sector: &[u8]) -> Vec<(u8, u64, u64)> {
    if sector.get(510..512) != Some(&[0x55, 0xaa]) {
        return Vec::new();
    }
    let entry = |index: usize| {
        let entry = sector.get(446 + index * 16..462 + index * 16)?;
        Some((
            *entry.get(4)?,
            u64::from(le32(entry, 8)?),
            u64::from(le32(entry, 12)?),
        ))
    };
    (0..4).filter_map(entry).collect()
}

/// Tells what fills a volume by the marks that its own programs look for.
fn content(read: &ReadAt<'_>, offset: u64) -> io::Result<Content> {
    let head = read(offset, 4096)?;
    let is = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if is(0, b"XFSB") {
        return Ok(Content::Xfs);
    }
    if is(0, b"LUKS\xba\xbe") {
        return Ok(Content::Luks);
    }
    if (0..4).any(|sector| is(sector * 512, b"LABELONE")) {
        return Ok(Content::Lvm);
    }
    if is(0, b"\xfc\x4e\x2b\xa9") || is(4096 - 4, b"\xfc\x4e\x2b\xa9") {
        return Ok(Content::Raid);
    }
    if is(0x438, b"\x53\xef") {
        return Ok(Content::Ext4);
    }
    let btrfs = read(offset.saturating_add(0x1_0040), 8)?;
    if btrfs == b"_BHRfS_M" {
        return Ok(Content::Btrfs);
    }
    let raid = read(offset.saturating_add(4096), 4)?;
    Ok(if raid == b"\xfc\x4e\x2b\xa9" {
        Content::Raid
    } else {
        Content::Other
    })
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn look(disk: &[u8]) -> Vec<Volume> {
        let read = |offset: u64, count: usize| {
            let rest = usize::try_from(offset).ok().and_then(|at| disk.get(at..));
            Ok(rest.unwrap_or_default().iter().copied().take(count).collect())
        };
        volumes(&read, disk.len() as u64).unwrap()
    }

    /// A disk of 16 MiB with a table that sfdisk made.
    fn partitioned(script: &str) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(16 << 20).unwrap();
        let mut sfdisk = Command::new("/sbin/sfdisk")
            .arg("-q")
            .arg(file.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        sfdisk.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(sfdisk.wait().unwrap().success());
        std::fs::read(file.path()).unwrap()
    }

    fn put(disk: &mut [u8], at: usize, bytes: &[u8]) {
        disk[at..at + bytes.len()].copy_from_slice(bytes);
    }

    #[test]
    fn a_gpt_is_read_as_sfdisk_writes_it() {
        let mut disk = partitioned("label: gpt\n14 : size=1MiB\n1 : start=4MiB, size=8MiB\n");
        put(&mut disk, (4 << 20) + 0x438, b"\x53\xef");
        put(&mut disk, 1 << 20, b"XFSB");
        let found = look(&disk);
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["partition 1: ext4", "partition 14: XFS"]);
        assert_eq!((found[0].offset, found[0].len), (4 << 20, 8 << 20));
    }

    #[test]
    fn an_mbr_is_read_with_what_its_extended_partition_holds() {
        let script = "label: dos\n1 : size=2MiB\n2 : size=12MiB, type=5\n5 : size=3MiB\n6 : size=3MiB\n";
        let mut disk = partitioned(script);
        put(&mut disk, (1 << 20) + 512, b"LABELONE");
        let found = look(&disk);
        let numbers: Vec<_> = found.iter().map(|volume| volume.number.unwrap()).collect();
        assert_eq!(numbers, [1, 5, 6]);
        assert_eq!(found[0].content, Content::Lvm);
        assert_eq!(found[2].len, 3 << 20);
    }

    #[test]
    fn a_file_system_may_fill_the_whole_disk() {
        let mut disk = vec![0; 1 << 20];
        assert_eq!(look(&disk), []);
        put(&mut disk, 0x1_0040, b"_BHRfS_M");
        assert_eq!(look(&disk)[0].content, Content::Btrfs);
        assert_eq!(look(&disk)[0].number, None);
    }

    #[test]
    fn a_partition_that_reaches_beyond_the_disk_is_left_out() {
        let mut disk = partitioned("label: dos\n1 : size=2MiB\n2 : size=2MiB\n");
        put(&mut disk, 446 + 12, &u32::MAX.to_le_bytes());
        assert_eq!(look(&disk).len(), 1);
    }

    proptest! {
        #[test]
        fn any_table_is_read_without_an_end_or_a_panic(
            noise in proptest::collection::vec(any::<u8>(), 2048),
            gpt: bool,
            count: u32,
        ) {
            let mut disk = noise;
            put(&mut disk, 510, &[0x55, 0xaa]);
            if gpt {
                put(&mut disk, 512, GPT_MAGIC);
                put(&mut disk, 512 + 80, &count.to_le_bytes());
                put(&mut disk, 512 + 84, &128_u32.to_le_bytes());
            }
            for volume in look(&disk) {
                prop_assert!(volume.offset + volume.len <= disk.len() as u64);
            }
        }
    }
}
