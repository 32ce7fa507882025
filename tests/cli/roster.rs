//! `seedbed import`: a roster on its way to the daemon.

use std::io::Write as _;
use std::process::Stdio;

use seedbed::control::{ImportRow, Refusal, Request};

use crate::fake::{Fake, Run};

fn import(fake: &Fake, text: &str) -> Run {
    let path = fake.directory().join("roster.csv");
    std::fs::write(path, text).unwrap();
    let mut command = fake.command(&["import", "--from", "csv", "roster.csv"]);
    command.current_dir(fake.directory());
    Run::of(command)
}

#[test]
fn rows_reach_the_daemon_with_their_lines() {
    let fake = Fake::with_vms(Vec::new());
    let run = import(&fake, "name,mac,ip\n\nweb1,52:54:00:AA:BB:CC,10.77.0.20\n");
    assert_eq!(run.answer(), "registered 1 VMs\n");
    let row = ImportRow {
        line: 3,
        name: "web1".to_owned(),
        mac: Some("52:54:00:aa:bb:cc".to_owned()),
        ip: Some("10.77.0.20".to_owned()),
        aliases: Vec::new(),
    };
    assert_eq!(
        fake.request(),
        Request::Import {
            rows: vec![row],
            network: None,
            dry_run: false,
        }
    );
}

#[test]
fn the_network_of_a_roster_reaches_the_daemon() {
    let fake = Fake::with_vms(Vec::new());
    let file = fake.directory().join("roster.csv");
    std::fs::write(&file, "web1\n").unwrap();
    let mut command = fake.command(&["import", "--from", "csv", "--network", "dmz"]);
    command.arg(&file);
    Run::of(command).answer();
    let Request::Import { network, .. } = fake.request() else {
        panic!("something else was asked");
    };
    assert_eq!(network.as_deref(), Some("dmz"));
}

#[test]
fn every_problem_is_told_by_its_line_and_nothing_is_sent() {
    let fake = Fake::refusing(Refusal::request("this must not be asked"));
    let run = import(&fake, "web1,nonsense,10.77.0.20\nweb2,,10.77.0.20\nweb2\n");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert_eq!(
        run.stderr,
        "error: roster.csv has 3 problems; nothing was registered\n  \
         line 1: MAC address `nonsense` is not six hexadecimal octets such as 52:54:00:12:34:56\n  \
         line 2: 10.77.0.20 is already on line 1\n  \
         line 3: web2 is already on line 2\n"
    );
}

#[test]
fn a_wrong_file_does_not_flood_the_screen() {
    let fake = Fake::with_vms(Vec::new());
    let run = import(&fake, &"Not A Name\n".repeat(500));
    assert_eq!(run.stderr.lines().count(), 102);
    assert!(run.stderr.ends_with("  ... and 400 more\n"), "{run:#?}");
}

#[test]
fn a_dash_is_standard_input_and_fifty_thousand_rows_arrive() {
    let fake = Fake::with_vms(Vec::new());
    let mut child = fake
        .command(&["import", "--from", "csv", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let rows: Vec<_> = (0..50_000).map(|index| format!("vm{index}x,,")).collect();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(rows.join("\n").as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "registered 50000 VMs\n");
}

#[test]
fn several_files_are_registered_together_and_what_two_of_them_say_is_told() {
    let fake = Fake::with_vms(Vec::new());
    let write = |name: &str, text: &str| {
        let path = fake.directory().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let (one, two) = (write("one.csv", "web1\nweb2\n"), write("two.csv", "\nweb3\n"));
    let run = fake.run(&["import", "--from", "csv", &one, &two]);
    assert_eq!(run.answer(), "registered 3 VMs\n");
    let other = write("other.csv", "web4\nweb2\n");
    let run = fake.run(&["import", "--from", "csv", &one, &other]);
    assert_eq!(run.code, 1, "{run:#?}");
    assert_eq!(
        run.stderr,
        format!("error: {other} has 1 problem; nothing was registered\n  line 2: web2 is already in {one}\n")
    );
}
