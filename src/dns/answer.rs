//! What a question is answered: from the registry for our zones, refused, or sent on. Pure: facts in, decision out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::zone::{QueryName, Reverse, ReversePlace, reverse};
use crate::model::{Directory, Domain, Network, Vm, VmName};

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
}

/// The records a question asks for, as far as the difference matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// The name of an address.
    Ptr,
    /// The name servers of a zone.
    Ns,
    /// The start of a zone.
    Soa,
    /// Everything there is (RFC 8482).
    Any,
    /// A whole zone (AXFR, IXFR).
    Transfer,
    /// A type that describes the exchange and is never stored (RFC 6895 §3.1).
    Meta,
    /// A type we have no records of.
    Other,
}

impl Kind {
    /// The kind of a QTYPE.
    pub const fn of(number: u16) -> Self {
        match number {
            1 => Self::A,
            2 => Self::Ns,
            6 => Self::Soa,
            12 => Self::Ptr,
            28 => Self::Aaaa,
            255 => Self::Any,
            251 | 252 => Self::Transfer,
            // OPT is 41; RFC 6895 §3.1 keeps 128 to 255 for QTYPEs and meta types.
            41 | 128..=250 | 253..=254 => Self::Meta,
            _ => Self::Other,
        }
    }
}

/// What is to be done with a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These records, all owned by the name that was asked for; we are the authority.
    Records {
        /// How long they may be cached, in seconds.
        ttl: u32,
        /// The records; never empty.
        records: Vec<Data>,
    },
    /// The name exists, without such records (RFC 2308 §2.2).
    NoData(Authority),
    /// There is no such name (RFC 2308 §2.1).
    NxDomain(Authority),
    /// Not for this asker, or not here.
    Refused,
    /// A kind of question that is not served.
    NotImplemented,
    /// To be asked upstream.
    Forward,
}

/// The content of one record. Names are absolute, without the final dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name of an address.
    Ptr(String),
    /// The name server of a zone.
    Ns(String),
    /// The start of a zone.
    Soa(Soa),
    /// What stands for "everything there is" (RFC 8482 §4.2).
    Minimal,
}

impl Data {
    const fn kind(&self) -> Kind {
        match self {
            Self::A(_) => Kind::A,
            Self::Aaaa(_) => Kind::Aaaa,
            Self::Ptr(_) => Kind::Ptr,
            Self::Ns(_) => Kind::Ns,
            Self::Soa(_) => Kind::Soa,
            Self::Minimal => Kind::Any,
        }
    }
}

/// Whose authority a negative answer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The zone's name.
    pub zone: String,
    /// Its start; the negative answer may be cached for `soa.minimum` seconds.
    pub soa: Soa,
}

/// The start of a zone (RFC 1035 §3.3.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Soa {
    /// The name server.
    pub server: String,
    /// The mailbox of who runs it, as a name.
    pub mailbox: String,
    /// The registry's revision.
    pub serial: u32,
    /// How long an absence may be cached, in seconds (RFC 2308 §4).
    pub minimum: u32,
}

/// What there is at a name of one of our zones.
struct Found {
    zone: String,
    /// `None`: there is no such name.
    records: Option<Vec<Data>>,
}

/// Answers a question that came in on `network`.
pub fn answer(directory: &Directory, network: &Network, question: &Question) -> Answer {
    if !may_ask(network, question.source) || !question.internet {
        return Answer::Refused;
    }
    match question.kind {
        Kind::Transfer => return Answer::Refused,
        Kind::Meta => return Answer::NotImplemented,
        _ => {}
    }
    let view = View { directory, network };
    if let Some(found) = view.find(&question.name) {
        view.of_ours(found, question.kind)
    } else if view.is_anothers(&question.name) {
        Answer::Refused
    } else if let Some(found) = special(&question.name) {
        view.of_ours(found, question.kind)
    } else if !question.recursion_desired {
        Answer::Refused
    } else if question.kind == Kind::Any {
        // A large answer to a small question is what reflection attacks look for.
        Answer::NotImplemented
    } else {
        Answer::Forward
    }
}

/// Whether a question from there is answered: from the network itself, or from this host (the kernel lets nobody else
/// speak from a loopback address).
pub fn may_ask(network: &Network, source: IpAddr) -> bool {
    match source {
        IpAddr::V4(source) => network.subnet.contains(source) || source.is_loopback(),
        IpAddr::V6(_) => false,
    }
}

/// The names as one network sees them: its own domain and addresses. Other networks' zones are not its business.
#[derive(Clone, Copy)]
struct View<'a> {
    directory: &'a Directory,
    network: &'a Network,
}

