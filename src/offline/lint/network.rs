//! Interface configuration that is bound to another machine's hardware address, or that does not ask DHCP.

use super::{Cure, Facts, Finding, Look, without};

/// What a clone of ours can always be configured with: every Ethernet interface asks DHCP.
const NETPLAN: &str =
    "network:\n  version: 2\n  ethernets:\n    all:\n      match:\n        name: \"e*\"\n      dhcp4: true\n";
const NETWORKD: &str = "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n";
const NETWORKD_FILE: &str = "/etc/systemd/network/80-dhcp.network";
const IFUPDOWN: &str = "/etc/network/interfaces";
/// Why an address that is bound to a hardware address hurts.
const BOUND: &str =
    "a clone has another hardware address: it has no network, or an interface of another name";

pub(super) fn findings(look: &Look<'_>, facts: &Facts) -> Vec<Finding> {
    let files = Files::read(look);
    let mut found = Vec::new();
    found.extend(rules(look));
    found.extend(files.netplan.iter().filter_map(netplan));
    found.extend(files.networkd.iter().filter_map(networkd));
    found.extend(files.manager.iter().filter_map(lines_of_manager));
    found.extend(files.ifcfg.iter().filter_map(lines_of_ifcfg));
    found.extend(files.ifupdown.iter().filter_map(lines_of_ifupdown));
    found.extend(files.fixed());
    found.extend(no_dhcp(look, facts, &files));
    found
}

/// A path and the text there.
type Text = (String, String);

struct Files {
    netplan: Vec<Text>,
    networkd: Vec<Text>,
    manager: Vec<Text>,
    ifcfg: Vec<Text>,
    ifupdown: Vec<Text>,
}

impl Files {
    fn read(look: &Look<'_>) -> Self {
        let texts = |folders: &[&str], wanted: fn(&str) -> bool| {
            let paths = folders.iter().flat_map(|folder| look.within(folder));
            let wanted = paths.filter(|path| path.rsplit('/').next().is_some_and(wanted));
            wanted
                .filter_map(|path| look.text(&path).map(|text| (path, text)))
                .collect::<Vec<_>>()
        };
        let mut ifupdown = texts(&["/etc/network/interfaces.d"], |_| true);
        ifupdown.extend(look.text(IFUPDOWN).map(|text| (IFUPDOWN.to_owned(), text)));
        Self {
            netplan: texts(&["/etc/netplan"], |name| name.ends_with(".yaml")),
            networkd: texts(&["/etc/systemd/network"], |name| {
                name.ends_with(".network") || name.ends_with(".link")
            }),
            manager: texts(&["/etc/NetworkManager/system-connections"], |_| true),
            ifcfg: texts(
                &["/etc/sysconfig/network-scripts", "/etc/sysconfig/network"],
                |name| name.starts_with("ifcfg-") && name != "ifcfg-lo",
            ),
            ifupdown,
        }
    }

    /// Addresses that are written down.
    fn fixed(&self) -> Option<Finding> {
        let of = |texts: &[Text], fixed: fn(&str) -> bool| -> Vec<String> {
            let texts = texts.iter().filter(|(_, text)| {
                let mut lines = text.lines().map(str::trim);
                lines.any(|line| !line.starts_with('#') && fixed(line))
            });
            texts.map(|(path, _)| path.clone()).collect()
        };
        let paths = [
            of(&self.netplan, |line| line.starts_with("addresses:")),
            of(&self.networkd, |line| line.starts_with("Address=")),
            of(&self.manager, |line| {
                line.starts_with("address1=") || line == "method=manual"
            }),
            of(&self.ifcfg, |line| line.starts_with("IPADDR")),
            of(&self.ifupdown, |line| {
                line.starts_with("iface") && line.ends_with("inet static")
            }),
        ]
        .concat();
        if paths.is_empty() {
            return None;
        }
        Some(
            Finding::new(
                "static-address",
                "an address that is written down",
                paths,
                "every clone claims it, and what it sends from it is dropped: a clone may only use the address of its record",
            )
            .left("have the interface ask DHCP: seedbed image edit"),
        )
    }

    fn asks_dhcp(&self) -> bool {
        let any = |texts: &[Text], asks: fn(&str) -> bool| {
            let mut lines = texts.iter().flat_map(|(_, text)| text.lines().map(str::trim));
            lines.any(|line| !line.starts_with('#') && asks(line))
        };
        any(&self.netplan, |line| {
            line.starts_with("dhcp4:") && (line.ends_with("true") || line.ends_with("yes"))
        }) || any(&self.networkd, |line| {
            ["DHCP=yes", "DHCP=ipv4", "DHCP=true", "DHCP=both", "DHCP=v4"].contains(&line)
        }) || any(&self.manager, |line| line == "method=auto")
            || any(&self.ifcfg, |line| {
                line.starts_with("BOOTPROTO=") && line.to_ascii_lowercase().contains("dhcp")
            })
            || any(&self.ifupdown, |line| {
                line.starts_with("iface") && line.ends_with("inet dhcp")
            })
    }
}

