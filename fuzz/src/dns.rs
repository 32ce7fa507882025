//! DNS records to answer from, and what a server says to a message.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::Message;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use seedbed::dns::fast;
use seedbed::dns::wire::{Decision, Forwarded, Protocol, decide};
use seedbed::model::{Custom, Directory, DnsRecord, Network, RecordData, Revision, Vm};

/// The labels that names are made of, in records and in questions: few, so that they meet.
pub const LABELS: [&str; 10] = [
    "web1", "web2", "www", "mail", "_ssh", "_tcp", "lab", "far", "a", "0",
];
/// What records say.
const DATA: [(&str, &str); 10] = [
    ("A", "10.77.0.25"),
    ("AAAA", "2001:db8::25"),
    ("MX", "10 mail"),
    ("SRV", "0 5 22 web1"),
    ("TXT", "v=spf1 -all"),
    ("CNAME", "www"),
    ("CNAME", "web2"),
    ("CNAME", "mail"),
    ("CNAME", "pkg.sample.org."),
    ("CNAME", "far1.far."),
];

/// A directory with records and aliases of any kind.
pub fn directory(networks: &[Network], u: &mut Unstructured<'_>) -> Result<Directory> {
    let mut directory = crate::directory(networks);
    if u.arbitrary()? {
        let custom = Custom {
            aliases: vec!["www".parse().unwrap()],
            ..Custom::default()
        };
        directory.put_vm(Arc::new(Vm {
            custom: custom.boxed(),
            ..crate::vm("web1", "lab", "10.77.0.11")
        }));
    }
    for _ in 0..u.int_in_range(0..=8)? {
        let network = &networks[0];
        let owner = match u.int_in_range(0..=3)? {
            0 => "@".to_owned(),
            1 => format!("{}.{}", u.choose(&LABELS)?, u.choose(&LABELS)?),
            _ => (*u.choose(&LABELS)?).to_owned(),
        };
        let (kind, value) = u.choose(&DATA)?;
        // A label of one digit, or one with an underscore before it, is none for every kind.
        let (Ok(owner), Ok(data)) = (owner.parse(), RecordData::parse(kind, value, &network.domain)) else {
            continue;
        };
        let record = DnsRecord {
            network: network.name.clone(),
            owner,
            data,
        };
        let mut records = directory
            .records()
            .at(&record.network, record.owner.as_str())
            .to_vec();
        records.push(Arc::new(record.clone()));
        directory
            .records_mut()
            .put(&record.network, &record.owner, records);
    }
    directory.set_revision(Revision(u.arbitrary()?));
    Ok(directory)
}

/// What is said to a message that came in on the first network, and whether it is well-formed and no longer than it may be.
pub fn check(directory: &Directory, network: &Network, source: SocketAddr, bytes: &[u8]) {
    let mut room = [0; 1_232];
    let short = fast::answer(directory, network, source, bytes, &mut room);
    let long = match decide(directory, network, (source, Protocol::Udp), bytes) {
        Decision::Silence => None,
        Decision::Reply(reply) => Some(reply),
        Decision::Forward(asked) => Some(asked.forwarded(Forwarded::Failed)),
        Decision::Transfer(_) => panic!("a transfer by UDP"),
    };
    if let Some(reply) = &long {
        assert!(reply.len() <= 1_232, "{} octets by UDP", reply.len());
        is_answer_to(bytes, reply);
    }
    if let Some(written) = short {
        let short = &room[..written.length];
        is_answer_to(bytes, short);
        let (short, long) = (
            Message::from_vec(short).unwrap(),
            long.expect("the long way is silent"),
        );
        assert_eq!(short, Message::from_vec(&long).unwrap(), "the two ways differ");
    }
    if let Some(length) = fast::by_stream(bytes, &mut room) {
        is_answer_to(bytes, &room[..length]);
    }
    match decide(directory, network, (source, Protocol::Tcp), bytes) {
        Decision::Reply(reply) => is_answer_to(bytes, &reply),
        Decision::Forward(asked) => is_answer_to(bytes, &asked.forwarded(Forwarded::NoData(None))),
        Decision::Silence | Decision::Transfer(_) => {}
    }
}

fn is_answer_to(question: &[u8], reply: &[u8]) {
    let message = Message::from_vec(reply).expect("an answer can be read");
    assert_eq!(reply[..2], question[..2], "the id is the question's");
    assert!(reply[2] & 0x80 != 0, "it is an answer");
    assert!(message.queries.len() <= 1);
}
