//! dnsmasq's configuration, dnsmasq(8): `dhcp-host` options, or the same lines in a `dhcp-hostsfile`, and the names of
//! `host-record` and `address` options.

use std::net::Ipv4Addr;

use super::{Entry, Problem, Read, Roster, Scope, distinct, shown};

/// Reads a configuration, or a file of hosts. Options that are about something else are left out, and that is said.
pub(in crate::cli) fn parse(text: &str, scope: &Scope) -> Result<Read, Vec<Problem>> {
    let mut roster = Roster::default();
    // Names come after the hosts they may belong to.
    let mut names = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = uncommented(line);
        match line
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
        {
            _ if line.is_empty() => {}
            Some(("dhcp-host", value)) => host(&mut roster, scope, number, value),
            Some(("host-record", value)) => names.push((number, recorded(value))),
            Some(("address", value)) => names.push((number, addressed(value))),
            Some((key, _)) if is_option(key) => roster.skip(number, "other options"),
            None if is_option(line) => roster.skip(number, "other options"),
            _ => host(&mut roster, scope, number, line),
        }
    }
    for (number, named) in names {
        let Some((address, named)) = named else {
            roster.skip(number, "names without an IPv4 address");
            continue;
        };
        match scope.stranger(address) {
            Some(why) => roster.skip(number, why),
            None => roster.name(number, address, distinct(scope, named.into_iter())),
        }
    }
    roster.done()
}

/// A line without its comment, which starts at a `#` that no word goes over.
fn uncommented(line: &str) -> &str {
    let starts = |(at, _): &(usize, &str)| {
        let before = line.get(..*at).and_then(|before| before.chars().next_back());
        before.is_none_or(char::is_whitespace)
    };
    let end = line.match_indices('#').find(starts).map(|(at, _)| at);
    line.get(..end.unwrap_or(line.len())).unwrap_or(line).trim()
}

/// Whether a word is an option's name: a line of a host has commas or colons in it.
fn is_option(word: &str) -> bool {
    word.bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// `host-record=NAME[,NAME...],ADDRESS[,ADDRESS][,TTL]`
fn recorded(value: &str) -> Option<(Ipv4Addr, Vec<&str>)> {
    let fields: Vec<_> = value.split(',').map(str::trim).collect();
    let names = fields.iter().take_while(|field| {
        let is_address = field.parse::<std::net::IpAddr>().is_ok();
        !is_address && !is_span(field)
    });
    let names: Vec<_> = names.copied().collect();
    let address = fields.iter().find_map(|field| field.parse().ok())?;
    (!names.is_empty()).then_some((address, names))
}

/// `address=/NAME[/NAME...]/ADDRESS`
fn addressed(value: &str) -> Option<(Ipv4Addr, Vec<&str>)> {
    let (names, address) = value.strip_prefix('/')?.rsplit_once('/')?;
    let names: Vec<_> = names.split('/').filter(|name| !name.is_empty()).collect();
    let plain = !names.is_empty() && names.iter().all(|name| !name.contains(['*', '#']));
    Some((address.parse().ok()?, plain.then_some(names)?))
}

/// What the fields of a host say, in whatever order they stand.
#[derive(Debug, Default)]
struct Host<'a> {
    mac: Option<&'a str>,
    client_id: bool,
    ip: Option<Ipv4Addr>,
    name: Option<&'a str>,
    ignored: bool,
}

fn host(roster: &mut Roster, scope: &Scope, line: u64, fields: &str) {
    let host = match Host::of(fields) {
        Ok(host) => host,
        Err(why) => return roster.problem(line, why),
    };
    if host.ignored {
        return roster.skip(line, "hosts that dnsmasq ignores");
    }
    if let Some(why) = host.ip.and_then(|ip| scope.stranger(ip)) {
        return roster.skip(line, why);
    }
    if host.client_id && host.mac.is_none() {
        let why = "this host is known by its client-id, and Seedbed knows machines by their MAC: write that instead";
        return roster.problem(line, why.to_owned());
    }
    let Some(name) = host.name else {
        return roster.problem(
            line,
            "this host has no name: write one before importing it".to_owned(),
        );
    };
    let ip = host.ip.map(|ip| ip.to_string());
    roster.add(&Entry {
        line,
        names: vec![scope.short(name)],
        mac: host.mac,
        ip: ip.as_deref(),
    });
}

impl<'a> Host<'a> {
    fn of(fields: &'a str) -> Result<Self, String> {
        let mut host = Self::default();
        for field in fields.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            host.take(field)?;
        }
        Ok(host)
    }

    fn take(&mut self, field: &'a str) -> Result<(), String> {
        let tag = ["set:", "net:", "tag:"];
        if tag.iter().any(|tag| field.starts_with(tag)) || is_span(field) {
            return Ok(());
        }
        if field == "ignore" {
            self.ignored = true;
        } else if let Some(id) = field.strip_prefix("id:") {
            // `id:*` says that the client-id does not matter.
            self.client_id = id != "*";
        } else if let Ok(ip) = field.parse::<Ipv4Addr>() {
            if self.ip.replace(ip).is_some() {
                return Err("this host has several addresses: a VM has one".to_owned());
            }
        } else if field.starts_with('[') {
            // IPv6, which is not served.
        } else if field.contains(':') || is_dashed(field) {
            if self.mac.replace(without_type(field)).is_some() {
                return Err("this host has several MACs: a VM has one, so make a line of each".to_owned());
            }
            if field.contains('*') {
                return Err(format!("`{}` stands for many MACs: a VM has one", shown(field)));
            }
        } else if self.name.replace(field).is_some() {
            return Err(format!("`{}` is a second name: a host has one", shown(field)));
        }
        Ok(())
    }
}

/// Whether a field is six octets with hyphens between them, as some write a MAC.
fn is_dashed(field: &str) -> bool {
    field.len() == 17 && field.split('-').count() == 6
}

/// A MAC without the hardware type that dnsmasq lets stand before it: `01-52:54:00:12:34:56`.
fn without_type(field: &str) -> &str {
    match field.split_once('-') {
        Some((kind, mac)) if mac.contains(':') && kind.bytes().all(|b| b.is_ascii_hexdigit()) => mac,
        _ => field,
    }
}

/// Whether a field is a time a lease holds: `12h`, `3600`, `infinite`.
fn is_span(field: &str) -> bool {
    let number = field.strip_suffix(['s', 'm', 'h', 'd', 'w']).unwrap_or(field);
    field == "infinite" || (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}
