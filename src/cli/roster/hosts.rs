//! A hosts file, hosts(5): an address and its names, one host a line.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Problem, Read, Roster, Scope, distinct, shown};

/// Reads a hosts file. The first name of an address that is in the network's domain, or in none, is the VM's, in whatever
/// line; all others are its aliases.
///
/// Hosts files have lines for the host itself, for IPv6 and for other networks: those are left out, and that is said.
pub(in crate::cli) fn parse(text: &str, scope: &Scope) -> Result<Read, Vec<Problem>> {
    let mut roster = Roster::default();
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next() else { continue };
        let mut names = distinct(scope, words);
        // The canonical name often stands first, and in another domain: the first that is a name here is the VM's.
        names.sort_by_key(|name| name.contains('.'));
        let Ok(address) = address.parse::<Ipv4Addr>() else {
            // A link-local address may have its interface behind it.
            let plain = address.split('%').next().unwrap_or_default();
            match plain.parse::<Ipv6Addr>() {
                Ok(_) => roster.skip(number, "IPv6 addresses"),
                Err(_) => roster.problem(number, format!("`{}` is not an address", shown(address))),
            }
            continue;
        };
        let own = address.is_loopback() || names.first().is_some_and(|name| name == "localhost");
        let stranger = if own {
            Some("addresses of the host itself")
        } else {
            scope.stranger(address)
        };
        if let Some(why) = stranger {
            roster.skip(number, why);
        } else if names.is_empty() {
            roster.problem(number, format!("{address} has no name"));
        } else {
            roster.name(number, address, names);
        }
    }
    roster.done()
}
