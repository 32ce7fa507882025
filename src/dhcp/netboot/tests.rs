//! What each firmware is told, with a server that gives addresses and beside one.

use super::super::sample::{Packet, Server, booting, network, web1};
use super::super::wire::tests::Decoded;
use super::super::{Destination, Reason, Verdict};
use super::*;
use crate::model::dhcp::DhcpMode;

const TFTP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 69);
const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const URL: &str = "http://boot.example/web1.ipxe";

fn with_loaders(mode: DhcpMode) -> Network {
    let mut network = network();
    network.dhcp.mode = mode;
    network.dhcp.loaders = BootLoaders {
        tftp: Some(TFTP),
        bios: Some("undionly.kpxe".into()),
        efi_x64: Some("ipxe.efi".into()),
        efi_arm64: None,
        http: None,
    };
    network
}

fn server(target: &str) -> Server {
    Server::of(with_loaders(DhcpMode::Authoritative)).with(booting(target))
}

fn proxy() -> Server {
    Server::of(with_loaders(DhcpMode::Proxy)).with(booting(URL))
}

fn pxe(architecture: u16) -> Packet {
    Packet::new(1)
        .option(60, b"PXEClient:Arch:00000:UNDI:002001")
        .option(93, &architecture.to_be_bytes())
        .option(97, &[0; 17])
        .option(55, &[1, 3, 66])
}

fn ipxe() -> Packet {
    pxe(0).option(77, b"iPXE").option(175, &[1, 1, 1])
}

fn http() -> Packet {
    Packet::new(1)
        .option(60, b"HTTPClient:Arch:00016:UNDI:003001")
        .option(93, &[0, 16])
}

/// What of a reply is about booting.
fn boot(reply: &Decoded) -> (Ipv4Addr, String, Vec<u8>) {
    let codes = reply.options.keys().copied().filter(|code| CODES.contains(code));
    (
        reply.siaddr,
        String::from_utf8(reply.file.clone()).unwrap(),
        codes.collect(),
    )
}

#[test]
fn a_vm_that_boots_from_its_disk_is_told_nothing_to_load() {
    let mut server = Server::of(with_loaders(DhcpMode::Authoritative));
    for packet in [pxe(0), ipxe(), http(), Packet::new(1)] {
        let answer = server.ask(packet);
        assert_eq!(
            boot(answer.reply()),
            (Ipv4Addr::UNSPECIFIED, String::new(), vec![])
        );
    }
}

#[test]
fn pxe_firmware_is_told_the_loader_of_its_architecture() {
    // RFC 4578 §2.1.
    for (architecture, file) in [(0, "undionly.kpxe"), (7, "ipxe.efi"), (9, "ipxe.efi")] {
        let answer = server(URL).ask(pxe(architecture));
        let reply = answer.reply();
        assert_eq!(boot(reply), (TFTP, file.to_owned(), vec![43, 60, 66, 67, 97]));
        assert_eq!(reply.options[&60], b"PXEClient");
        assert_eq!(reply.options[&66], b"10.77.0.69");
        assert_eq!(reply.options[&67], file.as_bytes());
        assert_eq!(reply.options[&43], TAKE_THE_FILE);
        assert_eq!(reply.options[&97], [0; 17]);
        assert_eq!(reply.yiaddr, web1().address);
    }
    for architecture in [6, 11, 19] {
        assert_eq!(
            boot(server(URL).ask(pxe(architecture)).reply()).1,
            "",
            "{architecture}"
        );
    }
}

#[test]
fn old_firmware_has_its_architecture_in_option_60_only() {
    for (vendor, file) in [
        (&b"PXEClient:Arch:00007:UNDI:003016"[..], "ipxe.efi"),
        (b"PXEClient:Arch:00000:UNDI:002001", "undionly.kpxe"),
        (b"PXEClient", "undionly.kpxe"),
        (b"PXEClient:Arch:", "undionly.kpxe"),
    ] {
        let answer = server(URL).ask(Packet::new(1).option(60, vendor));
        assert_eq!(boot(answer.reply()).1, file);
    }
}

#[test]
fn ipxe_is_told_the_vms_own_script_and_not_itself_again() {
    let answer = server(URL).ask(ipxe());
    let reply = answer.reply();
    assert_eq!(boot(reply), (US, URL.to_owned(), vec![67, 97, 175]));
    assert_eq!(reply.options[&67], URL.as_bytes());
    assert_eq!(reply.options[&175], [176, 1, 1]);
    let script = server("debian-12").ask(ipxe());
    assert_eq!(script.reply().options[&67], b"http://10.77.0.1/boot/script.ipxe");
}

#[test]
fn ipxe_is_known_by_its_user_class_in_both_forms_and_by_its_own_option() {
    let plain = || Packet::new(1).option(60, b"PXEClient:Arch:00000");
    for packet in [
        plain().option(77, b"iPXE"),
        plain().option(77, b"\x04iPXE"),
        plain().option(175, &[1]),
    ] {
        assert_eq!(boot(server(URL).ask(packet).reply()).1, URL);
    }
}

