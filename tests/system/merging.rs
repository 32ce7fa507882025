//! What cloud-init's own code makes of vendor-data and user-data: taken apart, merged, and its scripts in their order.

use std::process::Command;

use serde_json::Value;

use crate::cloud_init::{SUITES, code};
use crate::lab::{Lab, Run};
use crate::root;

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/cloud_init_parts.py");

/// A part as cloud-init saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) kind: String,
    pub(crate) content: Vec<u8>,
}

/// What cloud-init made of two documents.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) merged: Value,
    pub(crate) vendor: Vec<Part>,
    /// The file names of the scripts of the vendor-data.
    pub(crate) scripts: Vec<String>,
}

/// What the cloud-init of a suite makes of vendor-data and user-data.
pub(crate) fn made_of(suite: &str, vendor_data: &[u8], user_data: &[u8]) -> Made {
    all_made_of(suite, &[(vendor_data, user_data)]).remove(0)
}

/// The same for several pairs.
pub(crate) fn all_made_of(suite: &str, pairs: &[(&[u8], &[u8])]) -> Vec<Made> {
    let directory = tempfile::tempdir().unwrap();
    let mut driver = Command::new("python3");
    driver.arg(DRIVER).arg(code(suite));
    let documents = pairs
        .iter()
        .flat_map(|(vendor_data, user_data)| [vendor_data, user_data]);
    for (number, document) in documents.enumerate() {
        let path = directory.path().join(number.to_string());
        std::fs::write(&path, document).unwrap();
        driver.arg(path);
    }
    let said: Value = serde_json::from_str(&Run::of(&mut driver).ok()).unwrap();
    said.as_array().unwrap().iter().map(made).collect()
}

fn made(told: &Value) -> Made {
    let parts = told["parts"]["vendor"].as_array().unwrap();
    let scripts = told["scripts"]["vendor"].as_array().unwrap();
    Made {
        merged: told["merged"].clone(),
        vendor: parts.iter().map(part).collect(),
        scripts: scripts
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect(),
    }
}

fn part(told: &Value) -> Part {
    Part {
        kind: told[0].as_str().unwrap().to_owned(),
        content: base64_decoded(told[2].as_str().unwrap()),
    }
}

fn base64_decoded(text: &str) -> Vec<u8> {
    use base64ct::Encoding as _;
    base64ct::Base64::decode_vec(text).unwrap()
}

/// A document of a VM, as `render` shows it.
pub(crate) fn document(lab: &Lab, vm: &str, name: &str) -> Vec<u8> {
    let shown = lab.seedbed(&["render", vm, "--as", "nocloud"]).ok();
    let (_, rest) = shown.split_once(&format!("=== {name} (")).unwrap();
    let (length, body) = rest.split_once(" bytes) ===\n").unwrap();
    body.as_bytes()[..length.parse().unwrap()].to_vec()
}

