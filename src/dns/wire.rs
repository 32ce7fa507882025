//! DNS messages as bytes: a question out of them, an answer into them. Pure, and safe with any bytes.

use std::fmt;
use std::net::SocketAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, HINFO, NS, PTR, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record};
use hickory_proto::serialize::binary::{BinEncodable as _, BinEncoder};

use super::answer::{Answer, Authority, Data, Kind, Question, Soa, answer};
use super::zone::QueryName;
use crate::model::{Directory, Network};

/// What carries a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// One datagram a message, of bounded size.
    Udp,
    /// A stream of messages with a length before each (RFC 1035 §4.2.2).
    Tcp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// What is to be done with a message that came in.
#[derive(Debug)]
pub enum Decision {
    /// Nothing: it is no question.
    Silence,
    /// Send these bytes back.
    Reply(Vec<u8>),
    /// Ask upstream, then send what [`Asked::forwarded`] makes of it.
    Forward(Box<Asked>),
}

/// What an upstream server said.
#[derive(Debug, Clone)]
pub enum Forwarded {
    /// These records, aliases (CNAME) on the way included.
    Found(Vec<Record>),
    /// The name exists, without such records.
    NoData(Option<Record>),
    /// There is no such name.
    NxDomain(Option<Record>),
    /// Nothing in time, or nothing of use.
    Failed,
}

/// A well-formed query, kept for its reply.
#[derive(Debug, Clone)]
pub struct Asked {
    id: u16,
    recursion_desired: bool,
    checking_disabled: bool,
    query: Query,
    edns: Option<Edns>,
    protocol: Protocol,
}

/// The largest answer by UDP, whatever the asker allows: what fits the smallest common MTU unfragmented.
const MAX_DATAGRAM: u16 = 1_232;

/// Decides on a message that came in on `network`.
pub fn decide(
    directory: &Directory,
    network: &Network,
    (source, protocol): (SocketAddr, Protocol),
    bytes: &[u8],
) -> Decision {
    let asked = match read(bytes, protocol) {
        Ok(asked) => asked,
        Err(Unfit::Silence) => return Decision::Silence,
        Err(Unfit::Reply(reply)) => return Decision::Reply(reply),
    };
    let question = Question {
        name: QueryName::of(asked.query.name().iter()),
        kind: Kind::of(asked.query.query_type().into()),
        internet: matches!(asked.query.query_class(), DNSClass::IN | DNSClass::ANY),
        recursion_desired: asked.recursion_desired,
        source: source.ip(),
    };
    match answer(directory, network, &question) {
        Answer::Forward => Decision::Forward(Box::new(asked)),
        answered => Decision::Reply(asked.answered(answered)),
    }
}

/// A message that holds no question to answer.
enum Unfit {
    Silence,
    Reply(Vec<u8>),
}

/// Reads a query; its header is judged before anything behind it is parsed.
fn read(bytes: &[u8], protocol: Protocol) -> Result<Asked, Unfit> {
    let Some(&[id, id_low, flags, _, questions @ .., additional_high, additional]) =
        bytes.first_chunk::<12>()
    else {
        return Err(Unfit::Silence);
    };
    // Two servers that answer each other's answers would never stop.
    if flags & 0x80 != 0 {
        return Err(Unfit::Silence);
    }
    let refusal = |code| Unfit::Reply(bare([id, id_low], flags, code));
    match flags >> 3 & 0x0f {
        0 => {}
        // NOTIFY (RFC 1996) and UPDATE (RFC 2136): the registry alone says what is in our zones.
        4 | 5 => return Err(refusal(ResponseCode::Refused)),
        _ => return Err(refusal(ResponseCode::NotImp)),
    }
    // RFC 9619: one question. RFC 9267: counts are claims; IXFR has one authority record, EDNS and TSIG come last.
    let counts_fit = matches!(questions, [0, 1, 0, 0, 0, 0..=1]) && (additional_high, additional) <= (0, 4);
    if !counts_fit {
        return Err(refusal(ResponseCode::FormErr));
    }
    let mut message = Message::from_vec(bytes).map_err(|_| refusal(ResponseCode::FormErr))?;
    let query = message
        .queries
        .pop()
        .ok_or_else(|| refusal(ResponseCode::FormErr))?;
    let asked = Asked {
        id: message.metadata.id,
        recursion_desired: message.metadata.recursion_desired,
        checking_disabled: message.metadata.checking_disabled,
        query,
        edns: message.edns,
        protocol,
    };
    match &asked.edns {
        // RFC 6891 §6.1.3.
        Some(edns) if edns.version() > 0 => Err(Unfit::Reply(asked.reply(
            ResponseCode::BADVERS,
            false,
            (Vec::new(), Vec::new()),
        ))),
        _ => Ok(asked),
    }
}

/// A reply of a header only, for messages whose rest was not read.
fn bare([id, id_low]: [u8; 2], flags: u8, code: ResponseCode) -> Vec<u8> {
    let (response, opcode_and_rd) = (0x80, flags & 0x79);
    vec![
        id,
        id_low,
        response | opcode_and_rd,
        code.low(),
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]
}

impl Asked {
    /// The query to ask upstream.
    pub const fn query(&self) -> &Query {
        &self.query
    }

