//! Any bytes as the descriptors and directories of an ISO 9660 volume: read or refused, and nothing beyond its end.
#![no_main]

use std::io::{Cursor, Read as _};

use libfuzzer_sys::fuzz_target;
use seedbed::image::media::{Installer, Iso};

fuzz_target!(|bytes: &[u8]| {
    // What comes before the descriptors is never looked at.
    let volume = [&[0; 16 * 2048], bytes].concat();
    let len = volume.len() as u64;
    let Ok(mut iso) = Iso::open(Cursor::new(volume)) else { return };
    let _found = Installer::find(&mut iso);
    for entry in iso.list("/boot").unwrap_or_default() {
        if let Ok(mut file) = iso.read(entry.extent) {
            let mut octets = Vec::new();
            file.read_to_end(&mut octets).unwrap();
            assert!(octets.len() as u64 <= len && entry.extent.start + entry.extent.len <= len);
        }
    }
});