/// The names the bridge's own address may have, first choice first: a VM of that name keeps it. No VM can have the last.
const SERVER_LABELS: [&str; 3] = ["ns", "gateway", "_ns"];

impl<'a> View<'a> {
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
            let ttl = self.ttl();
            Answer::Records { ttl, records }
        }
    }

    /// What there is at a name; `None` when the name is in none of the network's zones.
    fn find(self, name: &QueryName) -> Option<Found> {
        self.in_domain(name).or_else(|| self.in_reverse(name))
    }

    fn in_domain(self, name: &QueryName) -> Option<Found> {
        let domain = self.network.domain.as_str();
        let before = name.before(domain)?;
        // Another network's domain may lie inside ours: the longest match owns the name.
        let deeper = |other: &Network| {
            other.domain.as_str().len() > domain.len() && name.before(other.domain.as_str()).is_some()
        };
        if self.others().any(deeper) {
            return None;
        }
        let records = match before {
            [] => Some(self.apex()),
            [label] => self.host(label).map(|address| vec![Data::A(address)]),
            _ => None,
        };
        let zone = domain.to_owned();
        Some(Found { zone, records })
    }

    fn in_reverse(self, name: &QueryName) -> Option<Found> {
        let Reverse { zone, place } = reverse(name, self.network.subnet)?;
        let records = match place {
            ReversePlace::Apex => Some(self.apex()),
            ReversePlace::Between => Some(Vec::new()),
            ReversePlace::Address(address) => self.name_of(address).map(|name| vec![Data::Ptr(name)]),
            ReversePlace::Nothing => None,
        };
        Some(Found { zone, records })
    }

    /// Whether the name is in a zone of another network: those are never asked upstream either.
    fn is_anothers(self, name: &QueryName) -> bool {
        self.others().any(|other| {
            name.before(other.domain.as_str()).is_some() || reverse(name, other.subnet).is_some()
        })
    }

    fn others(self) -> impl Iterator<Item = &'a Network> {
        let own = &self.network.name;
        self.directory
            .networks()
            .map(AsRef::as_ref)
            .filter(move |other| other.name != *own)
    }

    /// The address of a host of our domain: a VM's, or the bridge's own.
    fn host(self, label: &[u8]) -> Option<Ipv4Addr> {
        let label = std::str::from_utf8(label).ok()?;
        match self.vm(label) {
            Some(vm) => Some(vm.address),
            None => (label == self.server_label()).then(|| self.network.subnet.gateway()),
        }
    }

    /// The VM of that name, when its network has our domain (two networks may share one).
    fn vm(self, label: &str) -> Option<&'a Vm> {
        let name: VmName = label.parse().ok()?;
        self.directory
            .vm(&name)
            .map(AsRef::as_ref)
            .filter(|vm| self.domain_of(vm) == Some(&self.network.domain))
    }

    fn domain_of(self, vm: &Vm) -> Option<&'a Domain> {
        self.directory.network(&vm.network).map(|network| &network.domain)
    }

    /// The name of an address of our subnet.
    fn name_of(self, address: Ipv4Addr) -> Option<String> {
        if address == self.network.subnet.gateway() {
            return Some(self.server());
        }
        let vm = self.directory.vm_at(address)?;
        Some(format!("{}.{}", vm.name, self.domain_of(vm)?))
    }

    fn server_label(self) -> &'static str {
        let free = |label: &&str| self.vm(label).is_none();
        SERVER_LABELS.into_iter().find(free).unwrap_or("_ns")
    }

    fn server(self) -> String {
        format!("{}.{}", self.server_label(), self.network.domain)
    }

    fn apex(self) -> Vec<Data> {
        vec![Data::Soa(self.soa()), Data::Ns(self.server())]
    }

    fn soa(self) -> Soa {
        // RFC 1982: a serial number wraps.
        let serial = (self.directory.revision().0 & u64::from(u32::MAX))
            .try_into()
            .unwrap_or_default();
        Soa {
            server: self.server(),
            mailbox: format!("hostmaster.{}", self.network.domain),
            serial,
            minimum: self.ttl(),
        }
    }

    /// RFC 2181 §8: a TTL has 31 bits.
    fn ttl(self) -> u32 {
        self.network
            .dns
            .ttl
            .as_secs()
            .min(0x7fff_ffff)
            .try_into()
            .unwrap_or_default()
    }
}

/// Names that mean something to every resolver, and that no server should be asked for.
fn special(name: &QueryName) -> Option<Found> {
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
        .find(|zone| name.before(zone).is_some())?;
    Some(Found {
        zone: zone.to_owned(),
        records: None,
    })
}

#[cfg(test)]
mod tests;
