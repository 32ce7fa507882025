//! Keys, accounts and their passwords on the command line.

use std::io::Write as _;
use std::process::Stdio;

use seedbed::control::{Answer, KeyInfo, PublicKeyInfo, Request, RingRequest};

use crate::fake::{Fake, vm};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ ops@lab";

fn registered(fake: &Fake) -> seedbed::control::AddVms {
    match fake.request() {
        Request::Add(add) => add,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_a_line_or_a_name_of_the_ring_and_an_account_is_what_it_says() {
    let fake = Fake::with_vms(vec![vm("nas", 20)]);
    let add = [
        "add",
        "nas",
        "--key",
        KEY,
        "--key",
        "ops",
        "--owner",
        "ann",
        "--user",
        "ann,sudo,groups=docker:adm",
        "--user",
        "ben",
    ];
    fake.run(&add).answer();
    let add = registered(&fake);
    assert_eq!(
        (add.keys, add.custom.ring, add.custom.owner.as_deref()),
        (vec![KEY.to_owned()], Some(vec!["ops".to_owned()]), Some("ann"))
    );
    let users = add.custom.users.unwrap();
    assert_eq!(
        (users.len(), users[0].sudo, &users[0].groups),
        (2, true, &vec!["docker".to_owned(), "adm".to_owned()])
    );
}

#[test]
fn a_password_from_standard_input_leaves_the_client_as_a_hash_only() {
    let fake = Fake::with_vms(vec![vm("nas", 20)]);
    let mut command = fake.command(&["add", "nas", "--user", "ann", "--password-prompt"]);
    let mut running = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    running
        .stdin
        .take()
        .unwrap()
        .write_all(b"correct horse\n")
        .unwrap();
    let ended = running.wait_with_output().unwrap();
    assert!(ended.status.success());
    let users = registered(&fake).custom.users.unwrap();
    let hash = users[0].hashed_passwd.as_ref().unwrap().expose();
    assert!(hash.starts_with("$6$rounds=500000$"), "{hash}");
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!said.contains("correct horse") && !said.contains("$6$"), "{said}");
}

#[test]
fn a_password_on_the_command_line_is_refused_without_repeating_it() {
    let fake = Fake::with_vms(vec![vm("nas", 20)]);
    let run = fake.run(&["set", "nas", "--user", "ann,password=hunter2"]);
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.contains("--password-prompt") && !run.stderr.contains("hunter2"),
        "{}",
        run.stderr
    );
    assert!(fake.requests().is_empty());
}

#[test]
fn an_empty_value_takes_all_keys_or_accounts_away() {
    let fake = Fake::with_vms(vec![vm("nas", 20)]);
    fake.run(&["set", "nas", "--key", "", "--user", "", "--owner", ""])
        .answer();
    let Request::Set(set) = fake.request() else {
        panic!("{:?}", fake.request());
    };
    assert_eq!(
        (set.keys, set.custom.ring, set.custom.owner.as_deref()),
        (Some(Vec::new()), Some(Vec::new()), Some(""))
    );
    assert_eq!(set.custom.users, Some(Vec::new()));
}

#[test]
fn the_key_ring_is_shown_with_fingerprints_and_who_uses_it() {
    let public = |kind: &str, comment: &str| PublicKeyInfo {
        fingerprint: "SHA256:PsJsPbzBGZVL8Gjm38vC9xNEtHsAcgqDHUxBOSrgTxM".to_owned(),
        kind: kind.to_owned(),
        comment: comment.to_owned(),
    };
    let ring = vec![
        KeyInfo {
            name: "ann".to_owned(),
            owner: Some("ann".to_owned()),
            keys: vec![public("ssh-ed25519", "ann@laptop"), public("ssh-rsa", "")],
            source: "gh:ann".to_owned(),
            added: "2026-01-02T03:04:05Z".to_owned(),
            age_seconds: 60,
            used_by: (1..=5).map(|number| format!("web{number}")).collect(),
        },
        KeyInfo {
            name: "ops".to_owned(),
            owner: None,
            keys: vec![public("ssh-ed25519", "evil\u{1b}[2J")],
            source: "agent".to_owned(),
            added: "2026-01-02T03:04:05Z".to_owned(),
            age_seconds: 60,
            used_by: Vec::new(),
        },
    ];
    let fake = Fake::new(move |_, _| Ok(Answer::Keys(ring.clone())));
    insta::assert_snapshot!("key-list", fake.run(&["key", "list"]).answer());
    assert_eq!(
        fake.request(),
        Request::Ring(RingRequest::List { names: Vec::new() })
    );
}

#[test]
fn keys_for_the_ring_come_from_one_place() {
    let fake = Fake::new(|_, _| Ok(Answer::Done("done".to_owned())));
    for wrong in [
        &["key", "add", "ann"][..],
        &["key", "add", "ann", "--agent", "--file", "x"],
    ] {
        assert_eq!(fake.run(wrong).code, 2, "{wrong:?}");
    }
    fake.run(&["key", "add", "ann", KEY, "--owner", "ann", "--replace"])
        .answer();
    let Request::Ring(RingRequest::Add(add)) = fake.request() else {
        panic!("{:?}", fake.request());
    };
    assert_eq!(
        (add.keys, add.owner.as_deref(), add.replace),
        (vec![KEY.to_owned()], Some("ann"), true)
    );
    // Port 9 (discard, RFC 863) of the loopback: no proxy listens there.
    let mut cut_off = fake.command(&["key", "add", "ben", "gh:ben"]);
    cut_off.env("https_proxy", "http://127.0.0.1:9");
    let run = crate::fake::Run::of(cut_off);
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(
        run.stderr.contains("can not fetch https://github.com/ben.keys") && run.stderr.contains("--file"),
        "{run:#?}"
    );
}
