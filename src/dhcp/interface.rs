//! The interfaces that requests come in by, and the networks that are reached through each.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::model::{BridgeName, Network};

/// One interface and its networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: BridgeName,
    /// The network whose bridge it is.
    pub local: Option<Arc<Network>>,
    /// The networks behind relay agents that send to it.
    pub relayed: Vec<Arc<Network>>,
}

impl Interface {
    /// Every interface that one of the networks needs, in the order of the networks.
    pub fn all(networks: &[Network]) -> Vec<Self> {
        let mut interfaces: Vec<Self> = Vec::new();
        for network in networks {
            let known = interfaces
                .iter()
                .position(|interface| interface.name == network.bridge);
            let index = known.unwrap_or_else(|| {
                interfaces.push(Self {
                    name: network.bridge.clone(),
                    local: None,
                    relayed: Vec::new(),
                });
                interfaces.len() - 1
            });
            let Some(interface) = interfaces.get_mut(index) else {
                continue;
            };
            let network = Arc::new(network.clone());
            if network.is_local() {
                interface.local = Some(network);
            } else {
                interface.relayed.push(network);
            }
        }
        interfaces
    }

    /// Our own address on it, as far as the configuration tells.
    pub fn address(&self) -> Ipv4Addr {
        let networks = self.local.iter().chain(&self.relayed);
        networks
            .map(|network| network.dhcp_server())
            .next()
            .unwrap_or(Ipv4Addr::UNSPECIFIED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dhcp::Relay;
    use crate::model::examples;

    fn network(name: &str, bridge: &str, subnet: &str, relayed: bool) -> Network {
        let mut network = examples::network(name, subnet);
        network.bridge = bridge.parse().unwrap();
        network.dhcp.relay = relayed.then(|| Relay {
            server: [192, 0, 2, 1].into(),
            agents: vec![[192, 0, 2, 2].into()],
        });
        network
    }

    #[test]
    fn networks_that_share_an_interface_share_its_server() {
        let networks = [
            network("lab", "br0", "10.77.0.1/24", false),
            network("rack2", "up0", "10.88.0.1/24", true),
            network("rack3", "up0", "10.89.0.1/24", true),
            network("rack4", "br0", "10.90.0.1/24", true),
        ];
        let found: Vec<_> = Interface::all(&networks)
            .iter()
            .map(|found| {
                (
                    found.name.to_string(),
                    found.local.is_some(),
                    found.relayed.len(),
                    found.address(),
                )
            })
            .collect();
        let (gateway, uplink) = ([10, 77, 0, 1].into(), [192, 0, 2, 1].into());
        assert_eq!(
            found,
            [
                ("br0".to_owned(), true, 1, gateway),
                ("up0".to_owned(), false, 2, uplink)
            ]
        );
    }
}
