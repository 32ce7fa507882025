//! The network of the guest: DHCP on its only NIC, in the words of the one program that configures its network, and nothing left
//! of what the image's interfaces were told before.
//!
//! The NIC is told by its hardware address wherever that is possible: what it is called depends on the guest's kernel, udev and
//! kernel command line. ifupdown and wicked know names only, so there each name is written that it can have.

use super::CustomizeError;
use super::draft::Draft;
use super::plan::Plan;
use super::system::{self, Family};

mod ifcfg;
mod ifupdown;
mod netplan;
mod network_manager;
mod networkd;
mod wicked;

/// What the NIC may be called: by the kernel, by its path, and by its slot (systemd.net-naming-scheme(7)). The launcher puts it
/// into slot 2 of the first bus.
const NAMES: [&str; 3] = ["eth0", "enp0s2", "ens2"];

/// A program that configures a guest's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stack {
    Netplan,
    NetworkManager,
    Networkd,
    /// The scripts of RHEL 6 to 8, and `NetworkManager` where it reads their files.
    Ifcfg,
    Wicked,
    Ifupdown,
}

pub(super) fn write(draft: &mut Draft<'_>, plan: &Plan, family: Family) -> Result<(), CustomizeError> {
    let stack = stack(draft, family)?.ok_or(CustomizeError::NoNetwork)?;
    let mac = &plan.mac;
    // What another program was told would have it ask DHCP too, or keep the chosen one away from the NIC.
    ifupdown::clear(draft)?;
    network_manager::clear(draft)?;
    networkd::clear(draft, mac)?;
    match stack {
        Stack::Netplan => netplan::write(draft, mac)?,
        Stack::NetworkManager => network_manager::write(draft, plan),
        Stack::Networkd => networkd::write(draft, plan),
        Stack::Ifcfg => ifcfg::write(draft, mac)?,
        Stack::Wicked => wicked::write(draft)?,
        Stack::Ifupdown => ifupdown::write(draft, family)?,
    }
    Ok(())
}

/// The program that configures the guest's network; `None` where there is none that is known.
fn stack(draft: &Draft<'_>, family: Family) -> Result<Option<Stack>, CustomizeError> {
    let manager = system::starts(draft, "NetworkManager")?;
    let networkd = system::starts(draft, "systemd-networkd")?;
    if netplan::is_used(draft, manager || networkd)? {
        return Ok(Some(Stack::Netplan));
    }
    if family == Family::RedHat && ifcfg::is_used(draft)? {
        return Ok(Some(Stack::Ifcfg));
    }
    let stacks = [
        (Stack::NetworkManager, manager),
        (Stack::Networkd, networkd),
        (Stack::Wicked, wicked::is_used(draft)?),
        (Stack::Ifupdown, ifupdown::is_used(draft)),
    ];
    Ok(stacks.into_iter().find(|(_, is)| *is).map(|(stack, _)| stack))
}

/// Whether a name is one of an Ethernet interface: the kernel's own, or a predictable one.
fn is_ethernet(name: &str) -> bool {
    let numbered = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    name.strip_prefix("eth").is_some_and(numbered)
        || name
            .strip_prefix("en")
            .is_some_and(|rest| rest.starts_with(['o', 'p', 's', 'x', 'P']))
}

#[cfg(test)]
mod tests;
