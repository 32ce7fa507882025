//! What a VM is told in its first boot only, what it reports, and which keys count: with cloud-init's own code as the client.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::cloud_init::{MAC, SUITES, code};
use crate::guests::KEY;
use crate::lab::{Client, Lab, eventually};
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

fn shown(lab: &Lab) -> Value {
    let all: Value = serde_json::from_str(&lab.seedbed(&["show", "web1", "--format", "json"]).ok()).unwrap();
    all[0].clone()
}

#[test]
fn h19_secrets_are_told_in_the_first_boot_only_and_who_comes_later_is_counted() {
    if !root() {
        return;
    }
    let mut lab = lab();
    let (user_data, db) = (
        written(&lab, "user-data", SECRET),
        written(&lab, "db", "hunter2-db\n"),
    );
    let users = written(&lab, "users", &format!("- name: ann\n  hashed_passwd: {HASH}\n"));
    let db = format!("db={db}");
    let add = [
        "add",
        "web1",
        "--mac",
        MAC,
        "--ip",
        "10.77.0.31",
        "--key",
        KEY,
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
    lab.seedbed(&add).ok();
    // Nobody sees them who looks at the record.
    let rendered = lab.seedbed(&["render", "web1", "--as", "nocloud"]).ok();
    assert!(
        !rendered.contains("hunter2-db") && rendered.contains("(secret)"),
        "{rendered}"
    );
    assert!(
        lab.seedbed(&["render", "web1", "--as", "nocloud", "--show-secrets"])
            .ok()
            .contains("hunter2-db")
    );
    assert!(
        !lab.seedbed(&["show", "web1", "--format", "yaml"])
            .ok()
            .contains("hunter2")
    );

    let client = on_the_bridge(&mut lab);
    assert_eq!(get(&client, "/nocloud/user-data"), SECRET);
    assert!(get(&client, "/nocloud/vendor-data").contains("hunter2-db"));
    let released = || {
        shown(&lab)["secrets"]
            .as_str()
            .unwrap()
            .contains("released until")
    };
    assert!(
        eventually(Duration::from_secs(10), released),
        "{}",
        shown(&lab)["secrets"]
    );

    client
        .run(&[
            "curl",
            "-sS",
            "--fail",
            "-d",
            "hostname=web1",
            "http://10.77.0.1/phone-home",
        ])
        .ok();
    let closed = || get(&client, "/nocloud/user-data").is_empty();
    assert!(eventually(Duration::from_secs(10), closed));
    let vendor_data = get(&client, "/nocloud/vendor-data");
    assert!(
        vendor_data.starts_with("#cloud-config") && !vendor_data.contains("hunter2"),
        "{vendor_data}"
    );
    for path in [
        "/openstack/latest/vendor_data.json",
        "/openstack/latest/meta_data.json",
    ] {
        assert!(!get(&client, path).contains("hunter2"), "{path}");
    }
    let url = "http://10.77.0.1/openstack/latest/user_data";
    assert_eq!(
        client
            .run(&["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url])
            .ok(),
        "404"
    );
    let told = shown(&lab)["secrets"].as_str().unwrap().to_owned();
    assert!(
        told.contains("withheld since its first boot succeeded") && told.contains("read without them"),
        "{told}"
    );

    // On purpose, and to another instance, they are told again.
    lab.seedbed(&["set", "web1", "--release-secrets"]).ok();
    assert_eq!(get(&client, "/nocloud/user-data"), SECRET);
    let before = shown(&lab)["uuid"].clone();
    let changed = lab.seedbed(&["set", "web1", "--new-instance"]).ok();
    assert!(changed.contains("cloud-init sets it up anew"), "{changed}");
    assert_ne!(shown(&lab)["uuid"], before);
    assert_eq!(get(&client, "/nocloud/user-data"), SECRET);
    // A secret that its template wants and that is not there is found before a guest asks for it.
    let log = lab.daemon_log();
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn what_cloud_inits_own_reporter_posts_is_shown_and_makes_ready() {
    if !root() {
        return;
    }
    let mut lab = lab();
    lab.seedbed(&["add", "web1", "--mac", MAC, "--ip", "10.77.0.31", "--key", KEY])
        .ok();
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
    assert!(eventually(Duration::from_secs(10), heard), "{}", shown(&lab));
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
    lab.seedbed(&[
        "add",
        "web1",
        "--mac",
        MAC,
        "--ip",
        "10.77.0.31",
        "--key",
        KEY,
        "--users",
        &users,
    ])
    .ok();
    let client = on_the_bridge(&mut lab);
    assert_eq!(get(&client, "/keys/ann").trim(), format!("{KEY} ann"));
    assert_eq!(get(&client, "/keys/ben").trim(), KEY);
    assert_eq!(get(&client, "/keys/nobody"), "");
    lab.seedbed(&["set", "web1", "--key", ""]).ok();
    assert_eq!(get(&client, "/keys/ben"), "");
}
