//! Options on NICs beside a VM's first one.

use super::failure::Failure;
use crate::control::{NicSettings, WrittenNic};

/// NICs beside the first, of VMs that are registered.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Further NICs")]
pub(super) struct Nics {
    /// A NIC on another network, with DHCP, a name and a filter of its own there; can be given several times
    #[arg(long, value_name = "NETWORK[,ip=ADDRESS][,mac=MAC]", value_parser = nic, display_order = 110)]
    nic: Vec<WrittenNic>,
}

/// NICs beside the first, of VMs that are changed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Further NICs")]
pub(super) struct ChangedNics {
    /// A NIC on another network, or other addresses for the one there; can be given several times
    #[arg(long, value_name = "NETWORK[,ip=ADDRESS][,mac=MAC]", value_parser = nic, display_order = 110)]
    nic: Vec<WrittenNic>,
    /// Take the NIC on that network away; can be given several times
    #[arg(long, value_name = "NETWORK", display_order = 111)]
    remove_nic: Vec<String>,
}

impl Nics {
    /// What they say.
    pub(super) fn settings(self) -> NicSettings {
        NicSettings {
            put: self.nic,
            removed: Vec::new(),
        }
    }
}

impl ChangedNics {
    /// The names of these options, for a group of them.
    pub(super) const IDS: [&str; 2] = ["nic", "remove_nic"];

    /// What they say.
    pub(super) fn settings(self) -> Result<NicSettings, Failure> {
        let both = |nic: &&WrittenNic| self.remove_nic.contains(&nic.network);
        if let Some(nic) = self.nic.iter().find(both) {
            let network = &nic.network;
            return Err(Failure::usage(format!(
                "--nic and --remove-nic both name network {network}: give one of them"
            )));
        }
        Ok(NicSettings {
            put: self.nic,
            removed: self.remove_nic,
        })
    }
}

/// Reads `backend,ip=10.78.0.5,mac=52:54:00:12:34:56`; `network=backend` is the same as `backend`.
fn nic(text: &str) -> Result<WrittenNic, String> {
    let mut nic = WrittenNic::default();
    for part in text.split(',') {
        let (key, value) = part.split_once('=').unwrap_or(("network", part));
        let is_new = match key {
            "network" => {
                nic.network.is_empty() && {
                    value.clone_into(&mut nic.network);
                    true
                }
            }
            "ip" => nic.ip.replace(value.to_owned()).is_none(),
            "mac" => nic.mac.replace(value.to_owned()).is_none(),
            _ => return Err(format!("`{key}` is not network, ip or mac")),
        };
        if !is_new {
            return Err(format!("{key} is given twice"));
        }
    }
    if nic.network.is_empty() {
        return Err("it names no network, as in --nic backend or --nic backend,ip=10.78.0.5".to_owned());
    }
    Ok(nic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nic_is_a_network_and_what_is_chosen_of_it() {
        let whole = nic("backend,ip=10.78.0.5,mac=52:54:00:12:34:56").unwrap();
        assert_eq!(
            whole,
            WrittenNic {
                network: "backend".into(),
                ip: Some("10.78.0.5".into()),
                mac: Some("52:54:00:12:34:56".into()),
            }
        );
        assert_eq!(nic("backend").unwrap(), nic("network=backend").unwrap());
        for (bad, why) in [
            ("", "no network"),
            ("ip=10.78.0.5", "no network"),
            ("backend,lan", "network is given twice"),
            ("backend,ip=1.2.3.4,ip=1.2.3.4", "ip is given twice"),
            ("backend,address=10.78.0.5", "`address` is not"),
        ] {
            let said = nic(bad).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
