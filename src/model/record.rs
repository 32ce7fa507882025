//! DNS records that an operator adds to a network's domain, beside the names of its VMs.

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use super::name::{Domain, NetworkName};

/// One record of a network's domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsRecord {
    /// Whose domain it is in.
    pub network: NetworkName,
    /// Its name in that domain.
    pub owner: RecordName,
    /// What it says.
    pub data: RecordData,
}

/// The name of a record within a domain: labels, or `@` for the domain's own name.
///
/// Labels may begin with an underscore (RFC 8552: `_sip._tcp`). There are no wildcards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName(Arc<str>);

/// An absolute name that a record points at, in lower case and without the final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(Arc<str>);

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordData {
    /// An IPv4 address (RFC 1035 §3.4.1).
    A(Ipv4Addr),
    /// An IPv6 address (RFC 3596 §2.2).
    Aaaa(Ipv6Addr),
    /// Another name of a host (RFC 1035 §3.3.1): its owner can have no other record.
    Cname(HostName),
    /// A mail exchange (RFC 1035 §3.3.9).
    Mx {
        /// Lower is tried first.
        preference: u16,
        /// The host.
        exchange: HostName,
    },
    /// Where a service is (RFC 2782).
    Srv {
        /// Lower is tried first.
        priority: u16,
        /// The share among equals.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: HostName,
    },
    /// A text of 1 to 1000 octets; sent in strings of at most 255 (RFC 1035 §3.3.14).
    Txt(Arc<str>),
}

/// A text that is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not a name.
    #[error(
        "`{0}` is not a DNS name: use labels of lower-case letters, digits, hyphens and underscores, with dots between them"
    )]
    Name(String),
    /// Not a type that is served.
    #[error("`{0}` is not a record type; use A, AAAA, CNAME, MX, SRV or TXT")]
    Type(String),
    /// The value is not one of its type.
    #[error("`{value}` is not the value of {kind} record, such as `{example}`")]
    Value {
        /// What was written.
        value: String,
        /// The type, with its article.
        kind: &'static str,
        /// A right one.
        example: &'static str,
    },
}

impl RecordName {
    /// The name as it is written: `www`, `_sip._tcp` or `@`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain's own name.
    pub fn is_apex(&self) -> bool {
        &*self.0 == "@"
    }

    /// Whether the name is one label, as VMs' names are.
    pub fn is_label(&self) -> bool {
        !self.is_apex() && !self.0.contains('.')
    }

    /// The whole name in a domain, without a final dot.
    pub fn within(&self, domain: &Domain) -> String {
        if self.is_apex() {
            domain.to_string()
        } else {
            format!("{}.{domain}", self.0)
        }
    }
}

impl FromStr for RecordName {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        if text == "@" || is_name(text, 60) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(RecordError::Name(shown(text)))
        }
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl HostName {
    /// The absolute name, without the final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name as zone files write them: one that ends with a dot is absolute, any other is in the domain.
    pub fn within(text: &str, domain: &Domain) -> Result<Self, RecordError> {
        let lower = text.to_ascii_lowercase();
        let absolute = match lower.strip_suffix('.') {
            Some(absolute) => absolute.to_owned(),
            None if lower == "@" => domain.to_string(),
            None => format!("{lower}.{domain}"),
        };
        absolute.parse()
    }
}

impl FromStr for HostName {
    type Err = RecordError;

