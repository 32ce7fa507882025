//! The hostile files, each one lie away from a sound image, by name, with what their refusal has to say.

mod impossible;

use super::bytes::{
    AUTOCLEAR, BACKING_FORMAT, BACKING_OFFSET, BACKING_SIZE, BITMAPS, CRYPT_METHOD, DATA_FILE, ENCRYPTION,
    HEADER_LENGTH, INCOMPATIBLE, Qcow2, SNAPSHOTS, SNAPSHOTS_OFFSET,
};

/// What is wrong, and what to do about it, in the words of the refusal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Says(pub(super) &'static str, pub(super) &'static str);

/// A file that has to be refused.
pub(super) struct Hostile {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) says: Says,
}

const FLATTEN: &str = "flatten it with `qemu-img convert";
const CONVERT: &str = "convert -O qcow2`";
const AGAIN: &str = "get the image again and compare its checksum";

const BACKING: Says = Says("refers to another file (a backing file)", FLATTEN);
const BACKING_FORMAT_ONLY: Says = Says("refers to another file (a backing file's format)", FLATTEN);
const EXTERNAL: Says = Says("refers to another file (an external data file)", FLATTEN);
const ENCRYPTED: Says = Says("is encrypted", CONVERT);
const WITH_SNAPSHOTS: Says = Says("holds internal snapshots", CONVERT);
const WITH_BITMAPS: Says = Says("holds dirty bitmaps", CONVERT);
const UNKNOWN: Says = Says(
    "needs qcow2 features this version does not know (bits 0x",
    CONVERT,
);
const COMPRESSION: Says = Says("its compression type and feature bits disagree", AGAIN);

/// Every file of the corpus that is bytes alone.
pub(super) fn all() -> Vec<Hostile> {
    let lies = [
        with_data_elsewhere(),
        encrypted(),
        with_snapshots_or_bitmaps(),
        with_features(),
        impossible::headers(),
        impossible::sizes(),
        impossible::l1_tables(),
        impossible::refcount_tables(),
        impossible::extensions(),
    ];
    let mut all = backed();
    all.extend(lies.into_iter().flatten().map(named));
    all.extend(impossible::cut_short());
    all
}

