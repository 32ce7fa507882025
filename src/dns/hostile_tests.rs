//! N01 to N09 of the reliability plan, as far as they are about bytes: hostile messages, and what is answered.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::time::Instant;

use super::fast;
use super::fixture::rich_lab;
use super::wire::{Decision, Protocol, decide};
use crate::model::Directory;

const GUEST: &str = "10.77.0.99:4711";

/// What a server says to a datagram, the short way first as socket.rs does; `None` for silence.
fn said_to(directory: &Directory, from: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let network = directory.network(&"br0".parse().unwrap()).unwrap();
    let from: SocketAddr = from.parse().unwrap();
    let mut room = [0; 1_232];
    if let Some(written) = fast::answer(directory, network, from, bytes, &mut room) {
        return Some(room[..written.length].to_vec());
    }
    match decide(directory, network, (from, Protocol::Udp), bytes) {
        Decision::Reply(reply) => Some(reply),
        Decision::Silence => None,
        Decision::Forward(asked) => Some(asked.forwarded(super::wire::Forwarded::Failed)),
        Decision::Transfer(_) => panic!("a transfer by UDP"),
    }
}

fn said(bytes: &[u8]) -> Option<Message> {
    said_to(&rich_lab(), GUEST, bytes).map(|reply| Message::from_vec(&reply).unwrap())
}

fn code(bytes: &[u8]) -> Option<ResponseCode> {
    said(bytes).map(|reply| reply.metadata.response_code)
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let labels = name.trim_end_matches('.').split('.').map(str::as_bytes);
    message.add_query(Query::query(Name::from_labels(labels).unwrap(), kind));
    message
}

fn bytes(name: &str, kind: RecordType) -> Vec<u8> {
    query(name, kind).to_vec().unwrap()
}

/// A query with this name as its octets.
fn with_name(name: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend(name);
    bytes.extend([0, 1, 0, 1]);
    bytes
}

fn is_malformed_or_dropped(bytes: &[u8]) -> bool {
    matches!(code(bytes), None | Some(ResponseCode::FormErr))
}

#[test]
fn n01_compression_pointers_in_a_question_are_malformed_and_cost_nothing() {
    let chain: Vec<u8> = (0..127_u16)
        .flat_map(|link| (0xc000 | (12 + 2 * (link + 1))).to_be_bytes())
        .chain([0])
        .collect();
    let mut cases = vec![
        ("to itself", vec![0xc0, 12]),
        ("forward", vec![0xc0, 14]),
        ("in a loop of two", vec![0xc0, 14, 0xc0, 12]),
        ("behind a label, to that label", vec![1, b'a', 0xc0, 12]),
        ("behind the end", vec![0xff, 0xff]),
        ("in a chain of 127", chain),
    ];
    // A pointer backwards is well-formed, and here leads into the header: whatever that spells is no name of ours.
    cases.push(("into the header", vec![1, b'a', 0xc0, 4]));
    let directory = rich_lab();
    for (what, name) in cases {
        let message = with_name(&name);
        let answer = code(&message);
        assert!(
            matches!(answer, None | Some(ResponseCode::FormErr)) || what == "into the header",
            "{what}: {answer:?}"
        );
        // The fastest of many: other tests run at the same time.
        let fastest = (0..200).map(|_| {
            let started = Instant::now();
            drop(said_to(&directory, GUEST, &message));
            started.elapsed()
        });
        let fastest = fastest.min().unwrap();
        assert!(fastest < Duration::from_micros(50), "{what}: {fastest:?}");
    }
}

