//! Who the guest is: its host name, its own lines of the hosts file, and its machine id.

use super::draft::{Draft, READABLE};
use super::plan::Plan;
use super::system::{self, Family};
use crate::offline::root::RootError;

/// Where Debian's guests find their own full name when nobody else is there to ask (Debian Reference §5.1.1).
const OWN_ADDRESS: &str = "127.0.1.1";

pub(super) fn write(draft: &mut Draft<'_>, plan: &Plan, family: Family) -> Result<(), RootError> {
    hostname(draft, plan, family)?;
    hosts(draft, plan, family)?;
    machine_id(draft, plan)
}

fn hostname(draft: &mut Draft<'_>, plan: &Plan, family: Family) -> Result<(), RootError> {
    let name = &plan.hostname;
    draft.edit("/etc/hostname", READABLE, |_| format!("{name}\n"))?;
    // What came before /etc/hostname in these families.
    if family == Family::Suse
        && draft.exists("/etc/HOSTNAME")
        && draft.root().read_link("/etc/HOSTNAME")?.is_none()
    {
        draft.edit("/etc/HOSTNAME", READABLE, |_| format!("{name}.{}\n", plan.domain))?;
    }
    let network = "/etc/sysconfig/network";
    if family == Family::RedHat
        && draft
            .text(network)?
            .is_some_and(|text| text.contains("HOSTNAME="))
    {
        let line = format!("HOSTNAME={name}.{}", plan.domain);
        draft.edit(network, READABLE, |old| {
            with_lines(old, |text| {
                if text.starts_with("HOSTNAME=") {
                    Some(&line)
                } else {
                    Some(text)
                }
            })
        })?;
    }
    Ok(())
}

fn hosts(draft: &mut Draft<'_>, plan: &Plan, family: Family) -> Result<(), RootError> {
    let own = format!("{OWN_ADDRESS}\t{0}.{1} {0}", plan.hostname, plan.domain);
    let is_used = family == Family::Debian;
    draft.edit("/etc/hosts", READABLE, |old| {
        let old = if old.trim().is_empty() {
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        } else {
            old
        };
        hosts_with(old, &own, is_used)
    })
}

/// The hosts file with the guest's own line in place of the one it had; a file without one gets it where that is the custom.
fn hosts_with(old: &str, own: &str, is_used: bool) -> String {
    let address = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let has = |wanted: &str| old.lines().any(|line| address(line) == wanted);
    if !has(OWN_ADDRESS) && !is_used {
        return old.to_owned();
    }
    let behind = if has(OWN_ADDRESS) {
        OWN_ADDRESS
    } else {
        "127.0.0.1"
    };
    let mut text = String::with_capacity(old.len() + own.len() + 1);
    let mut is_in = false;
    let mut add = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    for line in old.lines() {
        let is_own = address(line) == OWN_ADDRESS;
        if !is_own {
            add(line);
        }
        if !is_in && address(line) == behind {
            add(own);
            is_in = true;
        }
    }
    if !is_in {
        add(own);
    }
    text
}

/// The lines of a text, each as it is to be, or left out.
fn with_lines<'a>(text: &'a str, change: impl Fn(&'a str) -> Option<&'a str>) -> String {
    text.lines()
        .filter_map(change)
        .fold(String::new(), |text, line| text + line + "\n")
}

/// The id that systemd, D-Bus and DHCP clients tell machines apart by: clones of one image would be one machine. The SMBIOS UUID
/// is what systemd itself would make it of.
fn machine_id(draft: &mut Draft<'_>, plan: &Plan) -> Result<(), RootError> {
    let id = plan.machine_id() + "\n";
    let (systemd, dbus) = ("/etc/machine-id", "/var/lib/dbus/machine-id");
    if system::has_systemd(draft) || draft.exists(systemd) {
        draft.put(systemd, id.clone(), 0o444);
    }
    if draft.exists(dbus) && draft.root().read_link(dbus)?.is_none() {
        draft.put(dbus, id, READABLE);
    }
    Ok(())
}
