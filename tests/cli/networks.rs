//! Verbs about networks and what is on them beside VMs: what they ask, and how the answer looks.

use std::net::Ipv4Addr;

use seedbed::control::{
    AddVms, Answer, CustomSettings, DiscoveredInfo, ExportForm, ImportRow, LeaseInfo, NetworkInfo, PlannedVm,
    RecordInfo, Request, WrittenRecord,
};

use crate::fake::{Fake, Run, vm};

fn lab() -> NetworkInfo {
    NetworkInfo {
        name: "lab".to_owned(),
        bridge: "br0".to_owned(),
        subnet: "10.77.0.0/24".to_owned(),
        gateway: Ipv4Addr::new(10, 77, 0, 1),
        pool: "10.77.0.10-10.77.0.254".to_owned(),
        pool_size: 245,
        pool_taken: 7,
        domain: "lab".to_owned(),
        nat: true,
        dhcp: "authoritative".to_owned(),
        unregistered: "pool".to_owned(),
        lease_seconds: 43_200,
        upstreams: Vec::new(),
        transfer: vec!["192.0.2.0/24".to_owned()],
        reverse_zones: vec!["0.77.10.in-addr.arpa".to_owned()],
        vms: 5,
        leases: 2,
        host_names: "resolved (per-link DNS on br0)".to_owned(),
    }
}

fn networks() -> Fake {
    Fake::new(|request, _| match request {
        Request::Networks { .. } => Ok(Answer::Networks(vec![lab()])),
        Request::Import { dry_run: true, .. } => Ok(Answer::Planned(vec![PlannedVm {
            name: "web1".to_owned(),
            ip: Ipv4Addr::new(10, 77, 0, 5),
            mac: "52:54:00:aa:bb:cc".to_owned(),
            network: "lab".to_owned(),
            aliases: vec!["www".to_owned()],
        }])),
        Request::Import { rows, .. } => Ok(Answer::Done(format!("registered {} VMs", rows.len()))),
        _ => Ok(Answer::Vms(vec![vm("network", 9)])),
    })
}

#[test]
fn networks_are_listed_and_shown() {
    insta::assert_snapshot!("network-list", networks().run(&["network", "list"]).answer());
    insta::assert_snapshot!(
        "network-show",
        networks().run(&["show", "network", "lab"]).answer()
    );
    let json = networks().run(&["show", "network", "--format", "json"]).answer();
    assert_eq!(serde_json::from_str::<Vec<NetworkInfo>>(&json).unwrap(), [lab()]);
    let fake = networks();
    fake.run(&["show", "network", "lab", "dmz"]).answer();
    let names = vec!["lab".to_owned(), "dmz".to_owned()];
    assert_eq!(fake.request(), Request::Networks { names });
    // A VM of that name is to be seen by another verb.
    let listed = networks().run(&["list", "network"]).answer();
    assert!(listed.contains("10.77.0.9"), "{listed}");
}

#[test]
fn many_reverse_zones_are_told_by_their_ends() {
    let fake = Fake::new(|_, _| {
        let reverse_zones = (0..128).map(|n| format!("{n}.10.in-addr.arpa")).collect();
        Ok(Answer::Networks(vec![NetworkInfo {
            reverse_zones,
            ..lab()
        }]))
    });
    let sheet = fake.run(&["show", "network"]).answer();
    assert!(
        sheet.contains("0.10.in-addr.arpa to 127.10.in-addr.arpa (128 zones)"),
        "{sheet}"
    );
}

#[test]
fn leases_are_a_table() {
    let fake = Fake::new(|_, _| {
        let lease = |last: u8, state: &str, hostname: Option<&str>| LeaseInfo {
            network: "lab".to_owned(),
            ip: Ipv4Addr::new(10, 77, 0, last),
            mac: format!("52:54:00:00:00:{last:02x}"),
            state: state.to_owned(),
            hostname: hostname.map(str::to_owned),
            since: "2026-01-02T03:04:05Z".to_owned(),
            expires: "2026-01-02T15:04:05Z".to_owned(),
            left_seconds: if state == "expired" { 0 } else { 7_300 },
        };
        Ok(Answer::Leases(vec![
            lease(10, "active", Some("phone\u{1b}[31m")),
            lease(11, "expired", None),
        ]))
    });
    insta::assert_snapshot!("leases", fake.run(&["leases"]).answer());
    assert_eq!(fake.request(), Request::Leases);
}

#[test]
fn records_are_added_listed_and_deleted() {
    let done = || Fake::new(|_, _| Ok(Answer::Done("done".to_owned())));
    let fake = done();
    fake.run(&["dns", "add", "@", "MX", "10 mail", "--network", "lab"])
        .answer();
    let record = WrittenRecord {
        network: Some("lab".to_owned()),
        owner: "@".to_owned(),
        kind: "MX".to_owned(),
        value: "10 mail".to_owned(),
    };
    assert_eq!(fake.request(), Request::AddRecord(record));
    let fake = done();
    fake.run(&["dns", "rm", "www", "CNAME"]).answer();
    let removed = Request::RemoveRecords {
        network: None,
        owner: "www".to_owned(),
        kind: Some("CNAME".to_owned()),
        value: None,
    };
    assert_eq!(fake.request(), removed);
    let fake = Fake::new(|_, _| {
        Ok(Answer::Records(vec![RecordInfo {
            network: "lab".to_owned(),
            name: "@".to_owned(),
            fqdn: "lab".to_owned(),
            kind: "MX".to_owned(),
            value: "10 mail.lab.".to_owned(),
        }]))
    });
    insta::assert_snapshot!("dns-list", fake.run(&["dns", "list"]).answer());
    assert_eq!(fake.request(), Request::Records { network: None });
}