#[test]
fn n02_names_and_counts_that_lie_are_malformed_or_dropped() {
    let long = [&[63_u8][..], &[b'a'; 63]].concat().repeat(4);
    let cases = [
        ("a label of 64", [&[64_u8][..], &[b'a'; 64], &[0]].concat()),
        ("a name of 257", [long.as_slice(), &[0]].concat()),
        ("no end", vec![3, b'l', b'a', b'b']),
        ("a label behind the end", vec![63, b'a']),
    ];
    for (what, name) in cases {
        let mut message = with_name(&name);
        if what.contains("end") {
            message.truncate(12 + name.len());
        }
        assert!(is_malformed_or_dropped(&message), "{what}");
    }
    let mut record = query("web1.lab.", RecordType::A);
    record.edns = Some(Edns::new());
    let mut behind = record.to_vec().unwrap();
    let length_at = behind.len() - 2;
    behind[length_at..].copy_from_slice(&[0xff, 0xff]);
    assert!(is_malformed_or_dropped(&behind), "RDLENGTH behind the end");
    // RFC 9267 §6: a count is a claim. Were room made for 65,535 records, this would take gigabytes.
    for count_at in [4, 6, 8, 10] {
        let mut lying = bytes("web1.lab.", RecordType::A);
        lying[count_at..count_at + 2].copy_from_slice(&[0xff, 0xff]);
        for _ in 0..1_000 {
            assert!(is_malformed_or_dropped(&lying), "count at {count_at}");
        }
    }
}

#[test]
fn n03_a_header_that_is_no_plain_question_is_refused_and_a_response_never_answered() {
    let plain = bytes("web1.lab.", RecordType::A);
    for questions in [[0, 0], [0, 2], [0xff, 0xff]] {
        let mut message = plain.clone();
        message[4..6].copy_from_slice(&questions);
        assert!(is_malformed_or_dropped(&message), "{questions:?}");
    }
    for operation in 1..=15_u8 {
        let mut message = plain.clone();
        message[2] |= operation << 3;
        let expected = if matches!(operation, 4 | 5) {
            ResponseCode::Refused
        } else {
            ResponseCode::NotImp
        };
        assert_eq!(code(&message), Some(expected), "operation {operation}");
    }
    for (flags, second) in (0..=255_u8).flat_map(|flags| [0, 0x40, 0xff].map(|second| (flags, second))) {
        let mut message = plain.clone();
        (message[2], message[3]) = (flags, second);
        let answer = said(&message);
        if flags & 0x80 != 0 {
            assert!(answer.is_none(), "a response was answered: {flags:02x}");
        } else if flags & 0x78 == 0 {
            // AA, TC, RA and Z mean nothing in a question.
            assert_eq!(answer.unwrap().answers.len(), 1, "{flags:02x} {second:02x}");
        }
    }
}

#[test]
fn n04_everything_is_next_to_nothing() {
    for name in ["web1.lab.", "lab.", "www.lab.", "10.0.77.10.in-addr.arpa."] {
        let reply = said(&bytes(name, RecordType::ANY)).unwrap();
        let [record] = &reply.answers[..] else {
            panic!("{reply:?}")
        };
        assert!(
            matches!(&record.data, RData::HINFO(hinfo) if *hinfo.cpu == *b"RFC8482"),
            "{record}"
        );
    }
    assert_eq!(
        code(&bytes("example.com.", RecordType::ANY)),
        Some(ResponseCode::NotImp)
    );
}

