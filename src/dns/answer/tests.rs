//! The rules of [`answer`](super::answer), one test each.

use super::*;
use crate::dns::fixture::{aliased, lab, network, register, rich_lab, vm};
use crate::model::examples;
use proptest::prelude::*;

fn question(name: &str, kind: Kind) -> Question {
    Question {
        name: name.parse().unwrap(),
        kind,
        internet: true,
        recursion_desired: true,
        source: "10.77.0.99".parse().unwrap(),
        by_stream: true,
        serial: None,
    }
}

/// What `br0` answers; every answer may be cached for the network's five seconds.
fn respond(directory: &Directory, question: &Question) -> Response {
    let br0 = directory.network(&"br0".parse().unwrap()).unwrap();
    let response = answer(directory, br0, question);
    assert_eq!(response.ttl, 5);
    response
}

fn ask(directory: &Directory, name: &str, kind: Kind) -> Answer {
    let response = respond(directory, &question(name, kind));
    assert_eq!(response.aliases, Vec::<String>::new(), "{name}");
    response.answer
}

/// The aliases on the way, and what is at its end.
fn follow(directory: &Directory, name: &str, kind: Kind) -> (Vec<String>, Answer) {
    let response = respond(directory, &question(name, kind));
    (response.aliases, response.answer)
}

