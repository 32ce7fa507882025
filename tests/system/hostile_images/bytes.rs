//! A small, sound qcow2 image as bytes, and what makes a lie of it. Offsets are those of QEMU's `docs/interop/qcow2.txt`.

pub(super) const CLUSTER: usize = 1 << 16;
/// Where the header extensions begin: right after the fields that every header of version 3 has.
const EXTENSIONS: usize = 104;
const BACKING_NAME: usize = 1024;

pub(super) const VERSION: usize = 4;
pub(super) const BACKING_OFFSET: usize = 8;
pub(super) const BACKING_SIZE: usize = 16;
pub(super) const CLUSTER_BITS: usize = 20;
pub(super) const SIZE: usize = 24;
pub(super) const CRYPT_METHOD: usize = 32;
pub(super) const L1_SIZE: usize = 36;
pub(super) const L1_OFFSET: usize = 40;
pub(super) const REFCOUNT_OFFSET: usize = 48;
pub(super) const REFCOUNT_CLUSTERS: usize = 56;
pub(super) const SNAPSHOTS: usize = 60;
pub(super) const SNAPSHOTS_OFFSET: usize = 64;
pub(super) const INCOMPATIBLE: usize = 72;
pub(super) const AUTOCLEAR: usize = 88;
pub(super) const REFCOUNT_ORDER: usize = 96;
pub(super) const HEADER_LENGTH: usize = 100;

pub(super) const BACKING_FORMAT: u32 = 0xe279_2aca;
pub(super) const FEATURE_NAMES: u32 = 0x6803_f857;
pub(super) const BITMAPS: u32 = 0x2385_2875;
pub(super) const ENCRYPTION: u32 = 0x0537_be77;
pub(super) const DATA_FILE: u32 = 0x4441_5441;

/// The bytes of an image file.
#[derive(Clone)]
pub(super) struct Qcow2 {
    bytes: Vec<u8>,
    extensions: usize,
}

impl Qcow2 {
    /// Version 3, 1 GiB, empty: the header, the reference count table and block, and the L1 table, a cluster each.
    pub(super) fn plain() -> Self {
        let mut bytes = vec![0; 4 * CLUSTER];
        bytes[..4].copy_from_slice(b"QFI\xfb");
        for used in 0..4 {
            bytes[2 * CLUSTER + 2 * used + 1] = 1;
        }
        let plain = Self {
            bytes,
            extensions: EXTENSIONS,
        };
        plain
            .u32(VERSION, 3)
            .u32(CLUSTER_BITS, 16)
            .u64(SIZE, 1 << 30)
            .u32(L1_SIZE, 2)
            .u64(L1_OFFSET, 3 * CLUSTER as u64)
            .u64(REFCOUNT_OFFSET, CLUSTER as u64)
            .u32(REFCOUNT_CLUSTERS, 1)
            .u32(REFCOUNT_ORDER, 4)
            .u32(HEADER_LENGTH, 104)
            .u64(CLUSTER, 2 * CLUSTER as u64)
    }

    /// The same as version 2, whose header is shorter.
    pub(super) fn old() -> Self {
        let mut old = Self::plain().u32(VERSION, 2);
        old.bytes[72..EXTENSIONS].fill(0);
        old.extensions = 72;
        old
    }

    pub(super) fn u32(self, at: usize, value: u32) -> Self {
        self.put(at, &value.to_be_bytes())
    }

    pub(super) fn u64(self, at: usize, value: u64) -> Self {
        self.put(at, &value.to_be_bytes())
    }

    pub(super) fn put(mut self, at: usize, what: &[u8]) -> Self {
        self.bytes[at..at + what.len()].copy_from_slice(what);
        self
    }

    /// Another header extension, which says that it is as long as it is.
    pub(super) fn extension(self, kind: u32, what: &[u8]) -> Self {
        self.lying_extension(kind, u32::try_from(what.len()).unwrap(), what)
    }

    /// Another header extension, which says that it is `length` bytes long.
    pub(super) fn lying_extension(mut self, kind: u32, length: u32, what: &[u8]) -> Self {
        let at = self.extensions;
        self.extensions += 8 + what.len().next_multiple_of(8);
        self.u32(at, kind).u32(at + 4, length).put(at + 8, what)
    }

    /// Reads what was never written from another file.
    pub(super) fn backed_by(self, name: &str) -> Self {
        self.u64(BACKING_OFFSET, BACKING_NAME as u64)
            .u32(BACKING_SIZE, u32::try_from(name.len()).unwrap())
            .put(BACKING_NAME, name.as_bytes())
    }

    /// Keeps its disk in another file.
    pub(super) fn data_in(self, name: &str) -> Self {
        self.u64(INCOMPATIBLE, 4).extension(DATA_FILE, name.as_bytes())
    }

    /// Ends early.
    pub(super) fn cut(mut self, len: usize) -> Self {
        self.bytes.truncate(len);
        self
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
