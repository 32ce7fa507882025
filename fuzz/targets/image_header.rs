//! Any bytes as the head of a disk file: read or refused, before any tool of QEMU sees the file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for len in [bytes.len() as u64, 1 << 20, 1 << 40] {
        let _read = seedbed::image::inspect::qcow2(bytes, len);
    }
});
