//! The short way and the long way say the same.

use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use proptest::prelude::*;

use super::*;
use crate::dns::fixture::{keyed, lab, network, rich_lab, vm};
use crate::dns::wire::{Decision, Protocol, decide};
use crate::model::Sshfp;

const GUEST: &str = "10.77.0.99:4711";

/// A query, as a stub resolver writes it.
fn query(name: &str, kind: RecordType, edns: Option<bool>) -> Vec<u8> {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    // Any label, those included that hickory does not read from text.
    let labels = name.trim_end_matches('.').split('.').map(str::as_bytes);
    message.add_query(Query::query(Name::from_labels(labels).unwrap(), kind));
    message.edns = edns.map(|dnssec_ok| {
        let mut edns = Edns::new();
        edns.set_dnssec_ok(dnssec_ok);
        edns
    });
    message.to_vec().unwrap()
}

fn fast(directory: &Directory, from: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let network = directory.network(&"br0".parse().unwrap()).unwrap();
    let mut room = [0; 1_232];
    let written = answer(directory, network, from.parse().unwrap(), bytes, &mut room)?;
    Some(room[..written.length].to_vec())
}

fn slow(directory: &Directory, from: &str, bytes: &[u8]) -> Vec<u8> {
    let network = directory.network(&"br0".parse().unwrap()).unwrap();
    match decide(directory, network, (from.parse().unwrap(), Protocol::Udp), bytes) {
        Decision::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// Whether the short way says what the long one does; `None` when it leaves the question to that.
fn compare(directory: &Directory, from: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>, TestCaseError> {
    let Some(short) = fast(directory, from, bytes) else {
        return Ok(None);
    };
    let long = slow(directory, from, bytes);
    let (one, other) = (
        Message::from_vec(&short).unwrap(),
        Message::from_vec(&long).unwrap(),
    );
    prop_assert_eq!(&one, &other);
    prop_assert!(one.queries[0].name().eq_case(other.queries[0].name()));
    prop_assert!(short.len() <= 512, "it is never cut off");
    Ok(Some(short))
}

fn is_common(directory: &Directory, name: &str, kind: RecordType) -> bool {
    compare(directory, GUEST, &query(name, kind, Some(true)))
        .unwrap()
        .is_some()
}

#[test]
fn the_common_questions_take_the_short_way() {
    let lab = lab();
    for (name, kind) in [
        ("web1.lab.", RecordType::A),
        ("wEb1.LAB.", RecordType::A),
        ("web1.lab.", RecordType::AAAA),
        ("web1.lab.", RecordType::HTTPS),
        ("missing.lab.", RecordType::A),
        ("10.0.77.10.in-addr.arpa.", RecordType::PTR),
        ("10.0.77.10.IN-ADDR.arpa.", RecordType::A),
        ("11.0.77.10.in-addr.arpa.", RecordType::PTR),
    ] {
        assert!(is_common(&lab, name, kind), "{name} {kind}");
    }
}

#[test]
fn the_host_keys_of_a_vm_take_the_long_way_and_nothing_else_of_it_does() {
    let mut lab = lab();
    let web1 = lab.vm_named("web1").unwrap();
    lab.put_vm(keyed(&Arc::clone(web1)));
    assert!(!is_common(&lab, "web1.lab.", RecordType::SSHFP));
    assert!(is_common(&lab, "web1.lab.", RecordType::A));
    assert!(is_common(&lab, "web1.lab.", RecordType::AAAA));
    let asked = query("web1.lab.", RecordType::SSHFP, None);
    let answered = Message::from_vec(&slow(&lab, GUEST, &asked)).unwrap();
    let print = Sshfp::of(&lab.vm_named("web1").unwrap().host_keys()[0]).unwrap();
    assert_eq!(answered.answers.len(), 1);
    let data = answered.answers[0].data.to_string();
    assert_eq!(data.to_lowercase(), print.to_string());
}

#[test]
fn what_is_unusual_takes_the_long_way() {
    let lab = rich_lab();
    for (name, kind) in [
        ("lab.", RecordType::SOA),
        ("ns.lab.", RecordType::A),
        ("www.lab.", RecordType::A),
        ("mail.lab.", RecordType::A),
        ("web1.lab.", RecordType::TXT),
        ("_tcp.lab.", RecordType::A),
        ("a.b.lab.", RecordType::A),
        ("mx.dmz.lab.", RecordType::A),
        ("dmz.lab.", RecordType::A),
        ("web1.lab.", RecordType::ANY),
        ("web1.lab.", RecordType::AXFR),
        ("example.com.", RecordType::A),
        ("1.0.77.10.in-addr.arpa.", RecordType::PTR),
        ("0.77.10.in-addr.arpa.", RecordType::NS),
        ("10.5.78.10.in-addr.arpa.", RecordType::PTR),
        ("09.0.77.10.in-addr.arpa.", RecordType::PTR),
    ] {
        assert!(!is_common(&lab, name, kind), "{name} {kind}");
    }
    let question = query("web1.lab.", RecordType::A, None);
    assert!(fast(&lab, "192.0.2.1:53", &question).is_none(), "not from here");
}

#[test]
fn n16_every_vm_has_its_name_and_no_other_address_has_one() {
    let mut lab = lab();
    lab.remove_vm(&"web1".parse().unwrap());
    for host in 10..250 {
        lab.put_vm(vm(&format!("vm{host}"), "br0", &format!("10.77.0.{host}")));
    }
    lab.remove_vm(&"vm77".parse().unwrap());
    lab.put_vm(vm("renamed", "br0", "10.77.0.77"));
    for host in 0..=255_u8 {
        let question = query(&format!("{host}.0.77.10.in-addr.arpa."), RecordType::PTR, None);
        let answered = compare(&lab, GUEST, &question).unwrap();
        let reply = Message::from_vec(&answered.unwrap_or_else(|| slow(&lab, GUEST, &question))).unwrap();
        let name = reply.answers.first().map(|record| record.data.to_string());
        let expected = match host {
            1 => Some("ns.lab.".to_owned()),
            77 => Some("renamed.lab.".to_owned()),
            10..250 => Some(format!("vm{host}.lab.")),
            _ => None,
        };
        assert_eq!(name, expected, "{host}");
        assert!(reply.answers.iter().all(|record| record.ttl <= 5));
    }
    let old = query("vm77.lab.", RecordType::A, None);
    assert_eq!(
        Message::from_vec(&slow(&lab, GUEST, &old)).unwrap().answers.len(),
        0
    );
}

#[test]
fn who_asks_too_much_is_told_to_come_by_stream() {
    for edns in [None, Some(true)] {
        let question = query("rAndom.lab.", RecordType::A, edns);
        let mut room = [0; 512];
        let length = by_stream(&question, &mut room).unwrap();
        assert!(length <= question.len(), "not an octet more than was asked with");
        let reply = Message::from_vec(&room[..length]).unwrap();
        assert!(reply.metadata.truncation && reply.answers.is_empty());
        assert_eq!(
            (reply.metadata.id, reply.edns.is_some()),
            (0x1234, edns.is_some())
        );
        assert!(
            reply.queries[0]
                .name()
                .eq_case(&Name::from_ascii("rAndom.lab.").unwrap())
        );
    }
    assert_eq!(by_stream(b"no question", &mut [0; 512]), None);
}

#[test]
fn room_that_is_too_small_is_no_answer() {
    let lab = lab();
    let network = lab.network(&"br0".parse().unwrap()).unwrap();
    let question = query("web1.lab.", RecordType::A, Some(false));
    let whole = fast(&lab, GUEST, &question).unwrap().len();
    for length in 0..whole {
        let mut room = vec![0; length];
        assert_eq!(
            answer(&lab, network, GUEST.parse().unwrap(), &question, &mut room),
            None
        );
    }
}

/// Labels that exist, that nearly do, and any others.
fn any_label() -> impl Strategy<Value = String> {
    prop_oneof![
        "web1|www|docs|mail|ns|gateway|_tcp|lab|dmz|mx|web2|x{63}|0|1|10|77|010",
        "[a-z0-9_-]{1,12}",
        (0_u8..=255).prop_map(|octet| octet.to_string()),
    ]
}

fn any_case(text: &str, upper: u64) -> String {
    let letter = |(place, letter): (usize, char)| {
        if upper >> (place % 64) & 1 == 1 {
            letter.to_ascii_uppercase()
        } else {
            letter
        }
    };
    text.chars().enumerate().map(letter).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn both_ways_say_the_same(
        labels in proptest::collection::vec(any_label(), 0..5),
        zone in "lab|dmz\\.lab|0\\.77\\.10\\.in-addr\\.arpa|78\\.10\\.in-addr\\.arpa|in-addr\\.arpa",
        kind in prop_oneof![Just(1_u16), Just(12), Just(28), Just(6), Just(255), 0_u16..300],
        (edns, upper, rich) in any::<(Option<bool>, u64, bool)>(),
        (flags, second) in (any::<u8>(), any::<u8>()),
    ) {
        let directory = if rich { rich_lab() } else { lab() };
        let name = any_case(&(labels.join(".") + if labels.is_empty() { "" } else { "." } + &zone), upper);
        let mut bytes = query(&name, RecordType::from(kind), edns);
        bytes[2] = flags & 0x07;
        bytes[3] = second;
        compare(&directory, GUEST, &bytes)?;
    }

    #[test]
    fn any_prefix_has_its_zones_cut_alike(prefix in 8_u8..=30, host: u32, gateway: u32, kind in "PTR|A") {
        let mask = u32::MAX << (32 - prefix);
        let base = 0x0a4d_0000 & mask;
        let subnet = format!("{}/{prefix}", Ipv4Addr::from_bits(base | gateway & !mask & 0xff | 1));
        prop_assume!(subnet.parse::<crate::model::Subnet>().is_ok());
        let address = Ipv4Addr::from_bits(base | host & !mask);
        let mut directory = Directory::of([network("br0", &subnet, "lab")]);
        directory.put_vm(vm("web1", "br0", &address.to_string()));
        for asked in [address, Ipv4Addr::from_bits(address.to_bits() ^ 1)] {
            let [a, b, c, d] = asked.octets();
            let bytes = query(&format!("{d}.{c}.{b}.{a}.in-addr.arpa."), kind.parse().unwrap(), None);
            compare(&directory, "127.0.0.1:4711", &bytes)?;
        }
    }

    #[test]
    fn any_bytes_are_answered_as_the_long_way_does_or_left_to_it(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        compare(&rich_lab(), GUEST, &bytes)?;
        by_stream(&bytes, &mut [0; 512]);
    }

    #[test]
    fn any_body_behind_a_fitting_header_too(body in proptest::collection::vec(0_u8..70, 0..80), additionals in 0_u8..=1) {
        let header = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, additionals];
        compare(&rich_lab(), GUEST, &[&header, body.as_slice()].concat())?;
    }

    #[test]
    fn damage_is_seen_alike(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        edns: Option<bool>,
    ) {
        let mut bytes = query("web1.lab.", RecordType::A, edns);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        compare(&rich_lab(), GUEST, &bytes)?;
    }
}

#[test]
fn the_short_way_knows_a_vm_by_its_nic_on_the_network_that_asks() {
    let mut directory = lab();
    let web1 =
        crate::model::examples::with_nic((*vm("mx", "dmz", "10.78.5.10")).clone(), "br0", "10.77.0.44");
    directory.put_vm(Arc::new(web1));
    for (name, kind) in [
        ("mx.lab", RecordType::A),
        ("44.0.77.10.in-addr.arpa", RecordType::PTR),
    ] {
        let bytes = query(name, kind, None);
        let short = compare(&directory, GUEST, &bytes).unwrap();
        let message = Message::from_vec(&short.expect("the short way answers")).unwrap();
        assert_eq!(message.answers.len(), 1, "{name}");
    }
}
