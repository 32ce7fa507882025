//! Any bytes, as a DNS message: an answer can be read, is the question's, and is no longer than it may be.
#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use seedbed::model::{Directory, Network};

static LAB: LazyLock<(Vec<Network>, Directory)> = LazyLock::new(|| {
    let networks = seedbed_fuzz::networks("");
    // Some records of each kind; which does not matter here.
    let choices: Vec<u8> = (0..255).collect();
    let directory = seedbed_fuzz::dns::directory(&networks, &mut Unstructured::new(&choices)).unwrap();
    (networks, directory)
});

fuzz_target!(|bytes: &[u8]| {
    let (networks, directory) = &*LAB;
    for source in ["10.77.0.99:4711", "127.0.0.1:53", "192.0.2.9:1"] {
        let source: SocketAddr = source.parse().unwrap();
        seedbed_fuzz::dns::check(directory, &networks[0], source, bytes);
    }
});
