//! The kernel's table of which hardware address has which IPv4 address on a bridge.
//!
//! A permanent entry lets a server send to a guest that can not answer ARP yet (it is asking for its address), and no
//! ARP message can change it. An entry that was learnt is what some guest said: good for a hint, not for an identity.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::{Host, HostError, answered, netlink};
use crate::model::{BridgeName, MacAddress};

/// A neighbour entry: who has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The hardware address that has it.
    pub mac: MacAddress,
    /// Whether it is permanent; otherwise it was learnt.
    pub permanent: bool,
}

impl Host {
    /// Makes the entry permanent, replacing any other of that address.
    pub async fn set_permanent_neighbour(
        &self,
        bridge: &BridgeName,
        address: Ipv4Addr,
        mac: MacAddress,
    ) -> Result<(), HostError> {
        let index = self.index_of(bridge.as_str()).await?;
        let request = self.netlink.neighbours().add(index, IpAddr::V4(address));
        let request = request.link_layer_address(&mac.bytes()).replace();
        let done = request.state(NeighbourState::Permanent).execute().await;
        self.known.forget(address);
        done.map_err(netlink(format!(
            "make {address} a permanent neighbour on `{bridge}`"
        )))
    }

    /// Forgets an address; one that is not known is no error.
    pub async fn remove_neighbour(&self, bridge: &BridgeName, address: Ipv4Addr) -> Result<(), HostError> {
        let index = self.index_of(bridge.as_str()).await?;
        let request = self.netlink.neighbours().del(about(index, address));
        let done = request.execute().await;
        self.known.forget(address);
        match done {
            Err(error) if answered(&error, &[Errno::NOENT]) => Ok(()),
            other => other.map_err(netlink(format!("forget neighbour {address} on `{bridge}`"))),
        }
    }

    /// The entry of an IPv4 address on a bridge, as far as the kernel knows. It is asked once until it says that something has
    /// changed.
    pub async fn neighbour(
        &self,
        bridge: &BridgeName,
        address: Ipv4Addr,
    ) -> Result<Option<Neighbour>, HostError> {
        let before = match self.known.of(bridge, address) {
            Ok(entry) => return Ok(entry),
            Err(before) => before,
        };
        let entry = self.looked_up(bridge, address).await?;
        self.known.learn((bridge, address), entry, before);
        Ok(entry)
    }

    /// The addresses that have a permanent entry on a bridge.
    pub async fn permanent_neighbours(&self, bridge: &BridgeName) -> Result<Vec<Ipv4Addr>, HostError> {
        let index = self.index_of(bridge.as_str()).await?;
        let all = self
            .netlink
            .neighbours()
            .get()
            .set_address_family(AddressFamily::Inet);
        let all: Vec<NeighbourMessage> = all
            .execute()
            .try_collect()
            .await
            .map_err(netlink(format!("list the neighbours on `{bridge}`")))?;
        let is_ours = |entry: &&NeighbourMessage| {
            entry.header.ifindex == index && entry.header.state == NeighbourState::Permanent
        };
        Ok(all.iter().filter(is_ours).filter_map(address_of).collect())
    }

    /// One look-up, no dump (Linux 5.0).
    async fn looked_up(
        &self,
        bridge: &BridgeName,
        address: Ipv4Addr,
    ) -> Result<Option<Neighbour>, HostError> {
        let index = self.index_of(bridge.as_str()).await?;
        let failed = || netlink(format!("look up neighbour {address} on `{bridge}`"));
        let get = RouteNetlinkMessage::GetNeighbour(about(index, address));
        let mut request = NetlinkMessage::from(get);
        request.header.flags = NLM_F_REQUEST;
        let mut answers = self.netlink.clone().request(request).map_err(failed())?;
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(entry)) => {
                    return Ok(known(&entry));
                }
                NetlinkPayload::Error(message) => {
                    let error = rtnetlink::Error::NetlinkError(message);
                    return if answered(&error, &[Errno::NOENT]) {
                        Ok(None)
                    } else {
                        Err(failed()(error))
                    };
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

fn address_of(entry: &NeighbourMessage) -> Option<Ipv4Addr> {
    entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(*address),
        _ => None,
    })
}

fn about(index: u32, address: Ipv4Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = index;
    let destination = NeighbourAddress::Inet(address);
    message
        .attributes
        .push(NeighbourAttribute::Destination(destination));
    message
}

/// An entry that failed or is still being asked for tells nothing.
fn known(entry: &NeighbourMessage) -> Option<Neighbour> {
    use NeighbourState::{Failed, Incomplete, Permanent};
    let state = entry.header.state;
    if matches!(state, Failed | Incomplete | NeighbourState::None) {
        return None;
    }
    let mac = entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => {
            <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddress::new)
        }
        _ => None,
    })?;
    Some(Neighbour {
        mac,
        permanent: state == Permanent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::namespace::{self, ip, lab};

    /// Whether the entry of an address of the lab becomes this one: what others change is told by another socket than asks.
    async fn becomes(host: &Host, bridge: &BridgeName, last: u8, expected: Option<Neighbour>) -> bool {
        let address = Ipv4Addr::new(10, 77, 0, last);
        for _ in 0..100 {
            if host.neighbour(bridge, address).await.unwrap() == expected {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        false
    }

    #[test]
    fn an_entry_is_set_replaced_read_and_forgotten() {
        namespace::inside(
            "host::neighbours::tests::an_entry_is_set_replaced_read_and_forgotten",
            async |host| {
                let (network, address) = (lab(), Ipv4Addr::new(10, 77, 0, 11));
                let bridge = &network.bridge;
                host.ensure_bridge(&network).await.unwrap();
                assert_eq!(host.neighbour(bridge, address).await.unwrap(), None);
                host.remove_neighbour(bridge, address).await.unwrap();
                for last in [1, 2] {
                    let mac = MacAddress::new([0x52, 0x54, 0, 0, 0, last]);
                    host.set_permanent_neighbour(bridge, address, mac).await.unwrap();
                    let entry = Neighbour { mac, permanent: true };
                    assert_eq!(host.neighbour(bridge, address).await.unwrap(), Some(entry));
                }
                assert!(ip(&["neigh", "show", "10.77.0.11"]).contains("52:54:00:00:00:02 PERMANENT"));
                host.remove_neighbour(bridge, address).await.unwrap();
                assert_eq!(host.neighbour(bridge, address).await.unwrap(), None);

                // As the kernel marks what it learnt from ARP.
                for state in ["reachable", "stale", "delay", "probe"] {
                    let mac = MacAddress::new([0x52, 0x54, 0, 0, 0, 3]);
                    ip(&[
                        "neigh",
                        "replace",
                        "10.77.0.13",
                        "lladdr",
                        "52:54:00:00:00:03",
                        "dev",
                        "lab0",
                        "nud",
                        state,
                    ]);
                    let learnt = Neighbour {
                        mac,
                        permanent: false,
                    };
                    assert!(becomes(&host, bridge, 13, Some(learnt)).await, "{state}");
                }

                // What somebody else changes is told: within a moment, because it comes by another socket.
                ip(&["neigh", "del", "10.77.0.13", "dev", "lab0"]);
                assert!(becomes(&host, bridge, 13, None).await);

                let failed = ["neigh", "replace", "10.77.0.12", "dev", "lab0", "nud", "failed"];
                ip(&failed);
                let failed = Ipv4Addr::new(10, 77, 0, 12);
                assert_eq!(host.neighbour(bridge, failed).await.unwrap(), None);
            },
        );
    }
}