    /// The reply that passes on what an upstream server said.
    pub fn forwarded(&self, said: Forwarded) -> Vec<u8> {
        let authority = |soa: Option<Record>| soa.into_iter().collect();
        let (code, sections) = match said {
            Forwarded::Found(records) => (ResponseCode::NoError, (records, Vec::new())),
            Forwarded::NoData(soa) => (ResponseCode::NoError, (Vec::new(), authority(soa))),
            Forwarded::NxDomain(soa) => (ResponseCode::NXDomain, (Vec::new(), authority(soa))),
            Forwarded::Failed => (ResponseCode::ServFail, (Vec::new(), Vec::new())),
        };
        self.reply(code, false, sections)
    }

    /// The reply for an answer of ours.
    fn answered(&self, answered: Answer) -> Vec<u8> {
        let none = (Vec::new(), Vec::new());
        match answered {
            Answer::Records { ttl, records } => {
                // The name as it was asked, letter case included: some resolvers check it (draft-vixie-dnsext-dns0x20).
                let record = |data| Record::from_rdata(self.query.name().clone(), ttl, rdata(data));
                let answers = records.into_iter().map(record).collect();
                self.reply(ResponseCode::NoError, true, (answers, Vec::new()))
            }
            Answer::NoData(authority) => {
                self.reply(ResponseCode::NoError, true, (Vec::new(), vec![start(authority)]))
            }
            Answer::NxDomain(authority) => {
                self.reply(ResponseCode::NXDomain, true, (Vec::new(), vec![start(authority)]))
            }
            Answer::Refused => self.reply(ResponseCode::Refused, false, none),
            Answer::NotImplemented => self.reply(ResponseCode::NotImp, false, none),
            Answer::Forward => self.reply(ResponseCode::ServFail, false, none),
        }
    }

    fn reply(
        &self,
        code: ResponseCode,
        authoritative: bool,
        (answers, authorities): (Vec<Record>, Vec<Record>),
    ) -> Vec<u8> {
        let mut message = Message::new(self.id, MessageType::Response, OpCode::Query);
        message.metadata.response_code = code;
        message.metadata.authoritative = authoritative;
        message.metadata.recursion_desired = self.recursion_desired;
        message.metadata.recursion_available = true;
        message.metadata.checking_disabled = self.checking_disabled;
        message.queries = vec![self.query.clone()];
        message.answers = answers;
        message.authorities = authorities;
        // RFC 6891 §6.1.1: an OPT is answered by one; RFC 3225 §3: with the same DO bit.
        message.edns = self.edns.as_ref().map(|theirs| {
            let mut ours = Edns::new();
            ours.set_max_payload(MAX_DATAGRAM)
                .set_dnssec_ok(theirs.flags().dnssec_ok);
            ours
        });
        self.encode(&mut message)
    }

    fn encode(&self, message: &mut Message) -> Vec<u8> {
        let limit = self.limit();
        match emit(message, limit) {
            Some(bytes) if !is_truncated(&bytes) => return bytes,
            // A part of an answer is worth nothing: the asker comes back by TCP (RFC 2181 §9).
            _ => {
                message.metadata.truncation = true;
                message.answers.clear();
                message.authorities.clear();
            }
        }
        let [id, id_low] = self.id.to_be_bytes();
        emit(message, limit).unwrap_or_else(|| bare([id, id_low], 0, ResponseCode::ServFail))
    }

    /// The most octets the reply may have: RFC 1035 §4.2.1 without EDNS, RFC 6891 §6.2.5 with it.
    fn limit(&self) -> u16 {
        match self.protocol {
            Protocol::Tcp => u16::MAX,
            Protocol::Udp => self
                .edns
                .as_ref()
                .map_or(512, Edns::max_payload)
                .clamp(512, MAX_DATAGRAM),
        }
    }
}

fn emit(message: &Message, limit: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit);
    message.emit(&mut encoder).ok()?;
    Some(bytes)
}

/// Whether the TC bit is set: the encoder does that when records did not fit.
fn is_truncated(bytes: &[u8]) -> bool {
    bytes.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// A name of ours; the root when it is none, which the model's rules for names exclude.
fn name(text: &str) -> Name {
    Name::from_labels(text.split('.').map(str::as_bytes)).unwrap_or_else(|_| Name::root())
}

fn start(authority: Authority) -> Record {
    let ttl = authority.soa.minimum;
    Record::from_rdata(name(&authority.zone), ttl, rdata(Data::Soa(authority.soa)))
}

fn rdata(data: Data) -> RData {
    match data {
        Data::A(address) => RData::A(A(address)),
        Data::Aaaa(address) => RData::AAAA(AAAA(address)),
        Data::Ptr(target) => RData::PTR(PTR(name(&target))),
        Data::Ns(target) => RData::NS(NS(name(&target))),
        Data::Minimal => RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new())),
        Data::Soa(Soa {
            server,
            mailbox,
            serial,
            minimum,
        }) => {
            // Nobody transfers these zones: the times between transfers are there for the format.
            let (refresh, retry, expire) = (3_600, 600, 86_400);
            RData::SOA(SOA::new(
                name(&server),
                name(&mailbox),
                serial,
                refresh,
                retry,
                expire,
                minimum,
            ))
        }
    }
}

#[cfg(test)]
mod tests;
