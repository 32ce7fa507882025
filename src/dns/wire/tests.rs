//! The rules of [`decide`](super::decide), on bytes.

use super::*;
use crate::dns::data::{Authority, Soa};
use crate::dns::fixture::lab;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RecordType};
use proptest::prelude::*;

fn decided(bytes: &[u8], protocol: Protocol) -> Decision {
    let lab = lab();
    let network = lab.network(&"br0".parse().unwrap()).unwrap();
    decide(
        &lab,
        network,
        ("10.77.0.99:4711".parse().unwrap(), protocol),
        bytes,
    )
}

fn replied(message: &Message) -> Message {
    match decided(&message.to_vec().unwrap(), Protocol::Udp) {
        Decision::Reply(bytes) => Message::from_vec(&bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn forwarding(name: &str, edns: Option<u16>, protocol: Protocol) -> Asked {
    let mut message = query(name, RecordType::TXT);
    message.edns = edns.map(|size| {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        edns
    });
    match decided(&message.to_vec().unwrap(), protocol) {
        Decision::Forward(asked) => *asked,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_echoes_the_letter_case_of_its_question() {
    let reply = replied(&query("wEb1.LaB.", RecordType::A));
    assert_eq!(reply.metadata.id, 0x1234);
    assert!(
        reply.metadata.authoritative
            && reply.metadata.recursion_desired
            && reply.metadata.recursion_available
    );
    let asked = Name::from_ascii("wEb1.LaB.").unwrap();
    assert!(
        reply.queries[0].name().eq_case(&asked) && reply.answers[0].name.eq_case(&asked),
        "{reply:?}"
    );
    assert_eq!(
        (reply.answers[0].ttl, &reply.answers[0].data),
        (5, &RData::A(A::new(10, 77, 0, 10)))
    );
    assert!(reply.edns.is_none(), "RFC 6891 §7: no OPT to who sent none");
}

#[test]
fn a_missing_name_is_denied_by_the_start_of_its_zone() {
    let reply = replied(&query("web2.lab.", RecordType::A));
    assert_eq!(
        (reply.metadata.response_code, reply.metadata.authoritative),
        (ResponseCode::NXDomain, true)
    );
    assert_eq!(reply.authorities[0].name, Name::from_ascii("lab.").unwrap());
    let RData::SOA(soa) = &reply.authorities[0].data else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (soa.serial, soa.minimum, soa.mname.to_ascii()),
        (7, 5, "ns.lab.".to_owned())
    );
}

#[test]
fn what_is_no_question_is_not_answered() {
    let mut response = query("web1.lab.", RecordType::A);
    response.metadata.message_type = MessageType::Response;
    assert!(matches!(
        decided(&response.to_vec().unwrap(), Protocol::Udp),
        Decision::Silence
    ));
    assert!(matches!(decided(&[0; 11], Protocol::Udp), Decision::Silence));
}

#[test]
fn notify_update_and_transfers_are_refused_and_other_operations_unknown() {
    let code = |op: OpCode| {
        let mut message = query("lab.", RecordType::SOA);
        message.metadata.op_code = op;
        replied(&message).metadata.response_code
    };
    assert_eq!(
        [OpCode::Notify, OpCode::Update].map(code),
        [ResponseCode::Refused; 2]
    );
    assert_eq!(
        [OpCode::Status, OpCode::Unknown(15)].map(code),
        [ResponseCode::NotImp; 2]
    );

    let mut ixfr = query("lab.", RecordType::IXFR);
    ixfr.add_authority(start(Authority {
        zone: "lab".to_owned(),
        soa: Soa {
            server: "ns.lab".to_owned(),
            mailbox: "x.lab".to_owned(),
            serial: 1,
            minimum: 5,
        },
    }));
    assert_eq!(replied(&ixfr).metadata.response_code, ResponseCode::Refused);
    assert_eq!(
        replied(&query("lab.", RecordType::AXFR)).metadata.response_code,
        ResponseCode::Refused
    );
}

#[test]
fn a_header_that_claims_what_is_not_there_is_malformed() {
    let bytes = query("web1.lab.", RecordType::A).to_vec().unwrap();
    for (place, value) in [
        (4, 0xff),
        (5, 0),
        (5, 2),
        (6, 0xff),
        (7, 1),
        (8, 0xff),
        (9, 1),
        (10, 0xff),
        (11, 1),
    ] {
        let mut lying = bytes.clone();
        lying[place] = value;
        let Decision::Reply(reply) = decided(&lying, Protocol::Tcp) else {
            panic!("byte {place}")
        };
        assert_eq!(reply.len(), 12, "byte {place}");
        let reply = Message::from_vec(&reply).unwrap();
        assert_eq!(
            (reply.metadata.id, reply.metadata.response_code),
            (0x1234, ResponseCode::FormErr),
            "byte {place}"
        );
    }
}

#[test]
fn compression_pointers_that_go_in_circles_are_malformed() {
    for pointer in [[0xc0, 12], [0xc0, 14], [0xff, 0xff]] {
        let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend(pointer);
        bytes.extend([0, 1, 0, 1]);
        let Decision::Reply(reply) = decided(&bytes, Protocol::Udp) else {
            panic!("{pointer:?}")
        };
        let code = Message::from_vec(&reply).unwrap().metadata.response_code;
        assert_eq!(code, ResponseCode::FormErr, "{pointer:?}");
    }
}

#[test]
fn edns_is_answered_in_kind_and_only_version_0_is_known() {
    let mut message = query("web1.lab.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(0).set_dnssec_ok(true);
    message.edns = Some(edns.clone());
    let reply = replied(&message);
    assert_eq!(reply.answers.len(), 1, "a size below 512 means 512");
    assert!(
        reply
            .edns
            .is_some_and(|edns| edns.flags().dnssec_ok && edns.version() == 0)
    );

    edns.set_version(1);
    message.edns = Some(edns);
    // 16 is BADVERS; hickory reads it as BADSIG, which shares the number.
    assert_eq!(u16::from(replied(&message).metadata.response_code), 16);
}

#[test]
fn a_long_answer_is_cut_off_by_udp_and_whole_by_tcp() {
    let text =
        |n: u8| hickory_proto::rr::rdata::TXT::new(vec![char::from(b'a' + n % 26).to_string().repeat(200)]);
    let owner = Name::from_ascii("example.com.").unwrap();
    let found = || {
        let records = (0..20).map(|n| Record::from_rdata(owner.clone(), 60, RData::TXT(text(n))));
        Forwarded::Found(records.collect())
    };
    for (edns, limit) in [(None, 512), (Some(900), 900), (Some(65_535), 1_232)] {
        let bytes = forwarding("example.com.", edns, Protocol::Udp).forwarded(found());
        let reply = Message::from_vec(&bytes).unwrap();
        assert!(
            bytes.len() <= limit && reply.metadata.truncation && reply.answers.is_empty(),
            "{edns:?}"
        );
        assert_eq!(reply.edns.is_some(), edns.is_some());
    }
    let whole =
        Message::from_vec(&forwarding("example.com.", None, Protocol::Tcp).forwarded(found())).unwrap();
    assert!(whole.answers.len() == 20 && !whole.metadata.truncation && !whole.metadata.authoritative);
}

#[test]
fn what_upstream_denies_is_denied_and_what_it_does_not_say_fails() {
    let code = |said| {
        let bytes = forwarding("example.com.", None, Protocol::Udp).forwarded(said);
        Message::from_vec(&bytes).unwrap().metadata.response_code
    };
    assert_eq!(code(Forwarded::NxDomain(None)), ResponseCode::NXDomain);
    assert_eq!(code(Forwarded::NoData(None)), ResponseCode::NoError);
    assert_eq!(code(Forwarded::Failed), ResponseCode::ServFail);
}

fn any_protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Udp), Just(Protocol::Tcp)]
}

/// Whatever comes in, what goes out is a reply to it, and small.
fn holds(bytes: &[u8], protocol: Protocol) -> Result<(), TestCaseError> {
    let reply = match decided(bytes, protocol) {
        Decision::Silence | Decision::Transfer(_) => return Ok(()),
        Decision::Reply(reply) => reply,
        Decision::Forward(asked) => asked.forwarded(Forwarded::NxDomain(None)),
    };
    prop_assert_eq!(&reply[..2], &bytes[..2]);
    prop_assert!(reply[2] & 0x80 != 0 && reply.len() <= 1_232);
    prop_assert!(Message::from_vec(&reply).is_ok(), "{:02x?}", reply);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_answered_or_dropped(bytes in proptest::collection::vec(any::<u8>(), 0..600), protocol in any_protocol()) {
        holds(&bytes, protocol)?;
    }

    #[test]
    fn any_bytes_behind_a_fitting_header_are_answered(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        (authorities, additionals) in (0_u8..=1, 0_u8..=4),
        protocol in any_protocol(),
    ) {
        let header = [0, 7, 1, 0, 0, 1, 0, 0, 0, authorities, 0, additionals];
        holds(&[&header, body.as_slice()].concat(), protocol)?;
    }

    #[test]
    fn any_damage_to_a_query_is_survived(
        kind: u16,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<proptest::sample::Index>(),
        whole: bool,
    ) {
        let mut message = query("web1.lab.", RecordType::from(kind));
        message.edns = Some(Edns::new());
        let mut bytes = message.to_vec().unwrap();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        holds(&bytes, Protocol::Udp)?;
    }
}