fn records(records: Vec<Data>) -> Answer {
    Answer::Records(records)
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
fn meta_types_and_other_classes_are_not_served() {
    let lab = lab();
    assert_eq!(ask(&lab, "lab", Kind::Meta), Answer::NotImplemented);
    assert_eq!(
        [251, 252, 255, 41, 250, 65].map(Kind::of),
        [
            Kind::Ixfr,
            Kind::Axfr,
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
    assert_eq!(respond(&lab, &chaos).answer, Answer::Refused);
}

/// `lab` with 192.0.2.53 as a secondary server.
fn with_secondary() -> Directory {
    let mut br0 = network("br0", "10.77.0.1/24", "lab");
    br0.dns.transfer = vec!["192.0.2.53".parse().unwrap(), "10.77.0.64/26".parse().unwrap()];
    let mut directory = Directory::of([br0]);
    directory.set_revision(crate::model::Revision(7));
    directory
}

#[test]
fn n18_a_zone_goes_only_to_this_host_and_to_whom_the_network_lists() {
    let lab = with_secondary();
    let from = |source: &str, kind, name| {
        let source = source.parse().unwrap();
        let question = Question {
            source,
            ..question(name, kind)
        };
        respond(&lab, &question).answer
    };
    for kind in [Kind::Axfr, Kind::Ixfr] {
        for zone in ["lab", "LAB", "0.77.10.in-addr.arpa"] {
            for good in ["10.77.0.1", "127.0.0.1", "192.0.2.53", "10.77.0.99"] {
                assert_eq!(from(good, kind, zone), Answer::Zone, "{zone} to {good}");
            }
            for bad in ["10.77.0.9", "192.0.2.54", "::1"] {
                assert_eq!(from(bad, kind, zone), Answer::Refused, "{zone} to {bad}");
            }
        }
        for other in ["web1.lab", "example.com", "77.10.in-addr.arpa", "dmz"] {
            assert_eq!(from("10.77.0.1", kind, other), Answer::Refused, "{other}");
        }
    }
    // A secondary elsewhere may ask for our zones, and is no open door to the world.
    assert!(matches!(from("192.0.2.53", Kind::Soa, "lab"), Answer::Records(_)));
    assert_eq!(from("192.0.2.53", Kind::A, "example.com"), Answer::Refused);
}

#[test]
fn n18_what_is_no_whole_zone_is_told_by_its_start_or_refused() {
    let lab = with_secondary();
    let ask = |kind, by_stream, serial| {
        let question = Question {
            by_stream,
            serial,
            ..question("lab", kind)
        };
        respond(&lab, &question).answer
    };
    let is_start =
        |answer| matches!(answer, Answer::Records(records) if matches!(records[..], [Data::Soa(_)]));
    assert_eq!(ask(Kind::Axfr, false, None), Answer::Refused, "RFC 5936 §4.2");
    assert!(
        is_start(ask(Kind::Ixfr, false, Some(6))),
        "RFC 1995 §2: come back by TCP"
    );
    assert!(
        is_start(ask(Kind::Ixfr, true, Some(7))),
        "RFC 1995 §2: nothing is new"
    );
    assert_eq!(ask(Kind::Ixfr, true, Some(6)), Answer::Zone);
}

#[test]
fn an_alias_leads_to_its_vm() {
    let lab = rich_lab();
    let web1 = || records(vec![Data::A(Ipv4Addr::new(10, 77, 0, 10))]);
    assert_eq!(
        follow(&lab, "WWW.lab", Kind::A),
        (vec!["web1.lab".to_owned()], web1())
    );
    let both = vec!["www.lab".to_owned(), "web1.lab".to_owned()];
    assert_eq!(follow(&lab, "docs.lab", Kind::A), (both, web1()));
    let (aliases, answer) = follow(&lab, "www.lab", Kind::Aaaa);
    assert!(aliases == ["web1.lab"] && is_empty(&answer, "lab"));
    assert_eq!(
        ask(&lab, "www.lab", Kind::Cname),
        records(vec![Data::Cname("web1.lab".to_owned())])
    );
    assert_eq!(ask(&lab, "www.lab", Kind::Any), records(vec![Data::Minimal]));
}

#[test]
fn an_alias_that_leads_elsewhere_is_told_and_followed_where_that_is_wished() {
    let lab = rich_lab();
    let debian = vec!["pkg.sample.org".to_owned()];
    assert_eq!(
        follow(&lab, "mirror.lab", Kind::A),
        (debian.clone(), Answer::Forward)
    );
    let direct = Question {
        recursion_desired: false,
        ..question("mirror.lab", Kind::A)
    };
    let response = respond(&lab, &direct);
    assert_eq!((response.aliases, response.answer), (debian, records(Vec::new())));
    assert_eq!(
        follow(&lab, "far.lab", Kind::A),
        (vec!["mx.dmz.lab".to_owned()], records(Vec::new())),
        "another network's names are not told"
    );
    let (aliases, answer) = follow(&lab, "gone.lab", Kind::A);
    assert!(
        aliases == ["none.lab"] && is_nx(&answer, "lab"),
        "RFC 6604: the code is the last name's"
    );
}

#[test]
fn n15_aliases_in_a_circle_and_too_many_are_no_answer() {
    let mut lab = rich_lab();
    assert_eq!(follow(&lab, "round.lab", Kind::A), (Vec::new(), Answer::Failed));
    for step in 0..1_000 {
        register(
            &mut lab,
            "br0",
            &format!("c{step}"),
            ("CNAME", &format!("c{}", step + 1)),
        );
    }
    assert_eq!(follow(&lab, "c0.lab", Kind::A), (Vec::new(), Answer::Failed));
    register(&mut lab, "br0", "c1000", ("A", "10.77.0.7"));
    let (aliases, answer) = follow(&lab, &format!("c{}.lab", 1_000 - MAX_ALIASES), Kind::A);
    assert_eq!(
        (aliases.len(), answer),
        (8, records(vec![Data::A(Ipv4Addr::new(10, 77, 0, 7))]))
    );
    let one_more = follow(&lab, &format!("c{}.lab", 999 - MAX_ALIASES), Kind::A);
    assert_eq!(one_more, (Vec::new(), Answer::Failed));
}

#[test]
fn registered_records_stand_beside_those_of_the_vms() {
    let lab = rich_lab();
    let exchange = "mail.lab".to_owned();
    let mx = Data::Mx {
        preference: 10,
        exchange,
    };
    assert_eq!(ask(&lab, "lab", Kind::Mx), records(vec![mx]));
    assert!(matches!(ask(&lab, "lab", Kind::Soa), Answer::Records(_)));
    assert_eq!(
        ask(&lab, "mail.lab", Kind::Aaaa),
        records(vec![Data::Aaaa("2001:db8::25".parse().unwrap())])
    );
    let target = "web1.lab".to_owned();
    let srv = Data::Srv {
        priority: 0,
        weight: 5,
        port: 22,
        target,
    };
    assert_eq!(ask(&lab, "_ssh._tcp.lab", Kind::Srv), records(vec![srv]));
    let text = |text: &str| records(vec![Data::Txt(vec![text.as_bytes().into()])]);
    assert_eq!(ask(&lab, "web1.lab", Kind::Txt), text("the first"));
    assert_eq!(
        ask(&lab, "web1.lab", Kind::A),
        records(vec![Data::A(Ipv4Addr::new(10, 77, 0, 10))])
    );
    // RFC 8020: what has names below it is there.
    assert!(is_empty(&ask(&lab, "_tcp.lab", Kind::A), "lab"));
    assert!(is_nx(&ask(&lab, "_udp.lab", Kind::A), "lab"));
}

#[test]
fn a_long_text_is_sent_in_strings_of_255_octets() {
    let mut lab = lab();
    register(&mut lab, "br0", "key", ("TXT", &"x".repeat(600)));
    let Answer::Records(records) = ask(&lab, "key.lab", Kind::Txt) else {
        panic!("no records")
    };
    let [Data::Txt(strings)] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!(
        strings.iter().map(|text| text.len()).collect::<Vec<_>>(),
        [255, 255, 90]
    );
}

#[test]
fn the_bridges_name_makes_room_for_an_alias_and_a_record_too() {
    let mut lab = lab();
    lab.put_vm(aliased(&vm("web1", "br0", "10.77.0.10"), &["ns"]));
    register(&mut lab, "br0", "gateway", ("A", "10.77.0.77"));
    assert_eq!(
        ask(&lab, "lab", Kind::Ns),
        records(vec![Data::Ns("_ns.lab".to_owned())])
    );
    assert_eq!(
        ask(&lab, "gateway.lab", Kind::A),
        records(vec![Data::A(Ipv4Addr::new(10, 77, 0, 77))])
    );
}

#[test]
fn only_the_network_and_the_host_itself_may_ask() {
    let lab = lab();
    let from = |source: &str| {
        let source = source.parse().unwrap();
        let question = Question {
            source,
            ..question("web1.lab", Kind::A)
        };
        respond(&lab, &question).answer
    };
    for good in ["10.77.0.99", "10.77.0.1", "127.0.0.1"] {
        assert!(matches!(from(good), Answer::Records(_)), "{good}");
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
    let direct = Question {
        recursion_desired: false,
        ..question("example.com", Kind::A)
    };
    assert_eq!(respond(&lab, &direct).answer, Answer::Refused);
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

#[test]
fn names_of_private_addresses_that_are_not_ours_are_asked_nowhere() {
    // RFC 6303 §4. The subnet is half of a zone: the other half is not ours, and nobody elsewhere knows it.
    let mut half = examples::network("lab", "10.77.0.129/25");
    let ask_half = |network: &Network, name: &str| {
        let directory = Directory::of([network.clone()]);
        let question = question(&format!("{name}.in-addr.arpa"), Kind::Ptr);
        let source = Ipv4Addr::new(10, 77, 0, 140).into();
        answer(&directory, network, &Question { source, ..question }).answer
    };
    for name in ["5.0.77.10", "1.1.168.192", "9.8.31.172", "254.169.254.169"] {
        assert!(matches!(ask_half(&half, name), Answer::NxDomain(_)), "{name}");
    }
    for name in ["1.1.1.1", "1.1.32.172", "1.1.169.192"] {
        assert_eq!(ask_half(&half, name), Answer::Forward, "{name}");
    }
    half.dns.private_answers = true;
    assert_eq!(ask_half(&half, "5.0.77.10"), Answer::Forward);
}

proptest! {
    #[test]
    fn any_name_under_our_domain_is_answered_here(label in "[ -~&&[^.]]{0,63}", deeper in "([a-z]\\.)?", kind: u16) {
        let answer = ask(&lab(), &format!("{deeper}{label}.lab"), Kind::of(kind));
        prop_assert_ne!(answer, Answer::Forward);
    }
}

/// `web1` of `br0`, with a NIC on `dmz` too.
fn two_nics() -> Directory {
    let mut lab = lab();
    let web1 = aliased(&vm("web1", "br0", "10.77.0.10"), &["www"]);
    let web1 = examples::with_nic((*web1).clone(), "dmz", "10.78.0.9");
    lab.put_vm(std::sync::Arc::new(web1));
    lab
}

#[test]
fn a_vm_of_two_networks_has_its_name_in_the_domain_of_each_with_the_address_there() {
    let lab = two_nics();
    let on = |network: &str, name: &str, kind, source: &str| {
        let network = lab.network(&network.parse().unwrap()).unwrap();
        let question = Question {
            source: source.parse().unwrap(),
            ..question(name, kind)
        };
        let response = answer(&lab, network, &question);
        (response.aliases, response.answer)
    };
    let plain = |data: Data| (Vec::new(), records(vec![data]));
    let (first, second) = ([10, 77, 0, 10].into(), [10, 78, 0, 9].into());
    let guest = ["10.77.0.99", "10.78.0.99"];
    assert_eq!(on("br0", "web1.lab", Kind::A, guest[0]), plain(Data::A(first)));
    assert_eq!(
        on("dmz", "web1.dmz.lab", Kind::A, guest[1]),
        plain(Data::A(second))
    );
    assert_eq!(
        on("dmz", "www.dmz.lab", Kind::A, guest[1]),
        (vec!["web1.dmz.lab".to_owned()], records(vec![Data::A(second)]))
    );
    let pointer = |name: &str| plain(Data::Ptr(name.to_owned()));
    assert_eq!(
        on("br0", "10.0.77.10.in-addr.arpa", Kind::Ptr, guest[0]),
        pointer("web1.lab")
    );
    assert_eq!(
        on("dmz", "9.0.78.10.in-addr.arpa", Kind::Ptr, guest[1]),
        pointer("web1.dmz.lab")
    );
    // Neither view knows the other's addresses, nor a name that only the other has.
    assert_eq!(
        on("br0", "mx.lab", Kind::A, guest[0]).1,
        ask(&lab, "none.lab", Kind::A)
    );
}

#[test]
fn of_two_networks_with_one_domain_each_tells_the_address_on_its_own() {
    let mut directory = Directory::of([
        network("br0", "10.77.0.1/24", "lab"),
        network("back", "10.78.0.1/24", "lab"),
    ]);
    let web1 = examples::with_nic((*vm("web1", "br0", "10.77.0.10")).clone(), "back", "10.78.0.9");
    directory.put_vm(std::sync::Arc::new(web1));
    for (network, source, address) in [
        ("br0", "10.77.0.99", [10, 77, 0, 10]),
        ("back", "10.78.0.99", [10, 78, 0, 9]),
    ] {
        let network = directory.network(&network.parse().unwrap()).unwrap();
        let question = Question {
            source: source.parse().unwrap(),
            ..question("web1.lab", Kind::A)
        };
        let response = answer(&directory, network, &question);
        assert_eq!(response.answer, records(vec![Data::A(address.into())]));
    }
}
