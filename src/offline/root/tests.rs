//! A hostile guest's files: links that lead out, pipes, devices, files without an end.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use super::{Kind, READ_MAX, Root, Why};

struct Guest {
    /// What is outside of the root: a directory with a secret in it.
    outside: tempfile::TempDir,
    root: Root,
}

impl Guest {
    fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "of the host").unwrap();
        fs::create_dir_all(outside.path().join("root/etc")).unwrap();
        let root = Root::open(&outside.path().join("root")).unwrap();
        Self { outside, root }
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.outside.path().join("root").join(path)
    }

    fn secret(&self) -> String {
        fs::read_to_string(self.outside.path().join("secret")).unwrap()
    }
}

#[test]
fn files_are_read_by_the_guests_paths() {
    let guest = Guest::new();
    fs::write(guest.at("etc/hostname"), "web1\n").unwrap();
    symlink("/etc/hostname", guest.at("etc/name")).unwrap();
    for path in [
        "/etc/hostname",
        "etc/hostname",
        "/etc/name",
        "/etc/../etc/./hostname",
    ] {
        assert_eq!(guest.root.read(path).unwrap().unwrap(), b"web1\n", "{path}");
    }
    assert_eq!(guest.root.read("/etc/hosts").unwrap(), None);
    assert_eq!(guest.root.read("/etc/hostname/more").unwrap(), None);
    assert!(guest.root.exists("/etc/name") && !guest.root.exists("/etc/hosts"));
    assert_eq!(
        guest.root.read_link("/etc/name").unwrap().unwrap(),
        "/etc/hostname"
    );
    assert_eq!(guest.root.read_link("/etc/hostname").unwrap(), None);
    assert_eq!(guest.root.list("/etc").unwrap(), ["hostname", "name"]);
    assert!(guest.root.list("/nowhere").unwrap().is_empty());
}

#[test]
fn no_link_leads_out() {
    let guest = Guest::new();
    let outside = guest.outside.path().to_str().unwrap().to_owned();
    for (name, target) in [
        ("absolute", format!("{outside}/secret")),
        ("relative", "../../secret".to_owned()),
        ("far", "../".repeat(40) + &format!("{outside}/secret")),
        ("magic", "/proc/self/cwd/secret".to_owned()),
    ] {
        symlink(&target, guest.at("etc").join(name)).unwrap();
        let path = format!("/etc/{name}");
        assert_eq!(guest.root.read(&path).unwrap(), None, "{name}");
        guest.root.write(&path, b"the guest's", 0o644).unwrap();
        assert_eq!(guest.secret(), "of the host", "{name}");
        assert_eq!(guest.root.status(&path).unwrap().unwrap().kind, Kind::File);
    }
    for (name, target) in [("dir", outside.clone()), ("dots", "../..".to_owned())] {
        symlink(&target, guest.at("etc").join(name)).unwrap();
        let path = format!("/etc/{name}/secret");
        drop(guest.root.write(&path, b"the guest's", 0o644));
        drop(guest.root.remove(&path));
        drop(guest.root.chmod(&path, 0o777));
        drop(guest.root.chown(&path, 12, 12));
        drop(guest.root.symlink("/x", &path));
        drop(guest.root.make_dir(&format!("/etc/{name}/made"), 0o755));
        assert!(
            guest
                .root
                .read(&path)
                .unwrap()
                .is_none_or(|read| read != b"of the host")
        );
        assert_eq!(guest.secret(), "of the host");
        assert!(!guest.outside.path().join("made").exists());
    }
    let metadata = fs::metadata(guest.outside.path().join("secret")).unwrap();
    assert_ne!((metadata.mode() & 0o777, metadata.uid()), (0o777, 12));
}

#[test]
fn a_path_of_dots_stays_inside() {
    let guest = Guest::new();
    assert_eq!(guest.root.read("/../secret").unwrap(), None);
    assert_eq!(guest.root.read("../secret").unwrap(), None);
    guest.root.write("/../secret", b"the guest's", 0o644).unwrap();
    assert_eq!(guest.secret(), "of the host");
    assert_eq!(guest.root.read("/secret").unwrap().unwrap(), b"the guest's");
    for path in ["/", "", "/etc/.."] {
        assert!(guest.root.write(path, b"", 0o644).is_err(), "{path:?}");
        assert!(guest.root.remove(path).is_err(), "{path:?}");
    }
}

#[test]
fn links_in_a_circle_are_an_error() {
    let guest = Guest::new();
    symlink("b", guest.at("etc/a")).unwrap();
    symlink("a", guest.at("etc/b")).unwrap();
    let error = guest.root.read("/etc/a").unwrap_err().to_string();
    assert!(error.starts_with("reading the guest's /etc/a: "), "{error}");
    assert!(!guest.root.exists("/etc/a"));
}

