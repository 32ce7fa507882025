//! Twenty guests, one command: twenty names, twenty addresses, each its own documents.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::lab::{Lab, Run, say};
use crate::turn::Turn;
use crate::{guests, root};

#[test]
fn twenty_guests_are_one_command() {
    if !root() {
        return;
    }
    let _alone = Turn::alone();
    let lab = Lab::new();
    guests::add_tiny(&lab, "tiny");
    #[expect(clippy::disallowed_methods, reason = "the test measures")]
    let start = Instant::now();
    Run::of(&mut guests::launch(
        &lab,
        &["vps[01-20]", "--swap", "16M", "--wait=300"],
    ))
    .ok();
    say(&format!(
        "twenty tiny guests from launch to ready: {:.1} s",
        start.elapsed().as_secs_f64()
    ));

    let json = lab.seedbed(&["list", "--format", "json"]).ok();
    let vms: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(vms.len(), 20);
    let field = |name: &str| {
        vms.iter()
            .map(|vm| vm[name].as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    for unique in ["name", "ip", "mac", "uuid", "tap"] {
        assert_eq!(field(unique).len(), 20, "{unique} is not unique");
    }
    assert_eq!(field("step"), BTreeSet::from(["ready".to_owned()]));

    // What each guest itself says it was told, on its own console.
    for vm in &vms {
        let (name, ip, uuid) = (
            vm["name"].as_str().unwrap(),
            vm["ip"].as_str().unwrap(),
            vm["uuid"].as_str().unwrap(),
        );
        let log = lab.seedbed(&["log", name]).ok();
        let said = format!("TINY-READY name={name}.lab ip={ip} instance={uuid}");
        assert!(log.contains(&said), "{name} did not say {said:?}:\n{log}");
    }
    lab.seedbed(&["delete", "vps[01-20]", "--force"]).ok();
    assert_eq!(
        (lab.qemus(), lab.taps(), lab.listing("state/vms")),
        (vec![], vec![], vec![])
    );
}
