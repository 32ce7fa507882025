//! What libvirt writes: a network (`virsh net-dumpxml`), with the hosts of its DHCP and the names of its DNS, or a domain.

use std::net::Ipv4Addr;

use roxmltree::{Document, Node, ParsingOptions};

use super::{Entry, Problem, Read, Roster, Scope, distinct, domain};

/// More elements than any network has: what an attack would have to be smaller than.
const NODES: u32 = 2_000_000;

/// Reads what libvirt writes, without what could harm who reads it.
pub(in crate::cli) fn document(text: &str) -> Result<Document<'_>, Problem> {
    // Without a document type there are no entities to blow up, and none that read files.
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES,
        ..ParsingOptions::default()
    };
    // What is missing at the end of a text is missing on its last line, not on one that no editor shows.
    let last = u64::try_from(text.lines().count()).unwrap_or(u64::MAX).max(1);
    Document::parse_with_options(text, options).map_err(|error| Problem {
        line: u64::from(error.pos().row).min(last),
        what: error.to_string().chars().take(200).collect(),
    })
}

/// Reads a network, or a domain. Hosts of IPv6 and of other subnets are left out, and that is said.
pub(in crate::cli) fn parse(text: &str, scope: &Scope) -> Result<Read, Vec<Problem>> {
    let document = document(text).map_err(|problem| vec![problem])?;
    let lines = || Lines { text, at: 0, line: 1 };
    let network = document.root_element();
    if network.has_tag_name("domain") {
        return domain::read(network, lines(), scope);
    }
    if !network.has_tag_name("network") {
        let what =
            "the outermost element is neither <network> nor <domain>: give what `virsh net-dumpxml NAME` or \
                    `virsh dumpxml NAME` prints"
                .to_owned();
        return Err(vec![Problem { line: 1, what }]);
    }
    let mut reader = Reader {
        lines: lines(),
        scope: &with_domain(scope, network),
        roster: Roster::default(),
    };
    for dhcp in children(network, "ip").flat_map(|ip| children(ip, "dhcp")) {
        children(dhcp, "host").for_each(|host| reader.host(host));
    }
    // From the top again: names may stand before the hosts they belong to.
    reader.lines = lines();
    for dns in children(network, "dns") {
        children(dns, "host").for_each(|host| reader.names(host));
    }
    reader.roster.done()
}

pub(super) fn children<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

/// The names of libvirt's own domain are names of VMs too.
fn with_domain(scope: &Scope, network: Node<'_, '_>) -> Scope {
    let own = children(network, "domain").filter_map(|domain| domain.attribute("name"));
    let mut scope = scope.clone();
    scope.domains.extend(own.map(str::to_ascii_lowercase));
    scope
}

struct Reader<'a> {
    lines: Lines<'a>,
    scope: &'a Scope,
    roster: Roster,
}

impl Reader<'_> {
    /// `<host mac="52:54:00:12:34:56" name="web1" ip="10.77.0.10"/>`
    fn host(&mut self, host: Node<'_, '_>) {
        let line = self.lines.of(host);
        let (mac, name, ip) = (
            host.attribute("mac"),
            host.attribute("name"),
            host.attribute("ip"),
        );
        if ip.is_some_and(|ip| ip.contains(':')) || (mac.is_none() && host.has_attribute("id")) {
            return self.roster.skip(line, "IPv6 addresses");
        }
        let stranger = ip.and_then(|ip| self.scope.stranger(ip.parse().ok()?));
        if let Some(why) = stranger {
            return self.roster.skip(line, why);
        }
        let Some(name) = name else {
            let what = "this host has no name: write one before importing it".to_owned();
            return self.roster.problem(line, what);
        };
        self.roster.add(&Entry {
            line,
            names: vec![self.scope.short(name)],
            mac,
            ip,
        });
    }

    /// `<host ip="10.77.0.10"><hostname>www</hostname></host>`
    fn names(&mut self, host: Node<'_, '_>) {
        let line = self.lines.of(host);
        let names = children(host, "hostname").filter_map(|name| name.text());
        let names = distinct(self.scope, names.map(str::trim));
        let address = host.attribute("ip").and_then(|ip| ip.parse::<Ipv4Addr>().ok());
        match address.map(|address| (address, self.scope.stranger(address))) {
            None => self.roster.skip(line, "names without an IPv4 address"),
            Some((_, Some(why))) => self.roster.skip(line, why),
            Some((address, None)) if !names.is_empty() => self.roster.name(line, address, names),
            Some(_) => {}
        }
    }
}

/// The line numbers of nodes that are asked for in the order of the document.
pub(super) struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl Lines<'_> {
    pub(super) fn of(&mut self, node: Node<'_, '_>) -> u64 {
        let at = node.range().start;
        let between = self.text.get(self.at..at).unwrap_or_default();
        self.line += between.matches('\n').count() as u64;
        self.at = at.max(self.at);
        self.line
    }
}
