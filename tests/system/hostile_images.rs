//! L09: hostile disk files, each refused by our own reader in one sentence, before any tool of QEMU is started.

mod bytes;
mod corpus;
mod watched;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::bytes::{BACKING_FORMAT, Qcow2};
use self::corpus::Says;
use self::watched::{REFUSED, Watched};
use crate::lab::{Lab, Run, Running};
use crate::{guests, root};

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const NOT_A_FILE: Says = Says("is not a regular file", "only files are copied");
const NO_FORMAT: Says = Says("is no known disk format", "declare it raw");
const BACKING: Says = Says("refers to another file (a backing file)", "flatten it with");
const TOO_LARGE: Says = Says("more than the 64TiB that are supported", "compare its checksum");

#[test]
fn l09_a_header_that_lies_is_refused_before_any_qemu_sees_it() {
    if !root() {
        return;
    }
    let mut watched = Watched::new();
    for hostile in corpus::all() {
        watched.refuses_bytes(&hostile.name, &hostile.bytes, hostile.says);
    }
    watched.done(130);
}

/// Without this, the corpus could be refused for another reason than its lie.
#[test]
fn l09_the_image_that_every_lie_is_made_of_is_sound() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    for (name, image) in [("plain", Qcow2::plain()), ("old", Qcow2::old())] {
        let file = lab.path(&format!("{name}.qcow2"));
        fs::write(&file, image.into_bytes()).unwrap();
        let check = Run::of(Command::new("qemu-img").args(["check", "-f", "qcow2"]).arg(&file)).ok();
        assert!(check.contains("No errors were found"), "{check}");
        lab.seedbed(&["image", "add", name, &file.to_string_lossy()]).ok();
    }
}

#[test]
fn l09_a_chain_of_images_is_refused_at_any_length_and_shape() {
    if !root() {
        return;
    }
    let mut watched = Watched::new();
    let path = |name: &str| watched.lab.path(&format!("{name}.qcow2"));
    let write = |name: &str, backing: &str| {
        let image = Qcow2::plain()
            .extension(BACKING_FORMAT, b"qcow2")
            .backed_by(backing);
        fs::write(path(name), image.into_bytes()).unwrap();
        path(name)
    };
    let by_path = |name: &str, backing: &str| write(name, &path(backing).to_string_lossy());
    fs::write(path("deep-0"), Qcow2::plain().into_bytes()).unwrap();
    let mut chains: Vec<_> = (1..=10)
        .map(|depth| by_path(&format!("deep-{depth}"), &format!("deep-{}", depth - 1)))
        .collect();
    chains.push(by_path("self", "self"));
    chains.push(write("self-relative", "self-relative.qcow2"));
    chains.extend([by_path("loop-a", "loop-b"), by_path("loop-b", "loop-a")]);
    chains.push(by_path("missing", "nowhere"));
    for file in chains {
        watched.refuses(&file, &[], REFUSED, BACKING);
    }
    watched.done(15);
}

