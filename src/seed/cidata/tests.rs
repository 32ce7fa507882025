//! Tests of `cidata.rs`: what others make of a volume. `fsck.vfat`, `blkid` and mtools read it without mounting it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::*;
use crate::seed::Templates;
use crate::seed::tests::{network, vm};

fn seed(user_data: &[u8]) -> (Vm, Seed) {
    let vm = Vm {
        user_data: Some(Arc::from(user_data)),
        ..vm("web1", "10.77.0.5")
    };
    let network = network("10.77.0.1/24");
    let seed = crate::seed::documents(&Templates::load(None).unwrap(), &vm, &network, None).unwrap();
    (vm, seed)
}

fn file(bytes: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

fn said(program: &str, args: &[&str], volume: &Path) -> Vec<u8> {
    let output = Command::new(program)
        .args(args)
        .arg(volume)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; install dosfstools, mtools and util-linux"));
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}{complaint}");
    output.stdout
}

/// A file of the volume as mtools read it.
fn read_back(volume: &Path, name: &str) -> Vec<u8> {
    let output = Command::new("mcopy")
        .arg("-n")
        .arg("-i")
        .arg(volume)
        .args([&format!("::{name}"), "-"])
        .output()
        .expect("mtools are installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {complaint}");
    output.stdout
}

fn is_sound(volume: &Path) {
    let checked = said("/usr/sbin/fsck.vfat", &["-n", "-v"], volume);
    let checked = String::from_utf8_lossy(&checked);
    for complaint in ["differ", "Dirty", "dirty", "orphan", "invalid", "Reclaimed"] {
        assert!(!checked.contains(complaint), "{checked}");
    }
}

#[test]
fn it_is_a_sound_file_system_with_the_label_that_cloud_init_looks_for() {
    let (vm, seed) = seed(b"#cloud-config\n");
    let volume = file(&volume(&vm, &seed).unwrap());
    is_sound(volume.path());
    let probed = said("/usr/sbin/blkid", &["-p", "-o", "export"], volume.path());
    let probed = String::from_utf8(probed).unwrap();
    let has = |line: &str| probed.lines().any(|other| other == line);
    assert!(has("LABEL=cidata") && has("LABEL_FATBOOT=cidata"), "{probed}");
    assert!(has("TYPE=vfat") && has("UUID=7573-FE52"), "{probed}");
}

#[test]
fn the_documents_are_in_it_byte_for_byte_as_they_are_served() {
    let every_byte: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
    for user_data in [&b""[..], b"#!/bin/sh\r\n", &every_byte] {
        let (vm, seed) = seed(user_data);
        let volume = file(&volume(&vm, &seed).unwrap());
        is_sound(volume.path());
        for document in [Document::MetaData, Document::UserData, Document::VendorData] {
            let read = read_back(volume.path(), document.as_str());
            assert!(read == **seed.get(document), "{document} of {} bytes", read.len());
        }
    }
}

#[test]
fn an_empty_document_that_nobody_needs_is_left_out() {
    let (vm, seed) = seed(b"");
    let seed = Seed {
        vendor_data: Arc::default(),
        ..seed
    };
    let volume = file(&volume(&vm, &seed).unwrap());
    let listed = said("mdir", &["-b", "-i"], volume.path());
    assert_eq!(
        String::from_utf8(listed).unwrap(),
        "::/meta-data\n::/user-data\n",
        "cloud-init needs both, and FreeBSD's nuageinit fails on an empty network-config"
    );
}

#[test]
fn the_same_documents_make_the_same_volume() {
    let (vm, seed) = seed(b"#cloud-config\n");
    assert!(volume(&vm, &seed).unwrap() == volume(&vm, &seed).unwrap());
}

#[test]
fn a_volume_has_room_for_its_files_whatever_they_are() {
    let (vm, seed) = seed(b"");
    // Up to the largest FAT12, and beyond it.
    for mebibytes in [0, 1, 13, 14, 15, 16, 17, 40] {
        for more in [0, 1, 4095, 900_000] {
            let body: Arc<[u8]> = vec![0x5a; (mebibytes << 20) + more].into();
            let seed = Seed {
                vendor_data: Arc::clone(&body),
                ..seed.clone()
            };
            let made = volume(&vm, &seed).unwrap();
            assert!(made.len().is_multiple_of(CYLINDER) && made.len() > body.len());
            assert!(
                made.len() < body.len() + body.len() / 500 + (2 << 20),
                "{}",
                made.len()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_user_data_is_read_back(user_data in proptest::collection::vec(any::<u8>(), 0..20_000)) {
        let (vm, seed) = seed(&user_data);
        let volume = file(&volume(&vm, &seed).unwrap());
        prop_assert!(read_back(volume.path(), "user-data") == user_data);
    }
}
