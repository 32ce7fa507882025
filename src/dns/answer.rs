//! What a question is answered: from the registry for our zones, refused, or sent on. Pure: facts in, decision out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use super::data::{Authority, Data, Kind, Soa};
pub use super::view::may_ask;
use super::view::{Found, View, may_forward, may_transfer};
use super::zone::QueryName;
use crate::model::{Directory, Network};

/// The most aliases (CNAME) that are followed from one question. What needs more is a mistake or an attack.
pub const MAX_ALIASES: usize = 8;

/// One question and who asks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name asked for.
    pub name: QueryName,
    /// The records asked for.
    pub kind: Kind,
    /// Whether the class is IN or ANY; there is nothing in the others.
    pub internet: bool,
    /// The RD bit: whether the answer may be fetched elsewhere.
    pub recursion_desired: bool,
    /// Where the question came from.
    pub source: IpAddr,
    /// Whether the answer may be any number of messages (TCP).
    pub by_stream: bool,
    /// The serial number of the zone that the asker has already (IXFR).
    pub serial: Option<u32>,
}

/// What is to be done with a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The aliases on the way: the name asked for is one of the first, that one of the second, and so on. What follows
    /// is about the last.
    pub aliases: Vec<String>,
    /// How long aliases and records may be cached, in seconds.
    pub ttl: u32,
    /// What there is at the end of that way.
    pub answer: Answer,
}

/// What there is at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These records; we are the authority. Only behind an alias may there be none: the way leads where we say nothing.
    Records(Vec<Data>),
    /// The name exists, without such records (RFC 2308 §2.2).
    NoData(Authority),
    /// There is no such name (RFC 2308 §2.1).
    NxDomain(Authority),
    /// The whole zone of the name asked for.
    Zone,
    /// Not for this asker, or not here.
    Refused,
    /// A kind of question that is not served.
    NotImplemented,
    /// The aliases go in a circle, or on and on.
    Failed,
    /// To be asked upstream.
    Forward,
}

/// Answers a question that came in on `network`.
pub fn answer(directory: &Directory, network: &Network, question: &Question) -> Response {
    let view = View { directory, network };
    let mut response = Response {
        aliases: Vec::new(),
        ttl: view.ttl(),
        answer: Answer::Refused,
    };
    if !may_ask(network, question.source) || !question.internet {
        return response;
    }
    match question.kind {
        Kind::Axfr | Kind::Ixfr => response.answer = view.transfer(question),
        Kind::Meta => response.answer = Answer::NotImplemented,
        _ => view.resolve(question, &mut response),
    }
    response
}

impl View<'_> {
    /// Follows the aliases from the name asked for.
    fn resolve(self, question: &Question, response: &mut Response) {
        let mut name = question.name.clone();
        while response.aliases.len() <= MAX_ALIASES {
            let Some(found) = self.find(&name) else {
                response.answer = self.of_others(&name, question, !response.aliases.is_empty());
                return;
            };
            let Some(target) = alias_of(&found, question.kind) else {
                response.answer = self.of_ours(found, question.kind);
                return;
            };
            name = QueryName::of(target.split('.').map(str::as_bytes));
            response.aliases.push(target);
        }
        response.aliases.clear();
        response.answer = Answer::Failed;
    }

    fn of_ours(self, found: Found, kind: Kind) -> Answer {
        let zone = found.zone;
        let authority = |zone| Authority {
            zone,
            soa: self.soa(),
        };
        let Some(mut records) = found.records else {
            return Answer::NxDomain(authority(zone));
        };
        if kind == Kind::Any {
            records = vec![Data::Minimal];
        }
        records.retain(|data| data.kind() == kind);
        if records.is_empty() {
            Answer::NoData(authority(zone))
        } else {
            Answer::Records(records)
        }
    }

    /// What is said of a name that is in none of our zones, asked for or behind an alias of ours.
    fn of_others(self, name: &QueryName, question: &Question, behind_alias: bool) -> Answer {
        let not_said = if behind_alias {
            Answer::Records(Vec::new())
        } else {
            Answer::Refused
        };
        if self.is_anothers(name) {
            not_said
        } else if let Some(found) = special(name, self.network.dns.private_answers) {
            self.of_ours(found, question.kind)
        } else if !question.recursion_desired || !may_forward(self.network, question.source) {
            not_said
        } else if question.kind == Kind::Any {
            // A large answer to a small question is what reflection attacks look for.
            Answer::NotImplemented
        } else {
            Answer::Forward
        }
    }

    /// RFC 5936 for AXFR; RFC 1995 for IXFR, which is answered by the whole zone (§4) where there are changes.
    fn transfer(self, question: &Question) -> Answer {
        if !may_transfer(self.network, question.source) {
            return Answer::Refused;
        }
        let Some(soa) = self.start_of(&question.name) else {
            return Answer::Refused;
        };
        // RFC 1995 §2: who has this version is told so by its start alone; so is who must come back by TCP.
        let has_it = question.serial == Some(soa.serial);
        match (question.kind, question.by_stream) {
            (Kind::Ixfr, by_stream) if has_it || !by_stream => Answer::Records(vec![Data::Soa(soa)]),
            (_, true) => Answer::Zone,
            // RFC 5936 §4.2: AXFR by UDP is not defined.
            (_, false) => Answer::Refused,
        }
    }

    /// The start of the zone that has this name.
    fn start_of(self, name: &QueryName) -> Option<Soa> {
        let start = |data| match data {
            Data::Soa(soa) => Some(soa),
            _ => None,
        };
        self.find(name)?.records?.into_iter().find_map(start)
    }
}

