//! A clone's first bytes: a qcow2 image that holds nothing yet and reads everything from its base.
//!
//! ```text
//!   cluster 0      1                2                 3 ..
//!   | header       | refcount table | refcount block  | L1 table, all zero |        clusters of 64 KiB
//!   | + base name  |                | one per cluster |                    |
//! ```

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::image::format::LARGEST;
use crate::model::Bytes;
use crate::model::image::DiskFormat;

/// Why no overlay can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// The format has room for 1,023 bytes, and a relative name would depend on where the clone lies.
    #[error(
        "the path of a base image must be absolute and at most 1023 bytes long: choose a shorter state directory"
    )]
    BaseName,
    /// Zero, or more than any disk we serve.
    #[error("a disk of {0} can not be made: choose a size between 1MiB and {LARGEST}")]
    Size(Bytes),
}

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
const SECTOR: u64 = 512;
const REFCOUNT_TABLE: u64 = CLUSTER;
const REFCOUNT_BLOCK: u64 = 2 * CLUSTER;
const L1_TABLE: u64 = 3 * CLUSTER;
/// One L1 entry leads to one cluster of 8-byte L2 entries, each of which leads to one cluster of the disk.
const PER_L1_ENTRY: u64 = CLUSTER * (CLUSTER / 8);
const HEADER_LENGTH: u32 = 104;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const MAX_BASE_NAME: usize = 1023;

/// The whole file of a fresh overlay of `size` on `backing`: written at once, it is a complete image.
pub fn file(backing: &Path, format: DiskFormat, size: Bytes) -> Result<Vec<u8>, OverlayError> {
    let name = backing.as_os_str().as_bytes();
    if !backing.is_absolute() || name.len() > MAX_BASE_NAME {
        return Err(OverlayError::BaseName);
    }
    written(Some((name, format)), size)
}

/// The whole file of an empty disk of `size`, which is no overlay.
pub fn empty(size: Bytes) -> Result<Vec<u8>, OverlayError> {
    written(None, size)
}

fn written(backing: Option<(&[u8], DiskFormat)>, size: Bytes) -> Result<Vec<u8>, OverlayError> {
    if size.0 == 0 || size > LARGEST {
        return Err(OverlayError::Size(size));
    }
    let l1_entries = size.0.div_ceil(PER_L1_ENTRY);
    let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER);
    let clusters = 3 + l1_clusters;

    let mut file = header(size, l1_entries, backing);
    pad_to(&mut file, REFCOUNT_TABLE);
    file.extend(REFCOUNT_BLOCK.to_be_bytes());
    pad_to(&mut file, REFCOUNT_BLOCK);
    for _ in 0..clusters {
        file.extend(1_u16.to_be_bytes());
    }
    pad_to(&mut file, clusters * CLUSTER);
    Ok(file)
}