type Lie = (&'static str, Qcow2, Says);

fn named((name, image, says): Lie) -> Hostile {
    Hostile {
        name: format!("{name}.qcow2"),
        bytes: image.into_bytes(),
        says,
    }
}

fn plain() -> Qcow2 {
    Qcow2::plain()
}

/// A name as long as the format has room for, and one more.
fn long_name(len: usize) -> String {
    format!("/{}", "a".repeat(len - 1))
}

const JSON: &str = r#"json:{"driver":"file","filename":"/etc/shadow"}"#;
const BACKING_FILES: [(&str, &str); 15] = [
    ("shadow", "/etc/shadow"),
    ("json", JSON),
    (
        "json-nested",
        r#"json:{"driver":"qcow2","file":{"driver":"https","url":"https://192.0.2.1/x"}}"#,
    ),
    ("nbd", "nbd://192.0.2.1:10809/x"),
    ("nbd-unix", "nbd:unix:/run/seedbed/seedbed.sock"),
    ("ssh", "ssh://root@192.0.2.1/etc/shadow"),
    ("http", "http://169.254.169.254/latest/meta-data"),
    ("fat", "fat:rw:/etc"),
    ("device", "/dev/vda"),
    ("host-device", "host_device:/dev/vda"),
    ("proc", "/proc/self/fd/3"),
    ("relative", "other.qcow2"),
    ("climbs", "../../../../etc/shadow"),
    ("nul", "/etc/shadow\0.qcow2"),
    ("empty", ""),
];

fn backed() -> Vec<Hostile> {
    let hostile = |name: &str, image: Qcow2| Hostile {
        name: format!("backing-{name}.qcow2"),
        bytes: image.into_bytes(),
        says: BACKING,
    };
    let mut all: Vec<_> = BACKING_FILES
        .into_iter()
        .map(|(name, file)| hostile(name, plain().backed_by(file)))
        .collect();
    let raw = plain().extension(BACKING_FORMAT, b"raw");
    all.extend([
        hostile("shadow-as-raw", raw.backed_by("/etc/shadow")),
        hostile("shadow-version-2", Qcow2::old().backed_by("/etc/shadow")),
        hostile("longest", plain().backed_by(&long_name(1023))),
        hostile("too-long", plain().backed_by(&long_name(1024))),
        hostile("offset-only", plain().u64(BACKING_OFFSET, 1 << 60)),
        hostile("size-only", plain().u32(BACKING_SIZE, u32::MAX)),
    ]);
    all
}

fn with_data_elsewhere() -> Vec<Lie> {
    let old = Qcow2::old();
    vec![
        (
            "backing-format-only",
            plain().extension(BACKING_FORMAT, b"raw"),
            BACKING_FORMAT_ONLY,
        ),
        ("data-file", plain().data_in("/etc/shadow"), EXTERNAL),
        ("data-file-json", plain().data_in(JSON), EXTERNAL),
        ("data-file-relative", plain().data_in("disk.raw"), EXTERNAL),
        ("data-file-bit-only", plain().u64(INCOMPATIBLE, 4), EXTERNAL),
        ("data-file-raw-bit-only", plain().u64(AUTOCLEAR, 2), EXTERNAL),
        (
            "data-file-name-only",
            plain().extension(DATA_FILE, b"/etc/shadow"),
            EXTERNAL,
        ),
        (
            "data-file-name-version-2",
            old.extension(DATA_FILE, b"/etc/shadow"),
            EXTERNAL,
        ),
    ]
}

fn encrypted() -> Vec<Lie> {
    let key = [&(3_u64 << 16).to_be_bytes()[..], &4096_u64.to_be_bytes()].concat();
    let luks = plain().u32(CRYPT_METHOD, 2).extension(ENCRYPTION, &key);
    vec![
        ("encrypted-aes", plain().u32(CRYPT_METHOD, 1), ENCRYPTED),
        ("encrypted-luks", luks, ENCRYPTED),
        (
            "encrypted-unknown",
            plain().u32(CRYPT_METHOD, u32::MAX),
            ENCRYPTED,
        ),
        (
            "encrypted-key-only",
            plain().extension(ENCRYPTION, &key),
            ENCRYPTED,
        ),
    ]
}

fn with_snapshots_or_bitmaps() -> Vec<Lie> {
    let snapshots = |count, offset| plain().u32(SNAPSHOTS, count).u64(SNAPSHOTS_OFFSET, offset);
    let bitmaps = |count: u32, size: u64, offset: u64| {
        let words = [u64::from(count) << 32, size, offset].map(u64::to_be_bytes);
        plain().u64(AUTOCLEAR, 1).extension(BITMAPS, words.as_flattened())
    };
    vec![
        ("snapshots", snapshots(1, 3 << 16), WITH_SNAPSHOTS),
        ("snapshots-beyond-the-file", snapshots(1, 1 << 60), WITH_SNAPSHOTS),
        ("snapshots-on-the-header", snapshots(65_536, 0), WITH_SNAPSHOTS),
        (
            "snapshots-without-end",
            snapshots(u32::MAX, 3 << 16),
            WITH_SNAPSHOTS,
        ),
        ("bitmaps", bitmaps(1, 32, 3 << 16), WITH_BITMAPS),
        (
            "bitmaps-beyond-the-file",
            bitmaps(1, 1 << 60, 1 << 60),
            WITH_BITMAPS,
        ),
        (
            "bitmaps-without-end",
            bitmaps(u32::MAX, 32, 3 << 16),
            WITH_BITMAPS,
        ),
        (
            "bitmaps-too-short",
            plain().extension(BITMAPS, &[0; 8]),
            WITH_BITMAPS,
        ),
    ]
}

fn with_features() -> Vec<Lie> {
    let marked = |feature| plain().u64(INCOMPATIBLE, feature);
    vec![
        (
            "dirty",
            marked(1),
            Says("is marked dirty", "qemu-img check -r all"),
        ),
        (
            "corrupt",
            marked(2),
            Says("is marked corrupt", "qemu-img check -r all"),
        ),
        ("feature-lowest-unknown", marked(1 << 5), UNKNOWN),
        ("feature-highest", marked(1 << 63), UNKNOWN),
        ("feature-all-unknown", marked(!0x1f), UNKNOWN),
        ("compression-unknown", compressed(8, 2), COMPRESSION),
        ("compression-highest", compressed(8, 255), COMPRESSION),
        ("compression-without-bit", compressed(0, 1), COMPRESSION),
        ("compression-bit-only", marked(8), COMPRESSION),
    ]
}

fn compressed(feature: u64, kind: u8) -> Qcow2 {
    plain()
        .u64(INCOMPATIBLE, feature)
        .u32(HEADER_LENGTH, 112)
        .put(104, &[kind])
}
