//! Headers that contradict the format, themselves or the length of the file.

use super::super::bytes::{
    BACKING_FORMAT, CLUSTER, CLUSTER_BITS, DATA_FILE, FEATURE_NAMES, HEADER_LENGTH, INCOMPATIBLE, L1_OFFSET,
    L1_SIZE, REFCOUNT_CLUSTERS, REFCOUNT_OFFSET, REFCOUNT_ORDER, SIZE, VERSION,
};
use super::{AGAIN, BACKING_FORMAT_ONLY, CONVERT, EXTERNAL, Hostile, Lie, Says, plain};

const SHORT: Says = Says("it ends within its header", AGAIN);
const UNENDED: Says = Says("its header extensions have no end", AGAIN);
const NO_VERSION: Says = Says("its version is neither 2 nor 3", AGAIN);
const CLUSTERS: Says = Says("its cluster size is not between 512 bytes and 2 MiB", AGAIN);
const LENGTH: Says = Says("its header length is impossible", AGAIN);
const L1: Says = Says("its L1 table does not lie in the file", AGAIN);
const SMALL_L1: Says = Says("its L1 table is too small for its disk", AGAIN);
const REFCOUNTS: Says = Says("its reference count table does not lie in the file", AGAIN);
const OVERLAP: Says = Says("its L1 table and its reference count table overlap", AGAIN);
const TOO_LARGE: Says = Says("more than the 64TiB that are supported", "compare its checksum");

pub(super) fn headers() -> Vec<Lie> {
    let version = |number| plain().u32(VERSION, number);
    let bits = |bits| plain().u32(CLUSTER_BITS, bits);
    let extended = Says("its clusters are too small for its extended L2 entries", AGAIN);
    let magic = Says("is no known disk format", "declare it raw");
    vec![
        ("version-0", version(0), NO_VERSION),
        (
            "version-1",
            version(1),
            Says("is a qcow version 1 image", CONVERT),
        ),
        ("version-4", version(4), NO_VERSION),
        ("version-highest", version(u32::MAX), NO_VERSION),
        ("magic-of-three-bytes", plain().put(3, b"\0"), magic),
        ("cluster-bits-0", bits(0), CLUSTERS),
        ("cluster-bits-8", bits(8), CLUSTERS),
        ("cluster-bits-22", bits(22), CLUSTERS),
        ("cluster-bits-63", bits(63), CLUSTERS),
        ("cluster-bits-64", bits(64), CLUSTERS),
        ("cluster-bits-highest", bits(u32::MAX), CLUSTERS),
        ("extended-l2-too-small", bits(13).u64(INCOMPATIBLE, 16), extended),
    ]
}

pub(super) fn sizes() -> Vec<Lie> {
    let refcounts = Says("its reference counts are wider than 64 bits", AGAIN);
    let sectors = Says("its disk is not a multiple of 512 bytes", AGAIN);
    let order = |order| plain().u32(REFCOUNT_ORDER, order);
    let length = |length| plain().u32(HEADER_LENGTH, length);
    let disk = |size| plain().u64(SIZE, size);
    vec![
        ("refcount-order-7", order(7), refcounts),
        ("refcount-order-64", order(64), refcounts),
        ("refcount-order-highest", order(u32::MAX), refcounts),
        ("header-length-0", length(0), LENGTH),
        ("header-length-of-version-2", length(72), LENGTH),
        ("header-length-odd", length(105), LENGTH),
        ("header-length-over-a-cluster", length((1 << 16) + 8), LENGTH),
        ("header-length-highest", length(u32::MAX), LENGTH),
        ("header-length-all-of-the-cluster", length(1 << 16), UNENDED),
        ("size-0", disk(0), Says("its disk has no size", AGAIN)),
        ("size-1", disk(1), sectors),
        ("size-between-sectors", disk((1 << 30) - 511), sectors),
        ("size-over-the-limit", disk((64 << 40) + 512), TOO_LARGE),
        ("size-2-to-63", disk(1 << 63), TOO_LARGE),
        ("size-highest", disk(u64::MAX), TOO_LARGE),
    ]
}

