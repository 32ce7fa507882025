//! What VMs are told at once, what is waited for, and how those that stand still look.

use seedbed::control::{PolicySettings, Power, PowerVms, Request, Rung, Select};

use crate::fake::{Fake, vm};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ ops@lab";

#[test]
fn pause_resume_and_kill_take_names_or_all() {
    for (verb, what) in [
        ("pause", Power::Pause),
        ("resume", Power::Resume),
        ("kill", Power::Kill),
    ] {
        for (args, names, all) in [
            (["web[1-2]"], vec!["web[1-2]".to_owned()], false),
            (["--all"], vec![], true),
        ] {
            let fake = Fake::with_vms(vec![vm("web1", 11)]);
            fake.run(&[&[verb], &args[..]].concat()).answer();
            let select = Select { names, all };
            assert_eq!(fake.request(), Request::Power(PowerVms { select, what }));
        }
    }
}

#[test]
fn a_paused_vm_says_why() {
    let mut paused = vm("web1", 11);
    paused.state = "paused".to_owned();
    paused.life.paused = Some("host disk full".to_owned());
    let fake = Fake::with_vms(vec![paused]);
    assert_eq!(
        fake.run(&["pause", "web1"]).answer(),
        "web1 is paused (host disk full) at 10.77.0.11\n"
    );
    assert!(fake.run(&["list"]).answer().contains("paused (host disk full)"));
    let json = fake.run(&["show", "web1", "--format", "json"]).answer();
    let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(shown[0]["paused"], "host disk full", "{json}");
}

#[test]
fn ip_and_dhcp_are_two_names_of_one_rung() {
    for word in ["ip", "dhcp"] {
        let fake = Fake::with_vms(vec![vm("web1", 11)]);
        fake.run(&["wait", "web1", "--for", word]).answer();
        let Request::Wait(wait) = fake.request() else {
            panic!("{:?}", fake.request())
        };
        assert_eq!(wait.rung, Rung::Dhcp);
    }
}

#[test]
fn when_vms_are_started_is_said_at_launch_and_changed_later() {
    let policy = |args: &[&str]| {
        let fake = Fake::with_vms(vec![vm("web1", 11)]);
        fake.run(args).answer();
        match fake.request() {
            Request::Launch(launch) => launch.policy,
            Request::Set(set) => set.policy,
            other => panic!("{other:?}"),
        }
    };
    let all = [
        "--restart",
        "on-failure",
        "--autostart",
        "--after",
        "db1:ready",
        "--after",
        "nas",
    ];
    let launch = ["launch", "web1", "-i", "x", "--key", KEY];
    let expected = PolicySettings {
        restart: Some("on-failure".to_owned()),
        autostart: Some(true),
        after: Some(vec!["db1:ready".to_owned(), "nas".to_owned()]),
    };
    assert_eq!(policy(&[&launch[..], &all].concat()), expected);
    assert_eq!(policy(&[&["set", "web1"][..], &all].concat()), expected);
    assert_eq!(policy(&launch), PolicySettings::default());
    let none = policy(&["set", "web1", "--autostart=off", "--after", ""]);
    assert_eq!((none.autostart, none.after), (Some(false), Some(Vec::new())));
    let fake = Fake::with_vms(Vec::new());
    assert_eq!(fake.run(&["set", "web1", "--autostart=maybe"]).code, 2);
}

#[test]
fn a_sheet_tells_how_a_vm_failed_and_when_it_is_started_again() {
    let mut failed = vm("web1", 11);
    failed.state = "failed".to_owned();
    failed.step = None;
    failed.failure = Some("QEMU ended with signal: 9 (SIGKILL)".to_owned());
    failed.life.restart = Some("on-failure".to_owned());
    failed.life.restarts = 2;
    failed.life.restart_at = Some("2026-01-02T03:04:09Z".to_owned());
    failed.life.autostart = true;
    failed.life.after = vec!["db1:ready".to_owned(), "nas:started".to_owned()];
    failed.life.failed_at = Some("2026-01-02T03:04:05Z".to_owned());
    failed.life.console_tail = vec!["Booting".to_owned(), "Kernel panic".to_owned()];
    let fake = Fake::with_vms(vec![failed]);
    let sheet = fake.run(&["show", "web1"]).answer();
    for line in [
        "Failure:     QEMU ended with signal: 9 (SIGKILL)",
        "Failed at:   2026-01-02T03:04:05Z",
        "Restart:     on-failure: started again 2 times; next at 2026-01-02T03:04:09Z",
        "Autostart:   when the host starts",
        "After:       db1:ready, nas:started",
        "Console:     Booting",
        "Console:     Kernel panic",
    ] {
        assert!(
            sheet.lines().any(|shown| shown == line),
            "no {line:?} in\n{sheet}"
        );
    }
}
