//! DNS messages as bytes: a question out of them, an answer into them. Pure, and safe with any bytes.

use std::fmt;
use std::net::SocketAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, Record};
use hickory_proto::serialize::binary::{BinEncodable as _, BinEncoder};

use super::answer::{Answer, Question, Response, answer};
use super::data::{Data, Kind};
use super::transfer::Transfer;
use super::zone::QueryName;
use crate::model::{Directory, Network};
use records::{name, rdata, start};

mod records;

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
    /// Send all messages of this transfer.
    Transfer(Transfer),
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
    /// The question is one of ours that came back.
    Refused,
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
    /// The serial number of the zone that an asker of IXFR has.
    serial: Option<u32>,
    /// Our aliases (CNAME) before what is asked upstream.
    aliases: Vec<Record>,
    /// What is asked upstream: the query, or the last alias's target.
    onward: Query,
}

/// The largest answer by UDP, whatever the asker allows: what fits the smallest common MTU unfragmented.
pub(super) const MAX_DATAGRAM: u16 = 1_232;

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
        by_stream: protocol == Protocol::Tcp,
        serial: asked.serial,
    };
    let Response { aliases, ttl, answer } = answer(directory, network, &question);
    let asked = asked.following(&aliases, ttl);
    match answer {
        Answer::Forward => Decision::Forward(Box::new(asked)),
        Answer::Zone => Decision::Transfer(asked.transfer(question.name)),
        answer => Decision::Reply(asked.answered(answer, ttl)),
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
    let serial = message.authorities.first().and_then(|record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    });
    let asked = Asked {
        serial,
        aliases: Vec::new(),
        onward: query.clone(),
        id: message.metadata.id,
        recursion_desired: message.metadata.recursion_desired,
        checking_disabled: message.metadata.checking_disabled,
        query,
        edns: message.edns,
        protocol,
    };
    match &asked.edns {
        // RFC 6891 §6.1.3.
        Some(edns) if edns.version() > 0 => {
            let none = (Vec::new(), Vec::new());
            Err(Unfit::Reply(asked.reply(ResponseCode::BADVERS, false, none)))
        }
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
    pub const fn onward(&self) -> &Query {
        &self.onward
    }

    /// The same, behind these aliases.
    fn following(mut self, aliases: &[String], ttl: u32) -> Self {
        // The name as it was asked, letter case included: some resolvers check it (draft-vixie-dnsext-dns0x20).
        let mut owner = self.query.name().clone();
        for target in aliases {
            let record = rdata(Data::Cname(target.clone()));
            self.aliases.push(Record::from_rdata(owner, ttl, record));
            owner = name(target);
        }
        self.onward = Query::query(owner, self.query.query_type());
        self
    }

    /// The reply that passes on what an upstream server said.
    pub fn forwarded(&self, said: Forwarded) -> Vec<u8> {
        let authority = |soa: Option<Record>| soa.into_iter().collect();
        let (code, sections) = match said {
            Forwarded::Found(records) => (ResponseCode::NoError, (records, Vec::new())),
            Forwarded::NoData(soa) => (ResponseCode::NoError, (Vec::new(), authority(soa))),
            // RFC 6604 §3: the code is that of the last name, whatever aliases come before it.
            Forwarded::NxDomain(soa) => (ResponseCode::NXDomain, (Vec::new(), authority(soa))),
            Forwarded::Failed => (ResponseCode::ServFail, (Vec::new(), Vec::new())),
            Forwarded::Refused => (ResponseCode::Refused, (Vec::new(), Vec::new())),
        };
        // RFC 1035 §4.1.1: the AA bit is about the first owner name in the answer.
        self.reply(code, !self.aliases.is_empty(), sections)
    }

    /// The transfer of the zone that was asked for.
    fn transfer(&self, name: QueryName) -> Transfer {
        const RECURSION_DESIRED: u16 = 0x0100;
        let mut question = Vec::new();
        let mut encoder = BinEncoder::new(&mut question);
        // A query that was read can be written: the zone's name, type and class.
        drop(self.query.emit(&mut encoder));
        Transfer {
            id: self.id,
            flags: if self.recursion_desired {
                RECURSION_DESIRED
            } else {
                0
            },
            question,
            name,
        }
    }

    /// The reply for an answer of ours.
    fn answered(&self, answer: Answer, ttl: u32) -> Vec<u8> {
        let none = (Vec::new(), Vec::new());
        match answer {
            Answer::Records(records) => {
                let owner = self.onward.name();
                let record = |data| Record::from_rdata(owner.clone(), ttl, rdata(data));
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
            Answer::Failed | Answer::Zone | Answer::Forward => {
                self.reply(ResponseCode::ServFail, false, none)
            }
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
        message.answers = [self.aliases.clone(), answers].concat();
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

#[cfg(test)]
mod tests;
