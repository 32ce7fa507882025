//! Tests of the real kernel: a test that calls [`inside`] runs again, alone, in a network namespace made for it.
//!
//! The machine's own interfaces are never touched. Without root the test says that it was skipped.

use std::env;
use std::process::{Command, Output};

use super::Host;
use crate::model::{Network, examples};

const MARK: &str = "SEEDBED_TEST_NAMESPACE";

/// A namespace that is deleted when the test ends, however it ends.
struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "del", &self.0]).output());
    }
}

/// Runs the body in a network namespace; `test` is the test's own full name.
pub(super) fn inside(test: &str, body: impl AsyncFnOnce(Host)) {
    if env::var_os(MARK).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { body(Host::open().unwrap()).await });
        return;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("{test}: skipped: needs root, to make a network namespace");
        return;
    }
    let short = test.rsplit("::").next().unwrap_or_default();
    let namespace = Namespace(format!("seedbed-{}-{short}", std::process::id()));
    let name = namespace.0.as_str();
    succeeded(&Command::new("ip").args(["netns", "add", name]).output().unwrap());
    ip(&["-n", name, "link", "set", "lo", "up"]);
    let this = env::current_exe().unwrap();
    let run = Command::new("ip")
        .args(["netns", "exec", name])
        .arg(this)
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let said = succeeded(&run);
    assert!(said.contains("1 passed"), "no test is called {test}: {said}");
}

/// Runs `ip` and returns what it said.
pub(super) fn ip(arguments: &[&str]) -> String {
    succeeded(&Command::new("ip").args(arguments).output().unwrap())
}

fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    said
}

/// A network to test with.
pub(super) fn lab() -> Network {
    Network {
        bridge: "lab0".parse().unwrap(),
        domain: "lab.test".parse().unwrap(),
        nat: true,
        ..examples::network("lab", "10.77.0.1/24")
    }
}