/// The first cluster: the header, and where there is a base, its format as an extension, the end of extensions, and its name.
#[expect(
    clippy::cast_possible_truncation,
    reason = "`file` checked the size and the name: each fits 32 bits"
)]
fn header(size: Bytes, l1_entries: u64, backing: Option<(&[u8], DiskFormat)>) -> Vec<u8> {
    let (name, format) = backing.map_or((&[][..], &[][..]), |(name, format)| {
        (name, format.as_str().as_bytes())
    });
    let extension = 8 + format.len().next_multiple_of(8);
    let name_at = match backing {
        Some(_) => u64::from(HEADER_LENGTH) + extension as u64 + 8,
        None => 0,
    };
    let mut out = Vec::with_capacity(512);
    out.extend(*b"QFI\xfb");
    out.extend(3_u32.to_be_bytes());
    out.extend(name_at.to_be_bytes());
    out.extend((name.len() as u32).to_be_bytes());
    out.extend(CLUSTER_BITS.to_be_bytes());
    out.extend(size.0.next_multiple_of(SECTOR).to_be_bytes());
    out.extend(0_u32.to_be_bytes()); // crypt_method
    out.extend((l1_entries as u32).to_be_bytes());
    out.extend(L1_TABLE.to_be_bytes());
    out.extend(REFCOUNT_TABLE.to_be_bytes());
    out.extend(1_u32.to_be_bytes()); // refcount table clusters
    out.extend(0_u32.to_be_bytes()); // nb_snapshots
    out.extend(0_u64.to_be_bytes()); // snapshots_offset
    out.extend([0; 24]); // incompatible, compatible and autoclear features
    out.extend(4_u32.to_be_bytes()); // refcount_order: 16 bits
    out.extend(HEADER_LENGTH.to_be_bytes());
    if backing.is_some() {
        out.extend(EXTENSION_BACKING_FORMAT.to_be_bytes());
        out.extend((format.len() as u32).to_be_bytes());
        out.extend(format);
        pad_to(&mut out, name_at);
        out.extend(name);
    }
    out
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "at most twenty clusters, whatever the width of usize"
)]
fn pad_to(bytes: &mut Vec<u8>, len: u64) {
    bytes.resize(len as usize, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::inspect;
    use std::path::PathBuf;
    use std::process::Command;

    fn qemu(program: &str, args: &[&str]) -> String {
        let output = Command::new(program)
            .args(args)
            .output()
            .expect("qemu-utils is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{program} {args:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    fn base(directory: &Path, format: &str) -> PathBuf {
        let (raw, path) = (
            directory.join("raw"),
            directory.join(format!("base, \"{format}\"")),
        );
        std::fs::write(&raw, vec![0xa5; 1 << 20]).unwrap();
        qemu(
            "qemu-img",
            &[
                "convert",
                "-f",
                "raw",
                "-O",
                format,
                raw.to_str().unwrap(),
                path.to_str().unwrap(),
            ],
        );
        path
    }

    #[test]
    fn qemu_takes_it_for_a_sound_clone_of_its_base() {
        for format in [DiskFormat::Qcow2, DiskFormat::Raw] {
            let directory = tempfile::tempdir().unwrap();
            let (base, clone) = (
                base(directory.path(), format.as_str()),
                directory.path().join("clone"),
            );
            std::fs::write(&clone, file(&base, format, Bytes::gib(2100)).unwrap()).unwrap();
            let clone = clone.to_str().unwrap();
            assert!(qemu("qemu-img", &["check", "-f", "qcow2", clone]).contains("No errors were found"));
            let info = qemu(
                "qemu-img",
                &["info", "-f", "qcow2", "--backing-chain", "--output=json", clone],
            );
            let info: serde_json::Value = serde_json::from_str(&info).unwrap();
            assert_eq!(info[0]["virtual-size"], Bytes::gib(2100).0);
            assert_eq!(info[0]["backing-filename"], base.to_str().unwrap());
            assert_eq!(info[0]["backing-filename-format"], format.as_str());
            assert_eq!(info[1]["format"], format.as_str());
        }
    }

    #[test]
    fn it_reads_its_base_below_its_own_writes_and_zeroes_above_the_bases_end() {
        let directory = tempfile::tempdir().unwrap();
        let (base, clone) = (base(directory.path(), "qcow2"), directory.path().join("clone"));
        std::fs::write(&clone, file(&base, DiskFormat::Qcow2, Bytes::gib(3)).unwrap()).unwrap();
        let clone = clone.to_str().unwrap();
        let commands = [
            "read -P 0xa5 0 1M",
            "read -P 0 1M 1M",
            "read -P 0 2999M 1M",
            "write -P 0x11 64k 4k",
            "write -P 0x22 3071M 1M",
            "read -P 0xa5 68k 60k",
            "read -P 0x11 64k 4k",
        ];
        let mut args = vec!["-f", "qcow2"];
        args.extend(commands.iter().flat_map(|command| ["-c", *command]));
        args.push(clone);
        let said = qemu("qemu-io", &args);
        assert!(!said.contains("failed"), "{said}");
        assert!(qemu("qemu-img", &["check", "-f", "qcow2", clone]).contains("No errors were found"));
    }

    #[test]
    fn the_largest_disk_is_sound_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let (base, clone) = (base(directory.path(), "raw"), directory.path().join("clone"));
        std::fs::write(&clone, file(&base, DiskFormat::Raw, LARGEST).unwrap()).unwrap();
        assert!(
            qemu("qemu-img", &["check", "-f", "qcow2", clone.to_str().unwrap()])
                .contains("No errors were found")
        );
    }

    #[test]
    fn an_empty_disk_is_sound_and_refers_to_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("empty");
        let bytes = empty(Bytes::gib(8)).unwrap();
        let info = inspect::qcow2(&bytes, bytes.len() as u64).unwrap();
        assert_eq!(info.virtual_size, Bytes::gib(8));
        std::fs::write(&path, bytes).unwrap();
        let path = path.to_str().unwrap();
        qemu("qemu-io", &["-f", "qcow2", "-c", "write -P 7 1G 64k", path]);
        assert!(qemu("qemu-img", &["check", "-f", "qcow2", path]).contains("No errors were found"));
    }

    #[test]
    fn our_own_inspector_refuses_a_clone_as_a_base() {
        let bytes = file(Path::new("/base"), DiskFormat::Raw, Bytes::gib(1)).unwrap();
        let refused = inspect::qcow2(&bytes, bytes.len() as u64);
        assert!(
            matches!(refused, Err(crate::image::Refused::OtherFile(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn what_the_format_has_no_room_for_is_refused() {
        let long = PathBuf::from(format!("/{}", "x".repeat(1023)));
        for path in [Path::new("base"), &long] {
            assert_eq!(
                file(path, DiskFormat::Raw, Bytes::gib(1)),
                Err(OverlayError::BaseName)
            );
        }
        for size in [Bytes(0), Bytes(u64::MAX)] {
            assert_eq!(
                file(Path::new("/b"), DiskFormat::Raw, size),
                Err(OverlayError::Size(size))
            );
        }
    }
}