#[test]
fn what_was_discovered_is_a_table_and_is_adopted_by_its_mac() {
    let fake = Fake::new(|_, _| {
        Ok(Answer::Discovered(vec![DiscoveredInfo {
            network: "lab".to_owned(),
            mac: "52:54:00:aa:bb:cc".to_owned(),
            hostname: Some("nas\n".to_owned()),
            vendor: None,
            first_seen: "2026-01-02T03:04:05Z".to_owned(),
            last_seen: "2026-01-02T03:05:05Z".to_owned(),
            seen_seconds_ago: 61,
            count: 4,
        }]))
    });
    insta::assert_snapshot!("discovered", fake.run(&["discovered"]).answer());
    assert_eq!(fake.request(), Request::Discovered);
    let fake = Fake::with_vms(vec![vm("nas", 20)]);
    fake.run(&["adopt", "52:54:00:aa:bb:cc", "nas", "--alias", "files"])
        .answer();
    let register = AddVms {
        names: vec!["nas".to_owned()],
        custom: CustomSettings {
            aliases: Some(vec!["files".to_owned()]),
            ..CustomSettings::default()
        },
        ..AddVms::default()
    };
    let mac = "52:54:00:aa:bb:cc".to_owned();
    assert_eq!(fake.request(), Request::Adopt { mac, register });
    let twice = Fake::with_vms(Vec::new()).run(&["adopt", "52:54:00:aa:bb:cc", "nas", "--mac", "x"]);
    assert_eq!(twice.code, 1, "{twice:?}");
}

#[test]
fn every_format_can_be_exported() {
    for (word, form) in [
        ("hosts", ExportForm::Hosts),
        ("zone", ExportForm::Zone),
        ("reverse-zone", ExportForm::ReverseZone),
        ("dnsmasq-dhcp", ExportForm::DnsmasqDhcp),
        ("dnsmasq-hosts", ExportForm::DnsmasqHosts),
        ("kea", ExportForm::Kea),
    ] {
        let fake = Fake::new(|_, _| Ok(Answer::Text("a\n".to_owned())));
        assert_eq!(fake.run(&["export", word, "--network", "lab"]).answer(), "a\n");
        let network = Some("lab".to_owned());
        assert_eq!(fake.request(), Request::Export { form, network });
    }
}

fn import(fake: &Fake, form: &str, content: &[u8], more: &[&str]) -> Run {
    let path = fake.directory().join("file");
    std::fs::write(&path, content).unwrap();
    let mut command = fake.command(&[&["import", "--from", form, "file"], more].concat());
    command.current_dir(fake.directory());
    Run::of(command)
}

#[test]
fn a_file_of_another_program_is_read_for_the_network_that_the_daemon_has() {
    let fake = networks();
    let hosts = b"127.0.0.1 localhost\n10.77.0.5 web1.lab web1 www\n10.99.0.1 other\n";
    let run = import(&fake, "hosts", hosts, &[]);
    assert_eq!(
        run.stderr,
        "skipped 1: addresses of the host itself (line 1)\nskipped 1: addresses outside the network (line 3)\n"
    );
    assert_eq!(run.answer(), "registered 1 VMs\n");
    let Some(Request::Import { rows, .. }) = fake.requests().pop() else {
        panic!("something else was asked");
    };
    let row = ImportRow {
        line: 2,
        name: "web1".to_owned(),
        mac: None,
        ip: Some("10.77.0.5".to_owned()),
        aliases: vec!["www".to_owned()],
    };
    assert_eq!(rows, [row]);
    let dry = import(&networks(), "hosts", hosts, &["--dry-run", "--quiet"]);
    insta::assert_snapshot!("import-dry-run", dry.answer());
}

#[test]
fn what_is_no_text_or_no_network_is_refused_and_nothing_is_sent() {
    for (form, content, says) in [
        ("hosts", &b"\xff\xfe10.77.0.5 web1\n"[..], "is no text"),
        (
            "dnsmasq",
            b"52:54:00:aa:bb:cc,52:54:00:aa:bb:cd,web1\n",
            "several MACs",
        ),
        ("libvirt", b"<!DOCTYPE x [<!ENTITY a 'b'>]><network/>", "line 1: "),
    ] {
        let fake = networks();
        let run = import(&fake, form, content, &[]);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(says), "{run:?}");
        let sent = |request: &Request| matches!(request, Request::Import { .. });
        assert!(!fake.requests().iter().any(sent));
    }
}
