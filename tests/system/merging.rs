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
        (&b""[..], ["part-004", "part-005"]),
        (b"#!/bin/sh\n", ["part-005", "part-006"]),
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

/// What `render --merged` shows with these documents.
fn shown(lab: &Lab, site: &[u8], user_data: &[u8]) -> String {
    std::fs::write(lab.path("site-vendor-data"), site).unwrap();
    let own = lab.path("own-user-data");
    std::fs::write(&own, user_data).unwrap();
    lab.seedbed(&["template", "reload"]).ok();
    // Some have keys that cloud-init does not know, and merges all the same.
    lab.seedbed(&["set", "web1", "--force", "--user-data", own.to_str().unwrap()])
        .ok();
    lab.seedbed(&["render", "web1", "--merged"]).ok()
}

/// What is shown is a cloud-config: alone it has to come to the same as all documents together, in every release.
fn shown_is_what_comes_of(lab: &Lab, cases: &[(Vec<u8>, Vec<u8>)]) {
    let mut vendor_data = Vec::new();
    let mut all = Vec::new();
    for (site, user_data) in cases {
        all.push(shown(lab, site, user_data));
        vendor_data.push(document(lab, "web1", "vendor-data"));
    }
    for suite in SUITES {
        let mut pairs: Vec<(&[u8], &[u8])> = Vec::new();
        for ((vendor_data, (_, user_data)), shown) in vendor_data.iter().zip(cases).zip(&all) {
            pairs.push((vendor_data, user_data));
            pairs.push((b"", shown.as_bytes()));
        }
        let made = all_made_of(suite, &pairs);
        for ((both, (site, user_data)), shown) in made.chunks(2).zip(cases).zip(&all) {
            let inputs = [site, user_data].map(|document| String::from_utf8_lossy(document));
            assert_eq!(both[1].merged, both[0].merged, "{suite}: {inputs:#?}\n{shown}");
            let scripts = shown
                .lines()
                .filter(|line| line.contains(": script ") && !line.contains("user-data"));
            let scripts: Vec<_> = scripts.map(|line| line.split(' ').nth(8).unwrap()).collect();
            assert_eq!(scripts, both[0].scripts, "{suite}: {shown}");
        }
    }
}

#[test]
fn what_is_shown_as_merged_is_what_cloud_init_ends_with() {
    if !root() {
        return;
    }
    let config = |text: &str| format!("#cloud-config\n{text}").into_bytes();
    let lab = site(b"");
    // A file of the operator's that has every kind of part, after the built-in one.
    let own = "{% include \"built-in/default\" %}\n- {type: text/cloud-config, content: \"#cloud-config\\nntp: {pools: [p]}\\n\"}\n\
               - {type: text/x-shellscript, content: '#!/bin/sh'}\n";
    std::fs::write(lab.path("state/templates/default.yaml"), own).unwrap();
    let plain = |site: &str, user: &str| (config(site), config(user));
    let cases = [
        (Vec::new(), Vec::new()),
        plain("timezone: UTC\npackages: [a]\n", "packages: [b, c]\nruncmd: [[echo, 'x: y']]\n"),
        plain("a: yes\nb: 0644\nc: 12:30:00\nd: 2026-01-02\ne: ~\nf: 'no'\ng: 1e3\n", "h: |\n  x\n   y\n\n  z\ni: >-\n  folded\n  text\n"),
        plain("ntp: {servers: [s], enabled: false}\n", "ntp: {enabled: true, more: {x: 1}}\n"),
        plain("x: &x {a: 1, b: [1, 2]}\ny: {<<: *x, a: 2}\n", "y: {c: *z, d: &z 1}\n".replace("*z", "3").as_str()),
        plain("merge_how: 'dict(recurse_list,no_replace)+list(append)'\na: [1]\n", "merge_type: 'list(append)+dict(recurse_array,no_replace)+str()'\na: [2]\n"),
        plain("a: [1]\n", "merge_how: [{name: list, settings: [append]}, {name: dict, settings: [no_replace, recurse_list]}]\na: [2]\n"),
        plain("a: 1\n", "merge_how: 'list(append)'\nmerge_type: 'dict(recurse_list,no_replace)+list(prepend)'\na: [2]\n"),
        plain("a: 1\n", "vendor_data: {enabled: false}\nb: 2\n"),
        plain("a: 1\n", "vendor_data: {enabled: 'off'}\nb: 2\n"),
        plain("a: 1\n", "vendor_data: {disabled_handlers: [text/x-shellscript]}\nb: 2\n"),
        (MESSAGE.as_bytes().to_vec(), MESSAGE.as_bytes().to_vec()),
        (
            b"#cloud-config-archive\n- {content: \"#cloud-config\\na: [1]\\nb: {c: [1]}\"}\n- {content: \"#cloud-config\\na: [2]\\nb: {c: [2]}\", Merge-Type: 'list(append)+dict(recurse_list)'}\n".to_vec(),
            b"#cloud-config-archive\n- 'a: [3]'\n- {type: text/cloud-config, content: 'a: [4]', merge-type: 'list(append)'}\n- {content: '#!/bin/sh', filename: zz}\n- '#!/bin/sh'\n".to_vec(),
        ),
        (b"#!/bin/sh\n".to_vec(), b"#cloud-boothook\n".to_vec()),
        plain("- not a mapping\n".replace("- ", "x: ").as_str(), "merge_how: nonsense\na: 1\n"),
        (b"#cloud-config\n# nothing\n".to_vec(), b"#cloud-config\n{\"json\": [1.50, true, null, {\"a b\": \"\\u00fc\"}]}\n".to_vec()),
    ];
    shown_is_what_comes_of(&lab, &cases);
}

