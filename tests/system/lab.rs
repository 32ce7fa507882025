//! A lab: a network namespace with a real daemon in it, real commands, and foreign clients on its bridge.
//!
//! Everything a lab makes is its own (namespace, directory, processes) and goes when it is dropped, also when a test
//! fails half-way. Nothing touches the interfaces of the machine that runs the tests.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::turn::Turn;

pub(crate) const SEEDBED: &str = env!("CARGO_BIN_EXE_seedbed");
/// `ip netns exec` mounts a new `/sys`, without the control groups of the host.
const WITH_GROUPS: &str = r#"mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null; exec "$@""#;
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A namespace with a daemon in it.
pub(crate) struct Lab {
    namespace: String,
    dir: TempDir,
    daemon: Option<Child>,
    clients: u32,
    _turn: Turn,
}

/// How one command ended.
#[must_use = "look at what it printed, or assert that it worked"]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    command: String,
}

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        Self::from_output(shown, &output)
    }

    /// How a command that was started by itself ended.
    pub(crate) fn waited(child: Child) -> Self {
        let shown = format!("process {}", child.id());
        Self::from_output(shown, &child.wait_with_output().unwrap())
    }

    fn from_output(command: String, output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command,
        }
    }

    /// The command worked; its standard output.
    pub(crate) fn ok(self) -> String {
        assert!(self.code == 0, "{self}");
        self.stdout
    }

    /// The command was refused with this exit code, and said all of this on standard error.
    pub(crate) fn refused(self, code: i32, says: &[&str]) {
        assert_eq!(self.code, code, "{self}");
        for part in says {
            assert!(
                self.stderr.contains(part),
                "the refusal does not say {part:?}:\n{self}"
            );
        }
        assert!(!self.stderr.contains("panicked"), "{self}");
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\nexit {}\n-- stdout\n{}\n-- stderr\n{}",
            self.command, self.code, self.stdout, self.stderr
        )
    }
}

impl Lab {
    /// A lab whose daemon runs on 10.77.0.1/24, domain `lab`.
    pub(crate) fn new() -> Self {
        let mut lab = Self::without_daemon();
        lab.start_daemon();
        lab
    }

    /// A lab whose daemon was not started yet.
    pub(crate) fn without_daemon() -> Self {
        let turn = Turn::beside_others();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("sbt-{}-{number}", std::process::id());
        let dir = tempfile::Builder::new().prefix("seedbed-lab-").tempdir().unwrap();
        // QEMU runs as a user of its own and has to reach its disks.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        ip(&["netns", "add", &namespace]);
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        let lab = Self {
            namespace,
            dir,
            daemon: None,
            clients: 0,
            _turn: turn,
        };
        let (state, run) = (lab.path("state"), lab.path("run"));
        let options = [
            "init",
            "--bridge",
            "br0",
            "--subnet",
            "10.77.0.1/24",
            "--domain",
            "lab",
        ];
        let mut init = lab.command(&options);
        init.arg("--state-dir").arg(state).arg("--run-dir").arg(run);
        Run::of(&mut init).ok();
        // The hosts file of the machine that runs the tests is not ours.
        lab.configure("host_names: off");
        // Most tests look whether anything is left of what they deleted.
        lab.configure("undo_window: 0");
        lab
    }

    /// Sets one key of the configuration, `key: value`, of a daemon that does not run.
    pub(crate) fn configure(&self, line: &str) {
        let path = self.path("config.yaml");
        let (key, _) = line.split_once(':').unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let others = text
            .lines()
            .filter(|other| !other.starts_with(&format!("{key}:")));
        // In front: the last thing in the file is a network, to which a test may add.
        let lines: Vec<_> = std::iter::once(line).chain(others).chain([""]).collect();
        fs::write(path, lines.join("\n")).unwrap();
    }