#[test]
fn uefi_http_firmware_is_told_a_url_and_hears_its_own_class() {
    let answer = server(URL).ask(http());
    let reply = answer.reply();
    assert_eq!(reply.options[&60], b"HTTPClient");
    assert_eq!(reply.options[&67], b"http://10.77.0.1/boot/ipxe.efi");
    assert!(!reply.options.contains_key(&43));
    let mut network = with_loaders(DhcpMode::Authoritative);
    network.dhcp.loaders.http = Some("http://boot.example/x.efi".into());
    let answer = Server::of(network).with(booting(URL)).ask(http());
    assert_eq!(answer.reply().options[&67], b"http://boot.example/x.efi");
}

#[test]
fn a_url_too_long_for_the_file_field_is_in_option_67_alone() {
    // RFC 2131 table 1: `file` has 128 octets, with an end mark.
    for (length, in_field) in [(127, true), (128, false), (200, false)] {
        let url = format!("http://{}", "b".repeat(length - 7));
        let answer = server(&url).ask(ipxe());
        assert_eq!(answer.reply().options[&67], url.as_bytes());
        assert_eq!(boot(answer.reply()).1 == url, in_field, "{length}");
    }
}

#[test]
fn the_debian_installer_is_never_told_a_file_which_it_would_take_for_its_preseed() {
    let installer = Packet::new(1)
        .option(60, b"d-i")
        .option(77, b"iPXE")
        .option(55, &[67]);
    assert_eq!(
        boot(server(URL).ask(installer).reply()),
        (Ipv4Addr::UNSPECIFIED, String::new(), vec![])
    );
}

#[test]
fn an_operators_boot_file_is_before_ours() {
    let mut network = with_loaders(DhcpMode::Authoritative);
    network.dhcp.settings.options = vec!["67: text other.0".parse().unwrap()];
    let answer = Server::of(network).with(booting(URL)).ask(pxe(0));
    assert_eq!(answer.reply().options[&67], b"other.0");
}

#[test]
fn a_proxy_offers_firmware_what_to_boot_and_no_address() {
    // PXE 2.1 §2.2.3.
    for (packet, class, file) in [
        (pxe(0), &b"PXEClient"[..], "undionly.kpxe"),
        (ipxe(), b"PXEClient", URL),
        (http(), b"HTTPClient", "http://10.77.0.1/boot/ipxe.efi"),
    ] {
        let answer = proxy().ask(packet);
        let reply = answer.reply();
        assert_eq!((reply.kind, reply.yiaddr), (2, Ipv4Addr::UNSPECIFIED));
        assert_eq!(reply.options[&60], class);
        assert_eq!(reply.options[&67], file.as_bytes());
        assert_eq!(reply.options[&54], US.octets());
        assert!([1, 3, 51].iter().all(|code| !reply.options.contains_key(code)));
        assert_eq!(answer.response.to, Some(Destination::Broadcast));
        assert_eq!(answer.response.verdict, Verdict::Proxied);
    }
}

#[test]
fn a_proxy_answers_at_its_own_port_to_where_it_was_asked_from() {
    let mut proxy = proxy();
    proxy.port = 4011;
    proxy.source = "10.77.0.5:4011".parse().unwrap();
    let request = pxe(0)
        .at(242, &[3])
        .ciaddr(web1().address)
        .option(54, &US.octets());
    let inform = pxe(0).at(242, &[8]).ciaddr(web1().address);
    for packet in [request, inform] {
        let answer = proxy.ask(packet);
        assert_eq!(
            (answer.reply().kind, answer.reply().yiaddr),
            (5, Ipv4Addr::UNSPECIFIED)
        );
        assert_eq!(answer.reply().options[&67], b"undionly.kpxe");
        let to = Destination::Client {
            address: web1().address,
            port: 4011,
        };
        assert_eq!(answer.response.to, Some(to));
    }
}

#[test]
fn a_proxy_is_silent_to_all_that_is_not_booting_and_never_refuses() {
    let wrong = Ipv4Addr::new(10, 77, 0, 99).octets();
    for (packet, reason) in [
        (Packet::new(1), Reason::NotOffered),
        (Packet::new(3).option(50, &wrong), Reason::NotOffered),
        (pxe(0).at(242, &[3]).option(50, &wrong), Reason::OtherServer),
        (pxe(0).at(242, &[8]).ciaddr(web1().address), Reason::OtherServer),
        (pxe(0).mac([2, 0, 0, 0, 0, 9]), Reason::Unregistered),
    ] {
        let answer = proxy().ask(packet);
        assert!(answer.reply.is_none());
        assert_eq!(answer.response.verdict, Verdict::Ignored(reason));
    }
}
