//! Tests of `store.rs`.

use super::*;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;
use tempfile::TempDir;

fn source(file: PathBuf, format: DiskFormat) -> AddSource {
    crate::image::examples::source("base@1", file, format)
}

struct World {
    directory: TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::new(directory.path().join("state"), directory.path().join("run"));
        let store = Store::open(places).unwrap();
        Self { directory, store }
    }

    /// A raw source: data, a hole, data.
    fn raw(&self) -> PathBuf {
        let path = self.directory.path().join("source.raw");
        let mut bytes = vec![0; 8 << 20];
        bytes[..4096].fill(0x5a);
        *bytes.last_mut().unwrap() = 1;
        fs::write(&path, bytes).unwrap();
        path
    }

    fn add(&self, source: &AddSource) -> Result<Image, StoreError> {
        self.store.add(source, Timestamp(7), |_, _| {})
    }

    fn image(&self) -> Image {
        self.add(&source(self.raw(), DiskFormat::Raw)).unwrap()
    }

    /// Everything below the state directory, so that a test can say "nothing".
    fn left(&self) -> Vec<String> {
        let mut left = files::names(&self.store.places.images()).unwrap();
        left.extend(files::names(&self.store.places.vms()).unwrap());
        left
    }
}

#[test]
fn an_image_is_copied_hashed_and_read_only() {
    let world = World::new();
    let source = source(world.raw(), DiskFormat::Raw);
    let seen = std::cell::RefCell::new(Vec::new());
    let image = world
        .store
        .add(&source, Timestamp(7), |done, all| {
            seen.borrow_mut().push((done, all));
        })
        .unwrap();
    let disk = world.store.places.image_disk(&image.id);
    let sum = Command::new("sha256sum")
        .arg(&source.file)
        .output()
        .unwrap()
        .stdout;
    assert_eq!(image.sha256.as_bytes(), &sum[..64]);
    assert_eq!(fs::read(&disk).unwrap(), fs::read(&source.file).unwrap());
    assert_eq!(fs::metadata(&disk).unwrap().permissions().mode() & 0o7777, 0o444);
    assert_eq!(
        (image.virtual_size, image.file_size),
        (Bytes::mib(8), Bytes::mib(8))
    );
    assert_eq!(seen.borrow().last(), Some(&(8 << 20, 8 << 20)));
    assert!(
        fs::metadata(&disk).unwrap().blocks() * 512 < 1 << 20,
        "holes stay holes"
    );
    assert_eq!(world.left(), ["base@1"]);
}

#[test]
fn a_kernel_and_initrd_are_copied_beside_the_disk() {
    let world = World::new();
    let (kernel, initrd) = (world.directory.path().join("k"), world.directory.path().join("i"));
    fs::write(&kernel, "a kernel").unwrap();
    fs::write(&initrd, "an initrd").unwrap();
    let mut source = source(world.raw(), DiskFormat::Raw);
    source.initrd = Some(initrd);
    assert!(matches!(world.add(&source), Err(StoreError::NoKernel)));
    source.kernel = Some(kernel);
    source.cmdline = Some("console=ttyS0".into());
    let image = world.add(&source).unwrap();
    let cmdline = "console=ttyS0".to_owned();
    assert_eq!(
        image.boot,
        Boot::Kernel {
            initrd: true,
            cmdline
        }
    );
    assert_eq!(
        fs::read_to_string(world.store.places.image_initrd(&image.id)).unwrap(),
        "an initrd"
    );
    world.store.verify(&image).unwrap();
    fs::remove_file(world.store.places.image_kernel(&image.id)).unwrap();
    assert!(
        world
            .store
            .verify(&image)
            .unwrap_err()
            .to_string()
            .contains("kernel is missing")
    );
}

#[test]
fn a_refused_or_failed_import_leaves_nothing() {
    let world = World::new();
    let path = |name: &str| world.directory.path().join(name);
    let raw = world.raw();
    symlink(&raw, path("link")).unwrap();
    Command::new("mkfifo").arg(path("pipe")).status().unwrap();
    let created = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .args([&raw, &path("clone")])
        .status()
        .unwrap();
    assert!(created.success());
    let cases = [
        (path("link"), DiskFormat::Raw, "symbolic link"),
        (path("pipe"), DiskFormat::Raw, "not a regular file"),
        (path("."), DiskFormat::Raw, "not a regular file"),
        (path("none"), DiskFormat::Raw, "No such file"),
        (path("clone"), DiskFormat::Qcow2, "backing file"),
        (path("clone"), DiskFormat::Raw, "declare it qcow2"),
        (raw.clone(), DiskFormat::Qcow2, "declare it raw"),
    ];
    for (file, format, word) in cases {
        let text = world.add(&source(file, format)).unwrap_err().to_string();
        assert!(text.contains(word), "{text}");
    }
    let mut source = source(raw, DiskFormat::Raw);
    source.kernel = Some(path("none"));
    assert!(world.add(&source).is_err(), "after the disk was copied");
    assert_eq!(world.left(), Vec::<String>::new());
}