    /// Reads an absolute name, without a final dot.
    fn from_str(text: &str) -> Result<Self, RecordError> {
        if is_name(text, 253) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(RecordError::Name(shown(text)))
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Labels of 1 to 63 octets with dots between them, `longest` octets at most.
fn is_name(text: &str, longest: usize) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= longest && text.split('.').all(label)
}

impl RecordData {
    /// The data of a type's name and a value as zone files write it; names without a final dot are in `domain`.
    pub fn parse(kind: &str, value: &str, domain: &Domain) -> Result<Self, RecordError> {
        let value = value.trim();
        let wrong = |kind, example| {
            move || RecordError::Value {
                value: shown(value),
                kind,
                example,
            }
        };
        match kind.to_ascii_uppercase().as_str() {
            "A" => value
                .parse()
                .map(Self::A)
                .ok()
                .ok_or_else(wrong("an A", "10.77.0.5")),
            "AAAA" => value
                .parse()
                .map(Self::Aaaa)
                .ok()
                .ok_or_else(wrong("an AAAA", "2001:db8::5")),
            "CNAME" => HostName::within(value, domain).map(Self::Cname),
            "MX" => mx(value, domain).ok_or_else(wrong("an MX", "10 mail")),
            "SRV" => srv(value, domain).ok_or_else(wrong("an SRV", "0 5 5060 sip")),
            "TXT" => {
                let text = value
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'))
                    .unwrap_or(value);
                let fits = (1..=1000).contains(&text.len()) && !text.chars().any(char::is_control);
                fits.then(|| Self::Txt(Arc::from(text)))
                    .ok_or_else(wrong("a TXT", "v=spf1 -all"))
            }
            _ => Err(RecordError::Type(shown(kind))),
        }
    }

    /// Whether it leads to an address, as the name of a VM does: a name has one such answer.
    pub const fn is_address(&self) -> bool {
        matches!(self, Self::A(_) | Self::Aaaa(_) | Self::Cname(_))
    }

    /// The type's name.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::A(_) => "A",
            Self::Aaaa(_) => "AAAA",
            Self::Cname(_) => "CNAME",
            Self::Mx { .. } => "MX",
            Self::Srv { .. } => "SRV",
            Self::Txt(_) => "TXT",
        }
    }
}

fn mx(value: &str, domain: &Domain) -> Option<RecordData> {
    let (preference, exchange) = value.split_once(char::is_whitespace)?;
    Some(RecordData::Mx {
        preference: preference.parse().ok()?,
        exchange: HostName::within(exchange.trim(), domain).ok()?,
    })
}

fn srv(value: &str, domain: &Domain) -> Option<RecordData> {
    let mut words = value.split_whitespace();
    let mut number = || words.next()?.parse::<u16>().ok();
    let (priority, weight, port) = (number()?, number()?, number()?);
    let target = HostName::within(words.next()?, domain).ok()?;
    words.next().is_none().then_some(RecordData::Srv {
        priority,
        weight,
        port,
        target,
    })
}

/// The value as zone files write it, names absolute with their final dot.
impl fmt::Display for RecordData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => write!(f, "{address}"),
            Self::Aaaa(address) => write!(f, "{address}"),
            Self::Cname(target) => write!(f, "{target}."),
            Self::Mx { preference, exchange } => write!(f, "{preference} {exchange}."),
            Self::Srv {
                priority,
                weight,
                port,
                target,
            } => write!(f, "{priority} {weight} {port} {target}."),
            Self::Txt(text) => f.write_str(text),
        }
    }
}

/// The records of all networks, by owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsRecords(HashMap<NetworkName, HashMap<Box<str>, Vec<Arc<DnsRecord>>>>);

impl DnsRecords {
    /// The records of a name in a network's domain; the name as [`RecordName::as_str`] gives it.
    pub fn at(&self, network: &NetworkName, owner: &str) -> &[Arc<DnsRecord>] {
        self.0
            .get(network)
            .and_then(|owners| owners.get(owner))
            .map_or(&[], Vec::as_slice)
    }

    /// Whether a name below `label` exists in a network's domain, such as `_sip._tcp` below `_tcp`.
    pub fn has_below(&self, network: &NetworkName, name: &str) -> bool {
        self.0.get(network).is_some_and(|owners| {
            owners.keys().any(|owner| {
                owner
                    .strip_suffix(name)
                    .is_some_and(|before| before.ends_with('.'))
            })
        })
    }

