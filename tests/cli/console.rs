//! Commands on a real terminal, and a serial port that is a real socket with a real broker at it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use seedbed::console::files::Files;
use seedbed::console::serve::{Broker, Parts};
use seedbed::control::Answer;
use seedbed::model::{Places, VmName};

use crate::fake::{Fake, vm};

/// A VM on a serial port: says `login: `, hands back all it was told, and is powered off by a `!`.
fn listening_vm() -> (Fake, JoinHandle<Vec<u8>>) {
    let (mut stream, link) = UnixStream::pair().unwrap();
    let fake = with_broker(link);
    let guest = std::thread::spawn(move || {
        stream.write_all(b"login: ").unwrap();
        let mut told = Vec::new();
        let mut byte = [0];
        while let Ok(1) = stream.read(&mut byte) {
            told.extend(byte);
            // `!` powers it off.
            if byte == *b"!" {
                stream.write_all(b"bye\n").unwrap();
                break;
            }
        }
        told
    });
    (fake, guest)
}

/// A daemon that knows web1, at whose serial port a broker is.
fn with_broker(link: UnixStream) -> Fake {
    let directory = tempfile::tempdir().unwrap();
    let places = Places::new(directory.path(), directory.path());
    let name: VmName = "web1".parse().unwrap();
    std::fs::create_dir_all(places.vm(&name)).unwrap();
    let door = directory.path().join("console");
    let parts = Parts {
        guest: link,
        door: UnixListener::bind(&door).unwrap(),
        log: Files::open(&places, &name).unwrap(),
    };
    std::thread::spawn(move || {
        let _directory = directory;
        Broker::new(parts).unwrap().run().unwrap();
    });
    let mut web1 = vm("web1", 11);
    web1.serial = Some(door);
    Fake::with_vms(vec![web1])
}

