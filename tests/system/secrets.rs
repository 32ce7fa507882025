//! What a VM is told in its first boot only, what it reports, and which keys count: with cloud-init's own code as the client.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::cloud_init::{MAC, SUITES, add, code};
use crate::guests::KEY;
use crate::lab::{Client, Lab, Run, eventually};
use crate::root;

const REPORTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/reports.py");
const SECRET: &str = "#cloud-config\nwrite_files: [{path: /etc/token, content: hunter2}]\n";
/// `mkpasswd -m sha512crypt hunter2`.
const HASH: &str = "$6$saltsaltsaltsalt$HYRyw4Of/jYLZbv36GVJlJxhVvg8r4C5NfnkJ1dV0M7gFfNpbPTQfC6VwMyhlkxvG9QDKzD4cHVDzJkyYSfmJ0";

/// A lab where cloud-init reports, and templates of the operator's are used.
fn lab() -> Lab {
    let mut lab = Lab::without_daemon();
    let config = lab.path("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        format!("{text}  metadata: {{reports: true}}\n  ssh_host_keys: generated\n"),
    )
    .unwrap();
    let templates = lab.path("templates");
    fs::create_dir(&templates).unwrap();
    let template = "#cloud-config\n{% if secrets.db %}\nwrite_files:\n- path: /etc/db\n  content: {{ secrets.db }}\n{% endif %}\n";
    fs::write(templates.join("confident.yaml"), template).unwrap();
    lab.configure(&format!("templates: {}", templates.display()));
    lab.start_daemon();
    lab
}