#[test]
fn what_qemu_img_makes_is_judged_by_what_it_is() {
    let world = World::new();
    let cases = [
        (&["-o", "compat=0.10"][..], None),
        (&["-o", "cluster_size=512"], None),
        (
            &["-o", "cluster_size=2M,extended_l2=on,compression_type=zstd"],
            None,
        ),
        (
            &["-o", "refcount_bits=1,lazy_refcounts=on,preallocation=metadata"],
            None,
        ),
        (
            &["-o", "data_file=external,data_file_raw=on"],
            Some("external data file"),
        ),
        (
            &[
                "--object",
                "secret,id=s,data=x",
                "-o",
                "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
            ],
            Some("encrypted"),
        ),
    ];
    for (options, refusal) in cases {
        let file = world.directory.path().join("made.qcow2");
        let made = Command::new("qemu-img")
            .current_dir(world.directory.path())
            .args(["create", "-q", "-f", "qcow2"])
            .args(options)
            .arg(&file)
            .arg("16M")
            .status();
        assert!(made.unwrap().success(), "{options:?}");
        match (world.add(&source(file, DiskFormat::Qcow2)), refusal) {
            (Ok(image), None) => {
                assert_eq!(image.virtual_size, Bytes::mib(16), "{options:?}");
                world.store.remove(&image.id).unwrap();
            }
            (Err(error), Some(word)) if error.to_string().contains(word) => {}
            (outcome, _) => panic!("{options:?}: {outcome:?}"),
        }
    }
}

#[test]
fn a_name_is_taken_once_and_free_after_removal() {
    let world = World::new();
    let image = world.image();
    let source = source(world.raw(), DiskFormat::Raw);
    assert!(matches!(world.add(&source), Err(StoreError::Exists(_))));
    assert!(world.store.remove(&image.id).unwrap());
    assert!(!world.store.remove(&image.id).unwrap());
    world.add(&source).unwrap();
}

#[test]
fn what_a_kill_left_is_swept_and_until_then_in_nobodys_way() {
    let world = World::new();
    let image = world.image();
    for left in [".tmp-other", ".tmp-gone-base@1"] {
        let left = world.store.places.images().join(left);
        fs::create_dir(&left).unwrap();
        fs::write(left.join("disk"), "half").unwrap();
    }
    world.store.remove(&image.id).unwrap();
    assert_eq!(world.store.sweep().unwrap(), 1);
    assert_eq!(world.left(), Vec::<String>::new());
}

#[test]
fn files_that_no_record_names_are_found() {
    let world = World::new();
    let image = world.image();
    fs::create_dir(world.store.places.vms().join("web9")).unwrap();
    let mut directory = Directory::default();
    let orphans = world.store.orphans(&directory).unwrap();
    assert_eq!(
        (orphans.images.len(), orphans.vms),
        (1, vec!["web9".parse().unwrap()])
    );
    directory.put_image(image.into());
    assert!(world.store.orphans(&directory).unwrap().images.is_empty());
}

#[test]
fn a_disk_that_was_touched_is_the_same() {
    let world = World::new();
    let image = world.image();
    let disk = world.store.places.image_disk(&image.id);
    assert_eq!(world.store.verify(&image).unwrap(), None);
    let touched = Command::new("touch").arg(&disk).status().unwrap();
    assert!(touched.success());
    let stamp = world.store.verify(&image).unwrap();
    assert!(stamp.is_some());
    assert_eq!(
        world
            .store
            .verify(&Image {
                stamp,
                ..image.clone()
            })
            .unwrap(),
        None
    );
}

#[test]
fn a_disk_that_was_changed_is_not_what_was_added_whatever_its_time_says() {
    let world = World::new();
    let image = world.image();
    let disk = world.store.places.image_disk(&image.id);
    fs::set_permissions(&disk, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(&disk).unwrap();
    bytes[1 << 20] ^= 1;
    fs::write(&disk, &bytes).unwrap();
    let modified = Command::new("touch")
        .args(["-d", "@7"])
        .arg(&disk)
        .status()
        .unwrap();
    assert!(modified.success());
    let text = world.store.verify(&image).unwrap_err().to_string();
    assert!(
        text.contains("changed since it was added") && text.contains(&image.sha256),
        "{text}"
    );

    fs::write(&disk, &bytes[1..]).unwrap();
    let text = world.store.verify(&image).unwrap_err().to_string();
    assert!(text.contains("changed its length"), "{text}");
    fs::remove_file(&disk).unwrap();
    symlink("/etc/hostname", &disk).unwrap();
    assert!(
        world
            .store
            .verify(&image)
            .unwrap_err()
            .to_string()
            .contains("not a regular file")
    );
    fs::remove_file(&disk).unwrap();
    assert!(
        world
            .store
            .verify(&image)
            .unwrap_err()
            .to_string()
            .contains("is missing")
    );
}

#[test]
fn images_of_a_release_without_generations_become_the_first_one() {
    let world = World::new();
    let image = world.image();
    let images = world.store.places.images();
    fs::rename(images.join("base@1"), images.join("base")).unwrap();
    let store = Store::open(world.store.places.clone()).unwrap();
    let unseen = Image { stamp: None, ..image };
    assert!(store.verify(&unseen).unwrap().is_some());
}
