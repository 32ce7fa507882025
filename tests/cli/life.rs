//! What VMs are told at once, what is waited for, and how those that stand still look.

use seedbed::control::{Power, PowerVms, Request, Rung, Select};

use crate::fake::{Fake, vm};

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