fn read_until(out: &mut ChildStdout, end: &str) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(end.as_bytes()) {
        assert_eq!(
            out.read(&mut byte).unwrap(),
            1,
            "ended after {:?}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend(byte);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[test]
fn without_a_terminal_both_ways_are_copied_until_the_vm_is_off() {
    let (fake, guest) = listening_vm();
    let mut child = fake
        .command(&["console", "web1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut typing = child.stdin.take().unwrap();
    typing.write_all(b"root\x1d\n!").unwrap();
    drop(typing);
    let output = child.wait_with_output().unwrap();
    assert_eq!(guest.join().unwrap(), b"root\x1d\n!");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "login: bye\n");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "Connected to web1. Detach with ^]\n\nDetached from web1\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

/// Runs `seedbed` on a terminal, between two shell commands.
fn on_a_terminal(fake: &Fake, before: &str, args: &str, after: &str) -> Child {
    let seedbed = fake.command(&[]);
    let program = seedbed.get_program().to_str().unwrap();
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{before}{program} {args}; {after}"), "/dev/null"]);
    for (name, value) in seedbed.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

const HOW_IS_IT: &str = "echo code $?; stty -a";

fn assert_is_sane(stty: &str) {
    for flag in ["icanon", "echo", "isig", "opost"] {
        assert!(
            stty.split_whitespace().any(|word| word == flag),
            "{flag} is not set:\n{stty}"
        );
    }
}

#[test]
fn on_a_terminal_the_detach_key_ends_it_and_the_terminal_is_as_before() {
    let (fake, guest) = listening_vm();
    let mut child = on_a_terminal(&fake, "", "console web1", HOW_IS_IT);
    let mut out = child.stdout.take().unwrap();
    let mut typing = child.stdin.take().unwrap();
    let first = read_until(&mut out, "login: ");
    assert!(first.starts_with("Connected to web1. Detach with ^]"), "{first}");
    // ^C and ^D go to the VM; a line end is not waited for.
    typing.write_all(b"a\x03\x04\x1d").unwrap();
    let rest = read_until(&mut out, "-extproc");
    assert!(rest.contains("Detached from web1"), "{rest}");
    assert!(rest.contains("code 0"), "{rest}");
    assert_is_sane(&rest);
    drop(typing);
    assert!(child.wait().unwrap().success());
    assert_eq!(power_off(&fake, guest), b"a\x03\x04!");
}

/// What is typed at the end of a test whose guest has to end, too.
fn power_off(fake: &Fake, guest: JoinHandle<Vec<u8>>) -> Vec<u8> {
    let mut child = fake
        .command(&["console", "web1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"!").unwrap();
    assert!(child.wait().unwrap().success());
    guest.join().unwrap()
}

#[test]
fn who_only_watches_can_type_nothing_and_leaves_by_either_key() {
    let (fake, guest) = listening_vm();
    for key in [b'\x1d', b'\x03'] {
        let mut child = on_a_terminal(&fake, "", "console web1 --read-only", HOW_IS_IT);
        let mut out = child.stdout.take().unwrap();
        let mut typing = child.stdin.take().unwrap();
        let first = read_until(&mut out, "login: ");
        assert!(
            first.starts_with("Watching web1: nothing typed here reaches it. Detach with ^]"),
            "{first}"
        );
        typing.write_all(&[b'x', b'\r', key]).unwrap();
        let rest = read_until(&mut out, "-extproc");
        assert!(
            rest.contains("Detached from web1") && rest.contains("code 0"),
            "{rest}"
        );
        assert_is_sane(&rest);
        drop(typing);
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(power_off(&fake, guest), b"!");
}

#[test]
fn a_session_begins_with_what_was_said_and_is_recorded() {
    let (fake, guest) = listening_vm();
    let cast = fake.directory().join("web1.cast");
    let record = format!("console web1 --record {}", cast.display());
    let mut child = on_a_terminal(&fake, "stty rows 40 cols 120; ", &record, HOW_IS_IT);
    let mut out = child.stdout.take().unwrap();
    let mut typing = child.stdin.take().unwrap();
    let first = read_until(&mut out, "login: ");
    assert!(first.contains("`stty rows 40 cols 120`"), "{first}");
    typing.write_all(b"secret\x1d").unwrap();
    read_until(&mut out, "-extproc");
    drop(typing);
    assert!(child.wait().unwrap().success());
    let text = std::fs::read_to_string(&cast).unwrap();
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let header = lines.next().unwrap();
    assert_eq!(
        (&header["version"], &header["width"], &header["height"]),
        (&2.into(), &120.into(), &40.into())
    );
    let event = lines.next().unwrap();
    assert_eq!((&event[1], &event[2]), (&"o".into(), &"login: ".into()));
    assert!(event[0].as_f64().is_some() && lines.next().is_none(), "{text}");
    // A recording that is there is not written over; and who wants no past gets none.
    let again = fake.run(&["console", "web1", "--record", cast.to_str().unwrap()]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("is there already"), "{again:?}");
    let mut new = fake
        .command(&["console", "web1", "--no-scrollback"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    new.stdin.take().unwrap().write_all(b"!").unwrap();
    assert_eq!(new.wait_with_output().unwrap().stdout, b"bye\n");
    assert_eq!(guest.join().unwrap(), b"secret!");
}

#[test]
fn a_console_whose_broker_is_gone_says_so() {
    let mut web1 = vm("web1", 11);
    let directory = tempfile::tempdir().unwrap();
    web1.serial = Some(directory.path().join("console"));
    let cast = directory.path().join("web1.cast");
    let fake = Fake::with_vms(vec![web1]);
    // The second time, too: the first has left no recording.
    for _ in 0..2 {
        let run = fake.run(&["console", "web1", "--record", cast.to_str().unwrap()]);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains("can not open the console"), "{run:?}");
        assert!(!cast.exists());
    }
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let (fake, guest) = listening_vm();
    // The shell that becomes seedbed's parent says which process to end.
    let mut child = on_a_terminal(&fake, "echo shell $$; ", "console web1", HOW_IS_IT);
    let mut out = child.stdout.take().unwrap();
    let first = read_until(&mut out, "login: ");
    let shell: i32 = first
        .split_once("shell ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .and_then(|pid| pid.parse().ok())
        .unwrap();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    let seedbed = children.trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(seedbed).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let rest = read_until(&mut out, "-extproc");
    assert_is_sane(&rest);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(power_off(&fake, guest), b"!");
}

#[test]
fn on_a_terminal_each_vm_is_seen_climbing() {
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let fake = Fake::new(move |_, progress| {
        progress.line("web1", "started");
        progress.line("web1", "dhcp");
        wait.lock().unwrap().recv().unwrap();
        Ok(Answer::Vms(vec![vm("web1", 11), vm("web2", 12)]))
    });
    let mut child = on_a_terminal(&fake, "", "wait web[1-2]", "echo code $?");
    let mut out = child.stdout.take().unwrap();
    let seen = read_until(&mut out, "started -> dhcp -> ...");
    assert!(seen.contains("web2") && seen.contains("waiting"), "{seen:?}");
    go_on.send(()).unwrap();
    let rest = read_until(&mut out, "code 0");
    assert!(rest.contains("web1 is ready at 10.77.0.11"), "{rest:?}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_vm_without_a_console_says_why() {
    let mut stopped = vm("web1", 11);
    stopped.state = "stopped".to_owned();
    stopped.serial = None;
    let run = Fake::with_vms(vec![stopped]).run(&["console", "web1"]);
    assert_eq!(run.code, 1);
    assert_eq!(
        run.stderr,
        "error: web1 is stopped: it has no console now\nhint: start it: seedbed start web1\n"
    );
}

fn with_log(text: Option<&[u8]>) -> Fake {
    let directory = tempfile::tempdir().unwrap().keep();
    let path = directory.join("console.log");
    if let Some(text) = text {
        std::fs::write(&path, text).unwrap();
    }
    let mut web1 = vm("web1", 11);
    web1.console_log = Some(path);
    Fake::with_vms(vec![web1])
}

#[test]
fn the_log_is_printed_byte_for_byte() {
    let text = b"\x1b[32mok\x1b[0m\r\n\xff\xfe no line end";
    let output = with_log(Some(text)).command(&["log", "web1"]).output().unwrap();
    assert_eq!(output.stdout, text);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_log_begins_with_what_its_file_has_no_more_room_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("console.log");
    std::fs::write(directory.path().join("console.log.1"), "one\n").unwrap();
    std::fs::write(&path, "two\n").unwrap();
    let mut web1 = vm("web1", 11);
    web1.console_log = Some(path);
    assert_eq!(
        Fake::with_vms(vec![web1]).run(&["log", "web1"]).answer(),
        "one\ntwo\n"
    );
}

#[test]
fn a_vm_that_was_never_started_has_no_log() {
    let run = with_log(None).run(&["log", "web1"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr
            .contains("web1 has no serial log: it was never started"),
        "{run:#?}"
    );
}

#[test]
fn a_followed_log_goes_on_over_the_next_power_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("console.log");
    std::fs::write(&path, "first\n").unwrap();
    let mut web1 = vm("web1", 11);
    web1.console_log = Some(path.clone());
    let fake = Fake::with_vms(vec![web1]);
    let mut child = fake
        .command(&["log", "-f", "web1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    read_until(&mut out, "first\n");
    let mut log = std::fs::File::options().append(true).open(&path).unwrap();
    log.write_all(b"more\n").unwrap();
    read_until(&mut out, "more\n");
    // It was full: what was not printed of it is in the file before.
    std::fs::write(directory.path().join("console.log.1"), "first\nmore\nlast\n").unwrap();
    std::fs::write(&path, "anew\n").unwrap();
    assert_eq!(read_until(&mut out, "anew\n"), "last\nanew\n");
    std::fs::remove_file(directory.path().join("console.log.1")).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "another file\n").unwrap();
    assert_eq!(read_until(&mut out, "another file\n"), "another file\n");
    child.kill().unwrap();
    child.wait().unwrap();
}
