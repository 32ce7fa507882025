//! Rules of the files that other programs write.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::export;
use crate::model::{Custom, Directory, Vm, examples};

fn lab() -> Scope {
    Scope {
        domains: vec!["lab".to_owned()],
        subnet: "10.77.0.1/24".parse().unwrap(),
        bridge: "br0".to_owned(),
    }
}

fn row(line: u64, name: &str, mac: Option<&str>, ip: Option<&str>, aliases: &[&str]) -> ImportRow {
    ImportRow {
        line,
        name: name.to_owned(),
        mac: mac.map(str::to_owned),
        ip: ip.map(str::to_owned),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
    }
}

fn problems(read: Result<Read, Vec<Problem>>) -> Vec<String> {
    read.unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_hosts_file_is_read_and_what_is_no_vm_is_left_out_and_said() {
    let text = "127.0.0.1\tlocalhost\n127.0.1.1 host.lab host\n::1 ip6-localhost\nfe80::1%br0 x\n\n\
                10.77.0.1 gateway\n# a comment\n10.77.0.5 Web1.LAB web1 www.lab # the shop\n\
                10.78.0.5 other\n10.77.0.5 shop www.example.com\n10.77.0.6 web2\n";
    let read = hosts::parse(text, &lab()).unwrap();
    assert_eq!(
        read.rows,
        [
            row(8, "web1", None, Some("10.77.0.5"), &["www", "shop"]),
            row(11, "web2", None, Some("10.77.0.6"), &[]),
        ]
    );
    assert_eq!(
        read.skipped,
        [
            "skipped 2: IPv6 addresses (lines 3, 4)",
            "skipped 2: addresses of the host itself (lines 1, 2)",
            "skipped 1: addresses outside the network (line 9)",
            "skipped 1: names in other domains (line 10)",
            "skipped 1: the bridge's own address (line 6)",
        ]
    );
}

#[test]
fn a_foreign_name_that_stands_first_does_not_refuse_the_host() {
    let read = hosts::parse("10.77.0.5 web1.example.com web1\n", &lab()).unwrap();
    assert_eq!(read.rows, [row(1, "web1", None, Some("10.77.0.5"), &[])]);
    assert_eq!(read.skipped, ["skipped 1: names in other domains (line 1)"]);
}

#[test]
fn every_bad_line_of_a_hosts_file_is_named() {
    let told = problems(hosts::parse(
        "10.77.0 web1\n10.77.0.5\n10.77.0.6 bad_name\n10.77.0.7 a b\n10.77.0.8 c b\n10.77.0.9 www.example.com\n",
        &lab(),
    ));
    let lines: Vec<_> = told.iter().map(|text| text.split(':').next().unwrap()).collect();
    assert_eq!(
        lines,
        ["line 1", "line 2", "line 3", "line 5", "line 6"],
        "{told:#?}"
    );
    assert_eq!(told[0], "line 1: `10.77.0` is not an address");
    assert_eq!(told[3], "line 5: b is already on line 4");
}

#[test]
fn the_fields_of_a_dnsmasq_host_stand_in_any_order() {
    let text = "# hosts\ndomain-needed\ndhcp-range=10.77.0.10,10.77.0.99,12h\n\
                dhcp-host=52:54:00:AA:BB:01,set:red,web1,10.77.0.5,infinite\n\
                dhcp-host = web2.lab,10.77.0.6,id:*,01-52:54:00:aa:bb:02,12h # comment\n\
                52-54-00-aa-bb-03,web3,[fd00::3]\n\
                web4,10.77.0.8\n52:54:00:aa:bb:05,ignore\ndhcp-host=52:54:00:aa:bb:06,web6,10.99.0.6\n\
                host-record=www,www.lab,10.77.0.5,300\naddress=/api/10.77.0.99\ncname=a,b\n";
    let read = dnsmasq::parse(text, &lab()).unwrap();
    assert_eq!(
        read.rows,
        [
            row(4, "web1", Some("52:54:00:aa:bb:01"), Some("10.77.0.5"), &["www"]),
            row(5, "web2", Some("52:54:00:aa:bb:02"), Some("10.77.0.6"), &[]),
            row(6, "web3", Some("52:54:00:aa:bb:03"), None, &[]),
            row(7, "web4", None, Some("10.77.0.8"), &[]),
            row(11, "api", None, Some("10.77.0.99"), &[]),
        ]
    );
    assert_eq!(
        read.skipped,
        [
            "skipped 1: addresses outside the network (line 9)",
            "skipped 1: hosts that dnsmasq ignores (line 8)",
            "skipped 3: other options (lines 2, 3, 12)",
        ]
    );
}

#[test]
fn a_dnsmasq_host_that_is_no_vm_is_refused_with_the_reason() {
    for (line, says) in [
        ("52:54:00:aa:bb:01,52:54:00:aa:bb:02,web1", "several MACs"),
        ("52:54:00:aa:bb:*,web1", "stands for many MACs"),
        ("id:nas,nas", "known by its client-id"),
        ("52:54:00:aa:bb:01,10.77.0.5", "has no name"),
        ("52:54:00:aa:bb:01,10.77.0.5,10.77.0.6,web1", "several addresses"),
        ("52:54:00:aa:bb:01,web1,web2", "is a second name"),
        ("52:54:00:aa:bb,web1", "is not six hexadecimal octets"),
    ] {
        let told = problems(dnsmasq::parse(&format!("\n{line}\n"), &lab()));
        assert!(
            told.len() == 1 && told[0].starts_with("line 2: ") && told[0].contains(says),
            "{told:?}"
        );
    }
}

const NETWORK: &str = "<network connections='2'>
  <name>default</name>
  <domain name='virt.lan' localOnly='yes'/>
  <dns>
    <host ip='10.77.0.5'><hostname>www</hostname><hostname>web1.virt.lan</hostname></host>
    <host ip='10.77.0.77'><hostname>printer</hostname></host>
    <txt name='x' value='y'/>
  </dns>
  <ip address='10.77.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.77.0.2' end='10.77.0.254'/>
      <host mac='52:54:00:AA:BB:01' name='web1' ip='10.77.0.5'><lease expiry='12' unit='hours'/></host>
      <host mac='52:54:00:aa:bb:02' name='web2.virt.lan'/>
    </dhcp>
  </ip>
  <ip family='ipv6' address='fd00::1' prefix='64'><dhcp><host id='0:1:2' name='six' ip='fd00::6'/></dhcp></ip>
</network>
";

#[test]
fn a_network_of_libvirt_is_read() {
    let read = libvirt::parse(NETWORK, &lab()).unwrap();
    assert_eq!(
        read.rows,
        [
            row(12, "web1", Some("52:54:00:aa:bb:01"), Some("10.77.0.5"), &["www"]),
            row(13, "web2", Some("52:54:00:aa:bb:02"), None, &[]),
            row(6, "printer", None, Some("10.77.0.77"), &[]),
        ]
    );
    assert_eq!(read.skipped, ["skipped 1: IPv6 addresses (line 16)"]);
}

#[test]
fn xml_that_is_no_network_is_refused_with_its_line() {
    let bomb = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]>\n<network>&b;</network>";
    let deep = "<a>".repeat(300_000);
    let flat = format!("<network>\n{}", "<ip/>".repeat(2_000_001));
    for (text, says) in [
        (bomb, "line 1: "),
        (deep.as_str(), "line 1: "),
        (flat.as_str(), "line "),
        (
            "<pool/>",
            "line 1: the outermost element is neither <network> nor <domain>",
        ),
        (
            "<network>\n<ip",
            "line 1: the root node was opened but never closed",
        ),
        // It is missing on the last line, and a line break ends that.
        // It ends in an attribute: what is missing is missing on the last line, and a line break only ends that.
        (
            "<?etwork><0.1' netmask='256.255.255.0'><dhcp><hostܒac='52:5dns><hname>><ip address='10.77.0.1' netmask='255.255.255.0'><dhct><hpsoܒhostܒac='52:5dnaddress></network>\n",
            "line 1: ",
        ),
        ("<network>\n<ip a=/>", "line 2: "),
        ("", "line 1: "),
        (
            "<network><ip><dhcp>\n<host mac='nonsense' name='web1'/></dhcp></ip></network>",
            "line 2: MAC address",
        ),
        (
            "<network><ip><dhcp>\n<host mac='52:54:00:aa:bb:01'/></dhcp></ip></network>",
            "line 2: this host has no name",
        ),
    ] {
        let told = problems(libvirt::parse(text, &lab()));
        assert!(told[0].starts_with(says), "{told:?}");
        assert!(told[0].len() < 300, "{}", told[0].len());
    }
    // Deep, but whole: read without going into it by recursion.
    let whole = format!("<network>{deep}{}</network>", "</a>".repeat(300_000));
    assert_eq!(libvirt::parse(&whole, &lab()).unwrap().rows, []);
}