/// A daemon whose site has this vendor-data, and a VM of each template: `web1` with `default`, `docker1` and `runner1`.
fn site(vendor_data: &[u8]) -> Lab {
    let mut lab = Lab::without_daemon();
    let path = lab.path("site-vendor-data");
    std::fs::write(&path, vendor_data).unwrap();
    lab.configure(&format!("vendor_data: {}", path.display()));
    lab.start_daemon();
    for (name, mac, template) in [
        ("web1", "52:54:00:aa:00:51", "default"),
        ("docker1", "52:54:00:aa:00:52", "docker-host"),
        ("runner1", "52:54:00:aa:00:53", "ci-runner"),
    ] {
        lab.seedbed(&["add", name, "--mac", mac, "--template", template])
            .ok();
    }
    lab
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    std::fs::write(&path, bytes).unwrap();
    let output = Command::new("gzip").args(["-nc"]).arg(&path).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

const MESSAGE: &str = "Content-Type: multipart/mixed; boundary=\"===seedbed-0===\"\nMIME-Version: 1.0\n\n\
     --===seedbed-0===\nContent-Type: text/cloud-config; charset=\"us-ascii\"\nMIME-Version: 1.0\n\
     Content-Transfer-Encoding: 7bit\nMerge-Type: list(append)+dict(recurse_array)+str()\n\n#cloud-config\npackages: [chrony]\n\n\
     --===seedbed-0===\nContent-Type: text/x-shellscript; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n\n\
     IyEvYmluL3NoCmVjaG8gw7wK\n\n--===seedbed-0===--\n";

#[test]
fn a_sites_vendor_data_of_any_kind_is_seen_as_if_it_had_come_alone() {
    if !root() {
        return;
    }
    let kinds: [(&str, Vec<u8>); 9] = [
        ("cloud-config", b"#cloud-config\nfinal_message: \"caf\xc3\xa9 \xe2\x82\xac\"\n".to_vec()),
        ("cloud-config without a line end", b"#cloud-config\npackages: [chrony]".to_vec()),
        ("script", b"#!/bin/sh\r\nprintf '\xff\xfe'\n--seedbed-0\n".to_vec()),
        ("boothook", b"#cloud-boothook\n#!/bin/sh\ntrue\n".to_vec()),
        (
            "archive",
            b"#cloud-config-archive\n- '#cloud-config'\n- {type: text/x-shellscript, content: '#!/bin/sh', filename: own}\n".to_vec(),
        ),
        ("message", MESSAGE.as_bytes().to_vec()),
        ("message with other line ends", MESSAGE.replace('\n', "\r\n").into_bytes()),
        ("jinja", b"## template: jinja\n#!/bin/sh\necho {{ v1.region }}\n".to_vec()),
        ("gzip", gzipped(b"#cloud-config\npackages: [chrony]\n")),
    ];
    let lab = site(b"");
    let template = document(&lab, "web1", "vendor-data");
    let together: Vec<_> = kinds
        .iter()
        .map(|(_, alone)| {
            std::fs::write(lab.path("site-vendor-data"), alone).unwrap();
            lab.seedbed(&["template", "reload"]).ok();
            document(&lab, "web1", "vendor-data")
        })
        .collect();
    for suite in SUITES {
        let mut pairs: Vec<(&[u8], &[u8])> = vec![(&template, b"")];
        pairs.extend(kinds.iter().map(|(_, alone)| (alone.as_slice(), &b""[..])));
        pairs.extend(together.iter().map(|document| (document.as_slice(), &b""[..])));
        let mut made = all_made_of(suite, &pairs).into_iter().map(|made| made.vendor);
        let template = made.next().unwrap();
        let alone: Vec<_> = made.by_ref().take(kinds.len()).collect();
        for ((seen, alone), (kind, _)) in made.zip(alone).zip(&kinds) {
            let expected: Vec<_> = alone.into_iter().chain(template.iter().cloned()).collect();
            assert_eq!(seen, expected, "{suite}: {kind}");
        }
    }
}

/// What users set most.
const USER_DATA: &[u8] =
    b"#cloud-config\npackages: [tree]\nruncmd: [echo]\nusers: [default]\nwrite_files: []\n";

#[test]
fn the_scripts_of_docker_host_and_ci_runner_run_whatever_the_user_data_sets() {
    if !root() {
        return;
    }
    for (site_data, scripts) in [
        (&b""[..], ["part-003", "part-004"]),
        (b"#!/bin/sh\n", ["part-004", "part-005"]),
    ] {
        let lab = site(site_data);
        for (vm, script) in [("docker1", scripts[0]), ("runner1", scripts[1])] {
            let vendor_data = document(&lab, vm, "vendor-data");
            for suite in SUITES {
                let made = made_of(suite, &vendor_data, USER_DATA);
                assert_eq!(
                    made.scripts.last().map(String::as_str),
                    Some(script),
                    "{suite} {vm}"
                );
                assert_eq!(made.merged["packages"], serde_json::json!(["tree"]));
                assert_eq!(made.merged["hostname"], *vm);
                let kinds: Vec<_> = made.vendor.iter().map(|part| part.kind.as_str()).collect();
                let own = ["text/cloud-config", "text/cloud-boothook"];
                assert!(
                    kinds.ends_with(&["text/x-shellscript"]) && own.iter().all(|kind| kinds.contains(kind)),
                    "{kinds:?}"
                );
            }
        }
    }
}