#[test]
fn only_regular_files_are_opened() {
    let guest = Guest::new();
    let fifo = guest.at("etc/fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(guest.at("etc/socket")).unwrap();
    let mut special = vec!["/etc/fifo", "/etc/socket", "/etc"];
    // (Only root makes devices, and not in every sandbox.)
    let made = Command::new("mknod")
        .arg(guest.at("etc/device"))
        .args(["c", "1", "5"])
        .output()
        .unwrap();
    if made.status.success() {
        special.push("/etc/device");
    }
    for path in special {
        let error = guest.root.read(path).unwrap_err();
        assert!(matches!(error.why, Why::NotAFile), "{path}: {error}");
    }
    // A pipe in place of a file to write is replaced, never opened.
    guest.root.write("/etc/fifo", b"text", 0o600).unwrap();
    assert_eq!(guest.root.read("/etc/fifo").unwrap().unwrap(), b"text");
}

#[test]
fn reading_ends() {
    let guest = Guest::new();
    let huge = fs::File::create(guest.at("etc/huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let error = guest.root.read("/etc/huge").unwrap_err();
    assert!(matches!(error.why, Why::TooLarge(READ_MAX)), "{error}");
    huge.set_len(READ_MAX).unwrap();
    assert_eq!(
        guest.root.read("/etc/huge").unwrap().unwrap().len() as u64,
        READ_MAX
    );
    guest.root.read_up_to("/etc/huge", READ_MAX - 1).unwrap_err();
}

#[test]
fn a_written_file_keeps_owner_and_mode() {
    let guest = Guest::new();
    guest.root.write("/etc/new", b"1", 0o640).unwrap();
    let status = guest.root.status("/etc/new").unwrap().unwrap();
    assert_eq!((status.kind, status.mode, status.len), (Kind::File, 0o640, 1));
    guest.root.chmod("/etc/new", 0o4711).unwrap();
    let owned = guest.root.chown("/etc/new", 7, 8).is_ok();
    guest.root.chmod("/etc/new", 0o4711).unwrap();
    guest.root.write("/etc/new", b"other", 0o600).unwrap();
    let status = guest.root.status("/etc/new").unwrap().unwrap();
    assert_eq!((status.mode, status.len), (0o4711, 5));
    assert!(!owned || (status.uid, status.gid) == (7, 8));
    assert_eq!(guest.root.list("/etc").unwrap(), ["new"], "no draft is left");
}

#[test]
fn what_can_not_be_written_leaves_nothing() {
    let guest = Guest::new();
    guest.root.make_dir("/etc/taken/full", 0o755).unwrap();
    assert!(guest.root.write("/etc/taken", b"x", 0o644).is_err());
    assert!(guest.root.symlink("/x", "/etc/taken").is_err());
    assert_eq!(guest.root.list("/etc").unwrap(), ["taken"]);
    let error = guest.root.write("/opt/x", b"x", 0o644).unwrap_err().to_string();
    assert!(error.starts_with("writing the guest's /opt/x: "), "{error}");
}

#[test]
fn trees_are_removed_and_what_links_point_to_stays() {
    let guest = Guest::new();
    guest
        .root
        .make_dir("/var/lib/cloud/instances/i-1", 0o755)
        .unwrap();
    guest
        .root
        .write("/var/lib/cloud/instances/i-1/obj.pkl", b"x", 0o600)
        .unwrap();
    symlink(guest.outside.path(), guest.at("var/lib/cloud/outside")).unwrap();
    symlink("instances/i-1", guest.at("var/lib/cloud/instance")).unwrap();
    assert!(guest.root.remove_tree("/var/lib/cloud/instance").unwrap());
    assert!(
        guest.root.exists("/var/lib/cloud/instances/i-1/obj.pkl"),
        "only the link went"
    );
    assert!(guest.root.remove("/var/lib/cloud").is_err(), "it is not empty");
    assert!(guest.root.remove_tree("/var/lib/cloud").unwrap());
    assert!(!guest.root.remove_tree("/var/lib/cloud").unwrap());
    assert_eq!(guest.root.list("/var/lib").unwrap(), [""; 0]);
    assert_eq!(guest.secret(), "of the host");
    assert!(guest.root.remove_tree("/var").unwrap() && !guest.root.remove("/var").unwrap());
}

#[test]
fn a_tree_without_a_bottom_is_not_followed() {
    let guest = Guest::new();
    fs::create_dir_all(guest.at(&"d/".repeat(100))).unwrap();
    let error = guest.root.remove_tree("/d").unwrap_err();
    assert!(matches!(error.why, Why::TooDeep(_)), "{error}");
}

#[test]
fn directories_and_links_are_made() {
    let guest = Guest::new();
    guest.root.make_dir("/etc/systemd/network", 0o755).unwrap();
    guest.root.make_dir("etc/systemd/network", 0o755).unwrap();
    let made = fs::metadata(guest.at("etc/systemd/network")).unwrap();
    assert!(made.is_dir() && made.permissions().mode() & 0o700 == 0o700);
    guest.root.symlink("../hosts", "/etc/systemd/link").unwrap();
    guest.root.symlink("/etc/hosts", "/etc/systemd/link").unwrap();
    assert_eq!(
        guest.root.read_link("/etc/systemd/link").unwrap().unwrap(),
        "/etc/hosts"
    );
    assert!(Path::new("/etc/hosts").exists());
}