#[test]
fn fifty_thousand_hosts_and_lines_of_a_megabyte_are_read() {
    let wide = Scope {
        subnet: "10.0.0.1/8".parse().unwrap(),
        ..lab()
    };
    let (mut hosts_file, mut dhcp_hosts, mut xml) = (String::new(), String::new(), String::new());
    for n in 2..50_002_u32 {
        let (ip, mac) = (
            Ipv4Addr::from_bits(0x0a00_0000 + n),
            format!("52:54:00:{:02x}:{:02x}:{:02x}", n >> 16, n >> 8 & 255, n & 255),
        );
        writeln!(hosts_file, "{ip} vm{n}.lab vm{n}").unwrap();
        writeln!(dhcp_hosts, "{mac},{ip},vm{n}").unwrap();
        writeln!(xml, "<host mac='{mac}' name='vm{n}' ip='{ip}'/>").unwrap();
    }
    let xml = format!("<network><ip><dhcp>\n{xml}</dhcp></ip></network>");
    for read in [
        hosts::parse(&hosts_file, &wide),
        dnsmasq::parse(&dhcp_hosts, &wide),
        libvirt::parse(&xml, &wide),
    ] {
        let rows = read.unwrap().rows;
        assert_eq!((rows.len(), rows[49_999].name.as_str()), (50_000, "vm50001"));
    }
    for filler in ["a", "a,", "a ", "1:", "#", "<"] {
        let line = format!("10.77.0.5 {}\n", filler.repeat(1 << 20));
        for read in [
            hosts::parse(&line, &wide),
            dnsmasq::parse(&line, &wide),
            libvirt::parse(&line, &wide),
        ] {
            for told in problems_or_none(read) {
                assert!(told.len() < 400, "{} octets", told.len());
            }
        }
    }
}

