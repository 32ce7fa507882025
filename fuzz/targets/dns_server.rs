//! Questions about names that are there, or nearly, to any directory: the short way says what the long one says.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use seedbed::model::Network;
use seedbed_fuzz::dns::{LABELS, check, directory};

static NETWORKS: LazyLock<Vec<Network>> = LazyLock::new(|| seedbed_fuzz::networks(""));

fuzz_target!(|bytes: &[u8]| {
    // Bytes that run out end the run.
    let _ended = run(&mut Unstructured::new(bytes));
});

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let directory = directory(&NETWORKS, u)?;
    for _ in 0..16 {
        if u.is_empty() {
            break;
        }
        let question = question(u)?;
        check(
            &directory,
            &NETWORKS[0],
            "10.77.0.99:4711".parse().unwrap(),
            &question,
        );
    }
    Ok(())
}

/// A query with one question and perhaps EDNS (RFC 1035 §4.1, RFC 6891 §6.1.2).
fn question(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let edns = u.arbitrary()?;
    let mut bytes = vec![u.arbitrary()?, u.arbitrary()?];
    bytes.extend([u8::from(u.arbitrary::<bool>()?), u.arbitrary::<u8>()? & 0x30]);
    bytes.extend([0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
    for _ in 0..u.int_in_range(0..=3)? {
        label(&mut bytes, u.choose(&LABELS)?.as_bytes(), u.arbitrary()?);
    }
    let octets: [u8; 4] = [u.int_in_range(0..=30)?, 0, u.int_in_range(77..=78)?, 10];
    match u.int_in_range(0..=4)? {
        0 => {}
        1 => {
            for octet in &octets[u.int_in_range(0..=3)?..] {
                label(&mut bytes, octet.to_string().as_bytes(), 0);
            }
            label(&mut bytes, b"in-addr", 0);
            label(&mut bytes, b"arpa", u.arbitrary()?);
        }
        2 => label(&mut bytes, b"far", 0),
        _ => label(&mut bytes, b"lab", u.arbitrary()?),
    }
    let kind: u16 = match u.int_in_range(0..=8)? {
        0 => u.arbitrary()?,
        other => [1, 28, 12, 6, 2, 5, 255, 16][other - 1],
    };
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    if edns {
        bytes.extend([0, 0, 41]);
        bytes.extend(u.arbitrary::<u16>()?.to_be_bytes());
        bytes.extend([0, 0, if u.arbitrary()? { 0x80 } else { 0 }, 0, 0, 0]);
    }
    Ok(bytes)
}

/// A label, with some of its letters in upper case.
fn label(bytes: &mut Vec<u8>, text: &[u8], upper: u8) {
    bytes.push(text.len() as u8);
    bytes.extend(text.iter().enumerate().map(|(at, octet)| {
        if upper >> (at % 8) & 1 == 1 {
            octet.to_ascii_uppercase()
        } else {
            *octet
        }
    }));
}