/// Files of other formats, made by the real tools where those can: what each is, and how it is made.
fn other_formats(lab: &Lab) -> Vec<(PathBuf, &'static str)> {
    const CREATED: [(&str, &str, &str); 10] = [
        ("vmdk", "subformat=monolithicSparse", "a VMDK image"),
        ("vmdk", "subformat=streamOptimized", "a VMDK image"),
        ("vmdk", "subformat=monolithicFlat", "a VMDK descriptor"),
        ("vhdx", "subformat=dynamic", "a VHDX image"),
        ("vdi", "static=off", "a VDI image"),
        ("vpc", "subformat=dynamic", "a VHD image"),
        ("vpc", "subformat=fixed", "a VHD image"),
        ("qed", "cluster_size=65536", "a QED image"),
        ("parallels", "cluster_size=1M", "a Parallels image"),
        ("qcow", "encryption=off", "a qcow version 1 image"),
    ];
    let mut all = Vec::new();
    for (number, (format, options, what)) in CREATED.into_iter().enumerate() {
        let file = lab.path(&format!("{number}.{format}"));
        let mut create = Command::new("qemu-img");
        create.args(["create", "-q", "-f", format, "-o", options]);
        Run::of(create.arg(&file).arg("8M")).ok();
        all.push((file, what));
    }
    let luks = lab.path("luks");
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "--object", "secret,id=s,data=x", "-f", "luks"]);
    create.args(["-o", "key-secret=s,iter-time=10"]).arg(&luks);
    Run::of(create.arg("1M")).ok();
    all.push((luks, "an encrypted (LUKS) disk"));

    let cloop = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n";
    for (magic, from_the_end, what) in [
        (&b"Bochs Virtual HD Image\0"[..], 4096, "a Bochs image"),
        (cloop, 4096, "a compressed loop (cloop) image"),
        (b"koly\0\0\0\x04\0\0\x02\0", 512, "an Apple disk image (dmg)"),
        (b"\x1f\x8b\x08\0", 4096, "a gzip archive"),
        (b"\xfd7zXZ\0", 4096, "an xz archive"),
        (b"\x28\xb5\x2f\xfd", 4096, "a zstd archive"),
    ] {
        let mut bytes = vec![0; 4096];
        let at = 4096 - from_the_end;
        bytes[at..at + magic.len()].copy_from_slice(magic);
        let file = lab.path(what);
        fs::write(&file, bytes).unwrap();
        all.push((file, what));
    }
    all
}

#[test]
fn l09_another_format_is_refused_by_its_name_whatever_it_is_called() {
    if !root() {
        return;
    }
    let mut watched = Watched::new();
    for (file, what) in other_formats(&watched.lab) {
        let todo = match what {
            what if what.ends_with("archive") => "unpack it first",
            what if what.contains("LUKS") => "decrypt it first",
            _ => "convert it with `qemu-img convert",
        };
        watched.refuses(&file, &["--disk-format", "raw"], REFUSED, Says(what, todo));
        // These two begin as a disk does, and end with what they are.
        let by_its_end = fs::read(&file).unwrap().iter().take(512).all(|byte| *byte == 0);
        let says = if by_its_end { NO_FORMAT } else { Says(what, todo) };
        let disguised = watched.lab.path("disguised.qcow2");
        fs::rename(file, &disguised).unwrap();
        watched.refuses(&disguised, &[], REFUSED, says);
    }
    watched.done(34);
}

#[test]
fn l09_what_is_no_file_is_refused_and_not_even_opened() {
    if !root() {
        return;
    }
    let mut watched = Watched::new();
    let path = |name: &str| watched.lab.path(name);
    fs::create_dir(path("directory.qcow2")).unwrap();
    let _socket = UnixListener::bind(path("socket.raw")).unwrap();
    for words in [
        &["mkfifo", "pipe.qcow2"][..],
        &["mknod", "block.raw", "b", "7", "255"],
        &["mknod", "zero.raw", "c", "1", "5"],
        &["mknod", "null.raw", "c", "1", "3"],
    ] {
        Run::of(Command::new(words[0]).args(&words[1..]).current_dir(path(""))).ok();
    }
    let opened = path("opened");
    let writer = r#"exec 3>"$0/pipe.qcow2"; touch "$0/opened""#;
    // Waits until someone opens the pipe to read.
    let _writer = Running::start(Command::new("sh").args(["-c", writer]).arg(path("")));
    symlink("pipe.qcow2", path("to-pipe.raw")).unwrap();
    symlink("zero.raw", path("to-device.raw")).unwrap();
    for name in [
        "directory.qcow2",
        "socket.raw",
        "pipe.qcow2",
        "block.raw",
        "zero.raw",
        "null.raw",
        "to-pipe.raw",
        "to-device.raw",
    ] {
        let file = watched.lab.path(name);
        watched.refuses(&file, &[], REFUSED, NOT_A_FILE);
    }
    assert!(!opened.exists(), "the pipe was opened");
    // To a tool of QEMU these are more than the names of files.
    for name in [
        r#"json:{"driver":"file","filename":"/etc/shadow"}"#,
        "fat:rw:/etc",
    ] {
        let says = Says(name.split('{').next().unwrap(), "No such file");
        watched.refuses(Path::new(name), &["--disk-format", "raw"], NOT_FOUND, says);
    }
    for name in ["nbd://127.0.0.1/x", "ssh://root@127.0.0.1/etc/shadow"] {
        let says = Says("nothing is fetched by", "give an https URL");
        watched.refuses(Path::new(name), &["--disk-format", "raw"], USAGE, says);
    }
    watched.done(12);
}