/// The name to go on with: at an alias there is nothing else (RFC 1034 §3.6.2).
fn alias_of(found: &Found, kind: Kind) -> Option<String> {
    if matches!(kind, Kind::Cname | Kind::Any) {
        return None;
    }
    let target = |data: &Data| match data {
        Data::Cname(target) => Some(target.clone()),
        _ => None,
    };
    found.records.as_ref()?.iter().find_map(target)
}

/// Names that mean something to every resolver, and that no server should be asked for.
fn special(name: &QueryName, private_answers: bool) -> Option<Found> {
    // RFC 6761 §6.3: the loopback addresses, for every name under it.
    let loopback = || vec![Data::A(Ipv4Addr::LOCALHOST), Data::Aaaa(Ipv6Addr::LOCALHOST)];
    if name.before("localhost").is_some() {
        return Some(Found {
            zone: "localhost".to_owned(),
            records: Some(loopback()),
        });
    }
    // RFC 6762 (multicast DNS), RFC 6761 §6.4, RFC 7686.
    let zone = ["local", "invalid", "onion"]
        .into_iter()
        .find(|zone| name.before(zone).is_some())
        .or_else(|| private_reverse(name).filter(|_| !private_answers))?;
    Some(Found {
        zone: zone.to_owned(),
        records: None,
    })
}

/// The reverse zones of addresses that mean something else on every network, so that no server elsewhere can know their
/// names (RFC 6303 §4). One that is asked all the same may be the host's own resolver, which asks us.
const PRIVATE_REVERSE: [&str; 19] = [
    "10.in-addr.arpa",
    "254.169.in-addr.arpa",
    "168.192.in-addr.arpa",
    "16.172.in-addr.arpa",
    "17.172.in-addr.arpa",
    "18.172.in-addr.arpa",
    "19.172.in-addr.arpa",
    "20.172.in-addr.arpa",
    "21.172.in-addr.arpa",
    "22.172.in-addr.arpa",
    "23.172.in-addr.arpa",
    "24.172.in-addr.arpa",
    "25.172.in-addr.arpa",
    "26.172.in-addr.arpa",
    "27.172.in-addr.arpa",
    "28.172.in-addr.arpa",
    "29.172.in-addr.arpa",
    "30.172.in-addr.arpa",
    "31.172.in-addr.arpa",
];

fn private_reverse(name: &QueryName) -> Option<&'static str> {
    name.before("in-addr.arpa")?;
    PRIVATE_REVERSE
        .into_iter()
        .find(|zone| name.before(zone).is_some())
}

#[cfg(test)]
mod tests;
