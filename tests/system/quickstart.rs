//! The README's first command, as a user types it, in a sandbox: it works, a second run is quick, and `--down` undoes it
//! and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Run, SEEDBED, say};
use crate::root;

struct Sandbox {
    name: String,
}

impl Sandbox {
    fn new(what: &str) -> Self {
        Self {
            name: format!("sbq-{}-{what}", std::process::id()),
        }
    }

    fn state(&self, file: &str) -> PathBuf {
        Path::new("/var/lib").join(&self.name).join(file)
    }

    /// As a user runs it: the release binary is built, by the checkout's owner.
    fn quickstart(&self, extra: &[&str]) -> Run {
        Run::of(self.command(extra).env_remove("SEEDBED_BINARY"))
    }

    fn command(&self, extra: &[&str]) -> Command {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("contrib/quickstart");
        let mut command = Command::new(script);
        command
            .arg("--sandbox")
            .args(extra)
            .env("SEEDBED_SANDBOX", &self.name);
        command
    }

    /// The virtual machines' processes.
    fn qemus(&self) -> Vec<String> {
        let run = format!("/run/{}/", self.name);
        let entries = std::fs::read_dir("/proc").unwrap();
        entries
            .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains("qemu-system") && line.contains(&run))
            .collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.state("quickstart-daemon.log")).unwrap_or_default();
            eprintln!("-- daemon log of the sandbox\n{log}");
            drop(self.quickstart(&["--down"]).stdout);
        }
    }
}

fn interfaces() -> String {
    Run::of(Command::new("ip").args(["-o", "-4", "addr", "show"])).ok()
}

#[test]
fn the_main_job_is_one_command() {
    if !root() {
        return;
    }
    let before = interfaces();
    let sandbox = Sandbox::new("main");
    let said = sandbox.quickstart(&[]).ok();
    say(&said);
    for part in [
        "I am web1.lab at 10.77.0.",
        "I am web2.lab at 10.77.0.",
        "MiB of swap",
        "bytes from",
        "log in",
        "clean up",
    ] {
        assert!(said.contains(part), "quickstart did not say {part:?}:\n{said}");
    }
    for column in ["NAME", "STATE", "IP", "MAC", "IMAGE", "AGE"] {
        assert!(said.contains(column), "the table has no column {column}:\n{said}");
    }
    #[expect(clippy::disallowed_methods, reason = "the test measures")]
    let start = Instant::now();
    let second = sandbox.quickstart(&[]);
    let took = start.elapsed();
    // Nothing is started that runs already.
    assert!(!second.stderr.contains("starting"), "{second}");
    let again = second.ok();
    say(&format!("a second run took {took:?}"));
    assert!(
        again.contains("I am web1.lab") && took < Duration::from_secs(30),
        "{took:?}\n{again}"
    );

    // Virtual machines outlive their daemon, but not `--down`.
    let daemon = std::fs::read_to_string(sandbox.state("quickstart-daemon.pid")).unwrap();
    Run::of(Command::new("kill").args(["-KILL", daemon.trim()])).ok();
    assert_eq!(sandbox.qemus().len(), 2);
    let down = sandbox.quickstart(&["--down"]).ok();
    assert!(down.contains("deleting 2 virtual machines: web1 web2"), "{down}");
    assert_eq!(sandbox.qemus(), Vec::<String>::new());
    assert_eq!(interfaces(), before, "the machine's own interfaces changed");
    let left = [
        format!("/var/lib/{}", sandbox.name),
        format!("/run/{}", sandbox.name),
        format!("/etc/netns/{}", sandbox.name),
    ];
    for path in left {
        assert!(!Path::new(&path).exists(), "--down left {path}");
    }
    let namespaces = Run::of(Command::new("ip").args(["netns", "list"])).ok();
    assert!(!namespaces.contains(&sandbox.name), "{namespaces}");
}

#[test]
fn what_quickstart_did_not_make_it_neither_uses_nor_removes() {
    if !root() {
        return;
    }
    let sandbox = Sandbox::new("alien");
    // Somebody's state, under the very name.
    std::fs::create_dir(sandbox.state("")).unwrap();
    std::fs::write(sandbox.state("registry"), "precious").unwrap();
    for extra in [&[][..], &["--down"], &["--purge"]] {
        let refused = Run::of(sandbox.command(extra).env("SEEDBED_BINARY", SEEDBED));
        refused.refused(1, &["quickstart did not make it", "nothing was changed"]);
    }
    let kept = std::fs::read_to_string(sandbox.state("registry")).unwrap();
    std::fs::remove_dir_all(sandbox.state("")).unwrap();
    assert_eq!(kept, "precious");
}

#[test]
fn another_daemon_that_the_environment_names_is_left_alone() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    lab.seedbed(&["add", "nas", "--mac", "52:54:00:aa:bb:cc"]).ok();
    let sandbox = Sandbox::new("env");
    let down = Run::of(
        sandbox
            .command(&["--down"])
            .env("SEEDBED_BINARY", SEEDBED)
            .env("SEEDBED_CONFIG", lab.path("config.yaml"))
            .env("SEEDBED_SOCKET", lab.path("run/seedbed.sock")),
    );
    assert!(down.ok().contains("nothing is there"));
    assert!(lab.seedbed(&["list"]).ok().contains("nas"));
    assert!(lab.path("config.yaml").exists());
}
