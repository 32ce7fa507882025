//! Site vendor-data: what each VM gets besides its template, in every view, and what cloud-init's own code makes of it.

use std::process::Command;

use crate::cloud_init::{SUITES, machine};
use crate::lab::{Lab, Run};
use crate::merging::{Made, made_of};
use crate::root;

const SITE: &str =
    "#cloud-config\ntimezone: Europe/Paris\nmanage_etc_hosts: false\nfinal_message: from the site\n";

fn site_of(lab: &Lab, text: &[u8]) -> std::path::PathBuf {
    let path = lab.path("site-vendor-data");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn every_view_has_the_sites_part_before_the_templates() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    let path = site_of(&lab, SITE.as_bytes());
    lab.configure(&format!("vendor_data: {}", path.display()));
    lab.start_daemon();
    let (client, _) = machine(&mut lab);
    let get = |url: &str| client.run(&["curl", "-sf", url]).ok();
    let served = get("http://10.77.0.1/nocloud/vendor-data");
    let wrapped: serde_json::Value =
        serde_json::from_str(&get("http://169.254.169.254/openstack/latest/vendor_data.json")).unwrap();
    assert_eq!(wrapped["cloud-init"], served.as_str());
    let volume = lab.path("web1.img");
    let volume = volume.to_str().unwrap();
    lab.seedbed(&["render", "web1", "--as", "cidata", "--output", volume])
        .ok();
    let read = Run::of(Command::new("mtype").args(["-i", volume, "::vendor-data"])).ok();
    assert_eq!(read.replace("\r\n", "\n"), served);

    let user_data = b"#cloud-config\nfinal_message: mine\n";
    for suite in SUITES {
        let Made { merged, .. } = made_of(suite, served.as_bytes(), user_data);
        assert_eq!(merged["timezone"], "Europe/Paris", "{suite}: the site alone");
        assert_eq!(
            merged["manage_etc_hosts"], true,
            "{suite}: the template over the site"
        );
        assert_eq!(merged["final_message"], "mine", "{suite}: the user over both");
    }

    // Told anew, and a broken one never.
    site_of(&lab, b"#!/bin/sh\necho new\n");
    lab.seedbed(&["template", "reload"]).ok();
    assert!(get("http://10.77.0.1/nocloud/vendor-data").contains("\n\n#!/bin/sh\necho new\n"));
    site_of(&lab, b"echo broken\n");
    lab.seedbed(&["template", "reload"])
        .refused(1, &["site-vendor-data", "`echo broken`", "nothing has changed"]);
    assert!(get("http://10.77.0.1/nocloud/vendor-data").contains("echo new"));
}

#[test]
fn a_networks_own_takes_the_place_of_the_sites_and_a_broken_one_stops_the_start() {
    if !root() {
        return;
    }
    let mut lab = Lab::without_daemon();
    let path = site_of(&lab, b"#cloud-config\n- x\n");
    lab.configure(&format!("vendor_data: {}", path.display()));
    let ended = Run::of(&mut lab.inside(&[crate::lab::SEEDBED, "serve"]));
    ended.refused(1, &["site-vendor-data: it is a list"]);

    let own = lab.path("own-vendor-data");
    std::fs::write(&own, "").unwrap();
    site_of(&lab, SITE.as_bytes());
    let config = lab.path("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    let line = format!("- name: lab\n  vendor_data: {}\n", own.display());
    assert!(text.contains("- name: lab\n"), "{text}");
    std::fs::write(&config, text.replacen("- name: lab\n", &line, 1)).unwrap();
    lab.start_daemon();
    let (client, _) = machine(&mut lab);
    let served = || {
        client
            .run(&["curl", "-sf", "http://10.77.0.1/nocloud/vendor-data"])
            .ok()
    };
    assert!(served().starts_with("#cloud-config-archive\n"), "{}", served());
    std::fs::write(&own, "#cloud-config\ntimezone: UTC\n").unwrap();
    lab.seedbed(&["template", "reload"]).ok();
    assert!(served().contains("timezone: UTC") && !served().contains("Europe"));
}