fn rules(look: &Look<'_>) -> Option<Finding> {
    let names = [
        "70-persistent-net.rules",
        "70-persistent-cd.rules",
        "60-net.rules",
    ];
    let bound = |path: &String| {
        let text = look.text(path).unwrap_or_default();
        text.lines()
            .any(|line| !line.trim().is_empty() && !line.starts_with('#'))
    };
    let paths: Vec<_> = look
        .filled(names.map(|name| format!("/etc/udev/rules.d/{name}")))
        .into_iter()
        .filter(bound)
        .collect();
    if paths.is_empty() {
        return None;
    }
    Some(
        Finding::new(
            "persistent-net",
            "interface names that are kept for hardware addresses",
            paths,
            "a clone's first interface becomes eth1, for which nothing is configured",
        )
        .cured("removes them", Cure::Remove),
    )
}

fn bound(what: &str, path: &str) -> Finding {
    Finding::new("mac-bound", what, vec![path.to_owned()], BOUND)
}

fn netplan((path, text): &Text) -> Option<Finding> {
    if !text.lines().any(|line| line.trim().starts_with("macaddress:")) {
        return None;
    }
    let finding = bound("netplan for a hardware address", path);
    Some(if text.contains("cloud-init") {
        finding.cured("removes it: cloud-init writes each clone its own", Cure::Remove)
    } else {
        let cure = Cure::Write(vec![(path.clone(), NETPLAN.to_owned())]);
        finding.cured("replaces it: every Ethernet interface asks DHCP", cure)
    })
}

fn networkd((path, text): &Text) -> Option<Finding> {
    let binds = |line: &str| line.starts_with("MACAddress=") || line.starts_with("PermanentMACAddress=");
    if !text.lines().any(|line| binds(line.trim())) {
        return None;
    }
    if path.ends_with(".link") {
        return Some(
            bound("an interface name for a hardware address", path).cured("removes it", Cure::Remove),
        );
    }
    let mut rest = without(text, binds);
    let names = |line: &str| line.trim().starts_with("Name=");
    if !rest.lines().any(names) {
        rest = rest.replacen("[Match]\n", "[Match]\nName=en* eth*\n", 1);
    }
    Some(
        bound("networkd's configuration for a hardware address", path).cured(
            "has it match Ethernet interfaces by name",
            Cure::Write(vec![(path.clone(), rest)]),
        ),
    )
}

/// The same lines without those that bind them.
fn unbound((path, text): &Text, what: &str, binds: fn(&str) -> bool) -> Option<Finding> {
    if !text.lines().any(|line| binds(line.trim())) {
        return None;
    }
    let rest = without(text, binds);
    let cure = Cure::Write(vec![(path.clone(), rest)]);
    Some(bound(what, path).cured("takes the hardware address out of it", cure))
}

fn lines_of_manager(text: &Text) -> Option<Finding> {
    unbound(
        text,
        "a NetworkManager connection for a hardware address",
        |line| line.starts_with("mac-address=") || line.starts_with("cloned-mac-address="),
    )
}

fn lines_of_ifcfg(text: &Text) -> Option<Finding> {
    unbound(text, "an ifcfg file for a hardware address", |line| {
        ["HWADDR=", "MACADDR=", "LLADDR="]
            .iter()
            .any(|key| line.starts_with(key))
    })
}

fn lines_of_ifupdown(text: &Text) -> Option<Finding> {
    unbound(text, "an interface that takes on a hardware address", |line| {
        line.starts_with("hwaddress")
    })
}

/// That nothing asks DHCP: cloud-init would, where it may.
fn no_dhcp(look: &Look<'_>, facts: &Facts, files: &Files) -> Option<Finding> {
    let runs = |name: &str| facts.network.iter().any(|found| found == name);
    let manager = runs("NetworkManager") && {
        let settings = look
            .text("/etc/NetworkManager/NetworkManager.conf")
            .unwrap_or_default();
        !settings
            .lines()
            .any(|line| line.trim().starts_with("no-auto-default=*"))
    };
    let agent = facts.cloud_init.is_some() && super::cloud::network_disabled(look).is_none();
    if files.asks_dhcp() || manager || agent {
        return None;
    }
    let finding = Finding::new(
        "no-dhcp",
        "no interface that asks DHCP",
        vec!["/etc".to_owned()],
        "a clone has no address, and so does not learn who it is",
    );
    Some(if runs("netplan") {
        let path = "/etc/netplan/80-dhcp.yaml";
        let cure = Cure::Write(vec![(path.to_owned(), NETPLAN.to_owned())]);
        finding.cured(format!("writes {path}"), cure)
    } else if runs("systemd-networkd") {
        let cure = Cure::Write(vec![(NETWORKD_FILE.to_owned(), NETWORKD.to_owned())]);
        finding.cured(format!("writes {NETWORKD_FILE}"), cure)
    } else {
        finding.left("configure the first interface for DHCP, or launch clones with --offline")
    })
}
