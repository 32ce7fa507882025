//! The rules of [`answer`](super::answer), one test each.

use super::*;
use crate::dns::fixture::{lab, network, vm};
use proptest::prelude::*;

fn question(name: &str, kind: Kind) -> Question {
    Question {
        name: name.parse().unwrap(),
        kind,
        internet: true,
        recursion_desired: true,
        source: "10.77.0.99".parse().unwrap(),
    }
}

fn ask(directory: &Directory, name: &str, kind: Kind) -> Answer {
    let br0 = directory.network(&"br0".parse().unwrap()).unwrap();
    answer(directory, br0, &question(name, kind))
}

fn records(records: Vec<Data>) -> Answer {
    Answer::Records { ttl: 5, records }
}

fn is_nx(answer: &Answer, zone: &str) -> bool {
    matches!(answer, Answer::NxDomain(authority) if authority.zone == zone)
}

fn is_empty(answer: &Answer, zone: &str) -> bool {
    matches!(answer, Answer::NoData(authority) if authority.zone == zone)
}

#[test]
fn a_vm_has_its_address_and_the_address_its_name() {
    let lab = lab();
    let address = records(vec![Data::A(Ipv4Addr::new(10, 77, 0, 10))]);
    assert_eq!(ask(&lab, "web1.lab", Kind::A), address);
    assert_eq!(ask(&lab, "WEB1.Lab", Kind::A), address);
    let name = records(vec![Data::Ptr("web1.lab".to_owned())]);
    assert_eq!(ask(&lab, "10.0.77.10.in-addr.arpa", Kind::Ptr), name);
}

#[test]
fn a_deleted_vm_has_no_name_from_the_next_question_on() {
    let mut lab = lab();
    lab.remove_vm(&"web1".parse().unwrap());
    assert!(is_nx(&ask(&lab, "web1.lab", Kind::A), "lab"));
    assert!(is_nx(
        &ask(&lab, "10.0.77.10.in-addr.arpa", Kind::Ptr),
        "0.77.10.in-addr.arpa"
    ));
}

#[test]
fn a_name_without_such_records_is_not_a_missing_name() {
    let lab = lab();
    for kind in [Kind::Aaaa, Kind::Ns, Kind::Soa, Kind::Ptr, Kind::Other] {
        assert!(is_empty(&ask(&lab, "web1.lab", kind), "lab"), "{kind:?}");
    }
    assert!(is_empty(&ask(&lab, "lab", Kind::A), "lab"));
    assert!(is_empty(
        &ask(&lab, "10.0.77.10.in-addr.arpa", Kind::A),
        "0.77.10.in-addr.arpa"
    ));
}

#[test]
fn what_is_not_in_our_zones_does_not_exist_and_is_never_forwarded() {
    let lab = lab();
    for name in ["web2.lab", "x.web1.lab", "*.lab", "web1\0.lab", "_ssh._tcp.lab"] {
        assert!(is_nx(&ask(&lab, name, Kind::A), "lab"), "{name}");
    }
    for name in [
        "11.0.77.10.in-addr.arpa",
        "x.0.77.10.in-addr.arpa",
        "1.10.0.77.10.in-addr.arpa",
    ] {
        assert!(
            is_nx(&ask(&lab, name, Kind::Ptr), "0.77.10.in-addr.arpa"),
            "{name}"
        );
    }
}

#[test]
fn every_zone_starts_with_soa_and_ns() {
    let lab = lab();
    let soa = Soa {
        server: "ns.lab".to_owned(),
        mailbox: "hostmaster.lab".to_owned(),
        serial: 7,
        minimum: 5,
    };
    for zone in ["lab", "0.77.10.in-addr.arpa"] {
        assert_eq!(
            ask(&lab, zone, Kind::Soa),
            records(vec![Data::Soa(soa.clone())]),
            "{zone}"
        );
        assert_eq!(
            ask(&lab, zone, Kind::Ns),
            records(vec![Data::Ns("ns.lab".to_owned())]),
            "{zone}"
        );
    }
}

#[test]
fn the_bridge_has_a_name_and_a_vm_of_that_name_wins() {
    let mut lab = lab();
    let gateway = || records(vec![Data::A(Ipv4Addr::new(10, 77, 0, 1))]);
    let reverse = |name: &str| records(vec![Data::Ptr(name.to_owned())]);
    assert_eq!(ask(&lab, "ns.lab", Kind::A), gateway());
    assert_eq!(ask(&lab, "1.0.77.10.in-addr.arpa", Kind::Ptr), reverse("ns.lab"));

    lab.put_vm(vm("ns", "br0", "10.77.0.53"));
    assert_eq!(
        ask(&lab, "ns.lab", Kind::A),
        records(vec![Data::A(Ipv4Addr::new(10, 77, 0, 53))])
    );
    assert_eq!(ask(&lab, "gateway.lab", Kind::A), gateway());
    assert_eq!(
        ask(&lab, "1.0.77.10.in-addr.arpa", Kind::Ptr),
        reverse("gateway.lab")
    );

    lab.put_vm(vm("gateway", "br0", "10.77.0.54"));
    assert_eq!(ask(&lab, "_ns.lab", Kind::A), gateway());
    assert_eq!(
        ask(&lab, "lab", Kind::Ns),
        records(vec![Data::Ns("_ns.lab".to_owned())])
    );
}

