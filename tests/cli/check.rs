//! `seedbed check`: how it looks, and how it ends.

use seedbed::control::{Answer, CheckInfo, Request};

use crate::fake::Fake;

fn checked(name: &str, verdict: &str, problems: &[&str]) -> CheckInfo {
    let is_up = problems.is_empty();
    let word = |up: &str| if is_up { up } else { "silent" }.to_owned();
    CheckInfo {
        name: name.to_owned(),
        ip: [10, 77, 0, 5].into(),
        mac: "52:54:00:aa:bb:cc".to_owned(),
        verdict: verdict.to_owned(),
        problems: problems.iter().map(|problem| (*problem).to_owned()).collect(),
        state: "running".to_owned(),
        step: Some("ready".to_owned()),
        arp: word("ok"),
        ping: word("ok"),
        dns: "ok".to_owned(),
        ssh: word("ok"),
        ssh_banner: is_up.then(|| "SSH-2.0-OpenSSH_9.2p1".to_owned()),
        metadata: is_up.then(|| "2026-01-01T00:00:00Z".to_owned()),
        metadata_seconds_ago: is_up.then_some(90),
    }
}

fn fake(checks: Vec<CheckInfo>) -> Fake {
    Fake::new(move |_, _| Ok(Answer::Checks(checks.clone())))
}

#[test]
fn what_is_wrong_is_said_and_is_code_1() {
    let checks = vec![
        checked("web1", "ok", &[]),
        checked("web2", "wrong", &["nobody answers for its address"]),
    ];
    let fake = fake(checks.clone());
    let run = fake.run(&["check", "web[1-2]"]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{run:#?}");
    insta::assert_snapshot!("check", run.stdout);
    let names = vec!["web[1-2]".to_owned()];
    assert_eq!(fake.request(), Request::Check { names });
    let quiet = fake.run(&["check", "--quiet"]);
    assert!(
        quiet.stdout.contains("web2") && !quiet.stdout.contains("web1"),
        "{quiet:#?}"
    );
    let json = fake.run(&["check", "--format", "json"]);
    assert_eq!(
        serde_json::from_str::<Vec<CheckInfo>>(&json.stdout).unwrap(),
        checks
    );
}

#[test]
fn cron_hears_nothing_of_what_is_well() {
    let fake = fake(vec![checked("web1", "ok", &[]), checked("web2", "stopped", &[])]);
    let run = fake.run(&["check", "--quiet"]);
    assert_eq!((run.code, &*run.stdout, &*run.stderr), (0, "", ""));
}
