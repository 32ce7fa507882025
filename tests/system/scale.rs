//! The script that measures many VMs, with few of them.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::lab::{Lab, Run, SEEDBED};
use crate::{guests, root};

#[test]
fn the_measurement_of_many_vms_runs_and_leaves_nothing() {
    if !root() {
        return;
    }
    // Its directory holds what the script would build otherwise, and is where it works.
    let lab = Lab::without_daemon();
    symlink(guests::tiny(), lab.path("tiny-scale")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/scale");
    let run = |words: &[&str]| {
        let mut command = Command::new(&script);
        command
            .args(words)
            .env("SEEDBED", SEEDBED)
            .env("SEEDBED_CACHE", lab.path(""))
            .env("TMPDIR", lab.path(""));
        Run::of(&mut command)
    };
    let said = run(&["--guests", "3", "--records", "10", "--rounds", "3"]).ok();
    for row in [
        "from launch to all 3 ready",
        "`list` of 10 VMs",
        "console brokers (3)",
        "QEMU (3)",
    ] {
        assert!(said.contains(row), "{said}");
    }
    let left: Vec<_> = lab
        .listing("")
        .into_iter()
        .filter(|name| name.starts_with("seedbed-scale-"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    run(&["--guests", "0"]).refused(2, &["0 is not a count"]);
    run(&["--guests", "20", "--records", "10"]).refused(2, &["more than 10 records"]);
}
