//! A transfer holds what single questions are answered, all of it and no more.

use std::collections::BTreeSet;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name as HickoryName, RData, Record, RecordType};

use super::*;
use crate::dns::fixture::{aliased, lab, network, rich_lab, vm};
use crate::dns::wire::{Decision, Protocol, decide};

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(HickoryName::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

/// The messages of a transfer that the host itself asks for.
fn transferred(directory: &Directory, zone: &str) -> Vec<Message> {
    let network = directory.network(&"br0".parse().unwrap()).unwrap();
    let from = ("127.0.0.1:4711".parse().unwrap(), Protocol::Tcp);
    match decide(directory, network, from, &query(zone, RecordType::AXFR)) {
        Decision::Transfer(transfer) => transfer
            .messages(directory, network)
            .map(|bytes| Message::from_vec(&bytes).unwrap())
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn records(messages: &[Message]) -> Vec<Record> {
    messages
        .iter()
        .flat_map(|message| message.answers.clone())
        .collect()
}

fn answered(directory: &Directory, record: &Record) -> Vec<Record> {
    let network = directory.network(&"br0".parse().unwrap()).unwrap();
    let from = ("127.0.0.1:4711".parse().unwrap(), Protocol::Tcp);
    let question = query(&record.name.to_ascii(), record.record_type());
    match decide(directory, network, from, &question) {
        Decision::Reply(reply) => Message::from_vec(&reply).unwrap().answers,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_zone_begins_and_ends_with_its_start() {
    for zone in ["lab.", "0.77.10.in-addr.arpa."] {
        let messages = transferred(&rich_lab(), zone);
        assert_eq!(messages[0].metadata.id, 0x1234);
        assert!(messages[0].metadata.authoritative);
        let records = records(&messages);
        let (first, last) = (records.first().unwrap(), records.last().unwrap());
        assert!(
            matches!(&first.data, RData::SOA(soa) if soa.serial == 7),
            "{first}"
        );
        assert_eq!(first, last);
        let starts = records
            .iter()
            .filter(|record| record.record_type() == RecordType::SOA);
        assert_eq!(starts.count(), 2);
    }
}

#[test]
fn each_record_of_a_zone_is_what_its_question_is_answered() {
    let directory = rich_lab();
    for zone in ["lab.", "0.77.10.in-addr.arpa."] {
        for record in records(&transferred(&directory, zone)) {
            assert!(answered(&directory, &record).contains(&record), "{record}");
        }
    }
}

#[test]
fn a_zone_holds_every_vm_alias_and_registered_record() {
    let mut directory = rich_lab();
    directory.put_vm(aliased(&vm("db", "br0", "10.77.0.11"), &["sql", "postgres"]));
    let forward: BTreeSet<_> = records(&transferred(&directory, "lab."))
        .iter()
        .map(|record| format!("{} {}", record.name, record.record_type()))
        .collect();
    let expected = "_ssh._tcp.lab. SRV,and-round.lab. CNAME,db.lab. A,docs.lab. CNAME,far.lab. CNAME,gone.lab. CNAME,\
                    lab. MX,lab. NS,lab. SOA,lab. TXT,mail.lab. A,mail.lab. AAAA,mirror.lab. CNAME,ns.lab. A,\
                    postgres.lab. CNAME,round.lab. CNAME,sql.lab. CNAME,web1.lab. A,web1.lab. TXT,www.lab. CNAME";
    assert_eq!(forward.into_iter().collect::<Vec<_>>().join(","), expected);
    let reverse: Vec<_> = records(&transferred(&directory, "0.77.10.in-addr.arpa."))
        .iter()
        .filter(|record| record.record_type() == RecordType::PTR)
        .map(|record| format!("{} {}", record.name, record.data))
        .collect();
    let host = |host: &str, name: &str| format!("{host}.0.77.10.in-addr.arpa. {name}.lab.");
    assert_eq!(reverse, [host("1", "ns"), host("11", "db"), host("10", "web1")]);
}

#[test]
fn what_lies_in_another_networks_domain_is_not_in_ours() {
    let mut directory = lab();
    // A VM whose name is the first label of the other network's domain.
    directory.put_vm(vm("dmz", "br0", "10.77.0.12"));
    let names = records(&transferred(&directory, "lab."));
    assert!(
        !names
            .iter()
            .any(|record| record.name.to_ascii().ends_with("dmz.lab."))
    );
}

/// How long this thread has run: other tests run at the same time.
#[expect(unsafe_code, reason = "std has no clock of a thread's own time")]
fn processor_time() -> std::time::Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec, which the call fills.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    std::time::Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

#[test]
fn n19_a_large_zone_goes_out_in_messages_of_bounded_size_in_linear_time() {
    let time = |count: u32| {
        let mut directory = Directory::of([network("br0", "10.77.0.1/16", "lab")]);
        for number in 0..count {
            let address = std::net::Ipv4Addr::from_bits(0x0a4d_0100 + number);
            directory.put_vm(vm(&format!("vm{number}"), "br0", &address.to_string()));
        }
        let started = processor_time();
        let network = directory.network(&"br0".parse().unwrap()).unwrap();
        let from = ("127.0.0.1:4711".parse().unwrap(), Protocol::Tcp);
        let Decision::Transfer(transfer) =
            decide(&directory, network, from, &query("lab.", RecordType::AXFR))
        else {
            panic!("no transfer")
        };
        let lengths: Vec<_> = transfer
            .messages(&directory, network)
            .map(|bytes| bytes.len())
            .collect();
        let took = processor_time().saturating_sub(started);
        assert!(lengths.iter().all(|length| *length <= MESSAGE));
        assert!(lengths.len() > count as usize / 1_000);
        took
    };
    let best = |count| (0..3).map(|_| time(count)).min().unwrap();
    let (small, large) = (best(2_000), best(8_000));
    assert!(
        large < 10 * small,
        "{small:?} for 2,000 records, {large:?} for 8,000"
    );
}