/// Documents of three parts whose keys meet in every way, with every way to merge.
fn random_documents(count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    let leaf = prop_oneof![
        "yes|no|1|2.5|x|y z|null|'1'|\"q\"",
        Just("[]".to_owned()),
        Just("{}".to_owned())
    ];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::btree_map("[a-c]", inner, 0..3).prop_map(|entries| {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| format!("{key}: {value}"))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    });
    let mapping = proptest::collection::btree_map("[a-c]", value, 0..4).prop_map(|entries| {
        let lines: Vec<_> = entries
            .iter()
            .map(|(key, value)| format!("{key}: {value}\n"))
            .collect();
        lines.concat()
    });
    let options =
        |words: &'static str| proptest::collection::vec(words, 0..3).prop_map(|words| words.join(","));
    let how = (
        options("replace|no_replace|recurse_list|recurse_array|recurse_str|allow_delete"),
        options("append|prepend|replace|no_replace|recurse_list|recurse_dict|recurse_str"),
        options("append"),
    );
    let how = how.prop_map(|(dict, list, text)| format!("dict({dict})+list({list})+str({text})"));
    let how = prop_oneof![2 => Just(String::new()), 3 => how, 1 => Just("list(append)".to_owned())];
    let part = (mapping, how, any::<bool>()).prop_map(|(mapping, how, in_header)| {
        let (header, inside) = match (how.as_str(), in_header) {
            ("", _) => (String::new(), String::new()),
            (how, true) => (format!("  Merge-Type: '{how}'\n"), String::new()),
            (how, false) => (String::new(), format!("merge_how: '{how}'\n")),
        };
        let content = format!("#cloud-config\n{inside}{mapping}").replace('\n', "\n    ");
        format!(
            "- type: text/cloud-config\n{header}  content: |\n    {}\n",
            content.trim_end()
        )
    });
    let document = proptest::collection::vec(part, 1..4)
        .prop_map(|parts| format!("#cloud-config-archive\n{}", parts.concat()).into_bytes());
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let both = (document.clone(), document);
    (0..count)
        .map(|_| both.new_tree(&mut runner).unwrap().current())
        .collect()
}

#[test]
fn documents_at_random_come_to_the_same() {
    if !root() {
        return;
    }
    let lab = site(b"");
    shown_is_what_comes_of(&lab, &random_documents(60));
}
