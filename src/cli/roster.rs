//! What is imported: files of other programs, read as rows or as all their problems. Pure: text in, rows out.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::Ipv4Addr;

use crate::control::ImportRow;
use crate::model::{Subnet, VmName, mac};

pub(super) mod csv;
pub(super) mod dnsmasq;
pub(super) mod domain;
#[cfg(fuzzing)]
pub mod fuzzing;
pub(super) mod hosts;
pub(super) mod libvirt;
#[cfg(test)]
mod tests;

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    line: u64,
    what: String,
}

impl Problem {
    /// What is wrong with a row that was read.
    pub(super) const fn of(row: &ImportRow, what: String) -> Self {
        Self { line: row.line, what }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// What was read of a file that has no problems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    /// The VMs.
    pub(super) rows: Vec<ImportRow>,
    /// What was left out, or taken in as something else, a sentence each.
    pub(super) skipped: Vec<String>,
}

/// The network that a file is read for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    /// The domains whose names are names of VMs.
    pub(super) domains: Vec<String>,
    /// The subnet whose addresses VMs can have.
    pub(super) subnet: Subnet,
    /// The bridge that VMs are on.
    pub(super) bridge: String,
}

impl Scope {
    /// A name as VMs have it: in lower case, and without the network's domain.
    fn short(&self, name: &str) -> String {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let within = self.domains.iter().find_map(|domain| {
            let before = name.strip_suffix(domain.as_str())?.strip_suffix('.')?;
            (!before.is_empty()).then(|| before.to_owned())
        });
        within.unwrap_or(name)
    }

    /// Why the host of an address is no VM of the network, when it is none.
    fn stranger(&self, address: Ipv4Addr) -> Option<&'static str> {
        if address == self.subnet.gateway() {
            Some("the bridge's own address")
        } else if self.subnet.contains(address) {
            None
        } else {
            Some("addresses outside the network")
        }
    }
}

/// One VM as a file has it; nothing of it is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry<'a> {
    line: u64,
    /// Its names, the first of which it is registered by.
    names: Vec<String>,
    mac: Option<&'a str>,
    ip: Option<&'a str>,
}

/// The rows so far, and where each value was seen first.
#[derive(Debug, Default)]
struct Roster {
    rows: Vec<ImportRow>,
    problems: Vec<Problem>,
    /// The lines that were left out, by the reason.
    skipped: BTreeMap<&'static str, Vec<u64>>,
    seen: HashMap<String, u64>,
    /// The row of each address.
    at: HashMap<Ipv4Addr, usize>,
    /// What is said of what was taken in.
    said: Vec<String>,
}

impl Roster {
    fn problem(&mut self, line: u64, what: String) {
        self.problems.push(Problem { line, what });
    }

    fn skip(&mut self, line: u64, why: &'static str) {
        self.skipped.entry(why).or_default().push(line);
    }

    fn say(&mut self, sentence: String) {
        self.said.push(sentence);
    }

    fn done(self) -> Result<Read, Vec<Problem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let skipped = self.skipped.into_iter().map(|(why, lines)| told(why, &lines));
        Ok(Read {
            rows: self.rows,
            skipped: self.said.into_iter().chain(skipped).collect(),
        })
    }

    /// Adds a VM; what is wrong with it is noted instead.
    fn add(&mut self, entry: &Entry<'_>) {
        let line = entry.line;
        let mut names = entry.names.iter();
        let name = names.next().map_or("", String::as_str);
        let name = self.checked(line, name, |text| {
            text.parse::<VmName>().map(|name| name.to_string())
        });
        let mac = entry
            .mac
            .map(|text| self.checked(line, text, |text| mac::parse(text).map(mac::text)));
        let ip = entry.ip.map(|text| {
            self.checked(line, text, |text| {
                text.parse::<Ipv4Addr>()
                    .map(|ip| ip.to_string())
                    .map_err(|_| format!("`{}` is not an IPv4 address", shown(text)))
            })
        });
        let aliases: Vec<_> = names.filter_map(|alias| self.alias(line, alias)).collect();
        // What is wrong was noted; such a row is never sent.
        if let (Some(name), None | Some(Some(_)), None | Some(Some(_))) = (name, &mac, &ip) {
            if let Some(address) = ip.iter().flatten().find_map(|ip| ip.parse().ok()) {
                self.at.insert(address, self.rows.len());
            }
            self.rows.push(ImportRow {
                line,
                name,
                mac: mac.flatten(),
                ip: ip.flatten(),
                aliases,
            });
        }
    }

    /// Gives the VM of an address more names; it is added where there is none yet.
    fn name(&mut self, line: u64, address: Ipv4Addr, names: Vec<String>) {
        let Some(row) = self.at.get(&address).copied() else {
            let ip = address.to_string();
            return self.add(&Entry {
                line,
                names,
                mac: None,
                ip: Some(&ip),
            });
        };
        for name in names {
            let has = |row: &ImportRow| row.name == name || row.aliases.contains(&name);
            if self.rows.get(row).is_some_and(has) {
                continue;
            }
            let alias = self.alias(line, &name);
            if let (Some(alias), Some(row)) = (alias, self.rows.get_mut(row)) {
                row.aliases.push(alias);
            }
        }
    }

    fn alias(&mut self, line: u64, name: &str) -> Option<String> {
        if name.contains('.') {
            self.skip(line, "names in other domains");
            return None;
        }
        self.checked(line, name, |text| {
            text.parse::<VmName>().map(|name| name.to_string())
        })
    }

    /// The value as it is meant, unless it is wrong or was seen before; that is noted.
    fn checked<E: fmt::Display>(
        &mut self,
        line: u64,
        text: &str,
        meant: impl FnOnce(&str) -> Result<String, E>,
    ) -> Option<String> {
        match meant(text) {
            Err(error) => {
                self.problem(line, error.to_string());
                None
            }
            Ok(value) => {
                if let Some(first) = self.seen.get(&value) {
                    self.problem(line, format!("{value} is already on line {first}"));
                    return None;
                }
                self.seen.insert(value.clone(), line);
                Some(value)
            }
        }
    }
}

/// Short names, each once.
fn distinct<'a>(scope: &Scope, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut distinct = Vec::new();
    for name in names {
        let name = scope.short(name);
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

/// What was left out, in a sentence: `skipped 3 lines: IPv6 addresses (lines 1, 2, 9)`.
fn told(why: &str, lines: &[u64]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = lines.iter().take(SHOWN).map(u64::to_string).collect();
    let more = if lines.len() > SHOWN { ", ..." } else { "" };
    let noun = if lines.len() == 1 { "line" } else { "lines" };
    format!(
        "skipped {}: {why} ({noun} {}{more})",
        lines.len(),
        shown.join(", ")
    )
}

/// What of a refused text may be printed.
fn shown(text: &str) -> String {
    text.escape_debug().take(40).collect()
}
