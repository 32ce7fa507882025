//! Tests of `supervise.rs`.

use super::*;
use crate::image::{AddSource, Store};
use crate::machine::{HowStopped, Settings, argv, examples, power_off};
use crate::model::image::{DiskFormat, View};
use crate::model::{Machine, Timestamp, identity};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use tempfile::TempDir;

const QEMU: &str = "/usr/bin/qemu-system-x86_64";
const SOON: Duration = Duration::from_millis(300);

/// A VM with an empty disk on a host of its own, and the other end of its network cable.
struct World {
    directory: TempDir,
    places: Places,
    vm: Vm,
    machine: Machine,
    cable: Option<UnixStream>,
    console: Option<UnixStream>,
}

impl World {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new(QEMU).exists() {
            println!("skipped: needs root and {QEMU}");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let passage = PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(directory.path(), passage).unwrap();
        let places = Places::new(directory.path().join("state"), directory.path().join("run"));
        let (vm, mut machine) = examples::vm();
        machine.memory = Bytes::mib(64);
        Some(Self {
            directory,
            places,
            vm,
            machine,
            cable: None,
            console: None,
        })
    }

    fn argv(&mut self) -> Vec<String> {
        let store = Store::open(self.places.clone()).unwrap();
        let file = self.directory.path().join("empty.raw");
        std::fs::File::create(&file).unwrap().set_len(1 << 20).unwrap();
        let id = self.machine.image.clone();
        let (kernel, initrd, cmdline) = (None, None, None);
        let (format, default_user) = (DiskFormat::Raw, "debian".into());
        let source = AddSource {
            id,
            origin: "empty".into(),
            file,
            format,
            kernel,
            initrd,
            cmdline,
            default_user,
            view: View::Auto,
            cloud_init: None,
        };
        let image = store.add(&source, Timestamp(0), |_, _| {}).unwrap();
        store.make_disks(&self.vm, &self.machine, &image).unwrap();
        let settings = Settings {
            qemu: Path::new(QEMU),
            accel: Accel::Tcg,
            places: &self.places,
            smbios_serial: "ds=nocloud-net;s=http://10.77.0.1/a,b/",
            smbios_product: "",
            seed: None,
            more_networks: &[],
        };
        let args = argv(
            &self.vm,
            &self.machine,
            &image,
            &examples::network(None),
            &settings,
        )
        .unwrap();
        // A plain socket in the tap's place needs no network of the host's.
        let cable = |arg: String| arg.replace("tap,id=net0", "socket,id=net0");
        args.into_iter().map(cable).collect()
    }

    async fn start(&mut self, argv: Vec<String>) -> Result<Running, StartError> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.cable = Some(ours);
        let path = self.directory.path().join("serial");
        std::fs::remove_file(&path).ok();
        let serial = UnixListener::bind(&path).unwrap();
        self.console = Some(UnixStream::connect(&path).unwrap());
        let uid = identity::uid(self.vm.address);
        let (vm, places) = (&self.vm, &self.places);
        spawn(Launch {
            argv,
            vm,
            places,
            uid,
            gid: uid,
            seed: None,
            tap: theirs.into(),
            media: None,
            serial: serial.into(),
            more_taps: Vec::new(),
        })
        .await
    }

    async fn off(&self, force: bool) -> HowStopped {
        power_off(&self.places, &self.vm, force, SOON).await.unwrap()
    }

    fn found(&self) -> Option<process::Found> {
        let found = process::look_around(&self.places).unwrap();
        found.into_iter().find(|found| found.vm == self.vm.name.as_str())
    }
}

impl Drop for World {
    /// A failed test leaves no QEMU behind.
    fn drop(&mut self) {
        for found in process::look_around(&self.places).unwrap() {
            found.process.kill().unwrap();
        }
        // A group that a failed test left is in its way.
        cgroup::remove_home(&self.places).ok();
    }
}

#[tokio::test]
async fn a_vm_runs_as_its_own_user_and_ends_clean_when_qemu_is_told_to_quit() {
    let Some(mut world) = World::new() else { return };
    let argv = world.argv();
    let running = world.start(argv.clone()).await.unwrap();
    let found = world.found().unwrap();
    assert_eq!(
        (found.pid, found.accel, running.accel),
        (running.pid, Accel::Tcg, Accel::Tcg)
    );
    assert_eq!(found.uid, identity::uid(world.vm.address));
    let again = world.start(argv).await;
    assert!(
        matches!(again, Err(StartError::AlreadyRunning { pid, .. }) if pid == found.pid),
        "{again:?}"
    );
    let watched = tokio::spawn(running.watch());
    assert_eq!(world.off(true).await, HowStopped::ByQemu);
    assert_eq!(watched.await.unwrap(), Ended::Clean);
    assert!(world.found().is_none());
    assert_eq!(world.off(true).await, HowStopped::NotRunning);
}