#[test]
fn n05_no_question_by_datagram_is_worth_its_answer_to_a_reflector() {
    /// What IPv4 and UDP add to either.
    const HEADERS: usize = 28;
    let directory = rich_lab();
    let names = [
        "web1.lab.",
        "x.lab.",
        "lab.",
        "www.lab.",
        "round.lab.",
        "11.0.77.10.in-addr.arpa.",
        "example.com.",
    ];
    let mut shapes = 0;
    for name in names {
        for kind in 0..300_u16 {
            for edns in [None, Some(0), Some(512), Some(4_096), Some(65_535)] {
                let mut message = query(name, RecordType::from(kind));
                message.edns = edns.map(|size| {
                    let mut edns = Edns::new();
                    edns.set_max_payload(size);
                    edns
                });
                let question = message.to_vec().unwrap();
                let answer = said_to(&directory, GUEST, &question).unwrap();
                assert!(answer.len() <= 1_232, "{name} {kind} {edns:?}");
                let reply = Message::from_vec(&answer).unwrap();
                if reply.metadata.response_code == ResponseCode::NXDomain {
                    assert!(
                        answer.len() + HEADERS <= 3 * (question.len() + HEADERS),
                        "{name} {kind} {edns:?}: {} for {}",
                        answer.len(),
                        question.len()
                    );
                }
                // From where no guest of this network is: nothing but a refusal, no longer than the question.
                if let Some(answer) = said_to(&directory, "192.0.2.1:53", &question) {
                    let reply = Message::from_vec(&answer).unwrap();
                    assert_eq!(
                        reply.metadata.response_code,
                        ResponseCode::Refused,
                        "{name} {kind}"
                    );
                    assert!(answer.len() <= question.len());
                }
                shapes += 1;
            }
        }
    }
    assert!(shapes >= 10_000, "{shapes}");
}

#[test]
fn n07_letter_case_is_echoed_and_means_nothing() {
    for name in [
        "wEb1.LaB.",
        "WEB1.lab.",
        "wWw.lAb.",
        "10.0.77.10.IN-addr.ARPA.",
        "No.LAB.",
        "LAB.",
    ] {
        for kind in [RecordType::A, RecordType::PTR, RecordType::NS] {
            let reply = said(&bytes(name, kind)).unwrap();
            let asked = Name::from_ascii(name).unwrap();
            assert!(reply.queries[0].name().eq_case(&asked), "{name}");
            if let Some(first) = reply.answers.first() {
                assert!(first.name.eq_case(&asked), "{name}: {first}");
            }
            let lower = said(&bytes(&name.to_lowercase(), kind)).unwrap();
            assert_eq!(reply.answers, lower.answers);
            assert_eq!(reply.metadata.response_code, lower.metadata.response_code);
        }
    }
}

/// A query with these octets behind it as additional records.
fn with_additionals(count: u8, additionals: &[u8]) -> Vec<u8> {
    let mut message = bytes("web1.lab.", RecordType::A);
    message[11] = count;
    message.extend(additionals);
    message
}

#[test]
fn n08_edns_of_any_size_version_and_number_is_answered_as_it_should_be() {
    let opt = |size: u16, version: u8, options: &[u8]| {
        let [high, low] = size.to_be_bytes();
        let length = u8::try_from(options.len()).unwrap();
        [&[0, 0, 41, high, low, 0, version, 0, 0, 0, length], options].concat()
    };
    for size in [0, 512, 4_096, 65_535] {
        let reply = said(&with_additionals(1, &opt(size, 0, &[]))).unwrap();
        assert_eq!(reply.answers.len(), 1, "{size}");
        assert_eq!(reply.edns.unwrap().max_payload(), 1_232, "{size}");
    }
    // RFC 6891 §6.1.3; hickory reads 16 as BADSIG, which shares the number.
    let later = said(&with_additionals(1, &opt(1_232, 1, &[]))).unwrap();
    assert_eq!(
        (u16::from(later.metadata.response_code), later.answers.len()),
        (16, 0)
    );
    assert_eq!(later.edns.unwrap().version(), 0);
    // RFC 6891 §6.1.1: a second OPT is malformed.
    let twice = [opt(1_232, 0, &[]), opt(1_232, 0, &[])].concat();
    assert_eq!(code(&with_additionals(2, &twice)), Some(ResponseCode::FormErr));
    // An option that nobody knows, and a cookie (RFC 7873), are ignored.
    for option in [
        &[0xfd, 0xe9, 0, 2, 1, 2][..],
        &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
    ] {
        let reply = said(&with_additionals(1, &opt(1_232, 0, option))).unwrap();
        assert_eq!(
            (reply.metadata.response_code, reply.answers.len()),
            (ResponseCode::NoError, 1)
        );
    }
}