    /// Puts a script in QEMU's place, for a daemon that does not run, and for one that uses it already.
    pub(crate) fn replace_qemu(&self, script: &str) {
        let (path, new) = (self.path("qemu"), self.path("qemu.new"));
        // Programs that come with an empty environment look for others where /bin/sh does.
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &path).unwrap();
        self.configure(&format!("qemu: {}", path.display()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A `seedbed` command inside the lab.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.inside(&[SEEDBED]);
        command.args(args);
        command
    }

    /// Any command inside the lab's namespace.
    pub(crate) fn inside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).args(words);
        command
            .env("SEEDBED_CONFIG", self.path("config.yaml"))
            .env("SEEDBED_SOCKET", self.path("run/seedbed.sock"));
        command.env_remove("SUDO_USER").env("HOME", self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn seedbed(&self, args: &[&str]) -> Run {
        Run::of(&mut self.command(args))
    }

    pub(crate) fn start_daemon(&mut self) {
        self.start_daemon_with(&[]);
        self.wait_for_daemon();
    }

    /// Starts a daemon with extra environment, without waiting for it.
    pub(crate) fn start_daemon_with(&mut self, environment: &[(&str, &str)]) {
        let mut serve = self.inside(&["sh", "-c", WITH_GROUPS, "sh", SEEDBED, "serve"]);
        serve.envs(environment.iter().copied());
        self.spawn_daemon(serve);
    }

    /// Starts a daemon as the last words of another command, which becomes it.
    pub(crate) fn start_daemon_by(&mut self, words: &[&str]) {
        let mut serve = self.inside(&[words, &[SEEDBED, "serve"]].concat());
        serve.env("LAB", self.path(""));
        self.spawn_daemon(serve);
    }

    fn spawn_daemon(&mut self, mut serve: Command) {
        assert!(self.daemon.is_none(), "the lab has a daemon already");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("daemon.log"))
            .unwrap();
        serve.stdout(log.try_clone().unwrap()).stderr(log);
        // The namespace wrapper replaces itself by the daemon, so this is the daemon's own process id.
        self.daemon = Some(serve.spawn().unwrap());
    }

    pub(crate) fn wait_for_daemon(&self) {
        let up = eventually(Duration::from_secs(60), || self.seedbed(&["list"]).code == 0);
        assert!(up, "the daemon did not start:\n{}", self.daemon_log());
    }

    pub(crate) fn daemon_log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    pub(crate) fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().expect("the lab has a daemon").id()
    }

    /// Ends the daemon as a crash would.
    pub(crate) fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().expect("the lab has a daemon");
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// Waits for a daemon that is expected to end by itself; its exit code, if it had one.
    pub(crate) fn daemon_ended(&mut self, within: Duration) -> Option<i32> {
        let mut daemon = self.daemon.take().expect("the lab has a daemon");
        let mut status = None;
        let ended = eventually(within, || {
            status = daemon.try_wait().unwrap();
            status.is_some()
        });
        if !ended {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
            panic!("the daemon did not end:\n{}", self.daemon_log());
        }
        status.and_then(|status| status.code())
    }

    /// Asks the daemon to stop, as systemd would, and waits for it.
    pub(crate) fn stop_daemon(&mut self) {
        let pid = self.daemon_pid().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        assert_eq!(
            self.daemon_ended(Duration::from_secs(30)),
            Some(0),
            "{}",
            self.daemon_log()
        );
    }

    /// Puts a machine of someone else's on the bridge: a namespace of its own, joined by a veth pair.
    pub(crate) fn client(&mut self, mac: &str) -> Client {
        self.clients += 1;
        let namespace = format!("{}-c{}", self.namespace, self.clients);
        let (port, nic) = (format!("port{}", self.clients), "eth0");
        ip(&["netns", "add", &namespace]);
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        ip(&[
            "-n",
            &self.namespace,
            "link",
            "add",
            &port,
            "type",
            "veth",
            "peer",
            "name",
            nic,
            "netns",
            &namespace,
        ]);
        ip(&["-n", &namespace, "link", "set", nic, "address", mac]);
        ip(&["-n", &namespace, "link", "set", nic, "up"]);
        ip(&["-n", &self.namespace, "link", "set", &port, "master", "br0", "up"]);
        Client {
            namespace,
            port,
            lab: self.namespace.clone(),
        }
    }

    /// Ids of the QEMU processes of this lab's VMs.
    pub(crate) fn qemus(&self) -> Vec<u32> {
        let ours = self.path("run").to_string_lossy().into_owned();
        processes(|words| {
            words
                .first()
                .is_some_and(|program| program.contains("qemu-system"))
                && words.iter().any(|w| w.contains(&ours))
        })
    }

    /// Command lines of all processes that name something of this lab's, but the daemon and who talks to it.
    pub(crate) fn processes(&self) -> Vec<String> {
        let (ours, daemon) = (
            self.path("").to_string_lossy().into_owned(),
            self.daemon.as_ref().map(Child::id),
        );
        let found = processes(|words| words.iter().any(|word| word.contains(&ours)));
        let others = found.into_iter().filter(|pid| Some(*pid) != daemon);
        others
            .filter_map(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .collect()
    }

    /// Ids of the brokers of this lab's consoles.
    pub(crate) fn brokers(&self) -> Vec<u32> {
        let ours = self.path("run").to_string_lossy().into_owned();
        processes(|words| words.get(1) == Some(&"console-broker") && words.iter().any(|w| w.contains(&ours)))
    }

    /// The taps in the lab's namespace.
    pub(crate) fn taps(&self) -> Vec<String> {
        let text = Run::of(Command::new("ip").args(["-n", &self.namespace, "-o", "link", "show"])).ok();
        text.lines()
            .filter_map(|line| line.split(": ").nth(1))
            .filter(|name| name.starts_with("tap"))
            .map(str::to_owned)
            .collect()
    }

    /// The control groups of this lab's VMs, as the host shows them.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let folders = self.cgroup_folders().into_iter();
        let entries = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect()
    }

    /// Where they are: see `src/machine/cgroup`. Empty where this machine has no control groups of version 2.
    fn cgroup_folders(&self) -> Vec<PathBuf> {
        use sha2::{Digest as _, Sha256};
        let digest = Sha256::digest(self.path("run").as_os_str().as_encoded_bytes());
        let number = u32::from_be_bytes(digest[..4].try_into().unwrap());
        let Some(tree) = cgroup_tree() else {
            return Vec::new();
        };
        let ours = format!("seedbed-{number:08x}");
        vec![
            tree.join(&ours),
            tree.join("seedbed.slice").join(format!("{ours}.slice")),
        ]
    }

    /// What lies in a directory of the lab.
    pub(crate) fn listing(&self, folder: &str) -> Vec<String> {
        list(&self.path(folder))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("-- daemon log of {}\n{}", self.namespace, self.daemon_log());
        }
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().ok();
            daemon.wait().ok();
        }
        for pid in self.qemus() {
            Command::new("kill").args(["-9", &pid.to_string()]).status().ok();
        }
        for group in self.cgroups().iter().chain(&self.cgroup_folders()) {
            // Once its last process is gone; systemd removes its own.
            eventually(Duration::from_secs(2), || {
                !group.exists() || fs::remove_dir(group).is_ok()
            });
        }
        for client in 1..=self.clients {
            Command::new("ip")
                .args(["netns", "del", &format!("{}-c{client}", self.namespace)])
                .output()
                .ok();
        }
        Command::new("ip")
            .args(["netns", "del", &self.namespace])
            .output()
            .ok();
    }
}

