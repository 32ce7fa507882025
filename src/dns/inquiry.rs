//! A question as a client asks it, and what it is told: for who wants to see what our server really answers. Pure.

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

/// The octets of a question for the address of a name; `None` where the name is none.
pub fn for_address(id: u16, name: &str) -> Option<Vec<u8>> {
    question(id, name, RecordType::A)
}

/// The octets of a question for the name of an address.
pub fn for_name(id: u16, address: Ipv4Addr) -> Option<Vec<u8>> {
    let [a, b, c, d] = address.octets();
    question(id, &format!("{d}.{c}.{b}.{a}.in-addr.arpa"), RecordType::PTR)
}

fn question(id: u16, name: &str, kind: RecordType) -> Option<Vec<u8>> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name, kind));
    message.to_vec().ok()
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The question it answers.
    pub id: u16,
    /// Addresses, and names without the dot at their end; empty where there are none.
    pub values: Vec<String>,
    /// Whether the server knows the name, or can answer at all.
    pub is_known: bool,
}

/// Reads an answer; `None` where it is none.
pub fn told(bytes: &[u8]) -> Option<Told> {
    let message = Message::from_vec(bytes).ok()?;
    let values = message.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(address.0.to_string()),
        RData::PTR(name) => {
            let name = name.0.to_ascii();
            Some(name.strip_suffix('.').map(str::to_owned).unwrap_or(name))
        }
        _ => None,
    });
    (message.metadata.message_type == MessageType::Response).then(|| Told {
        id: message.metadata.id,
        values: values.collect(),
        is_known: message.metadata.response_code == ResponseCode::NoError,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dns::fixture;
    use crate::dns::serve::Protocol;
    use crate::dns::wire::{Decision, decide};

    fn answer(question: &[u8]) -> Told {
        let directory = fixture::lab();
        let network = directory.network(&"br0".parse().unwrap()).unwrap();
        let asker = ("10.77.0.1:5353".parse().unwrap(), Protocol::Udp);
        match decide(&directory, network, asker, question) {
            Decision::Reply(reply) => told(&reply).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn our_own_server_is_asked_and_understood() {
        let heard = |question: Option<Vec<u8>>| {
            let told = answer(&question.unwrap());
            (told.id, told.is_known, told.values.join(" "))
        };
        assert_eq!(
            heard(for_address(7, "web1.lab")),
            (7, true, "10.77.0.10".to_owned())
        );
        let name = for_name(8, Ipv4Addr::new(10, 77, 0, 10));
        assert_eq!(heard(name), (8, true, "web1.lab".to_owned()));
        assert_eq!(heard(for_address(9, "nobody.lab")), (9, false, String::new()));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_not(octets in proptest::collection::vec(any::<u8>(), 0..100)) {
            drop(told(&octets));
        }
    }
}