#[test]
fn l09_a_link_is_judged_by_the_file_it_leads_to_and_a_raw_file_by_its_length() {
    if !root() {
        return;
    }
    let mut watched = Watched::new();
    let path = |name: &str| watched.lab.path(name);
    fs::write(path("secret"), [b'x'; 700]).unwrap();
    let backed = Qcow2::plain().backed_by("/etc/shadow").into_bytes();
    fs::write(path("backed"), backed).unwrap();
    fs::write(path("empty.raw"), "").unwrap();
    fs::write(path("odd.raw"), [0; 1023]).unwrap();
    fs::write(path("qcow2.raw"), Qcow2::plain().into_bytes()).unwrap();
    for (link, target) in [
        ("to-secret.qcow2", "secret"),
        ("to-secret.raw", "secret"),
        ("to-backed.qcow2", "backed"),
        ("to-nothing.qcow2", "nothing"),
    ] {
        symlink(target, path(link)).unwrap();
    }
    let cut = Says("is not a multiple of 512 bytes long", "get the image again");
    for (name, code, says) in [
        ("to-secret.qcow2", REFUSED, NO_FORMAT),
        ("to-secret.raw", REFUSED, cut),
        ("to-backed.qcow2", REFUSED, BACKING),
        (
            "to-nothing.qcow2",
            NOT_FOUND,
            Says("to-nothing.qcow2", "No such file"),
        ),
        ("empty.raw", REFUSED, Says("is empty", "get the image again")),
        ("odd.raw", REFUSED, cut),
        (
            "qcow2.raw",
            REFUSED,
            Says("is a qcow2 image, not a raw disk", "declare it qcow2"),
        ),
    ] {
        let file = watched.lab.path(name);
        watched.refuses(&file, &[], code, says);
    }
    watched.done(7);
}

/// A file that is all hole costs nothing to make, and hours and a full disk to whoever reads it as what it claims.
#[test]
fn l09_a_sparse_bomb_is_refused_before_it_is_read() {
    if !root() {
        return;
    }
    let mut watched = Watched::new();
    // Files of this length are not for every file system.
    let roomy = tempfile::tempdir_in("/dev/shm").unwrap();
    let longer = Says(
        "is far longer than its disk",
        "copy the disk with `qemu-img convert",
    );
    for (name, len, says) in [
        ("over-the-limit.raw", (64 << 40) + 512, TOO_LARGE),
        ("longest.raw", (1 << 63) - 4096, TOO_LARGE),
        ("a-little-too-long.qcow2", (4 << 30) + (64 << 20) + 1, longer),
        ("far-too-long.qcow2", 8 << 40, longer),
        ("longest.qcow2", (1 << 63) - 4096, longer),
    ] {
        let path = roomy.path().join(name);
        let head = if says.0 == longer.0 {
            Qcow2::plain().into_bytes()
        } else {
            Vec::new()
        };
        fs::write(&path, head).unwrap();
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(len)
            .unwrap();
        watched.refuses(&path, &[], REFUSED, says);
    }
    watched.done(5);
}