#[test]
fn everything_is_answered_with_next_to_nothing() {
    let lab = lab();
    assert_eq!(ask(&lab, "web1.lab", Kind::Any), records(vec![Data::Minimal]));
    assert!(is_nx(&ask(&lab, "web2.lab", Kind::Any), "lab"));
    assert_eq!(ask(&lab, "example.com", Kind::Any), Answer::NotImplemented);
}

#[test]
fn transfers_meta_types_and_other_classes_are_not_served() {
    let lab = lab();
    assert_eq!(ask(&lab, "lab", Kind::Transfer), Answer::Refused);
    assert_eq!(ask(&lab, "lab", Kind::Meta), Answer::NotImplemented);
    assert_eq!(
        [251, 252, 255, 41, 250, 65].map(Kind::of),
        [
            Kind::Transfer,
            Kind::Transfer,
            Kind::Any,
            Kind::Meta,
            Kind::Meta,
            Kind::Other
        ]
    );
    let chaos = Question {
        internet: false,
        ..question("version.bind", Kind::Other)
    };
    let br0 = lab.network(&"br0".parse().unwrap()).unwrap();
    assert_eq!(answer(&lab, br0, &chaos), Answer::Refused);
}

#[test]
fn only_the_network_and_the_host_itself_may_ask() {
    let lab = lab();
    let br0 = lab.network(&"br0".parse().unwrap()).unwrap();
    let from = |source: &str| {
        let source = source.parse().unwrap();
        answer(
            &lab,
            br0,
            &Question {
                source,
                ..question("web1.lab", Kind::A)
            },
        )
    };
    for good in ["10.77.0.99", "10.77.0.1", "127.0.0.1"] {
        assert!(matches!(from(good), Answer::Records { .. }), "{good}");
    }
    for bad in ["10.78.5.10", "192.0.2.1", "::1"] {
        assert_eq!(from(bad), Answer::Refused, "{bad}");
    }
}

#[test]
fn the_names_of_another_network_are_neither_told_nor_asked_upstream() {
    let lab = lab();
    for name in ["mx.dmz.lab", "dmz.lab", "none.dmz.lab", "10.5.78.10.in-addr.arpa"] {
        assert_eq!(ask(&lab, name, Kind::A), Answer::Refused, "{name}");
    }
    assert!(
        is_nx(&ask(&lab, "mx.lab", Kind::A), "lab"),
        "a VM has its name under its own domain only"
    );
}

#[test]
fn two_networks_of_one_domain_know_each_others_vms() {
    let mut both = Directory::of([
        network("br0", "10.77.0.1/24", "lab"),
        network("br1", "10.78.0.1/24", "lab"),
    ]);
    both.put_vm(vm("far", "br1", "10.78.0.10"));
    assert_eq!(
        ask(&both, "far.lab", Kind::A),
        records(vec![Data::A(Ipv4Addr::new(10, 78, 0, 10))])
    );
}

#[test]
fn other_names_are_forwarded_when_recursion_is_desired() {
    let lab = lab();
    for name in ["example.com", "collab", "1.1.1.1.in-addr.arpa", "web1"] {
        assert_eq!(ask(&lab, name, Kind::A), Answer::Forward, "{name}");
    }
    let br0 = lab.network(&"br0".parse().unwrap()).unwrap();
    let direct = Question {
        recursion_desired: false,
        ..question("example.com", Kind::A)
    };
    assert_eq!(answer(&lab, br0, &direct), Answer::Refused);
}

#[test]
fn names_of_special_meaning_are_never_forwarded() {
    let lab = lab();
    assert_eq!(
        ask(&lab, "a.localhost", Kind::A),
        records(vec![Data::A(Ipv4Addr::LOCALHOST)])
    );
    assert_eq!(
        ask(&lab, "localhost", Kind::Aaaa),
        records(vec![Data::Aaaa(Ipv6Addr::LOCALHOST)])
    );
    for zone in ["local", "invalid", "onion"] {
        assert!(
            is_nx(&ask(&lab, &format!("printer.{zone}"), Kind::A), zone),
            "{zone}"
        );
    }
}

proptest! {
    #[test]
    fn any_name_under_our_domain_is_answered_here(label in "[ -~&&[^.]]{0,63}", deeper in "([a-z]\\.)?", kind: u16) {
        let answer = ask(&lab(), &format!("{deeper}{label}.lab"), Kind::of(kind));
        prop_assert_ne!(answer, Answer::Forward);
    }
}
