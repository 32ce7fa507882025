//! The rules of what upstream servers may say.

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS};
use proptest::prelude::*;

use super::*;
use crate::dns::fixture::{lab, network};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn a(owner: &str, address: &str) -> Record {
    let data = match address.parse().unwrap() {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    };
    Record::from_rdata(name(owner), 60, data)
}

fn alias(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(target))))
}

/// What of these records is passed on to who asked for the addresses of `www.example.`.
fn screen(records: &[Record]) -> Result<Vec<Record>, Option<Forbidden>> {
    let kind = match records.last().map(Record::record_type) {
        Some(RecordType::AAAA) => RecordType::AAAA,
        _ => RecordType::A,
    };
    screen_as(records, kind, false)
}

fn screen_as(
    records: &[Record],
    kind: RecordType,
    private_answers: bool,
) -> Result<Vec<Record>, Option<Forbidden>> {
    let directory = lab();
    let mut network = network("br0", "10.77.0.1/24", "lab");
    network.dns.private_answers = private_answers;
    let policy = Policy {
        directory: &directory,
        network: &network,
    };
    match screened(&Query::query(name("www.example."), kind), records, policy) {
        Ok(Forwarded::Found(records)) => Ok(records),
        Ok(_) => Err(None),
        Err(why) => Err(Some(why)),
    }
}

#[test]
fn n14_addresses_that_mean_another_host_in_each_network_are_dropped() {
    for address in [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "0.1.2.3",
        "10.77.0.10",
        "::1",
        "::",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "fd00::1",
        "fe80::1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
    ] {
        let records = [a("www.example.", "192.0.2.1"), a("www.example.", address)];
        assert_eq!(
            screen(&records),
            Err(Some(Forbidden::PrivateAddress)),
            "{address}"
        );
    }
    for address in [
        "192.0.2.1",
        "100.128.0.1",
        "172.32.0.1",
        "2001:db8::1",
        "64:ff9b::192.0.2.1",
    ] {
        assert_eq!(
            screen(&[a("www.example.", address)]).map(|kept| kept.len()),
            Ok(1),
            "{address}"
        );
    }
}

#[test]
fn n14_where_private_answers_are_wished_this_hosts_own_addresses_are_still_dropped() {
    let screen = |address| screen_as(&[a("www.example.", address)], RecordType::A, true);
    assert!(screen("10.0.0.1").is_ok() && screen("10.77.0.10").is_ok());
    assert_eq!(screen("127.0.0.1"), Err(Some(Forbidden::PrivateAddress)));
}

#[test]
fn n14_an_alias_into_our_zones_is_dropped_and_so_is_what_is_said_of_them() {
    for ours in ["web1.lab.", "LAB.", "mx.dmz.lab.", "1.0.77.10.in-addr.arpa."] {
        let records = [alias("www.example.", ours), a(ours, "192.0.2.1")];
        assert_eq!(screen(&records), Err(Some(Forbidden::OurName)), "{ours}");
    }
}

#[test]
fn n14_an_address_hint_is_an_address() {
    let mut room = Vec::new();
    // RFC 9460 §2.2: priority 1, the target is the owner, ipv4hint of four octets.
    room.extend([0, 1, 0, 0, 4, 0, 4, 10, 0, 0, 1]);
    let mut message = vec![0, 7, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    message.extend(b"\x03www\x07example\x00\x00\x41\x00\x01\x00\x00\x00\x3c\x00\x0b");
    message.extend(room);
    let message = hickory_proto::op::Message::from_vec(&message).unwrap();
    let records = &message.answers;
    assert_eq!(
        screen_as(records, RecordType::HTTPS, false),
        Err(Some(Forbidden::PrivateAddress)),
        "{records:?}"
    );
}

#[test]
fn n12_what_was_not_asked_for_is_not_passed_on() {
    let ns = Record::from_rdata(name("example."), 60, RData::NS(NS(name("ns.evil."))));
    let records = [
        ns,
        a("bank.example.", "192.0.2.66"),
        alias("other.example.", "evil."),
        a("WWW.example.", "192.0.2.1"),
    ];
    assert_eq!(screen(&records), Ok(vec![records[3].clone()]));
    assert_eq!(screen(&records[..3]), Err(None), "no data");
}

#[test]
fn aliases_and_what_is_at_their_end_are_passed_on_in_order() {
    let records = [
        a("c.example.", "192.0.2.1"),
        alias("b.example.", "c.example."),
        alias("www.example.", "b.example."),
        a("c.example.", "192.0.2.2"),
    ];
    let kept = screen(&records).unwrap();
    assert_eq!(
        kept,
        [&records[2], &records[1], &records[0], &records[3]].map(Clone::clone)
    );
}

#[test]
fn n15_aliases_of_an_upstream_server_in_a_circle_or_without_end_are_no_answer() {
    let circle = [
        alias("www.example.", "b.example."),
        alias("b.example.", "www.example."),
    ];
    assert_eq!(screen(&circle), Err(None));
    let mut long = vec![alias("www.example.", "c0.example.")];
    for step in 0..1_000 {
        long.push(alias(
            &format!("c{step}.example."),
            &format!("c{}.example.", step + 1),
        ));
    }
    assert_eq!(screen(&long), Err(None));
    long.truncate(MAX_ALIASES);
    let end = format!("c{}.example.", MAX_ALIASES - 1);
    long.push(a(&end, "192.0.2.1"));
    assert_eq!(screen(&long).unwrap().len(), 9);
}

proptest! {
    #[test]
    fn nothing_of_ours_or_private_comes_through(
        owners in proptest::collection::vec("(www|a|b|web1)\\.(example|lab)\\.", 0..8),
        targets in proptest::collection::vec("(www|a|b|web1)\\.(example|lab)\\.", 8),
        addresses in proptest::collection::vec(any::<std::net::Ipv4Addr>(), 8),
    ) {
        let records: Vec<_> = owners.iter().zip(targets).zip(addresses).map(|((owner, target), address)| {
            if target.starts_with('w') { a(owner, &address.to_string()) } else { alias(owner, &target) }
        }).collect();
        if let Ok(kept) = screen_as(&records, RecordType::A, false) {
            for record in kept {
                prop_assert!(!record.name.to_ascii().ends_with(".lab."));
                if let RData::A(A(address)) = record.data {
                    prop_assert!(!address.is_private() && !address.is_loopback());
                }
            }
        }
    }
}