fn problems_or_none(read: Result<Read, Vec<Problem>>) -> Vec<String> {
    read.err()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn as_vm(row: &ImportRow) -> (String, Option<String>, Option<String>, Vec<String>) {
    (
        row.name.clone(),
        row.mac.clone(),
        row.ip.clone(),
        row.aliases.clone(),
    )
}

proptest! {
    #[test]
    fn what_is_exported_is_imported_as_the_same_vms(
        names in proptest::collection::btree_set("[a-z][a-z0-9-]{0,8}[a-z]", 1..20),
        aliased in proptest::collection::vec(any::<bool>(), 20),
    ) {
        let mut directory = Directory::of([examples::network("lab", "10.77.0.1/24")]);
        let mut expected = Vec::new();
        for (number, name) in (10..).zip(names.iter().filter(|name| *name != "localhost")) {
            let aliases: Vec<_> = aliased[number - 10].then(|| format!("{name}-0")).into_iter().collect();
            let custom = Custom {
                aliases: aliases.iter().map(|alias| alias.parse().unwrap()).collect(),
                ..Custom::default()
            };
            let vm = Vm { custom: custom.boxed(), ..examples::vm(name, &format!("10.77.0.{number}")) };
            expected.push((name.clone(), Some(mac::text(vm.mac)), Some(vm.address.to_string()), aliases));
            directory.put_vm(Arc::new(vm));
        }
        let network = directory.networks().next().unwrap();
        let hosts_file = export::text(|out| export::hosts(&directory, out));
        let read = hosts::parse(&hosts_file, &lab()).unwrap();
        prop_assert!(read.skipped.is_empty());
        let without_mac: Vec<_> = expected.iter().cloned().map(|(name, _, ip, aliases)| (name, None, ip, aliases)).collect();
        prop_assert_eq!(read.rows.iter().map(as_vm).collect::<Vec<_>>(), without_mac);
        // A file of reservations has no aliases; with the file of names beside it nothing is lost.
        let reservations = export::text(|out| export::dnsmasq_dhcp_hosts(&directory, network, out));
        let read = dnsmasq::parse(&reservations, &lab()).unwrap();
        let without_aliases: Vec<_> = expected.into_iter().map(|(name, mac, ip, _)| (name, mac, ip, Vec::new())).collect();
        prop_assert_eq!(read.rows.iter().map(as_vm).collect::<Vec<_>>(), without_aliases);
    }

    #[test]
    fn any_text_is_rows_or_problems(text in "(?s)[\\PC\n\r,:#=/<>'\"]{0,200}|(dhcp-host=|address=/|10\\.77\\.0\\.[0-9]{1,3}[ ,]|[a-z:,.]{1,9}|\n){0,20}") {
        for read in [hosts::parse(&text, &lab()), dnsmasq::parse(&text, &lab()), libvirt::parse(&text, &lab())] {
            if let Err(problems) = read {
                prop_assert!(!problems.is_empty());
            }
        }
    }
}

fn a_domain(name: &str, interfaces: &str) -> String {
    format!(
        "<domain type='kvm' id='3'>\n  <name>{name}</name>\n  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>\n\
         <devices>\n<disk type='file'/>\n{interfaces}</devices>\n</domain>\n"
    )
}

const ON_THE_BRIDGE: &str = "<interface type='bridge'>\n<mac address='52:54:00:AA:BB:01'/>\n<source bridge='br0'/>\n\
                             <target dev='vnet0'/>\n</interface>\n";

#[test]
fn a_domain_of_libvirt_is_read_with_its_interface_on_the_bridge() {
    let elsewhere = "<interface type='network'><mac address='52:54:00:aa:bb:09'/><source network='default' bridge='virbr0'/></interface>\n";
    let read = libvirt::parse(&a_domain("web1", &format!("{elsewhere}{ON_THE_BRIDGE}")), &lab()).unwrap();
    assert_eq!(read.rows, [row(1, "web1", Some("52:54:00:aa:bb:01"), None, &[])]);
    assert_eq!(read.skipped, ["skipped 1: interfaces on other bridges (line 6)"]);
    let read = libvirt::parse(&a_domain("web1", elsewhere), &lab()).unwrap();
    assert_eq!(read.rows, []);
    assert_eq!(
        read.skipped[0],
        "skipped 1: domains without an interface on the bridge (line 1)"
    );
    let second = ON_THE_BRIDGE.replace(":01", ":02");
    let read = libvirt::parse(&a_domain("web1", &format!("{ON_THE_BRIDGE}{second}")), &lab()).unwrap();
    assert_eq!(read.rows.len(), 1);
    assert_eq!(
        read.skipped,
        ["skipped 1: further interfaces on the bridge (line 11)"]
    );
}

#[test]
fn a_domains_name_becomes_one_that_dns_has_or_is_refused() {
    for (written, name) in [
        ("Web_Server 1", "web-server-1"),
        ("web1.lab", "web1"),
        ("win10 (test)", "win10-test"),
        ("debian12.5", "debian12-5"),
    ] {
        let read = libvirt::parse(&a_domain(written, ON_THE_BRIDGE), &lab()).unwrap();
        assert_eq!(read.rows[0].name, name);
        assert_eq!(
            read.skipped,
            [format!("`{written}` (line 1) is registered as {name}")]
        );
    }
    for (written, interfaces, says) in [
        (
            "???",
            ON_THE_BRIDGE,
            "line 1: no name of a VM can be made of `???`",
        ),
        ("", ON_THE_BRIDGE, "line 1: no name of a VM can be made of ``"),
        (
            "web1",
            "<interface type='bridge'><source bridge='br0'/></interface>",
            "line 6: this interface has no <mac",
        ),
        (
            "web1",
            "<interface type='bridge'><mac address='x'/><source bridge='br0'/></interface>",
            "line 1: MAC address `x`",
        ),
    ] {
        let told = problems(libvirt::parse(&a_domain(written, interfaces), &lab()));
        assert!(told[0].starts_with(says), "{told:?}");
    }
}
