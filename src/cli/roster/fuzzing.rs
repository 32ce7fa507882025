//! The readers of imported files, for the fuzz targets alone.

use std::collections::HashSet;

use super::{Problem, Read, Scope, csv, dnsmasq, hosts, libvirt};
use crate::model::VmName;

/// Reads a text by each reader: what is accepted can be registered but for what only the registry knows, and what is refused
/// has a line to look at.
///
/// # Panics
/// When that is not so.
pub fn read(text: &str) {
    let scope = Scope {
        domains: vec!["lab".to_owned()],
        subnet: "10.77.0.1/24"
            .parse()
            .unwrap_or_else(|error| unreachable!("{error}")),
        bridge: "br0".to_owned(),
    };
    let lines = u64::try_from(text.lines().count()).unwrap_or(u64::MAX);
    check(csv::parse(text), lines);
    check(hosts::parse(text, &scope), lines);
    check(dnsmasq::parse(text, &scope), lines);
    check(libvirt::parse(text, &scope), lines);
}

fn check(read: Result<Read, Vec<Problem>>, lines: u64) {
    let rows = match read {
        Ok(read) => read.rows,
        Err(problems) => {
            assert!(!problems.is_empty());
            let is_there = |problem: &Problem| problem.line <= lines.max(1) && !problem.what.is_empty();
            return assert!(problems.iter().all(is_there), "{problems:?} of {lines} lines");
        }
    };
    let mut seen = HashSet::new();
    for row in &rows {
        assert!(row.line <= lines);
        for name in [&row.name].into_iter().chain(&row.aliases) {
            assert!(
                name.parse::<VmName>()
                    .is_ok_and(|name| seen.insert(name.to_string())),
                "{row:?}"
            );
        }
        for address in row.mac.iter().chain(&row.ip) {
            assert!(seen.insert(address.clone()), "{row:?}");
        }
    }
}