/// Where this machine has its control groups of version 2, if it has any.
pub(crate) fn cgroup_tree() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().find_map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        (words[2] == "cgroup2").then(|| PathBuf::from(words[1]))
    })
}

/// A process beside the lab; ended when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts it, and listens to nothing it says.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A machine of someone else's on the lab's bridge.
pub(crate) struct Client {
    namespace: String,
    port: String,
    lab: String,
}

impl Client {
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .args(words)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Run {
        Run::of(&mut self.command(words))
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Gives it an address by hand, as someone would who does not ask DHCP.
    pub(crate) fn set_address(&self, address: &str) {
        ip(&["-n", &self.namespace, "addr", "flush", "dev", "eth0"]);
        ip(&["-n", &self.namespace, "addr", "add", address, "dev", "eth0"]);
    }

    /// Gives it another hardware address and IP, as a thief would who read someone's.
    pub(crate) fn become_another(&self, mac: &str, address: &str) {
        let set = |words: &[&str]| ip(&[&["-n", &self.namespace, "link", "set", "eth0"], words].concat());
        set(&["down"]);
        set(&["address", mac]);
        set(&["up"]);
        self.set_address(address);
    }

    /// Puts its plug into another bridge of the lab.
    pub(crate) fn move_to(&self, bridge: &str) {
        ip(&["-n", &self.lab, "link", "set", &self.port, "master", bridge, "up"]);
    }

    /// Puts its plug into a router's namespace, as an interface of this name and address.
    pub(crate) fn replug(&self, router: &str, name: &str, address: &str) {
        ip(&[
            "-n", &self.lab, "link", "set", &self.port, "nomaster", "netns", router, "name", name,
        ]);
        ip(&["-n", router, "addr", "add", address, "dev", name]);
        ip(&["-n", router, "link", "set", name, "up"]);
    }

    /// Pulls its plug.
    pub(crate) fn unplug(&self) {
        ip(&["-n", &self.lab, "link", "del", &self.port]);
    }
}

fn ip(args: &[&str]) {
    Run::of(Command::new("ip").args(args)).ok();
}

fn list(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn processes(wanted: impl Fn(&[&str]) -> bool) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = text.split('\0').collect();
        wanted(&words)
    })
    .collect()
}

/// Looks again until it is so, or the time is up.
pub(crate) fn eventually(within: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    #[expect(clippy::disallowed_methods, reason = "a test's own deadline")]
    let deadline = Instant::now() + within;
    loop {
        if is_so() {
            return true;
        }
        #[expect(clippy::disallowed_methods, reason = "a test's own deadline")]
        if Instant::now() > deadline {
            return false;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the pace of looking again; the deadline above bounds it"
        )]
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Prints what a test measured or skipped, also where the test runner keeps the output of tests that pass to itself.
pub(crate) fn say(text: &str) {
    // Nobody reads it: no reason to fail.
    writeln!(std::io::stderr(), "{text}").ok();
}
