//! What is printed for people.

use super::super::sample::{network, web1};
use super::super::wire::tests::decode;
use super::*;

#[test]
fn every_option_has_a_line_with_its_number_name_and_value() {
    let text = render(&network(), &web1());
    for line in [
        "your address: 10.77.0.5",
        "option  53  message type            DHCPACK",
        "option  12  host name               web1",
        "option  51  lease time              43200 s",
        "option  58  renewal time (T1)       21600 s",
        "option 119  domain search           lab.example",
        "option 121  classless static routes 192.168.4.0/22 via 10.77.0.9, 0.0.0.0/0 via 10.77.0.1",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
}

#[test]
fn the_octets_are_those_of_the_message() {
    let text = render(&network(), &web1());
    let octets: Vec<u8> = text
        .lines()
        .skip_while(|line| !line.ends_with("octets"))
        .skip(1)
        .flat_map(|line| line.split_whitespace().skip(1))
        .map(|octet| u8::from_str_radix(octet, 16).unwrap())
        .collect();
    assert_eq!(decode(&octets).yiaddr, web1().address);
}

#[test]
fn a_vm_of_another_network_is_told_so() {
    let vm = Vm {
        network: "other".parse().unwrap(),
        ..web1()
    };
    assert!(render(&network(), &vm).contains("not on lab"));
}
