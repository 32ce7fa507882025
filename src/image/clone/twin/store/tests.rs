//! Copies: the same to the last octet, as thin as what they are copies of, and each its own user's.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use super::*;
use crate::model::{Bytes, Hosting, Places, examples};

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[test]
fn a_copy_is_the_same_and_has_the_same_holes() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    let file = File::create(&from).unwrap();
    file.set_len(64 << 20).unwrap();
    for (at, octet) in [(0, 1_u8), (1 << 20, 2), ((64 << 20) - 1, 3)] {
        file.write_all_at(&[octet], at).unwrap();
    }
    copy(&from, &to, me()).unwrap();
    assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap());
    let taken = fs::metadata(&to).unwrap().blocks() * 512;
    assert!(taken <= 1 << 20, "{taken} octets on disk");
}

#[test]
fn what_is_all_hole_or_empty_is_copied_too() {
    let directory = tempfile::tempdir().unwrap();
    for len in [0, 8 << 20] {
        let (from, to) = (
            directory.path().join("from"),
            directory.path().join(format!("to-{len}")),
        );
        File::create(&from).unwrap().set_len(len).unwrap();
        copy(&from, &to, me()).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().len(), len);
    }
}

#[test]
fn a_twin_has_all_disks_of_its_own_and_a_fresh_swap() {
    if me() != 0 {
        println!("skipped: needs root, to give files to another user");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let places = Places::new(directory.path().join("state"), directory.path().join("run"));
    let store = Store::open(places).unwrap();
    let machine = Machine {
        swap: Bytes::mib(1),
        ..examples::machine()
    };
    let of = |name, address| Vm {
        hosting: Hosting::from(machine.clone()),
        ..examples::vm(name, address)
    };
    let (source, twin) = (of("web1", "10.77.0.11"), of("web2", "10.77.0.12"));
    let place = store.places.vm(&source.name);
    files::passage(&place).unwrap();
    let base = directory.path().join("base");
    let overlay =
        crate::image::clone::overlay::file(&base, crate::model::image::DiskFormat::Raw, Bytes::mib(8))
            .unwrap();
    for (name, content) in [
        ("disk.qcow2", overlay.as_slice()),
        ("disk-data.qcow2", b"data"),
        ("vars.fd", b"vars"),
        ("swap.raw", b"swapped out"),
        ("console.log", b"said"),
        ("customized", b"mark"),
    ] {
        fs::write(place.join(name), content).unwrap();
    }
    store.make_twin(&source, &twin, &machine).unwrap();
    let place = store.places.vm(&twin.name);
    assert_eq!(
        files::names(&place).unwrap(),
        ["disk-data.qcow2", "disk.qcow2", "swap.raw", "vars.fd"]
    );
    assert!(fs::read(store.places.disk(&twin.name)).unwrap() == overlay);
    assert_eq!(
        fs::metadata(store.places.swap(&twin.name)).unwrap().len(),
        1 << 20
    );
    for name in files::names(&place).unwrap() {
        let metadata = fs::metadata(place.join(name)).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.mode() & 0o777),
            (identity::uid(twin.address), 0o600)
        );
    }
    // What is no clone at all is not copied for anybody.
    fs::write(store.places.disk(&source.name), b"QFI\xfb and nothing more").unwrap();
    let third = of("web3", "10.77.0.13");
    let error = store.make_twin(&source, &third, &machine).unwrap_err();
    assert!(matches!(error, FlattenError::Refused { .. }), "{error:?}");
    assert_eq!(files::names(&store.places.vms()).unwrap(), ["web1", "web2"]);
}