pub(super) fn l1_tables() -> Vec<Lie> {
    let entries = |count| plain().u32(L1_SIZE, count);
    let at = |offset| plain().u64(L1_OFFSET, offset);
    vec![
        // A disk of 2^60 bytes with as many entries as the field can tell.
        (
            "l1-of-2-to-60-bytes",
            entries(u32::MAX).u64(SIZE, 1 << 60),
            TOO_LARGE,
        ),
        ("l1-entries-highest", entries(u32::MAX), L1),
        ("l1-entries-over-the-limit", entries((4 << 20) + 1), L1),
        ("l1-entries-0", entries(0), SMALL_L1),
        ("l1-entries-too-few", entries(1), SMALL_L1),
        ("l1-runs-past-the-end", entries(8193), L1),
        ("l1-at-the-end", at(4 << 16), L1),
        ("l1-at-2-to-60", at(1 << 60), L1),
        ("l1-at-the-highest", at(u64::MAX), L1),
        ("l1-wraps-around", at(u64::MAX - 0xffff), L1),
        ("l1-on-the-header", at(0), L1),
        ("l1-between-clusters", at((3 << 16) + 512), L1),
        ("l1-on-the-refcounts", at(1 << 16), OVERLAP),
    ]
}

pub(super) fn refcount_tables() -> Vec<Lie> {
    let at = |offset| plain().u64(REFCOUNT_OFFSET, offset);
    let clusters = |count| plain().u32(REFCOUNT_CLUSTERS, count);
    vec![
        (
            "refcounts-run-into-the-l1",
            at(2 << 16).u32(REFCOUNT_CLUSTERS, 2),
            OVERLAP,
        ),
        ("refcounts-on-the-header", at(0), REFCOUNTS),
        ("refcounts-between-clusters", at(0x1_0200), REFCOUNTS),
        ("refcounts-beyond-the-file", at(1 << 40), REFCOUNTS),
        ("refcounts-wrap-around", at(u64::MAX - 0xffff), REFCOUNTS),
        ("refcounts-run-past-the-end", clusters(4), REFCOUNTS),
        ("refcounts-of-no-size", clusters(0), REFCOUNTS),
        ("refcounts-over-the-limit", clusters(129), REFCOUNTS),
        ("refcounts-highest", clusters(u32::MAX), REFCOUNTS),
    ]
}

pub(super) fn extensions() -> Vec<Lie> {
    let endless = |kind: u32| (0..(CLUSTER - 104) / 8).fold(plain(), |image, _| image.extension(kind, b""));
    let deep = (0..100).fold(plain(), |image, _| image.extension(FEATURE_NAMES, &[0; 48]));
    vec![
        (
            "extension-of-4-gib",
            plain().lying_extension(FEATURE_NAMES, u32::MAX, b""),
            UNENDED,
        ),
        (
            "extension-over-a-cluster",
            plain().lying_extension(FEATURE_NAMES, 1 << 16, b""),
            UNENDED,
        ),
        (
            "extension-up-to-the-end",
            plain().lying_extension(FEATURE_NAMES, (1 << 16) - 112, b""),
            UNENDED,
        ),
        ("extensions-endless", endless(FEATURE_NAMES), UNENDED),
        ("extensions-endless-and-unknown", endless(0x5eed_bed0), UNENDED),
        (
            "extension-behind-a-hundred",
            deep.extension(DATA_FILE, b"/etc/shadow"),
            EXTERNAL,
        ),
        (
            "extension-behind-an-unknown-one",
            plain()
                .extension(0x5eed_bed0, b"?")
                .extension(BACKING_FORMAT, b"raw"),
            BACKING_FORMAT_ONLY,
        ),
    ]
}

/// The sound image, cut at every field of its header and at every table.
pub(super) fn cut_short() -> Vec<Hostile> {
    const FIELDS: [usize; 17] = [
        8, 16, 20, 24, 32, 36, 40, 48, 56, 60, 64, 72, 80, 88, 96, 100, 103,
    ];
    let magic = Says("is no known disk format", "declare it raw");
    let mut cuts = vec![(0, magic), (3, magic), (4, SHORT), (7, SHORT)];
    cuts.extend(FIELDS.map(|at| (at, SHORT)));
    cuts.extend([104, 107, 111].map(|at| (at, L1)));
    cuts.extend([CLUSTER, 2 * CLUSTER, 3 * CLUSTER, 3 * CLUSTER + 15].map(|at| (at, L1)));
    let cut = |(at, says)| Hostile {
        name: format!("cut-at-{at}.qcow2"),
        bytes: plain().cut(at).into_bytes(),
        says,
    };
    cuts.into_iter().map(cut).collect()
}
