//! What a guest can say to the metadata service: paths, hosts, ranges and forms are read or refused.
#![no_main]

use std::net::Ipv4Addr;

use libfuzzer_sys::fuzz_target;
use seedbed::metadata::form::PhoneHome;
use seedbed::metadata::netboot::FileName;
use seedbed::metadata::range::Part;
use seedbed::metadata::request::{Method, Request, check_host};

fuzz_target!(|bytes: &[u8]| {
    let _told = PhoneHome::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(request) = Request::of(Method::Get, text) {
        for part in request.segments() {
            assert!(
                !part.is_empty() && !part.contains('/') && part != "." && part != "..",
                "{part:?}"
            );
            if let Some(name) = FileName::parse(part) {
                assert!(!name.as_str().starts_with('.') && !name.as_str().contains('/'));
            }
        }
    }
    let _host = check_host(text, Ipv4Addr::new(10, 77, 0, 1));
    for len in [0, 1, 1_000, u64::MAX] {
        if let Part::Range { first, last } = Part::of(text, len) {
            assert!(first <= last && last < len, "{text:?} of {len}");
        }
    }
});
