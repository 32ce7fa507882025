//! Each format as its own tool writes it, in several parts, cut short, and broken.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

const ALL: [(Compression, &str); 4] = [
    (Compression::Bzip2, "bzip2"),
    (Compression::Gzip, "gzip"),
    (Compression::Xz, "xz"),
    (Compression::Zstd, "zstd"),
];

/// What the format's own tool makes of `content`; nothing where it is not installed.
fn packed(tool: &str, content: &[u8]) -> Option<Vec<u8>> {
    let mut options = vec!["-c"];
    if tool == "zstd" {
        options.extend(["-q", "--check"]);
    }
    let child = Command::new(tool)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert!(
            std::env::var_os("SEEDBED_REQUIRE_ROOT").is_none(),
            "{tool} is missing"
        );
        return None;
    };
    let mut input = child.stdin.take().unwrap();
    let content = content.to_owned();
    let writer = std::thread::spawn(move || input.write_all(&content));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{tool}");
    Some(output.stdout)
}

fn unpacked(compression: Compression, packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    compression.unpack(packed).read_to_end(&mut content)?;
    Ok(content)
}

/// Something of every kind: zeros, text, and what does not compress.
fn sample() -> Vec<u8> {
    let mut content = vec![0; 300_000];
    content.extend(b"all work and no play ".repeat(5_000));
    let mut state = 7_u32;
    content.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(200_000),
    );
    content
}

#[test]
fn what_each_tool_packs_is_unpacked_also_in_several_parts() {
    let content = sample();
    for (compression, tool) in ALL {
        let Some(once) = packed(tool, &content) else {
            continue;
        };
        assert_eq!(unpacked(compression, &once).unwrap(), content, "{tool}");
        let twice = [once.clone(), once].concat();
        assert_eq!(
            unpacked(compression, &twice).unwrap(),
            content.repeat(2),
            "{tool}"
        );
        let nothing = packed(tool, b"").unwrap();
        assert_eq!(unpacked(compression, &nothing).unwrap(), b"", "{tool}");
    }
}

#[test]
fn a_file_that_is_cut_short_broken_or_of_another_format_is_an_error() {
    let content = sample();
    for (compression, tool) in ALL {
        let Some(whole) = packed(tool, &content) else {
            continue;
        };
        for length in [1, 5, whole.len() / 2, whole.len() - 1] {
            unpacked(compression, &whole[..length]).unwrap_err();
        }
        let mut broken = whole;
        // Behind all headers, in what does not compress: only a checksum can tell.
        let late = broken.len() - 1_000;
        broken[late] ^= 1;
        unpacked(compression, &broken).unwrap_err();
        unpacked(compression, b"QFI\xfb\0\0\0\x03 and so on, for long enough").unwrap_err();
    }
}

#[test]
fn frames_that_are_to_be_skipped_are() {
    // RFC 8878, section 3.1.2.
    let mut file = b"\x50\x2a\x4d\x18\x04\0\0\0skip".to_vec();
    assert_eq!(unpacked(Compression::Zstd, &file).unwrap(), b"");
    let Some(frame) = packed("zstd", b"content") else {
        return;
    };
    file.extend(frame);
    assert_eq!(unpacked(Compression::Zstd, &file).unwrap(), b"content");
    unpacked(Compression::Zstd, b"\x50\x2a\x4d\x18\xff\xff\0\0skip").unwrap_err();
}

#[test]
fn a_header_can_not_ask_for_the_whole_memory() {
    // A window of 2^41 bytes: RFC 8878, section 3.1.1.1.2.
    let zstd = b"\x28\xb5\x2f\xfd\x00\xf8\x01\0\0";
    unpacked(Compression::Zstd, zstd).unwrap_err();
    let Some(mut xz) = packed("xz", b"content") else {
        return;
    };
    // The dictionary's size is the last field of the block header, behind the stream header of 12 bytes.
    let at = xz
        .windows(3)
        .position(|window| window[..2] == [0x21, 0x01])
        .unwrap()
        + 2;
    xz[at] = 40;
    let header = usize::from(xz[12]) * 4;
    let sum = crc32(&xz[12..12 + header]).to_le_bytes();
    xz[12 + header..16 + header].copy_from_slice(&sum);
    let error = unpacked(Compression::Xz, &xz).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory, "{error}");
}

/// CRC-32 as xz has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

#[test]
fn the_end_of_the_name_says_what_a_file_is_packed_in() {
    for (name, inner, compression) in [
        ("disk.qcow2.xz", "disk.qcow2", Some(Compression::Xz)),
        ("disk.raw.gz", "disk.raw", Some(Compression::Gzip)),
        ("disk.img.bz2", "disk.img", Some(Compression::Bzip2)),
        ("disk.raw.zst", "disk.raw", Some(Compression::Zstd)),
        ("disk.qcow2", "disk.qcow2", None),
        (".xz", ".xz", None),
        ("xz", "xz", None),
    ] {
        assert_eq!(Compression::split(name), (inner, compression), "{name}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_read_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0..5_usize) {
        let magics: [&[u8]; 5] = [b"", b"BZh9", b"\x1f\x8b\x08\0", b"\xfd7zXZ\0\0\x04", b"\x28\xb5\x2f\xfd"];
        let file = [magics[start], &bytes].concat();
        for (compression, _) in ALL {
            let mut some = compression.unpack(&file[..]).take(1 << 20);
            drop(io::copy(&mut some, &mut io::sink()));
        }
    }
}
