//! Tests of `inspect.rs`.

use super::*;
use proptest::prelude::*;

const LEN: u64 = 1 << 20;

/// The head of a good image: 64 KiB clusters, a 1 GiB disk, its tables in clusters 1 and 3.
fn good() -> Vec<u8> {
    let mut head = vec![0; 4096];
    head[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    put(&mut head, 20, 16_u32);
    put(&mut head, 28, 1_u32 << 30); // the low half of the size
    put(&mut head, 36, 2_u32);
    put(&mut head, 44, 3_u32 << 16);
    put(&mut head, 52, 1_u32 << 16);
    put(&mut head, 56, 1_u32);
    put(&mut head, 96, 4_u32);
    put(&mut head, 100, 104_u32);
    head
}

fn put(head: &mut [u8], at: usize, value: u32) {
    head[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

fn refusal(patches: &[(usize, u32)]) -> Refused {
    let mut head = good();
    for (at, value) in patches {
        put(&mut head, *at, *value);
    }
    qcow2(&head, LEN).expect_err("it was accepted")
}

#[test]
fn a_plain_image_is_accepted_and_measured() {
    let info = Qcow2Info {
        version: 3,
        virtual_size: Bytes::gib(1),
        cluster_bits: 16,
    };
    assert_eq!(qcow2(&good(), LEN), Ok(info));
}

#[test]
fn an_old_header_ends_after_72_bytes() {
    let mut head = good();
    put(&mut head, 4, 2);
    head[72..].fill(0);
    assert_eq!(qcow2(&head, LEN).map(|info| info.version), Ok(2));
    // What a version 3 header calls a feature bit is an extension's type here.
    put(&mut head, 72, EXTENSION_DATA_FILE);
    assert!(matches!(qcow2(&head, LEN), Err(Refused::OtherFile(_))));
}

#[test]
fn an_image_that_would_make_its_reader_open_another_file_is_refused() {
    let cases: [&[(usize, u32)]; 6] = [
        &[(12, 200), (16, 11)],        // backing file
        &[(8, 1)],                     // its offset only
        &[(76, 4)],                    // external data file
        &[(92, 2)],                    // what it is only
        &[(104, EXTENSION_DATA_FILE)], // its name only
        &[(104, EXTENSION_BACKING_FORMAT), (108, 5)],
    ];
    for patches in cases {
        assert!(matches!(refusal(patches), Refused::OtherFile(_)), "{patches:?}");
    }
}

#[test]
fn an_image_with_more_than_one_plain_disk_is_refused() {
    assert_eq!(refusal(&[(32, 2)]), Refused::NotPlain("is encrypted"));
    assert_eq!(refusal(&[(60, 1)]), Refused::NotPlain("holds internal snapshots"));
    assert_eq!(
        refusal(&[(104, EXTENSION_ENCRYPTION), (108, 16)]),
        Refused::NotPlain("is encrypted")
    );
    assert_eq!(
        refusal(&[(104, EXTENSION_BITMAPS), (108, 24)]),
        Refused::NotPlain("holds dirty bitmaps")
    );
    assert_eq!(refusal(&[(76, 1)]), Refused::Unclean("dirty"));
    assert_eq!(refusal(&[(76, 2)]), Refused::Unclean("corrupt"));
    assert_eq!(refusal(&[(72, 1)]), Refused::Feature(1 << 32));
    assert_eq!(refusal(&[(76, 32)]), Refused::Feature(32));
}

#[test]
fn impossible_sizes_and_offsets_are_refused() {
    let cases: [&[(usize, u32)]; 21] = [
        &[(4, 4)],  // version
        &[(20, 0)], // cluster bits
        &[(20, 8)],
        &[(20, 22)],
        &[(20, 63)],
        &[(28, 0)], // size
        &[(28, (1 << 30) - 1)],
        &[(76, 16), (20, 13)], // subclusters of less than a sector
        &[(36, 1)],            // an L1 table that is too small
        &[(36, 0)],
        &[(36, u32::MAX)], // and too large
        &[(40, 1 << 28)],  // L1 offset: far outside
        &[(40, u32::MAX), (44, u32::MAX)],
        &[(44, (3 << 16) + 8)], // between clusters
        &[(44, 0)],             // on the header
        &[(44, 1 << 16)],       // on the reference counts
        &[(48, 1 << 28)],       // refcount table outside
        &[(56, 0)],
        &[(56, u32::MAX)],
        &[(96, 7)],   // refcount width
        &[(100, 72)], // header length of version 2
    ];
    for patches in cases {
        assert!(matches!(refusal(patches), Refused::Broken(_)), "{patches:?}");
    }
    assert!(matches!(refusal(&[(24, 1 << 24)]), Refused::TooLarge(_)));
    for length in [0, 100, 105, 65537, u32::MAX] {
        assert!(matches!(refusal(&[(100, length)]), Refused::Broken(_)));
    }
}

#[test]
fn a_compression_type_needs_its_feature_bit() {
    let zstd = |bit, kind: u32| {
        let mut head = good();
        put(&mut head, 76, bit);
        put(&mut head, 100, 112);
        put(&mut head, 104, kind << 24);
        qcow2(&head, LEN)
    };
    assert!(zstd(8, 1).is_ok() && zstd(0, 0).is_ok());
    for (bit, kind) in [(0, 1), (8, 0), (8, 2)] {
        assert!(matches!(zstd(bit, kind), Err(Refused::Broken(_))), "{bit} {kind}");
    }
}

#[test]
fn header_extensions_must_end_within_the_first_cluster() {
    for len in [1 << 16, u32::MAX, (1 << 16) - 104] {
        assert!(
            matches!(refusal(&[(104, 0x6803_f857), (108, len)]), Refused::Broken(_)),
            "{len}"
        );
    }
    let mut head = good();
    put(&mut head, 104, 0x6803_f857);
    put(&mut head, 108, 13);
    assert!(
        qcow2(&head, LEN).is_ok(),
        "a feature name table is nothing to fear"
    );
}

#[test]
fn a_file_that_is_cut_short_is_refused() {
    for len in 0..104 {
        assert!(qcow2(&good()[..len], LEN).is_err(), "{len}");
    }
    assert!(matches!(qcow2(&good(), 3 << 16), Err(Refused::Broken(_))));
}

#[test]
fn a_file_is_at_most_four_times_its_disk_and_some_tables() {
    let longest = 4 * (1 << 30) + OVERHEAD;
    assert!(qcow2(&good(), longest).is_ok_and(|info| info.virtual_size == Bytes::gib(1)));
    assert!(matches!(qcow2(&good(), longest + 1), Err(Refused::NotPlain(_))));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_measured(
        patches in proptest::collection::vec((4_usize..140, any::<u8>()), 0..12),
        cut in 0_usize..4096,
        len in any::<u64>(),
    ) {
        let mut head = good();
        for (at, byte) in patches {
            head[at] = byte;
        }
        head.truncate(cut);
        if let Ok(info) = qcow2(&head, len) {
            prop_assert!(info.virtual_size <= LARGEST && info.virtual_size.0 > 0);
        }
    }

    #[test]
    fn any_bytes_at_all_never_panic(head in proptest::collection::vec(any::<u8>(), 0..600), len in any::<u64>()) {
        let _ = (qcow2(&head, len), format::raw(&head, &head, len));
    }
}
