//! Tests of `frame.rs`.

use super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn size() -> impl Strategy<Value = Size> {
    (1..=u16::MAX, 1..=u16::MAX).prop_map(|(rows, columns)| Size { rows, columns })
}

fn from_viewer() -> impl Strategy<Value = FromViewer> {
    prop_oneof![
        (any::<u8>(), any::<bool>(), any::<bool>(), option::of(size())).prop_map(
            |(version, read_only, past, size)| {
                FromViewer::Attach(Attach {
                    version,
                    read_only,
                    past,
                    size,
                })
            }
        ),
        vec(any::<u8>(), 1..300).prop_map(FromViewer::Keys),
        size().prop_map(FromViewer::Resized),
    ]
}

fn to_viewer() -> impl Strategy<Value = ToViewer> {
    prop_oneof![
        (any::<u8>(), any::<u16>(), option::of(size())).prop_map(|(version, others, size)| {
            ToViewer::Welcome(Welcome {
                version,
                others,
                size,
            })
        }),
        vec(any::<u8>(), 1..300).prop_map(ToViewer::Past),
        vec(any::<u8>(), 1..300).prop_map(ToViewer::Output),
        any::<u64>().prop_map(ToViewer::Skipped),
        size().prop_map(ToViewer::Resized),
        prop_oneof![Just(End::Vm), Just(End::Full)].prop_map(ToViewer::End),
    ]
}

/// The frames of octets that come in parts of this size.
fn frames(bytes: &[u8], part: usize) -> Vec<Frame> {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for part in bytes.chunks(part) {
        decoder.push(part);
        frames.extend(std::iter::from_fn(|| decoder.take()));
    }
    frames
}

proptest! {
    #[test]
    fn what_a_viewer_says_is_heard_in_parts_of_any_size(said in vec(from_viewer(), 0..20), part in 1_usize..400) {
        let mut bytes = Vec::new();
        said.iter().for_each(|said| said.encode(&mut bytes));
        let heard: Vec<_> = frames(&bytes, part).iter().filter_map(FromViewer::decode).collect();
        prop_assert_eq!(heard, said);
    }

    #[test]
    fn what_a_broker_says_is_heard_in_parts_of_any_size(said in vec(to_viewer(), 0..20), part in 1_usize..400) {
        let mut bytes = Vec::new();
        said.iter().for_each(|said| said.encode(&mut bytes));
        let heard: Vec<_> = frames(&bytes, part).iter().filter_map(ToViewer::decode).collect();
        prop_assert_eq!(heard, said);
    }

    #[test]
    fn any_octets_are_frames_or_wait_for_the_rest_of_one(bytes in vec(any::<u8>(), 0..2000), part in 1_usize..400) {
        let frames = frames(&bytes, part);
        let taken: usize = frames.iter().map(|frame| HEADER + frame.payload.len()).sum();
        prop_assert!(taken <= bytes.len());
        for frame in &frames {
            let (_, _) = (FromViewer::decode(frame), ToViewer::decode(frame));
        }
    }
}

#[test]
fn more_octets_than_a_frame_has_are_several_frames() {
    let bytes: Vec<u8> = (0..=255).cycle().take(LONGEST + 10).collect();
    let mut sent = Vec::new();
    ToViewer::Output(bytes.clone()).encode(&mut sent);
    let parts = frames(&sent, sent.len());
    assert_eq!(parts.len(), 2);
    let whole: Vec<u8> = parts.into_iter().flat_map(|frame| frame.payload).collect();
    assert_eq!(whole, bytes);
}

#[test]
fn a_later_version_is_understood_as_far_as_it_is_known() {
    // Another kind, an attach with more fields, and keys: as an upgraded client could send them to a broker of today.
    let sent = [
        &[9, 0, 2, 7, 7][..],
        &[0, 0, 8, 200, 0b1000_0001, 0, 40, 0, 120, 5, 5],
        &[1, 0, 1, b'x'],
    ]
    .concat();
    let heard: Vec<_> = frames(&sent, 4).iter().filter_map(FromViewer::decode).collect();
    let attach = Attach {
        version: 200,
        read_only: true,
        past: true,
        size: Some(Size {
            rows: 40,
            columns: 120,
        }),
    };
    assert_eq!(
        heard,
        [FromViewer::Attach(attach), FromViewer::Keys(b"x".to_vec())]
    );
}

#[test]
fn the_frames_of_this_version_stay_as_they_are() {
    // A VM that runs keeps its broker: these octets are spoken by programs that are installed already.
    let mut sent = Vec::new();
    let size = Some(Size {
        rows: 24,
        columns: 80,
    });
    FromViewer::Attach(Attach {
        version: 1,
        read_only: true,
        past: false,
        size,
    })
    .encode(&mut sent);
    FromViewer::Keys(b"ls".to_vec()).encode(&mut sent);
    assert_eq!(sent, b"\0\0\x06\x01\x03\0\x18\0\x50\x01\0\x02ls");
    sent.clear();
    ToViewer::Welcome(Welcome {
        version: 1,
        others: 2,
        size: None,
    })
    .encode(&mut sent);
    ToViewer::End(End::Vm).encode(&mut sent);
    assert_eq!(sent, b"\0\0\x07\x01\0\x02\0\0\0\0\x05\0\x01\0");
}
