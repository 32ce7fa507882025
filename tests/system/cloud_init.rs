//! cloud-init's own code, of every release a Debian suite has, reads each view: it is the client these bytes are for.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::guests::{KEY, cache};
use crate::lab::{Client, Lab, Run};
use crate::root;

pub(crate) const MAC: &str = "52:54:00:aa:00:31";
const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/cloud_init.py");
pub(crate) const USER_DATA: &str = "#cloud-config\nfinal_message: only for web1\n";
/// cloud-init 20.4, 22.4, 25.1 and the newest.
pub(crate) const SUITES: [&str; 4] = ["bullseye", "bookworm", "trixie", "sid"];

/// Where a suite's cloud-init lies unpacked.
pub(crate) fn code(suite: &str) -> PathBuf {
    let place = cache().join(format!("cloud-init-{suite}"));
    let fetch = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/cloud-init-code");
    Run::of(Command::new(fetch).arg(suite).arg(&place)).ok();
    place
}

/// Registers a machine of someone else's, and what else is wanted of it.
pub(crate) fn add(lab: &Lab, wanted: &[&str]) {
    let machine = ["add", "web1", "--mac", MAC, "--ip", "10.77.0.31", "--key", KEY];
    lab.seedbed(&[&machine, wanted].concat()).ok();
}

/// A machine of someone else's that is registered, with its address and the way out that DHCP would give it.
pub(crate) fn machine(lab: &mut Lab) -> (Client, Value) {
    let user_data = lab.path("user-data");
    std::fs::write(&user_data, USER_DATA).unwrap();
    let user_data = user_data.to_string_lossy().into_owned();
    add(lab, &["--user-data", &user_data]);
    let shown: Value =
        serde_json::from_str(&lab.seedbed(&["show", "web1", "--format", "json"]).ok()).unwrap();
    let client = lab.client(MAC);
    client.set_address("10.77.0.31/24");
    client
        .run(&["ip", "route", "add", "default", "via", "10.77.0.1"])
        .ok();
    (client, shown[0].clone())
}

/// What a datasource of this code understood.
fn read(client: &Client, suite: &str, datasource: &str, vm: &Value) -> Value {
    let code = code(suite).to_string_lossy().into_owned();
    let (uuid, url) = (vm["uuid"].as_str().unwrap(), vm["seed_url"].as_str().unwrap());
    let serial = format!("ds=nocloud-net;s={url}");
    let words = [
        "timeout",
        "90",
        "/usr/bin/python3",
        DRIVER,
        &code,
        datasource,
        uuid,
        &serial,
    ];
    let run = client.run(&words);
    assert_eq!(run.code, 0, "{suite} {datasource}: {run}");
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{suite} {datasource}: {error}: {run}"))
}

fn decoded(value: &Value) -> String {
    let words = ["base64", "-d"];
    let mut decode = Command::new(words[0]);
    decode
        .arg(words[1])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    let mut child = decode.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), value.as_str().unwrap().as_bytes()).unwrap();
    drop(child.stdin.take());
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn understood(said: &Value, hostname: &str, instance_id: &str) {
    assert_eq!(said["found"], true, "{said}");
    assert_eq!(said["hostname"], hostname, "{said}");
    assert_eq!(said["instance_id"], instance_id, "{said}");
    let keys: Vec<_> = said["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap().trim())
        .collect();
    assert_eq!(keys, [KEY], "{said}");
    assert_eq!(decoded(&said["user_data"]), USER_DATA);
}

#[test]
fn every_release_reads_openstacks_view_and_asks_no_more_at_later_boots() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, vm) = machine(&mut lab);
    let uuid = vm["uuid"].as_str().unwrap();
    for suite in SUITES {
        let said = read(&client, suite, "OpenStack", &vm);
        understood(&said, "web1.lab", uuid);
        assert!(
            decoded(&said["vendor_data"]).contains("phone_home"),
            "{suite}: {said}"
        );
        assert_eq!(
            said["network"]["links"][0]["ethernet_mac_address"], MAC,
            "{suite}"
        );
        // What is cached stays good by the firmware's UUID alone: a daemon that is down at a reboot does no harm.
        assert_eq!(said["stays_valid"], true, "{suite}");
    }
}

#[test]
fn every_release_reads_the_nocloud_view() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, vm) = machine(&mut lab);
    let uuid = vm["uuid"].as_str().unwrap();
    for suite in SUITES {
        let said = read(&client, suite, "NoCloud", &vm);
        understood(&said, "web1.lab", uuid);
        assert!(
            decoded(&said["vendor_data"]).contains("phone_home"),
            "{suite}: {said}"
        );
    }
}

#[test]
fn cloud_init_reads_ec2s_view_with_a_token() {
    if !root() {
        return;
    }
    let mut lab = Lab::new();
    let (client, vm) = machine(&mut lab);
    let uuid = vm["uuid"].as_str().unwrap();
    let instance = format!("i-{}", &uuid.replace('-', "")[..12]);
    // Each waits for addresses that are not there first.
    for suite in ["bookworm", "trixie"] {
        understood(&read(&client, suite, "Ec2", &vm), "web1.lab", &instance);
    }
    assert!(
        lab.daemon_log().contains("web1 reached metadata"),
        "{}",
        lab.daemon_log()
    );
}
