//! Rules of zone files, some of them judged by the tools that read such files.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::export::fixture::{lab, vm, with_aliases, with_host_key};
use crate::export::{dnsmasq_dhcp_hosts, dnsmasq_hosts, kea_reservations, reverse_zone, reverse_zones, text};
use crate::model::{NetworkName, Revision, examples};

/// A lab with aliases and one record of every type.
fn full() -> Directory {
    let mut directory = lab();
    directory.put_vm(with_aliases("web1", "10.77.0.20", &["www"]));
    directory.put_vm(vm("web2", "10.77.0.3"));
    directory.put_vm(with_host_key("web3", "10.77.0.4"));
    let long = "x".repeat(300);
    for (owner, kind, value) in [
        ("@", "MX", "10 mail"),
        ("@", "TXT", "v=spf1 \\ \"-all\" grün;"),
        ("_sip._tcp", "SRV", "0 5 5060 web1"),
        ("api", "CNAME", "web2"),
        ("docs", "CNAME", "docs.example."),
        ("long", "TXT", long.as_str()),
        ("mail", "A", "10.77.0.9"),
        ("mail", "AAAA", "2001:db8::9"),
    ] {
        record(&mut directory, owner, kind, value);
    }
    directory.set_revision(Revision(7));
    directory
}

fn record(directory: &mut Directory, owner: &str, kind: &str, value: &str) {
    let network: NetworkName = "lab".parse().unwrap();
    let owner = owner.parse().unwrap();
    let data = RecordData::parse(kind, value, &"lab".parse().unwrap()).unwrap();
    let record = DnsRecord {
        network: network.clone(),
        owner,
        data,
    };
    let owner = record.owner.clone();
    let mut records = directory.records().at(&network, owner.as_str()).to_vec();
    records.push(Arc::new(record));
    directory.records_mut().put(&network, &owner, records);
}

fn of_lab(
    directory: &Directory,
    write: impl Fn(&Directory, &Network, &mut dyn Write) -> io::Result<()>,
) -> String {
    let network = directory.networks().next().unwrap();
    text(|out| write(directory, network, out))
}

/// Runs a checker on a text in a file of its own; `None` where it is not installed.
fn check(program: &str, arguments: &[&str], content: &str) -> Option<String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    run(program, arguments, file.path())
}

fn run(program: &str, arguments: &[&str], path: &Path) -> Option<String> {
    let places = [program.to_owned(), format!("/usr/sbin/{program}")];
    let output = places.iter().find_map(|place| {
        let mut command = Command::new(place);
        command.args(arguments).arg(path).output().ok()
    });
    let Some(output) = output else {
        writeln!(std::io::stderr(), "skipped: {program} is not installed").ok();
        return None;
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program}: {said}");
    Some(said)
}

#[test]
fn a_zone_has_its_start_the_bridge_the_vms_and_all_other_records() {
    let text = of_lab(&full(), zone);
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(
        lines[..8],
        [
            "$ORIGIN lab.",
            "$TTL 5",
            "@ IN SOA ns.lab. hostmaster.lab. 7 3600 600 86400 5",
            "@ IN NS ns.lab.",
            "ns IN A 10.77.0.1",
            "web1 IN A 10.77.0.20",
            "www IN CNAME web1.lab.",
            "web2 IN A 10.77.0.3",
        ]
    );
    assert!(lines.contains(&"@ IN TXT \"v=spf1 \\\\ \\\"-all\\\" gr\\195\\188n;\""));
    assert!(lines.contains(&"_sip._tcp IN SRV 0 5 5060 web1.lab."));
}

#[test]
fn the_bridge_is_called_otherwise_where_its_name_is_taken() {
    let mut directory = lab();
    directory.put_vm(vm("ns", "10.77.0.5"));
    record(&mut directory, "gateway", "A", "10.77.0.6");
    let text = of_lab(&directory, zone);
    assert!(text.contains("@ IN NS _ns.lab.\n_ns IN A 10.77.0.1\n"), "{text}");
}

#[test]
fn what_lies_in_the_domain_of_another_network_is_not_in_the_zone() {
    let mut inner = examples::network("dmz", "10.78.0.1/24");
    inner.domain = "dmz.lab".parse().unwrap();
    let mut directory = Directory::of([examples::network("lab", "10.77.0.1/24"), inner]);
    record(&mut directory, "a.dmz", "A", "10.77.0.9");
    record(&mut directory, "admz", "A", "10.77.0.9");
    let network = directory.network(&"lab".parse().unwrap()).unwrap();
    let text = text(|out| zone(&directory, network, out));
    assert!(text.contains("\nadmz IN A") && !text.contains("a.dmz"), "{text}");
}

#[test]
fn named_checkzone_takes_the_zone_with_all_its_records() {
    let directory = full();
    let dump = ["-D", "-i", "local", "-k", "fail", "-n", "ignore", "lab"];
    let Some(said) = check("named-checkzone", &dump, &of_lab(&directory, zone)) else {
        return;
    };
    // As BIND writes what it has read: one record a line.
    let records = |kind: &str| {
        said.lines()
            .filter(|line| line.contains(&format!("IN {kind}")))
            .count()
    };
    let counts = ["SOA", "NS", "A\t", "CNAME", "MX", "SRV", "TXT", "AAAA", "SSHFP"].map(records);
    assert_eq!(counts, [1, 1, 5, 3, 1, 1, 2, 1, 1], "{said}");
    assert!(said.contains("serial 7"), "{said}");
}

