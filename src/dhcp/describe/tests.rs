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

#[test]
fn a_vms_own_options_and_what_each_firmware_boots_are_shown() {
    let mut network = network();
    network.dhcp.loaders.tftp = Some([10, 77, 0, 69].into());
    network.dhcp.loaders.bios = Some("undionly.kpxe".into());
    let mut vm = super::super::sample::booting("debian-12");
    let custom = vm.custom.as_mut().unwrap();
    custom.dhcp.options = vec!["150: ip 10.77.0.7".parse().unwrap()];
    let text = render(&network, &vm);
    for line in [
        "option 150  TFTP server addresses   0a4d0007",
        "# network boot of iPXE",
        "option  67  boot file               http://10.77.0.1/boot/script.ipxe",
        "# network boot of a BIOS (PXE)",
        "next server (siaddr): 10.77.0.69",
        "option  67  boot file               undionly.kpxe",
        "option  67  boot file               http://10.77.0.1/boot/ipxe.efi",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
    // Nothing here suits it.
    assert!(!text.contains("64-bit Arm UEFI (PXE)"), "{text}");
    network.dhcp.mode = DhcpMode::Proxy;
    let beside = render(&network, &vm);
    assert!(beside.contains("beside another DHCP server"), "{beside}");
    assert!(!beside.contains("your address"), "{beside}");
}

#[test]
fn what_each_nic_is_told_is_shown_on_its_network() {
    let vm = crate::model::examples::with_nic(web1(), "back", "10.78.0.5");
    let back = crate::model::examples::network("back", "10.78.0.1/24");
    let text = render(&back, &vm);
    assert!(
        text.contains("your address: 10.78.0.5") && !text.contains("router"),
        "{text}"
    );
    let shown = render_json(&back, &vm);
    assert_eq!(shown["messages"][1]["your_address"], "10.78.0.5");
    assert_eq!(shown["mac"], mac::text(vm.more_nics()[0].mac));
}
