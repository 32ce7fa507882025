//! The cache: who works in it, what is kept, and what a kill leaves.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;

fn version(etag: &str) -> Version {
    Version {
        etag: Some(etag.to_owned()),
        last_modified: None,
    }
}

fn listing(cache: &Path) -> Vec<String> {
    let mut folders = vec![cache.join("downloads")];
    let mut names = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                names.push(entry.file_name().into_string().unwrap());
            }
        }
    }
    names.sort();
    names
}

#[test]
fn a_part_is_gone_on_with_by_the_next_command_and_becomes_the_file() {
    let cache = tempfile::tempdir().unwrap();
    let entry = Entry::open(cache.path(), "https://a/x.raw", "x.raw").unwrap();
    let mut part = entry.part().unwrap();
    assert_eq!(part.resumable(), None);
    part.begin(version("\"1\"")).unwrap();
    part.append(b"first ").unwrap();
    // A kill: nothing is tidied up.
    drop(part);
    drop(entry);
    assert_eq!(listing(cache.path()), ["part", "part.json"]);

    let entry = Entry::open(cache.path(), "https://a/x.raw", "x.raw").unwrap();
    let mut part = entry.part().unwrap();
    assert_eq!(part.resumable(), Some((6, "\"1\"")));
    part.append(b"second").unwrap();
    part.finish().unwrap();
    assert_eq!(fs::read(entry.kept()).unwrap(), b"first second");
    assert_eq!(listing(cache.path()), ["x.raw"]);
    entry.discard().unwrap();
    drop(entry);
    assert_eq!(fs::read_dir(cache.path().join("downloads")).unwrap().count(), 0);
}

#[test]
fn a_part_without_a_word_of_its_version_is_begun_anew() {
    let cache = tempfile::tempdir().unwrap();
    let entry = Entry::open(cache.path(), "https://a/x.raw", "x.raw").unwrap();
    for text in ["", "{\"version\":{\"et", "[]"] {
        fs::write(entry.folder.join(PART), "something").unwrap();
        fs::write(entry.folder.join(PART_OF), text).unwrap();
        assert_eq!(entry.part().unwrap().length(), 0, "{text}");
    }
}

#[test]
fn a_part_of_nothing_leaves_nothing() {
    let cache = tempfile::tempdir().unwrap();
    let entry = Entry::open(cache.path(), "https://a/x.raw", "x.raw").unwrap();
    entry.part().unwrap().begin(version("\"1\"")).unwrap();
    drop(entry);
    assert_eq!(listing(cache.path()), [""; 0]);
}

#[test]
fn two_commands_do_not_fetch_the_same_file_at_once() {
    let cache = tempfile::tempdir().unwrap();
    let open = |origin: &str| Entry::open(cache.path(), origin, "x.raw");
    let first = open("https://a/x.raw").unwrap();
    assert!(matches!(open("https://a/x.raw"), Err(EntryError::Busy)));
    // Another place has another file of that name.
    open("https://b/x.raw").unwrap();
    drop(first);
    open("https://a/x.raw").unwrap();
}

#[test]
fn what_is_unpacked_is_there_while_it_is_needed_and_a_killed_one_is_swept() {
    let cache = tempfile::tempdir().unwrap();
    let packed = cache.path().join("x.raw.gz");
    let mut gzip = flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::fast());
    gzip.write_all(&vec![7; 100_000]).unwrap();
    gzip.finish().unwrap();

    let entry = Entry::open(cache.path(), "/srv/x.raw.gz", "x.raw.gz").unwrap();
    let mut read = 0;
    let unpacked = entry
        .unpack(&packed, Compression::Gzip, |bytes| read = bytes)
        .unwrap();
    assert_eq!(fs::read(unpacked.path()).unwrap(), vec![7; 100_000]);
    assert_eq!(read, packed.metadata().unwrap().len());
    // One that is in use is nobody else's to sweep.
    drop(Entry::open(cache.path(), "/srv/other", "other").unwrap());
    assert!(unpacked.path().exists());
    drop(unpacked);
    drop(entry);
    assert_eq!(listing(cache.path()), [""; 0]);

    let killed = cache.path().join("downloads/0123456789abcdef");
    fs::create_dir(&killed).unwrap();
    fs::write(killed.join(UNPACKED), "half of it").unwrap();
    drop(Entry::open(cache.path(), "/srv/other", "other").unwrap());
    assert!(!killed.exists());
}

#[test]
fn what_can_not_be_unpacked_leaves_nothing() {
    let cache = tempfile::tempdir().unwrap();
    let entry = Entry::open(cache.path(), "/srv/x.raw.xz", "x.raw.xz").unwrap();
    let packed = cache.path().join("x.raw.xz");
    fs::write(&packed, "no xz at all").unwrap();
    let error = entry.unpack(&packed, Compression::Xz, |_| ()).unwrap_err();
    assert!(matches!(error, UnpackError::Packed(_)), "{error:?}");
    let mut gzip = flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::best());
    gzip.write_all(&vec![0; 8 << 20]).unwrap();
    gzip.finish().unwrap();
    let limit = Limit {
        always: 1 << 20,
        times: 100,
        ..LIMIT
    };
    let error = entry
        .unpack_within(&packed, Compression::Gzip, limit, |_| ())
        .unwrap_err();
    assert!(matches!(error, UnpackError::Bomb(_)), "{error:?}");
    drop(entry);
    assert_eq!(listing(cache.path()), [""; 0]);
}

proptest! {
    #[test]
    fn no_name_leads_out_of_the_cache_or_to_a_file_of_ours(name in "[\\PC]{0,200}|\\.|\\.\\.|part|unpacked|a/../b") {
        let plain = plain(&name);
        prop_assert!(!plain.is_empty() && plain.len() <= 101 && !plain.contains('/'));
        prop_assert!(!["part", "part.json", "unpacked", ".", ".."].contains(&plain.as_str()));
    }
}
