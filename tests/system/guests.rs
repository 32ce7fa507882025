//! The guests that tests boot: a tiny one (kernel and a busybox initramfs, seconds) and a real Debian (minutes).
//!
//! Both are built by the first test that needs them and kept in `SEEDBED_CACHE`, outside the repository, until what they
//! are made of changes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::lab::{Lab, Run, SEEDBED, eventually};
use crate::root;

/// A key nobody has the private half of: tiny guests have no SSH server.
pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ test";
/// What a tiny guest needs.
pub(crate) const MEMORY: &str = "80M";

pub(crate) fn cache() -> PathBuf {
    std::env::var_os("SEEDBED_CACHE").map_or_else(|| PathBuf::from("/var/cache/seedbed"), PathBuf::from)
}

/// The Debian 12 disk file; built when it is not there yet.
pub(crate) fn debian() -> PathBuf {
    static DEBIAN: OnceLock<PathBuf> = OnceLock::new();
    DEBIAN.get_or_init(|| debian_of("bookworm")).clone()
}

/// The disk file of another Debian suite; built when it is not there yet.
pub(crate) fn debian_of(suite: &str) -> PathBuf {
    PathBuf::from(Run::of(&mut image_build(&cache(), suite)).ok().trim())
}

/// The disk file of Debian 12 without cloud-init, whose network is configured by ifupdown; built when it is not there yet.
pub(crate) fn debian_without_cloud_init() -> PathBuf {
    let mut build = image_build(&cache(), "bookworm");
    PathBuf::from(Run::of(build.env("SEEDBED_CLOUD_INIT", "none")).ok().trim())
}

fn image_build(cache: &Path, suite: &str) -> Command {
    let mut build = Command::new(SEEDBED);
    build.args(["image", "build", suite, "--suite", suite, "--build-only"]);
    if suite == "bullseye" {
        // Its life is over: archives drop packages of its security suite before they drop the lists that name them.
        build.env("SEEDBED_SECURITY_MIRROR", "none");
    }
    build.arg("--cache").arg(cache).stdin(Stdio::null());
    build
}

/// The tiny guest's files; built when they are not there yet.
pub(crate) fn tiny() -> &'static Path {
    static TINY: OnceLock<PathBuf> = OnceLock::new();
    TINY.get_or_init(|| {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("contrib/tiny-guest");
        let debian = debian();
        // What it is made of: the script, and the kernel of the Debian image.
        let mut recipe = DefaultHasher::new();
        std::fs::read(&script).unwrap().hash(&mut recipe);
        let image = std::fs::metadata(&debian).unwrap();
        (&debian, image.len(), image.modified().unwrap()).hash(&mut recipe);
        let tiny = cache().join(format!("tiny-{:016x}", recipe.finish()));
        if !tiny.exists() {
            // Complete or not at all, whoever else builds it at this moment.
            let new = tempfile::Builder::new()
                .prefix("tiny-new-")
                .tempdir_in(cache())
                .unwrap();
            Run::of(Command::new(script).arg(new.path()).arg(&debian)).ok();
            let renamed = std::fs::rename(new.path(), &tiny);
            assert!(
                renamed.is_ok() || tiny.exists(),
                "{}: {renamed:?}",
                tiny.display()
            );
        }
        tiny
    })
}

/// Adds the tiny guest to a lab's images.
pub(crate) fn add_tiny(lab: &Lab, name: &str) {
    add_tiny_as(lab, name, "auto");
}

/// Adds the tiny guest as an image whose VMs learn by this view who they are.
pub(crate) fn add_tiny_as(lab: &Lab, name: &str, view: &str) {
    add_tiny_on(lab, name, view, &tiny().join("disk.qcow2"));
}

/// The same with another disk, which the tiny guest does not look at.
pub(crate) fn add_tiny_on(lab: &Lab, name: &str, view: &str, disk: &Path) {
    let tiny = tiny();
    let file = |name: &str| tiny.join(name).to_string_lossy().into_owned();
    let cmdline = std::fs::read_to_string(tiny.join("cmdline")).unwrap();
    lab.seedbed(&[
        "image",
        "add",
        name,
        &disk.to_string_lossy(),
        "--kernel",
        &file("vmlinuz"),
        "--initrd",
        &file("initrd.img"),
        "--cmdline",
        cmdline.trim(),
        "--view",
        view,
    ])
    .ok();
}

/// A build of an image that has come to its download, and goes no further: its mirror listens and never answers.
struct StuckBuild {
    client: Child,
    cache: tempfile::TempDir,
    _mirror: TcpListener,
}

impl StuckBuild {
    fn new() -> Self {
        let mirror = TcpListener::bind("127.0.0.1:0").unwrap();
        mirror.set_nonblocking(true).unwrap();
        let cache = tempfile::Builder::new()
            .prefix("seedbed-cache-")
            .tempdir()
            .unwrap();
        let client = image_build(cache.path(), "bookworm")
            .env(
                "SEEDBED_MIRROR",
                format!("http://{}/debian", mirror.local_addr().unwrap()),
            )
            // As a shell starts a job: Ctrl-C goes to all of it.
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut caller = None;
        let stuck = eventually(Duration::from_secs(60), || {
            caller = caller.take().or_else(|| mirror.accept().ok());
            caller.is_some()
        });
        let build = Self {
            client,
            cache,
            _mirror: mirror,
        };
        assert!(
            stuck && !build.work().is_empty(),
            "the build did not come to its download"
        );
        assert!(!build.processes().is_empty());
        build
    }

    /// What the build keeps in its cache directory.
    fn work(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.cache.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The command lines of processes that name the cache directory, beside the client's.
    fn processes(&self) -> Vec<String> {
        let (cache, client) = (self.cache.path().to_string_lossy(), self.client.id().to_string());
        let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        entries
            .filter(|entry| entry.file_name().to_str() != Some(&client))
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(&*cache))
            .collect()
    }

    fn ends_without_a_trace(mut self, signal: &str, to: &str) {
        Run::of(Command::new("kill").args([signal, "--", to])).ok();
        self.client.wait().unwrap();
        let clean = eventually(Duration::from_secs(60), || {
            self.work().is_empty() && self.processes().is_empty()
        });
        assert!(clean, "{signal} left {:?} {:?}", self.work(), self.processes());
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(
            !mounts.contains(&*self.cache.path().to_string_lossy()),
            "{mounts}"
        );
    }
}

#[test]
fn an_image_build_that_is_interrupted_leaves_nothing() {
    if !root() {
        return;
    }
    let build = StuckBuild::new();
    let group = format!("-{}", build.client.id());
    build.ends_without_a_trace("-INT", &group);
}

#[test]
fn an_image_build_whose_client_is_killed_leaves_nothing() {
    if !root() {
        return;
    }
    let build = StuckBuild::new();
    let client = build.client.id().to_string();
    build.ends_without_a_trace("-KILL", &client);
}

/// A launch of clones of the tiny guest that [`add_tiny`] added as `tiny`: names, and what else is wanted.
pub(crate) fn launch(lab: &Lab, wanted: &[&str]) -> Command {
    let mut command = lab.command(&["launch", "--image", "tiny", "--memory", MEMORY, "--key", KEY]);
    command.args(wanted);
    command
}
