//! A user-data is checked before the daemon is asked for anything.

use std::fs::File;
use std::process::Command;

use seedbed::control::Request;

use crate::fake::{Fake, Run, vm};

fn fake() -> Fake {
    Fake::with_vms(vec![vm("web1", 11)])
}

/// A command with a user-data, on a host without cloud-init.
fn command(fake: &Fake, words: &[&str], text: &str) -> Command {
    std::fs::write(fake.directory().join("user.yaml"), text).unwrap();
    let mut command = fake.command(words);
    command
        .args(["--user-data", "user.yaml"])
        .current_dir(fake.directory())
        .env("PATH", fake.directory());
    command
}

const BAD: &str = "#cloud-config\nusers:\n  - name: ann\n    ssh_authorised_keys: [x]\npackages: curl\n";

#[test]
fn problems_are_told_with_their_lines_and_the_daemon_is_not_asked() {
    let fake = fake();
    for words in [
        &["add", "nas"][..],
        &["adopt", "52:54:00:aa:bb:cc", "nas"],
        &["set", "web1"],
    ] {
        let run = Run::of(command(&fake, words, BAD));
        assert_eq!(run.code, 1, "{run:?}");
        assert_eq!(
            run.stderr,
            "error: user.yaml is not usable as user-data: cloud-init would not do what it says\n  \
             line 4: users[0].ssh_authorised_keys: cloud-init has no such key; did you mean ssh_authorized_keys?\n  \
             line 5: packages: expected a list, found a text\n\
             hint: mend it, or go on with it as it is: --force\n"
        );
    }
    assert_eq!(fake.requests(), []);
}

#[test]
fn force_goes_on_and_tells_the_daemon() {
    let fake = fake();
    let run = Run::of(command(&fake, &["add", "nas", "--force"], BAD));
    assert_eq!(
        run.stderr,
        "warning: user.yaml: line 4: users[0].ssh_authorised_keys: cloud-init has no such key; did you mean \
         ssh_authorized_keys? (taken by force)\n\
         warning: user.yaml: line 5: packages: expected a list, found a text (taken by force)\n"
    );
    run.answer();
    let Request::Add(add) = fake.request() else {
        panic!("{:?}", fake.request())
    };
    assert_eq!(
        (add.force, add.user_data.as_deref()),
        (true, Some(BAD.as_bytes()))
    );
}

#[test]
fn what_can_not_be_read_at_all_is_not_forced() {
    let fake = fake();
    for (text, says) in [
        (
            "#cloud-config\npackages: [\n",
            "user.yaml is not usable as user-data: line",
        ),
        ("packages: [curl]\n", "no `#cloud-config` line"),
    ] {
        let run = Run::of(command(&fake, &["add", "nas", "--force"], text));
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(says), "{run:?}");
    }
    assert_eq!(fake.requests(), []);
}

#[test]
fn warnings_are_told_on_the_side_and_refuse_nothing() {
    let text = "#cloud-config\napt_update: true\n";
    let told = "warning: user.yaml: line 2: apt_update: it is deprecated since cloud-init 22.2: write package_update\n";
    let run = Run::of(command(&fake(), &["set", "web1"], text));
    assert_eq!(run.stderr, told);
    run.answer();
    let quiet = Run::of(command(&fake(), &["--quiet", "set", "web1"], text));
    assert_eq!(quiet.stderr, "");
    quiet.answer();
}

#[test]
fn standard_input_and_an_empty_file_are_user_data_too() {
    let fake = fake();
    std::fs::write(fake.directory().join("user.yaml"), BAD).unwrap();
    let mut set = fake.command(&["set", "web1", "--user-data", "-"]);
    set.stdin(File::open(fake.directory().join("user.yaml")).unwrap());
    let run = Run::of(set);
    assert!(
        run.stderr.contains("standard input is not usable as user-data"),
        "{run:?}"
    );
    Run::of(command(&fake, &["set", "web1"], "")).answer();
    let Request::Set(set) = fake.request() else {
        panic!("{:?}", fake.request())
    };
    assert_eq!((set.force, set.user_data), (false, Some(Vec::new())));
}

#[test]
fn there_is_nothing_to_force_without_a_user_data() {
    let run = fake().run(&["add", "nas", "--force"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("--user-data"), "{run:?}");
}
