//! Which options a reply has, and what they say.

use super::super::sample::{Packet, Server, network, web1};
use super::super::wire::tests::{Decoded, parts};
use super::*;
use crate::model::{Custom, CustomOption, Route};

fn told_by(network: &Network, vm: Vm, packet: Packet) -> Decoded {
    Server::of(network.clone()).with(vm).ask(packet).reply.unwrap()
}

fn told(packet: Packet) -> Decoded {
    told_by(&network(), web1(), packet)
}

fn codes(reply: &Decoded) -> Vec<u8> {
    reply.options.keys().copied().collect()
}

fn custom(texts: &[&str]) -> Vec<CustomOption> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// `web1` with settings of its own.
fn with(settings: DhcpSettings) -> Vm {
    Vm {
        custom: Custom {
            dhcp: settings,
            ..Custom::default()
        }
        .boxed(),
        ..web1()
    }
}

#[test]
fn a_client_without_a_list_gets_what_any_host_needs() {
    assert_eq!(codes(&told(Packet::new(1))), [1, 3, 6, 12, 15, 28, 51, 53, 54]);
}

#[test]
fn a_client_gets_what_it_asks_for_once_and_the_lease_always() {
    let one = told(Packet::new(1).option(55, &[119, 26, 119, 252, 43]));
    assert_eq!(codes(&one), [1, 26, 51, 53, 54, 119]);
    let every: Vec<u8> = (0..=255).collect();
    let all = told(
        Packet::new(1)
            .option(55, &every)
            .option(57, &1500u16.to_be_bytes()),
    );
    let mut expected = ON_REQUEST.to_vec();
    expected.extend([1, 51, 53, 54]);
    expected.sort_unstable();
    assert_eq!(codes(&all), expected);
}

#[test]
fn requested_options_come_in_the_order_of_the_request() {
    // RFC 2132 §9.8.
    let reply = told(Packet::new(1).option(55, &[119, 3, 1, 15, 6, 54]));
    assert_eq!(reply.order, [53, 54, 51, 1, 119, 3, 15, 6]);
}

#[test]
fn an_inform_is_told_nothing_of_a_lease() {
    let reply = told(
        Packet::new(8)
            .ciaddr(web1().address)
            .option(55, &[1, 3, 51, 58, 59]),
    );
    assert_eq!(codes(&reply), [1, 3, 53, 54]);
}

#[test]
fn what_a_network_does_not_set_is_not_sent() {
    let mut network = network();
    network.dhcp.settings = DhcpSettings::default();
    let reply = told_by(&network, web1(), Packet::new(1).option(55, &[26, 42, 121, 249]));
    assert_eq!(codes(&reply), [1, 51, 53, 54]);
}

#[test]
fn the_renewal_times_are_a_half_and_seven_eighths_of_the_lease() {
    let times = |lease| {
        let mut network = network();
        network.dhcp.lease = Duration::from_secs(lease);
        let reply = told_by(&network, web1(), Packet::new(1).option(55, &[58, 59]));
        [51, 58, 59].map(|code| u32::from_be_bytes(reply.options[&code][..].try_into().unwrap()))
    };
    assert_eq!(times(43_200), [43_200, 21_600, 37_800]);
    assert_eq!(times(u64::from(u32::MAX) + 5), [u32::MAX; 3]);
}

#[test]
fn a_networks_own_servers_and_search_list_are_told_in_place_of_the_gateway_and_the_domain() {
    let mut network = network();
    network.dhcp.settings.dns = vec![[10, 77, 0, 53].into(), [10, 77, 0, 54].into()];
    network.dhcp.settings.search = vec!["a".parse().unwrap(), "b.c".parse().unwrap()];
    let reply = told_by(&network, web1(), Packet::new(1).option(55, &[6, 15, 119]));
    assert_eq!(reply.options[&6], [10, 77, 0, 53, 10, 77, 0, 54]);
    assert_eq!(reply.options[&15], b"lab.example");
    assert_eq!(reply.options[&119], b"\x01a\0\x01b\x01c\0");
    let plain = told(Packet::new(1).option(55, &[6, 119]));
    assert_eq!(plain.options[&6], network.subnet.gateway().octets());
    assert_eq!(plain.options[&119], b"\x03lab\x07example\0");
}

#[test]
fn a_search_list_of_more_than_255_octets_is_split_and_read_as_one() {
    // RFC 3396 §5.
    let mut network = network();
    let labels: Vec<String> = (0..30)
        .map(|number| format!("department{number}.example"))
        .collect();
    network.dhcp.settings.search = labels.iter().map(|label| label.parse().unwrap()).collect();
    let mut server = Server::of(network);
    let large = Packet::new(1)
        .option(55, &[119])
        .option(57, &1500u16.to_be_bytes());
    let reply = server.ask(large).reply.unwrap();
    let written = parts(&server.out, 119);
    assert!(written.len() == 3 && written[..2] == [255, 255], "{written:?}");
    assert!(reply.options[&119].ends_with(b"\x0cdepartment29\x07example\0"));
}

