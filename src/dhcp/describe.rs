//! What a VM would be told, for people: the text of `seedbed render NAME --as dhcp`.

use std::fmt::Write as _;

use super::answer::answer;
use super::message::{Asking, Flags, Kind, Request};
use super::options::ON_REQUEST;
use crate::model::{Directory, Network, Vm, mac};

/// The DHCPACK that a VM gets which asks for everything: its options, then its exact octets.
///
/// Transaction and flags are zero; a real client gets its own back, its client identifier too, and only the options it
/// asked for.
pub fn render(network: &Network, vm: &Vm) -> String {
    let request = Request {
        mac: vm.mac,
        xid: 0,
        flags: Flags::default(),
        kind: Kind::Request(Asking::InitReboot { wanted: vm.address }),
        client_id: None,
        asked: Some(ON_REQUEST.to_vec()),
        max_size: Some(u16::MAX),
    };
    let mut directory = Directory::default();
    directory.put_vm(std::sync::Arc::new(vm.clone()));
    let Some((reply, _)) = answer(network, &directory, &request).reply else {
        return format!(
            "{} is on network {}, not on {}: it gets no answer here\n",
            vm.name, vm.network, network.name
        );
    };
    let mut text = format!(
        "# {} to {} ({}) on {}, network {}\n",
        reply.kind.as_str(),
        vm.name,
        mac::text(vm.mac),
        network.bridge,
        network.name
    );
    // Writing to a String can not fail.
    let _: Result<(), _> = writeln!(text, "your address: {}", reply.yiaddr);
    let mut line = |code: u8, name: &str, value: &str| {
        let _: Result<(), _> = writeln!(text, "option {code:>3}  {name:<24}{value}");
    };
    line(53, "message type", reply.kind.as_str());
    for option in &reply.options {
        line(option.code, option.name(), &option.value.to_string());
    }
    let bytes = reply.encode();
    let _: Result<(), _> = writeln!(text, "# {} octets", bytes.len());
    for (index, row) in bytes.chunks(16).enumerate() {
        let octets: Vec<String> = row.iter().map(|octet| format!("{octet:02x}")).collect();
        let _: Result<(), _> = writeln!(text, "{:04x}  {}", index * 16, octets.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
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
}