/// The nodes that a QEMU was told to open, backing files among them: each one's name and driver.
fn block_devices(qemu: u32) -> Vec<(String, String)> {
    let line = fs::read(format!("/proc/{qemu}/cmdline")).unwrap();
    let line = String::from_utf8(line).unwrap();
    let words: Vec<&str> = line.split('\0').collect();
    let mut nodes = Vec::new();
    for pair in words.windows(2).filter(|pair| pair[0] == "-blockdev") {
        let mut node: serde_json::Value = serde_json::from_str(pair[1]).unwrap();
        while node.is_object() {
            let word = |key: &str| node[key].as_str().unwrap().to_owned();
            nodes.push((word("node-name"), word("driver")));
            node = node["backing"].take();
        }
    }
    nodes
}

/// CVE-2026-24708: whoever probes a raw disk reads the header that its guest wrote there.
#[test]
fn l09_a_raw_disk_stays_raw_whatever_its_guest_writes_into_it() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let base = lab.path("base.raw");
    fs::File::create(&base).unwrap().set_len(64 << 20).unwrap();
    guests::add_tiny_on(&lab, "tiny", "auto", &base);
    let (swap, base) = (
        lab.path("state/vms/web1/swap.raw"),
        lab.path("state/images/tiny@1/disk"),
    );
    Run::of(&mut guests::launch(&lab, &["web1", "--swap", "16M"])).ok();
    lab.seedbed(&["stop", "web1", "--force"]).ok();

    let secret = lab.path("secret");
    fs::write(&secret, vec![b's'; 1 << 20]).unwrap();
    let header = Qcow2::plain()
        .extension(BACKING_FORMAT, b"raw")
        .backed_by(&secret.to_string_lossy())
        .into_bytes();
    let len = fs::metadata(&swap).unwrap().len();
    let file = fs::File::options().write(true).open(&swap).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &header, 0).unwrap();
    assert_eq!(fs::metadata(&swap).unwrap().len(), len);
    let probed = Run::of(Command::new("qemu-img").arg("info").arg(&swap)).ok();
    assert!(probed.contains("backing file:"), "nothing tempts here: {probed}");

    lab.seedbed(&["start", "web1"]).ok();
    let [qemu] = lab.qemus()[..] else {
        panic!("web1 does not run");
    };
    let nodes = block_devices(qemu);
    let driver = |of: &str| nodes.iter().find(|(node, _)| node == of).unwrap().1.as_str();
    assert_eq!(
        [driver("root"), driver("base"), driver("swap")],
        ["qcow2", "raw", "raw"]
    );
    let open: Vec<_> = fs::read_dir(format!("/proc/{qemu}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .collect();
    assert!(open.contains(&swap) && open.contains(&base), "{open:?}");
    let bytes = fs::read(&swap).unwrap();
    assert_eq!(bytes[..header.len()], header, "the guest's bytes");
    assert!(!open.contains(&secret), "{open:?}");

    let mut info = Command::new("qemu-img");
    info.args(["info", "-U", "-f", "qcow2", "--output", "json"]);
    let clone = Run::of(info.arg(lab.path("state/vms/web1/disk.qcow2"))).ok();
    assert!(clone.contains(r#""backing-filename-format": "raw""#), "{clone}");
}

/// Beside scripts, only what flattens and rebases a clone calls `qemu-img`, on JSON in which each file has its format.
#[test]
fn l09_every_call_of_a_qemu_tool_names_the_format() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut calls = 0;
    for script in ["src/image/debian.sh", "contrib/tiny-guest"] {
        for line in fs::read_to_string(root.join(script)).unwrap().lines() {
            let call = line.trim_start();
            if call.starts_with("qemu-img") {
                calls += 1;
                assert!(call.contains(" -f "), "{script}: {call}");
            }
        }
    }
    assert!(calls >= 3, "{calls} calls: where are the others?");
}
