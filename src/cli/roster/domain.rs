//! A domain of libvirt, as `virsh dumpxml` writes it: its name, and its interface on the network's bridge.

use roxmltree::Node;

use super::libvirt::{Lines, children};
use super::{Entry, Problem, Read, Roster, Scope, shown};
use crate::model::VmName;

/// A network interface of a domain, as far as it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Interface<'a> {
    /// Its hardware address.
    pub(in crate::cli) mac: Option<&'a str>,
    /// The bridge that its host end is on.
    pub(in crate::cli) bridge: Option<&'a str>,
    /// Its host end, of a domain that runs.
    pub(in crate::cli) target: Option<&'a str>,
}

/// The network interfaces of a domain, with their elements.
pub(in crate::cli) fn interfaces<'a, 'input>(
    domain: Node<'a, 'input>,
) -> impl Iterator<Item = (Node<'a, 'input>, Interface<'a>)> {
    let devices = children(domain, "devices").flat_map(|devices| children(devices, "interface"));
    devices.map(|node| {
        let of = |element, attribute| {
            let mut elements = children(node, element);
            elements.find_map(|element| element.attribute(attribute))
        };
        let interface = Interface {
            mac: of("mac", "address"),
            bridge: of("source", "bridge"),
            target: of("target", "dev"),
        };
        (node, interface)
    })
}

/// Reads a domain. One that has no interface on the network's bridge is left out, and that is said.
pub(super) fn read(domain: Node<'_, '_>, mut lines: Lines<'_>, scope: &Scope) -> Result<Read, Vec<Problem>> {
    let mut roster = Roster::default();
    let line = lines.of(domain);
    let mut mac = None;
    for (node, interface) in interfaces(domain) {
        let line = lines.of(node);
        if interface.bridge != Some(&*scope.bridge) {
            roster.skip(line, "interfaces on other bridges");
        } else if mac.is_some() {
            roster.skip(line, "further interfaces on the bridge");
        } else {
            mac = Some((line, interface.mac));
        }
    }
    let written = children(domain, "name")
        .find_map(|name| name.text())
        .unwrap_or_default();
    match mac {
        None => roster.skip(line, "domains without an interface on the bridge"),
        Some((at, None)) => {
            let what =
                "this interface has no <mac address=...>: it would get another one at each start".to_owned();
            roster.problem(at, what);
        }
        Some((_, mac)) => match registered(scope, written) {
            None => {
                let what = format!(
                    "no name of a VM can be made of `{}`: rename the domain",
                    shown(written)
                );
                roster.problem(line, what);
            }
            Some(name) => {
                if name != written {
                    roster.say(format!(
                        "`{}` (line {line}) is registered as {name}",
                        shown(written)
                    ));
                }
                roster.add(&Entry {
                    line,
                    names: vec![name],
                    mac,
                    ip: None,
                });
            }
        },
    }
    roster.done()
}

/// The name that a domain is registered by: in lower case, without the network's domain, and what no host name has as a hyphen.
fn registered(scope: &Scope, written: &str) -> Option<String> {
    let short = scope.short(written.trim());
    let words = short
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("-");
    name.parse::<VmName>().ok().map(|name| name.to_string())
}
