//! How commands fail: message, hint and exit code.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use seedbed::control::{Answer, Fault, Refusal};

use crate::fake::{Fake, Run, seedbed, vm};

#[test]
fn a_daemon_that_is_not_running_is_code_75_and_tells_how_to_start_it() {
    let directory = tempfile::tempdir().unwrap();
    let run = Run::of(seedbed(directory.path(), &["list"]));
    let socket = directory.path().join("run/seedbed.sock");
    assert_eq!(run.code, 75);
    assert_eq!(run.stdout, "");
    assert_eq!(
        run.stderr,
        format!(
            "error: the seedbed daemon is not running: nothing answers at {}\n\
             hint: start it with `sudo systemctl start seedbed`, or in a terminal with `sudo seedbed serve`\n",
            socket.display()
        )
    );
}

#[test]
fn a_socket_of_the_configuration_is_used() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("config.yaml"),
        "socket: /nowhere/else.sock\n",
    )
    .unwrap();
    let mut command = seedbed(directory.path(), &["list"]);
    command.env_remove("SEEDBED_SOCKET");
    let run = Run::of(command);
    assert!(
        run.stderr.contains("nothing answers at /nowhere/else.sock"),
        "{run:#?}"
    );
}

#[test]
fn a_socket_that_is_closed_to_the_user_is_code_77_and_says_sudo() {
    let fake = Fake::with_vms(Vec::new());
    // Root may open any socket: then the command is run as nobody, from a place where nobody may read it.
    let mut command = fake.command(&["list"]);
    if rustix::process::geteuid().is_root() {
        let copy = fake.directory().join("seedbed");
        std::fs::copy(env!("CARGO_BIN_EXE_seedbed"), &copy).unwrap();
        std::fs::set_permissions(fake.directory(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut copied = std::process::Command::new(copy);
        copied
            .arg("list")
            .env_clear()
            .env("SEEDBED_SOCKET", fake.socket())
            .uid(65_534)
            .gid(65_534);
        command = copied;
    } else {
        std::fs::set_permissions(fake.socket(), PermissionsExt::from_mode(0o000)).unwrap();
    }
    let run = Run::of(command);
    assert_eq!(run.code, 77, "{run:#?}");
    assert_eq!(
        run.stderr,
        format!(
            "error: only root may talk to the seedbed daemon: {} is closed to you\n\
             hint: run the same command with sudo\n",
            fake.socket().display()
        )
    );
}

#[test]
fn each_fault_has_its_exit_code() {
    for (fault, code) in [
        (Fault::Request, 1),
        (Fault::Host, 1),
        (Fault::NotFound, 3),
        (Fault::Timeout, 4),
        (Fault::Internal, 70),
        (Fault::Permission, 77),
    ] {
        let fake = Fake::refusing(Refusal {
            fault,
            message: "it did not work".to_owned(),
            hint: Some("try harder".to_owned()),
        });
        let run = fake.run(&["show", "web1"]);
        assert_eq!(run.code, code, "{fault:?}");
        assert_eq!(run.stdout, "", "{fault:?}");
        assert_eq!(
            run.stderr, "error: it did not work\nhint: try harder\n",
            "{fault:?}"
        );
    }
}

#[test]
fn quiet_keeps_errors() {
    let fake = Fake::refusing(Refusal::request("no"));
    assert_eq!(fake.run(&["list", "--quiet"]).stderr, "error: no\n");
}

#[test]
fn an_answer_of_the_wrong_kind_is_our_fault() {
    let fake = Fake::new(|_, _| Ok(Answer::Text("hello".to_owned())));
    assert_eq!(fake.run(&["list"]).code, 70);
}

#[test]
fn something_else_at_the_socket_is_told_apart_from_a_refusal() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("run")).unwrap();
    let listener = UnixListener::bind(directory.path().join("run/seedbed.sock")).unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
    });
    let run = Run::of(seedbed(directory.path(), &["list"]));
    other.join().unwrap();
    assert_eq!(run.code, 75, "{run:#?}");
    assert!(run.stderr.contains("broke off"), "{run:#?}");
}

#[test]
fn a_reader_that_had_enough_ends_us_quietly() {
    let fake = Fake::with_vms((0..5_000).map(|_| vm("web1", 11)).collect());
    let mut child = fake
        .command(&["list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_full_disk_does_not_end_quietly() {
    let fake = Fake::with_vms(vec![vm("web1", 11)]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = fake.command(&["list"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("can not write to standard output"));
}