#[test]
fn named_checkzone_takes_the_reverse_zones() {
    for (subnet, count) in [
        ("10.77.0.1/8", 1),
        ("10.77.0.1/16", 1),
        ("10.77.0.1/23", 2),
        ("10.77.0.1/25", 1),
    ] {
        let mut directory = Directory::of([examples::network("lab", subnet)]);
        directory.put_vm(vm("web1", "10.77.0.20"));
        let network = directory.networks().next().unwrap();
        let zones: Vec<_> = reverse_zones(network.subnet).collect();
        assert_eq!(zones.len(), count);
        for one in zones {
            let mut content = text(|out| reverse_zone(&directory, network, one, out));
            if !content.contains("SOA") {
                content = format!("$TTL 5\n@ IN SOA a. b. 1 2 3 4 5\n@ IN NS a.\n{content}");
            }
            check("named-checkzone", &[&one.name()], &content);
        }
    }
}

#[test]
fn dnsmasq_takes_its_two_files() {
    let directory = full();
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("dhcp-hosts");
    let names = folder.path().join("hosts");
    std::fs::write(&hosts, of_lab(&directory, dnsmasq_dhcp_hosts)).unwrap();
    std::fs::write(&names, of_lab(&directory, dnsmasq_hosts)).unwrap();
    // `--test` alone looks at the syntax of options: as `dhcp-host` lines they are options.
    let text = std::fs::read_to_string(&hosts).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let options: Vec<_> = lines.map(|line| format!("dhcp-host={line}\n")).collect();
    assert_eq!(options.len(), 3);
    let options = options.concat();
    let config = folder.path().join("dnsmasq.conf");
    let all = format!(
        "dhcp-hostsfile={}\naddn-hosts={}\ndhcp-range=10.0.0.0,static\n{options}",
        hosts.display(),
        names.display()
    );
    std::fs::write(&config, all).unwrap();
    run("dnsmasq", &["--test", "-C"], &config);
}

#[test]
fn kea_takes_its_reservations() {
    let folder = tempfile::tempdir().unwrap();
    for directory in [lab(), full()] {
        let (included, config) = (
            folder.path().join("reservations.json"),
            folder.path().join("kea.json"),
        );
        let json = of_lab(&directory, kea_reservations);
        let parsed: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed.len(), directory.vms().len());
        std::fs::write(&included, json).unwrap();
        let whole = format!(
            "{{\"Dhcp4\": {{\"subnet4\": [{{\"id\": 1, \"subnet\": \"10.0.0.0/8\", \"reservations\": <?include \"{}\"?>}}]}}}}",
            included.display()
        );
        std::fs::write(&config, whole).unwrap();
        run("kea-dhcp4", &["-t"], &config);
    }
}

#[test]
fn a_vm_of_two_networks_is_in_the_files_of_each_with_its_addresses_there() {
    let mut directory = Directory::of([
        examples::network("lab", "10.77.0.1/24"),
        Network {
            domain: "back".parse().unwrap(),
            ..examples::network("back", "10.78.0.1/24")
        },
    ]);
    let web1 = examples::with_nic(
        (*with_host_key("web1", "10.77.0.20")).clone(),
        "back",
        "10.78.0.5",
    );
    let mac = crate::model::mac::text(web1.more_nics()[0].mac);
    directory.put_vm(Arc::new(web1));
    let back = directory.network(&"back".parse().unwrap()).unwrap();
    let reverse = reverse_zones(back.subnet).next().unwrap();
    for (file, has) in [
        (
            text(|out| zone(&directory, back, out)),
            "\nweb1 IN A 10.78.0.5\n".to_owned(),
        ),
        (
            text(|out| reverse_zone(&directory, back, reverse, out)),
            "\n5 IN PTR web1.back.\n".to_owned(),
        ),
        (
            text(|out| dnsmasq_dhcp_hosts(&directory, back, out)),
            format!("\n{mac},10.78.0.5,web1\n"),
        ),
        (
            text(|out| dnsmasq_hosts(&directory, back, out)),
            "\n10.78.0.5  web1.back\n".to_owned(),
        ),
        (
            text(|out| kea_reservations(&directory, back, out)),
            format!("{{\"hw-address\": \"{mac}\", \"ip-address\": \"10.78.0.5\", \"hostname\": \"web1\"}}"),
        ),
    ] {
        assert!(
            file.contains(&has) && !file.contains("10.77.0.20"),
            "{has} in\n{file}"
        );
    }
    let known = text(|out| crate::export::known_hosts(&directory, out));
    assert!(
        known.starts_with("web1,web1.lab,10.77.0.20,web1.back,10.78.0.5 ssh-"),
        "{known}"
    );
    let vm = directory.vm_named("web1").unwrap();
    let records = crate::export::records_of(&directory, vm);
    for line in [
        "web1.lab. 5 IN A 10.77.0.20\n",
        "web1.back. 5 IN A 10.78.0.5\n",
        "5.0.78.10.in-addr.arpa. 5 IN PTR web1.back.\n",
    ] {
        assert!(records.contains(line), "{line} in\n{records}");
    }
}
