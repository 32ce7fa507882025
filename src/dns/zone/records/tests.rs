//! Which zones a network has.

use super::*;
use crate::dns::fixture::{keyed, lab, network};

fn zone(name: &str, subnet: &str) -> Option<Zone> {
    Zone::named(&name.parse().unwrap(), &network("br0", subnet, "lab"))
}

#[test]
fn a_network_has_its_domain_and_the_reverse_zones_of_its_subnet() {
    assert_eq!(zone("LAB", "10.77.0.1/24"), Some(Zone::Domain));
    assert!(matches!(
        zone("0.77.10.in-addr.arpa", "10.77.0.1/24"),
        Some(Zone::Reverse(_))
    ));
    for last in 16..32 {
        let name = format!("{last}.77.10.in-addr.arpa");
        assert!(
            matches!(zone(&name, "10.77.16.1/20"), Some(Zone::Reverse(_))),
            "{name}"
        );
    }
    for none in [
        "web1.lab",
        "com",
        "77.10.in-addr.arpa",
        "1.77.10.in-addr.arpa",
        "9.0.77.10.in-addr.arpa",
    ] {
        assert_eq!(zone(none, "10.77.0.1/24"), None, "{none}");
    }
    // The rest of that zone is somebody else's.
    assert_eq!(zone("0.77.10.in-addr.arpa", "10.77.0.129/25"), None);
}

#[test]
fn an_address_has_its_labels_in_its_own_zone_only() {
    let block = |subnet: &str, name: &str| match zone(name, subnet) {
        Some(Zone::Reverse(block)) => block,
        other => panic!("{other:?}"),
    };
    let labels = |block: Block, address: &str| block.labels_of(address.parse().unwrap());
    let small = block("10.77.16.1/20", "17.77.10.in-addr.arpa");
    assert_eq!(labels(small, "10.77.17.9"), Some("9".to_owned()));
    assert_eq!(labels(small, "10.77.16.9"), None);
    let large = block("10.77.0.1/16", "77.10.in-addr.arpa");
    assert_eq!(labels(large, "10.77.17.9"), Some("9.17".to_owned()));
}

#[test]
fn a_zone_begins_with_its_start_and_its_server() {
    let lab = lab();
    let br0 = lab.network(&"br0".parse().unwrap()).unwrap();
    let first: Vec<_> = records(&lab, br0, Zone::Domain).take(3).collect();
    assert_eq!(first[0].data, Data::Soa(start(&lab, br0)));
    assert_eq!(first[1].data, Data::Ns("ns.lab".to_owned()));
    assert_eq!((first[2].owner.as_ref(), first[2].ttl), ("ns", 5));
}

#[test]
fn a_zone_has_the_fingerprints_of_host_keys_beside_the_addresses() {
    let mut lab = lab();
    let web1 = keyed(lab.vm_named("web1").unwrap());
    lab.put_vm(web1);
    let br0 = lab.network(&"br0".parse().unwrap()).unwrap();
    let of_web1: Vec<_> = records(&lab, br0, Zone::Domain)
        .filter(|entry| entry.owner == "web1")
        .collect();
    assert!(
        matches!(of_web1.as_slice(), [address, print]
            if matches!(address.data, Data::A(_)) && matches!(print.data, Data::Sshfp(_))),
        "{of_web1:?}"
    );
}
