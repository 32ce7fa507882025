use std::io::{Cursor, Read as _};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

/// Writes the ISO image of a folder with a program that has `mkisofs`'s options.
pub(in crate::image::media) fn written(program: &str, options: &[&str], tree: &Path) -> Vec<u8> {
    let image = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new(program)
        .arg("-quiet")
        .args(options)
        .args(["-V", "A Volume 9-4", "-o"])
        .args([image.path(), tree])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{program} (package xorriso or genisoimage): {error}"));
    assert!(status.success());
    std::fs::read(image.path()).unwrap()
}

/// A folder with these files, each of which says its own path.
pub(in crate::image::media) fn tree(paths: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in paths {
        let place = folder.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, path).unwrap();
    }
    folder
}

fn read(iso: &mut Iso<Cursor<Vec<u8>>>, path: &str) -> Option<String> {
    let extent = iso.file(path).unwrap()?;
    let mut text = String::new();
    iso.read(extent).unwrap().read_to_string(&mut text).unwrap();
    Some(text)
}

const WRITERS: [(&str, &[&str]); 5] = [
    ("xorrisofs", &["-R"]),
    ("xorrisofs", &["-R", "-J"]),
    ("genisoimage", &["-R", "-J"]),
    ("genisoimage", &["-J"]),
    ("genisoimage", &["-R", "-no-pad"]),
];

#[test]
fn files_of_every_writer_are_found_by_their_long_names() {
    let long = "/boot/initramfs-with-a-name-that-no-plain-volume-has-room-for";
    let paths = [
        "/install.amd/vmlinuz",
        "/install.amd/initrd.gz",
        long,
        "/a/b/c/d/deep",
    ];
    let tree = tree(&paths);
    for (writer, options) in WRITERS {
        let mut iso = Iso::open(Cursor::new(written(writer, options, tree.path()))).unwrap();
        assert_eq!(iso.label(), "A Volume 9-4", "{writer} {options:?}");
        for path in paths {
            assert_eq!(
                read(&mut iso, path).as_deref(),
                Some(path),
                "{writer} {options:?}"
            );
        }
        for missing in [
            "/install.amd",
            "/install.amd/vmlinuz/x",
            "/none",
            "/boot/initramfs",
            "",
        ] {
            assert_eq!(iso.file(missing).unwrap(), None, "{writer} {options:?} {missing}");
        }
        let names: Vec<_> = iso
            .list("/install.amd")
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(names, ["initrd.gz", "vmlinuz"], "{writer} {options:?}");
    }
}

#[test]
fn plain_names_are_found_without_version_and_case() {
    let tree = tree(&["/linux", "/initrd.gz", "/install/vmlinuz"]);
    let mut iso = Iso::open(Cursor::new(written("genisoimage", &[], tree.path()))).unwrap();
    for path in ["/linux", "/initrd.gz", "/install/vmlinuz"] {
        assert_eq!(read(&mut iso, path).as_deref(), Some(path));
    }
}

#[test]
fn a_directory_of_many_names_is_read_over_its_sectors() {
    let paths: Vec<_> = (0..600)
        .map(|number| format!("/many/file-number-{number}"))
        .collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let tree = tree(&paths);
    let mut iso = Iso::open(Cursor::new(written("xorrisofs", &["-R"], tree.path()))).unwrap();
    assert_eq!(iso.list("/many").unwrap().len(), 600);
    assert_eq!(
        read(&mut iso, "/many/file-number-599").as_deref(),
        Some("/many/file-number-599")
    );
}

#[test]
fn a_link_is_no_file() {
    let tree = tree(&["/install.amd/vmlinuz"]);
    std::os::unix::fs::symlink("install.amd/vmlinuz", tree.path().join("linux")).unwrap();
    std::os::unix::fs::symlink("install.amd", tree.path().join("install")).unwrap();
    let mut iso = Iso::open(Cursor::new(written("xorrisofs", &["-R"], tree.path()))).unwrap();
    assert_eq!(iso.file("/linux").unwrap(), None);
    assert_eq!(iso.file("/install/vmlinuz").unwrap(), None);
    assert!(iso.file("/install.amd/vmlinuz").unwrap().is_some());
}

#[test]
fn what_is_no_iso_or_only_its_beginning_is_told() {
    for bytes in [Vec::new(), b"QFI\xfb".to_vec(), vec![0; 1 << 20]] {
        assert!(matches!(Iso::open(Cursor::new(bytes)), Err(IsoError::NoIso)));
    }
    let mut bytes = sample().clone();
    let mut iso = Iso::open(Cursor::new(bytes.clone())).unwrap();
    let extent = iso.file("/linux").unwrap().unwrap();
    bytes.truncate(usize::try_from(extent.start).unwrap());
    let mut iso = Iso::open(Cursor::new(bytes)).unwrap();
    let error = iso.read(extent).map(drop).unwrap_err().to_string();
    assert!(error.contains("damaged or cut short"), "{error}");
}

/// A small volume, written once.
fn sample() -> &'static Vec<u8> {
    static SAMPLE: OnceLock<Vec<u8>> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let tree = tree(&["/linux", "/boot/vmlinuz-lts"]);
        written("xorrisofs", &["-R", "-J", "-no-pad"], tree.path())
    })
}

proptest! {
    /// Whatever a volume says, reading ends, and nothing is found beyond its end.
    #[test]
    fn a_damaged_volume_is_read_within_its_bounds(
        damage in proptest::collection::vec((16 * 2048..40 * 2048_usize, any::<u8>()), 1..40),
    ) {
        let mut bytes = sample().clone();
        for (at, value) in damage {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let len = bytes.len() as u64;
        if let Ok(mut iso) = Iso::open(Cursor::new(bytes)) {
            for folder in ["", "/boot"] {
                for entry in iso.list(folder).unwrap_or_default() {
                    if iso.read(entry.extent).is_ok() {
                        prop_assert!(entry.extent.start + entry.extent.len <= len);
                    }
                }
            }
        }
    }
}