fn written(lab: &Lab, name: &str, text: &str) -> String {
    let path = lab.path(name);
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn on_the_bridge(lab: &mut Lab) -> Client {
    let client = lab.client(MAC);
    client.set_address("10.77.0.31/24");
    client
}

fn get(client: &Client, path: &str) -> String {
    let url = format!("http://10.77.0.1{path}");
    client
        .run(&["curl", "-sS", "--fail", "--max-time", "10", &url])
        .ok()
}

fn post(client: &Client, path: &str, body: &str) {
    let url = format!("http://10.77.0.1{path}");
    client
        .run(&["curl", "-sS", "--fail", "--data-binary", body, &url])
        .ok();
}

fn shown(lab: &Lab) -> Value {
    let all: Value = serde_json::from_str(&lab.seedbed(&["show", "web1", "--format", "json"]).ok()).unwrap();
    all[0].clone()
}

/// A VM of someone else's that has every kind of secret that it can be given.
fn add_confident(lab: &Lab) {
    let (user_data, db) = (
        written(lab, "user-data", SECRET),
        written(lab, "db", "hunter2-db\n"),
    );
    let users = written(lab, "users", &format!("- name: ann\n  hashed_passwd: {HASH}\n"));
    let db = format!("db={db}");
    let secrets = [
        "--template",
        "confident",
        "--secret",
        &db,
        "--user-data",
        &user_data,
        "--secret-user-data",
        "--users",
        &users,
    ];
    add(lab, &secrets);
}

/// Nobody sees its secrets who looks at the record, and does not ask for them.
fn are_shown_to_nobody(lab: &Lab) {
    let render = ["render", "web1", "--as", "nocloud"];
    let rendered = lab.seedbed(&render).ok();
    assert!(
        !rendered.contains("hunter2") && rendered.contains("(secret)"),
        "{rendered}"
    );
    let wanted = lab.seedbed(&[&render[..], &["--show-secrets"]].concat()).ok();
    assert!(
        wanted.contains("hunter2-db") && wanted.contains(SECRET.trim()),
        "{wanted}"
    );
    let merged = lab.seedbed(&["render", "web1", "--merged"]).ok();
    assert!(!merged.contains("hunter2"), "{merged}");
    let sheet = lab.seedbed(&["show", "web1", "--format", "yaml"]).ok();
    assert!(!sheet.contains("hunter2"), "{sheet}");
}

/// By no way, once its first boot has succeeded: and what is no secret is there as before.
fn are_told_no_more(client: &Client) {
    let closed = || get(client, "/nocloud/user-data").is_empty();
    assert!(eventually(Duration::from_secs(60), closed));
    let vendor_data = get(client, "/nocloud/vendor-data");
    assert!(
        vendor_data.starts_with("#cloud-config") && !vendor_data.contains("hunter2"),
        "{vendor_data}"
    );
    for path in [
        "/openstack/latest/vendor_data.json",
        "/openstack/latest/meta_data.json",
    ] {
        assert!(!get(client, path).contains("hunter2"), "{path}");
    }
    let url = "http://10.77.0.1/openstack/latest/user_data";
    let status = client.run(&["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url]);
    assert_eq!(status.ok(), "404");
}

fn told(lab: &Lab) -> String {
    shown(lab)["secrets"].as_str().unwrap().to_owned()
}

#[test]
fn h19_secrets_are_told_in_the_first_boot_only_and_who_comes_later_is_counted() {
    if !root() {
        return;
    }
    let mut lab = lab();
    add_confident(&lab);
    are_shown_to_nobody(&lab);
    let client = on_the_bridge(&mut lab);
    assert_eq!(get(&client, "/nocloud/user-data"), SECRET);
    assert!(get(&client, "/nocloud/vendor-data").contains("hunter2-db"));
    let released = || told(&lab).contains("released until");
    assert!(eventually(Duration::from_secs(60), released), "{}", told(&lab));

    post(&client, "/phone-home", "hostname=web1");
    are_told_no_more(&client);
    let late = told(&lab);
    assert!(late.contains("withheld since its first boot succeeded"), "{late}");
    assert!(late.contains("read without them"), "{late}");

    // On purpose, and to another instance, they are told again.
    lab.seedbed(&["set", "web1", "--release-secrets"]).ok();
    assert_eq!(get(&client, "/nocloud/user-data"), SECRET);
    let before = shown(&lab)["uuid"].clone();
    let changed = lab.seedbed(&["set", "web1", "--new-instance"]).ok();
    assert!(changed.contains("cloud-init sets it up anew"), "{changed}");
    assert_ne!(shown(&lab)["uuid"], before);
    assert_eq!(get(&client, "/nocloud/user-data"), SECRET);
    let log = lab.daemon_log();
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn what_cloud_inits_own_reporter_posts_is_shown_and_makes_ready() {
    if !root() {
        return;
    }
    let mut lab = lab();
    add(&lab, &[]);
    let client = on_the_bridge(&mut lab);
    assert!(get(&client, "/nocloud/vendor-data").contains("endpoint: \"http://10.77.0.1/report\""));
    for suite in SUITES {
        let code = code(suite).to_string_lossy().into_owned();
        client
            .run(&[
                "timeout",
                "60",
                "/usr/bin/python3",
                REPORTER,
                &code,
                "http://10.77.0.1/report",
            ])
            .ok();
    }
    let heard = || {
        let vm = shown(&lab);
        let failures = vm["cloud_init_failures"].as_array().map_or(0, Vec::len);
        failures == 2 * SUITES.len() && vm["cloud_init"] == "modules-final is done" && vm["step"] == "ready"
    };
    assert!(eventually(Duration::from_secs(60), heard), "{}", shown(&lab));
    let failure = &shown(&lab)["cloud_init_failures"][0];
    assert!(
        failure.as_str().unwrap().contains("config-runcmd failed"),
        "{failure}"
    );
    assert!(lab.daemon_log().contains("cloud-init of web1: "));
    // Larger than any report is cut, and is no event.
    let large = written(&lab, "large", &"x".repeat(70_000));
    let post = format!("@{large}");
    let url = "http://10.77.0.1/report";
    let status = client.run(&[
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--data-binary",
        &post,
        url,
    ]);
    assert_eq!(status.stdout, "413");
}

#[test]
fn who_waits_is_told_at_once_that_cloud_init_failed() {
    if !root() {
        return;
    }
    let mut lab = lab();
    add(&lab, &[]);
    let client = on_the_bridge(&mut lab);
    get(&client, "/nocloud/meta-data");
    let child = lab
        .command(&["wait", "web1", "--for", "ready", "--timeout", "120"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let reports = |result: &str| {
        let body = format!(
            r#"{{"name": "modules-final/config-scripts-user", "description": "running scripts-user", "event_type": "finish", "result": "{result}"}}"#
        );
        post(&client, "/report", &body);
    };
    reports("SUCCESS");
    reports("FAIL");
    // (A time that is over would be 4.)
    Run::waited(child).refused(1, &["web1", "config-scripts-user failed", "seedbed log web1"]);
    // It got as far as it did all the same, and what phones home is ready.
    lab.seedbed(&["wait", "web1", "--for", "metadata"]).ok();
    post(&client, "/phone-home", "hostname=web1");
    lab.seedbed(&["wait", "web1", "--for", "ready"]).ok();
}

#[test]
fn the_keys_of_an_account_are_told_as_they_are_now() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let users = written(
        &lab,
        "users",
        &format!("- name: ann\n  ssh_authorized_keys: ['{KEY} ann']\n- name: ben\n"),
    );
    add(&lab, &["--users", &users]);
    let client = on_the_bridge(&mut lab);
    assert_eq!(get(&client, "/keys/ann").trim(), format!("{KEY} ann"));
    assert_eq!(get(&client, "/keys/ben").trim(), KEY);
    assert_eq!(get(&client, "/keys/nobody"), "");
    lab.seedbed(&["set", "web1", "--key", ""]).ok();
    assert_eq!(get(&client, "/keys/ben"), "");
}