    /// The records of one network, by name.
    pub fn of(&self, network: &NetworkName) -> Vec<&Arc<DnsRecord>> {
        let owners = self.0.get(network);
        let mut records: Vec<_> = owners.into_iter().flat_map(HashMap::values).flatten().collect();
        records.sort_by(|one, other| (&one.owner, one.data.kind()).cmp(&(&other.owner, other.data.kind())));
        records
    }

    /// All records, by network and name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<DnsRecord>> {
        let mut networks: Vec<_> = self.0.keys().collect();
        networks.sort();
        networks.into_iter().flat_map(|network| self.of(network))
    }

    /// Puts in the records of one name, in place of those it had.
    pub fn put(&mut self, network: &NetworkName, owner: &RecordName, records: Vec<Arc<DnsRecord>>) {
        let owners = self.0.entry(network.clone()).or_default();
        if records.is_empty() {
            owners.remove(owner.as_str());
        } else {
            owners.insert(owner.as_str().into(), records);
        }
    }
}

/// What of a refused text may be printed.
fn shown(text: &str) -> String {
    text.escape_debug().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lab() -> Domain {
        "lab".parse().unwrap()
    }

    #[test]
    fn values_are_written_as_in_zone_files() {
        for (kind, value, shown) in [
            ("A", "10.77.0.5", "10.77.0.5"),
            ("aaaa", "2001:DB8::5", "2001:db8::5"),
            ("CNAME", "web1", "web1.lab."),
            ("CNAME", "www.example.", "www.example."),
            ("MX", "10 mail", "10 mail.lab."),
            ("SRV", "0 5 5060 sip", "0 5 5060 sip.lab."),
            ("TXT", "\"v=spf1 -all\"", "v=spf1 -all"),
        ] {
            assert_eq!(RecordData::parse(kind, value, &lab()).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_record_is_refused_with_an_example() {
        for (kind, value, says) in [
            ("A", "ten", "such as `10.77.0.5`"),
            ("MX", "mail", "such as `10 mail`"),
            ("SRV", "1 2 3", "such as `0 5 5060 sip`"),
            ("SRV", "1 2 3 a b", "such as"),
            ("TXT", "", "such as"),
            ("NS", "x", "use A, AAAA"),
            ("CNAME", "a b", "is not a DNS name"),
        ] {
            let error = RecordData::parse(kind, value, &lab()).unwrap_err().to_string();
            assert!(error.contains(says), "{kind} {value}: {error}");
        }
    }

    #[test]
    fn a_records_name_is_labels_or_the_apex() {
        for good in ["@", "www", "_sip._tcp", "a.b"] {
            assert!(good.parse::<RecordName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "a.", "-a", "A", "*", "a b", "a..b"] {
            assert!(bad.parse::<RecordName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_has_the_records_that_were_put_last() {
        let mut records = DnsRecords::default();
        let (network, owner): (NetworkName, RecordName) =
            ("lab".parse().unwrap(), "_sip._tcp".parse().unwrap());
        let record = Arc::new(DnsRecord {
            network: network.clone(),
            owner: owner.clone(),
            data: RecordData::Txt("x".into()),
        });
        records.put(&network, &owner, vec![Arc::clone(&record)]);
        assert_eq!(records.at(&network, "_sip._tcp"), [record]);
        assert!(records.has_below(&network, "_tcp") && !records.has_below(&network, "tcp"));
        records.put(&network, &owner, Vec::new());
        assert_eq!(records.iter().count(), 0);
    }

    proptest! {
        #[test]
        fn data_is_read_back_as_it_is_written(kind in "A|AAAA|CNAME|MX|SRV|TXT", value in ".{0,30}") {
            if let Ok(data) = RecordData::parse(&kind, &value, &lab()) {
                let again = RecordData::parse(data.kind(), &data.to_string(), &lab());
                if !matches!(data, RecordData::Txt(_)) {
                    prop_assert_eq!(again, Ok(data));
                }
            }
        }
    }
}