#[test]
fn a_vm_is_told_its_own_settings_and_its_networks_where_it_has_none() {
    let own = DhcpSettings {
        dns: vec![[9, 9, 9, 9].into()],
        mtu: Some(9000),
        routes: vec![Route::parse("172.16.0.0/12", "10.77.0.3").unwrap()],
        ..DhcpSettings::default()
    };
    let reply = told_by(
        &network(),
        with(own),
        Packet::new(1).option(55, &[6, 26, 42, 121]),
    );
    assert_eq!(reply.options[&6], [9, 9, 9, 9]);
    assert_eq!(reply.options[&26], 9000u16.to_be_bytes());
    assert_eq!(reply.options[&42], [10, 77, 0, 1, 10, 77, 0, 2]);
    assert_eq!(reply.options[&121], [12, 172, 16, 10, 77, 0, 3, 0, 10, 77, 0, 1]);
}

#[test]
fn windows_is_told_the_same_routes_under_microsofts_number() {
    let reply = told(Packet::new(1).option(55, &[121, 249]));
    assert_eq!(reply.options[&121], reply.options[&249]);
}

#[test]
fn an_operators_option_is_sent_when_asked_for_or_when_nothing_is_asked() {
    let mut network = network();
    network.dhcp.settings.options = custom(&["150: ip 10.77.0.5", "224: text site"]);
    let asking = |list: &[u8]| codes(&told_by(&network, web1(), Packet::new(1).option(55, list)));
    assert_eq!(asking(&[3]), [1, 3, 51, 53, 54]);
    assert_eq!(asking(&[224]), [1, 51, 53, 54, 224]);
    let all = told_by(&network, web1(), Packet::new(1));
    assert_eq!(all.options[&150], [10, 77, 0, 5]);
    assert_eq!(all.options[&224], b"site");
}

#[test]
fn an_operators_option_about_booting_is_sent_to_firmware_unasked() {
    let mut network = network();
    network.dhcp.settings.options = custom(&["66: text boot.lab", "224: text site"]);
    let packet = Packet::new(1).option(55, &[3]);
    let firmware = packet.clone().option(60, b"PXEClient:Arch:00000");
    assert_eq!(codes(&told_by(&network, web1(), packet)), [1, 3, 51, 53, 54]);
    assert_eq!(
        codes(&told_by(&network, web1(), firmware)),
        [1, 3, 51, 53, 54, 66]
    );
}

#[test]
fn an_operators_option_is_before_ours_and_a_vms_before_its_networks() {
    let mut network = network();
    network.dhcp.settings.options = custom(&["3: ip 10.77.0.254", "12: text other", "224: text net"]);
    let own = DhcpSettings {
        options: custom(&["224: text own"]),
        ..DhcpSettings::default()
    };
    let reply = told_by(&network, with(own), Packet::new(1));
    assert_eq!(reply.options[&3], [10, 77, 0, 254]);
    assert_eq!(reply.options[&12], b"other");
    assert_eq!(reply.options[&224], b"own");
}

#[test]
fn a_full_name_is_sent_to_those_that_sent_theirs_and_it_is_the_registrys() {
    // RFC 4702 §4.
    assert!(!told(Packet::new(1).option(55, &[81])).options.contains_key(&81));
    let announced = Packet::new(1).option(81, b"\x05\0\0\x04base\x05wrong\0");
    assert_eq!(
        told(announced).options[&81],
        b"\x05\xff\xff\x04web1\x03lab\x07example\0"
    );
}

/// What the second NIC of `web1` is told on a network of its own, which has routes.
fn told_second(routes: Vec<Route>) -> Decoded {
    let mut back = crate::model::examples::network("back", "10.78.0.1/24");
    back.dhcp.settings.routes = routes;
    back.dhcp.settings.mtu = Some(9000);
    let vm = with(DhcpSettings {
        mtu: Some(1400),
        dns: vec![[9, 9, 9, 9].into()],
        ..DhcpSettings::default()
    });
    let vm = crate::model::examples::with_nic(vm, "back", "10.78.0.5");
    let mac = vm.more_nics()[0].mac.bytes();
    let every: Vec<u8> = (0..=255).collect();
    let packet = Packet::new(1)
        .mac(mac)
        .option(55, &every)
        .option(57, &1500u16.to_be_bytes());
    told_by(&back, vm, packet)
}

#[test]
fn a_further_nic_has_no_way_out_and_no_names_and_nothing_of_the_first_ones() {
    let reply = told_second(Vec::new());
    assert_eq!(codes(&reply), [1, 12, 26, 28, 51, 53, 54, 58, 59]);
    assert_eq!(reply.options[&26], 9000_u16.to_be_bytes(), "its network's MTU");
    assert_eq!(reply.options[&12], b"web1");
}

#[test]
fn a_further_nic_has_the_routes_of_its_network_but_no_default_route() {
    let route = |destination: [u8; 4], prefix| Route {
        destination: destination.into(),
        prefix,
        router: [10, 78, 0, 9].into(),
    };
    let reply = told_second(vec![route([0; 4], 0), route([192, 168, 4, 0], 22)]);
    assert_eq!(reply.options[&121], [22, 192, 168, 4, 10, 78, 0, 9]);
    let only_default = told_second(vec![route([0; 4], 0)]);
    assert!(
        !only_default.options.contains_key(&121),
        "an empty option is malformed"
    );
}
