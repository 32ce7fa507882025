//! Guests reach the world through the host's address, where the network says `nat: true`, and not otherwise.

use std::process::Command;

use crate::lab::{Lab, Run};
use crate::root;

/// A world outside the lab: a namespace with 192.0.2.9, which knows the lab only as 192.0.2.1.
pub(crate) struct World {
    pub(crate) namespace: String,
}

impl World {
    pub(crate) fn beside(lab: &Lab) -> Self {
        let namespace = format!("{}-w", lab.namespace());
        let ip = |args: &[&str]| drop(Run::of(Command::new("ip").args(args)).ok());
        ip(&["netns", "add", &namespace]);
        ip(&[
            "-n",
            lab.namespace(),
            "link",
            "add",
            "uplink",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            &namespace,
        ]);
        ip(&[
            "-n",
            lab.namespace(),
            "addr",
            "add",
            "192.0.2.1/24",
            "dev",
            "uplink",
        ]);
        ip(&["-n", lab.namespace(), "link", "set", "uplink", "up"]);
        ip(&["-n", &namespace, "addr", "add", "192.0.2.9/24", "dev", "eth0"]);
        ip(&["-n", &namespace, "link", "set", "eth0", "up"]);
        Self { namespace }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        Command::new("ip")
            .args(["netns", "del", &self.namespace])
            .output()
            .ok();
    }
}

fn reaches_the_world(nat: bool) -> bool {
    let mut lab = Lab::without_daemon();
    let config = lab.path("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("nat: true"));
    std::fs::write(&config, text.replace("nat: true", &format!("nat: {nat}"))).unwrap();
    lab.start_daemon();
    // Also without NAT the host forwards: what is missing then is the way back.
    Run::of(&mut lab.inside(&["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])).ok();
    let world = World::beside(&lab);
    lab.seedbed(&[
        "add",
        "printer",
        "--mac",
        "52:54:00:aa:00:01",
        "--ip",
        "10.77.0.50",
    ])
    .ok();
    let client = lab.client("52:54:00:aa:00:01");
    client.set_address("10.77.0.50/24");
    client
        .run(&["ip", "route", "add", "default", "via", "10.77.0.1"])
        .ok();
    // The host itself, which has another address now, still resolves by the daemon's DNS.
    let answer = Run::of(&mut lab.inside(&[
        "dig",
        "@10.77.0.1",
        "+short",
        "+tries=1",
        "+time=3",
        "printer.lab",
    ]))
    .ok();
    assert_eq!(answer.trim(), "10.77.0.50");
    let reached = client.run(&["ping", "-c", "1", "-W", "2", "192.0.2.9"]).code == 0;
    drop(world);
    reached
}

#[test]
fn with_nat_guests_reach_the_world_and_without_they_do_not() {
    if !root() {
        return;
    }
    assert!(reaches_the_world(true));
    assert!(!reaches_the_world(false));
}