/// A field of `/proc/PID/status`.
fn status(pid: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_vm_has_a_session_a_network_and_a_group_of_its_own_and_no_rights() {
    let Some(mut world) = World::new() else { return };
    let argv = world.argv();
    let running = world.start(argv).await.unwrap();
    let pid = running.pid;
    let session = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Behind the name in parentheses: state, parent, process group, session (proc(5)).
    let numbers: Vec<_> = session.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert!(
        numbers[2] == pid.to_string() && numbers[3] == numbers[2],
        "{session}"
    );
    for (field, value) in [
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("Groups", ""),
    ] {
        assert_eq!(status(pid, field), value, "{field}");
    }
    for kind in ["net", "ipc"] {
        let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap();
        assert_ne!(of("self"), of(&pid.to_string()), "{kind}");
    }
    // What confines is the process's, and not ours.
    assert_eq!(status(std::process::id(), "NoNewPrivs"), "0");
    let group = running.cgroup.clone();
    assert_eq!(cgroup::of(&world.places, pid), group);
    assert_eq!(world.off(true).await, HowStopped::ByQemu);
    assert_eq!(running.watch().await, Ended::Clean);
    if let Some(group) = group {
        assert!(!group.exists());
    }
}

#[tokio::test]
async fn a_guest_that_does_not_follow_is_powered_off_at_the_deadline() {
    let Some(mut world) = World::new() else { return };
    let argv = world.argv();
    let running = world.start(argv.clone()).await.unwrap();
    assert_eq!(world.off(false).await, HowStopped::ByQemu);
    assert_eq!(running.watch().await, Ended::Clean);
    // Its disks are free at once for the next start.
    let running = world.start(argv).await.unwrap();
    assert_eq!(world.off(true).await, HowStopped::ByQemu);
    assert_eq!(running.watch().await, Ended::Clean);
}

#[tokio::test]
async fn a_qemu_that_crashes_ends_with_an_error_that_says_how() {
    let Some(mut world) = World::new() else { return };
    let argv = world.argv();
    let running = world.start(argv).await.unwrap();
    world.found().unwrap().process.kill().unwrap();
    let Ended::Error(why) = running.watch().await else {
        panic!("it was killed")
    };
    assert!(why.contains("signal: 9"), "{why}");
}

#[tokio::test]
async fn a_qemu_that_hangs_is_killed() {
    let Some(mut world) = World::new() else { return };
    let argv = world.argv();
    let running = world.start(argv).await.unwrap();
    let pid = rustix::process::Pid::from_raw(running.pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    assert_eq!(world.off(true).await, HowStopped::Killed);
    assert!(matches!(running.watch().await, Ended::Error(_)));
}

#[tokio::test]
async fn a_vm_outlives_whoever_started_it_and_is_found_again() {
    let Some(mut world) = World::new() else { return };
    let argv = world.argv();
    let running = world.start(argv).await.unwrap();
    let pid = running.pid;
    drop(running);
    let adopted = adopt(&world.places, &world.vm, world.found().unwrap()).await;
    assert_eq!((adopted.pid, adopted.accel), (pid, Accel::Tcg));
    let watched = tokio::spawn(adopted.watch());
    assert_eq!(world.off(true).await, HowStopped::ByQemu);
    assert_eq!(watched.await.unwrap(), Ended::Unseen);
    assert!(world.found().is_none());
}

#[tokio::test]
async fn a_process_that_only_has_the_number_of_a_vm_does_not_end_with_it() {
    let Some(world) = World::new() else { return };
    let sleeper = || std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let (mut ended, mut stranger) = (sleeper(), sleeper());
    let process = Process::open(ended.id()).unwrap();
    ended.kill().unwrap();
    ended.wait().unwrap();
    let before = cgroup::folder_of(&world.places, stranger.id());
    let found = Found {
        vm: world.vm.name.to_string(),
        pid: stranger.id(),
        uid: identity::uid(world.vm.address),
        accel: Accel::Tcg,
        process,
    };
    let adopted = adopt(&world.places, &world.vm, found).await;
    adopted.watch().await;
    let lives = stranger.try_wait().unwrap().is_none();
    let after = cgroup::folder_of(&world.places, stranger.id());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(lives);
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_vm_whose_address_changed_is_still_found_and_starts_with_its_disks() {
    let Some(mut world) = World::new() else { return };
    let argv = world.argv();
    let running = world.start(argv.clone()).await.unwrap();
    world.vm.address = [10, 77, 0, 99].into();
    assert_eq!(world.found().unwrap().pid, running.pid);
    assert_eq!(world.off(true).await, HowStopped::ByQemu);
    assert_eq!(running.watch().await, Ended::Clean);
    let running = world.start(argv).await.unwrap();
    assert_eq!(world.found().unwrap().uid, identity::uid(world.vm.address));
    assert_eq!(world.off(true).await, HowStopped::ByQemu);
    assert_eq!(running.watch().await, Ended::Clean);
}

#[tokio::test]
async fn a_qemu_that_can_not_start_says_why_and_leaves_no_process() {
    let Some(mut world) = World::new() else { return };
    let mut argv = world.argv();
    argv.extend(["-device", "no-such-device"].map(str::to_owned));
    let error = world.start(argv).await.unwrap_err().to_string();
    assert!(
        error.contains("no-such-device") && error.contains("exit status: 1"),
        "{error}"
    );
    let error = world
        .start(vec!["/nonexistent/qemu".into()])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/nonexistent/qemu") && error.contains("qemu-system-x86"),
        "{error}"
    );
    assert!(world.found().is_none());
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_no_process() {
    let Some(mut world) = World::new() else { return };
    let argv = world.argv();
    // Long enough for the process to exist, too short for it to answer.
    let started = timeout(Duration::from_millis(5), world.start(argv)).await;
    assert!(started.is_err(), "{started:?}");
    while let Some(found) = world.found() {
        timeout(SOON, found.process.wait())
            .await
            .expect("it was killed")
            .unwrap();
    }
}

#[test]
fn an_end_that_nobody_saw_is_an_error_when_qemu_said_nothing_of_it() {
    let words = |listened, shut_down| LastWords {
        listened,
        shut_down,
        by_guest: false,
    };
    let killed = Ended::Unseen.given(words(true, false));
    assert!(
        matches!(&killed, Ended::Error(why) if why.contains("killed")),
        "{killed:?}"
    );
    assert_eq!(Ended::Unseen.given(words(true, true)), Ended::Clean);
    // Nothing can be said of one that nobody listened to.
    assert_eq!(Ended::Unseen.given(words(false, false)), Ended::Clean);
    assert_eq!(Ended::Clean.given(words(true, false)), Ended::Clean);
}
