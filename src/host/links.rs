//! Bridges and their ports, over rtnetlink.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    BridgeStpState, InfoBridge, InfoData, InfoKind, LinkAttribute, LinkInfo, LinkMessage,
};
use rtnetlink::{LinkBridge, LinkBridgePort, LinkUnspec};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::{Host, HostError, answered, netlink, sysctl};
use crate::model::{BridgeName, MacAddress, Network, TapName};

/// Whether a bridge had to be made. Only what we made may be removed or reconfigured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was missing; we made it.
    Created,
    /// It was there; at most our address was added.
    Existed,
}

/// What we read of an interface.
#[derive(Debug, Clone)]
pub(super) struct Link {
    index: u32,
    name: String,
    kind: Option<InfoKind>,
    mac: Option<MacAddress>,
    mtu: Option<u32>,
    /// The index of the bridge that it is on.
    controller: Option<u32>,
    /// The bridge runs the spanning tree protocol.
    pub(super) spanning_tree: bool,
}

/// The hardware address of a bridge we make: a locally administered one, always the same for this host and name.
///
/// A bridge without an address of its own takes the lowest of its ports', so it would change whenever a VM starts, and
/// all guests would lose their gateway until their ARP entries expire. The host's identity is part of it because two
/// hosts may have their bridges, of one name, on one wire.
pub fn bridge_mac(bridge: &BridgeName, machine_id: &str) -> MacAddress {
    let mut hasher = Sha256::new();
    hasher.update(b"seedbed 1 bridge\0");
    hasher.update(machine_id.trim().as_bytes());
    hasher.update([0]);
    hasher.update(bridge.as_str().as_bytes());
    let [a, b, c, d, e, ..]: [u8; 32] = hasher.finalize().into();
    MacAddress::new([0x02, a, b, c, d, e])
}

impl Host {
    /// Sees to it that the network's bridge exists, is up and has the gateway address. An existing bridge keeps its
    /// settings, but for `no_linklocal_learn`. Refuses when the name is another kind of interface, or another interface has the subnet.
    pub async fn ensure_bridge(&self, network: &Network) -> Result<Made, HostError> {
        let bridge = &network.bridge;
        let links = self.links().await?;
        let existing = links.iter().find(|link| link.name == bridge.as_str());
        if let Some(link) = existing.filter(|link| link.kind != Some(InfoKind::Bridge)) {
            return Err(HostError::NotABridge {
                name: bridge.clone(),
                kind: kind_of(link.kind.as_ref()),
            });
        }
        let addresses = self.addresses().await?;
        let own = existing.map(|link| link.index);
        refuse_overlap(network, own, &links, &addresses)?;
        if let Some(link) = existing {
            let has = addresses
                .iter()
                .any(|a| a.index == link.index && a.address == network.subnet.gateway());
            self.bring_up(network, link.index, has).await?;
            return Ok(Made::Existed);
        }
        let index = self.create_bridge(network).await?;
        // What is made half is not left behind: the next start would take it for the user's own.
        match self.bring_up(network, index, false).await {
            Ok(()) => Ok(Made::Created),
            Err(error) => {
                drop(self.netlink.link().del(index).execute().await);
                Err(error)
            }
        }
    }

    async fn create_bridge(&self, network: &Network) -> Result<u32, HostError> {
        let bridge = &network.bridge;
        let mac = bridge_mac(bridge, &sysctl::machine_id());
        // Without a spanning tree there is nothing to listen and learn for: a new port forwards at once. With the
        // default delay of 15 s the first DHCPDISCOVERs of a guest would be lost.
        let mut message = LinkBridge::new(bridge.as_str())
            .down()
            .address(mac.bytes().to_vec())
            .stp_state(BridgeStpState::Disabled)
            .forward_delay(0);
        if let Some(mtu) = network.dhcp.settings.mtu {
            message = message.mtu(mtu.into());
        }
        let made = self.netlink.link().add(message.build()).execute().await;
        made.map_err(netlink(format!("create bridge `{bridge}`")))?;
        // Before it is up, so that it never announces itself.
        sysctl::disable_ipv6(bridge.as_str())?;
        self.index_of(bridge.as_str()).await
    }

    async fn bring_up(&self, network: &Network, index: u32, addressed: bool) -> Result<(), HostError> {
        let (bridge, subnet) = (&network.bridge, network.subnet);
        if !addressed {
            let address = IpAddr::V4(subnet.gateway());
            let request = self.netlink.address().add(index, address, subnet.prefix());
            match request.execute().await {
                Err(error) if answered(&error, &[Errno::EXIST]) => {}
                other => other.map_err(netlink(format!(
                    "put {address}/{} on bridge `{bridge}`",
                    subnet.prefix()
                )))?,
            }
        }
        // The bridge reads LLDP and its like before any filter, and would learn their source: a VM could draw a
        // neighbour's frames to itself. So this is set on a user's bridge too; it changes nothing else.
        let guarded = LinkBridge::new(bridge.as_str()).no_linklocal_learn(true);
        let done = self.netlink.link().change(guarded.build()).execute().await;
        done.map_err(netlink(format!("bring bridge `{bridge}` up")))
    }

    /// Makes a tap a port of a bridge and brings it up. VMs of one bridge reach each other.
    pub async fn attach(&self, tap: &TapName, bridge: &BridgeName) -> Result<(), HostError> {
        let to = self.bridge(bridge).await?;
        let port = self.link(tap.as_str()).await?;
        // The tap is a wire, not a host: it must not send its own neighbour solicitations to the guest.
        sysctl::disable_ipv6(tap.as_str())?;
        let mut message = LinkUnspec::new_with_index(port.index).controller(to.index);
        // A bridge without an address of its own takes the lowest of its ports': fe:... is never the lowest.
        if let Some([_, a, b, c, d, e]) = port.mac.map(MacAddress::bytes) {
            message = message.address(vec![0xfe, a, b, c, d, e]);
        }
        // A bridge carries no more than its smallest port: a jumbo bridge must not shrink because a VM starts.
        if let Some(mtu) = to.mtu {
            message = message.mtu(mtu);
        }
        let doing = format!("attach tap `{tap}` to bridge `{bridge}`");
        let link = self.netlink.link();
        let enslaved = link.change(message.build()).execute().await;
        enslaved.map_err(netlink(doing.as_str()))?;
        let flags = LinkBridgePort::new(port.index)
            .isolated(false)
            .hairpin(false)
            .learning(true);
        let flagged = link.set_port(flags.build()).execute().await;
        flagged.map_err(netlink(doing.as_str()))?;
        let up = LinkUnspec::new_with_index(port.index).up().build();
        link.change(up).execute().await.map_err(netlink(doing))
    }

    /// Takes a port down and off its bridge: what is behind it reaches neither the bridge nor this host any more. One that is gone,
    /// whose name is another interface's by now, or that is no port of this bridge any longer is left alone.
    pub async fn detach(&self, tap: &TapName, index: u32, bridge: &BridgeName) -> Result<(), HostError> {
        let is_on = async {
            let (port, from) = (
                self.link(tap.as_str()).await?,
                self.index_of(bridge.as_str()).await?,
            );
            Ok(port.index == index && port.controller == Some(from))
        };
        match is_on.await {
            Ok(true) => {}
            Ok(false) | Err(HostError::NoInterface(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        let link = || LinkUnspec::new_with_index(index);
        // Down first: off the bridge and up, it would bring its frames to this host itself.
        for change in [link().down(), link().nocontroller()] {
            match self.netlink.link().change(change.build()).execute().await {
                Err(error) if answered(&error, &[Errno::NODEV]) => return Ok(()),
                done => done.map_err(netlink(format!("take `{tap}` off bridge `{bridge}`")))?,
            }
        }
        Ok(())
    }

    /// Whether an interface is there, and on a bridge.
    pub async fn is_attached(&self, tap: &TapName) -> Result<bool, HostError> {
        match self.link(tap.as_str()).await {
            Ok(link) => Ok(link.controller.is_some_and(|index| index > 0)),
            Err(HostError::NoInterface(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The kernel's index of an interface.
    pub async fn index_of(&self, name: &str) -> Result<u32, HostError> {
        self.link(name).await.map(|link| link.index)
    }

    /// The kernel's index of an interface that a guest may be behind: a tap or a veth, without an IPv4 address. Any other is the
    /// host's own, which would lose its way to the world on a bridge.
    pub async fn guest_port(&self, name: &str) -> Result<u32, HostError> {
        let link = self.link(name).await?;
        let refused = |why| HostError::NotAPort {
            name: name.to_owned(),
            why,
        };
        if !matches!(link.kind, Some(InfoKind::Tun | InfoKind::Veth)) {
            return Err(refused(format!("is a {}", kind_of(link.kind.as_ref()))));
        }
        let addresses = self.addresses().await?;
        match addresses.iter().find(|own| own.index == link.index) {
            Some(own) => Err(refused(format!("has the address {} of this host", own.address))),
            None => Ok(link.index),
        }
    }

    /// The hardware address of a bridge, which its guests know as their gateway's.
    pub async fn mac_of_bridge(&self, bridge: &BridgeName) -> Result<MacAddress, HostError> {
        let link = self.bridge(bridge).await?;
        link.mac.ok_or_else(|| HostError::NoInterface(bridge.to_string()))
    }

    /// The interface of this name, which must be a bridge.
    pub(super) async fn bridge(&self, bridge: &BridgeName) -> Result<Link, HostError> {
        let link = self.link(bridge.as_str()).await?;
        match link.kind {
            Some(InfoKind::Bridge) => Ok(link),
            kind => Err(HostError::NotABridge {
                name: bridge.clone(),
                kind: kind_of(kind.as_ref()),
            }),
        }
    }

    async fn link(&self, name: &str) -> Result<Link, HostError> {
        let request = self.netlink.link().get().match_name(name);
        match request.execute().try_next().await {
            Ok(Some(message)) => Ok(read_link(&message)),
            Err(error) if !answered(&error, &[Errno::NODEV]) => {
                Err(netlink(format!("look up interface `{name}`"))(error))
            }
            Ok(None) | Err(_) => Err(HostError::NoInterface(name.to_owned())),
        }
    }

    async fn links(&self) -> Result<Vec<Link>, HostError> {
        let all = self.netlink.link().get().execute();
        let all: Vec<LinkMessage> = all.try_collect().await.map_err(netlink("list the interfaces"))?;
        Ok(all.iter().map(read_link).collect())
    }

    async fn addresses(&self) -> Result<Vec<Assigned>, HostError> {
        let all = self.netlink.address().get().execute();
        let all: Vec<AddressMessage> = all.try_collect().await.map_err(netlink("list the addresses"))?;
        Ok(all.iter().filter_map(read_address).collect())
    }
}

/// What an interface is, in a word.
fn kind_of(kind: Option<&InfoKind>) -> String {
    kind.map_or_else(|| "physical or unknown device".into(), ToString::to_string)
}

/// An IPv4 address on an interface.
#[derive(Debug, Clone, Copy)]
struct Assigned {
    index: u32,
    address: Ipv4Addr,
    prefix: u8,
}

impl Assigned {
    /// Whether the two share an address: one of them contains the other's network.
    fn overlaps(self, network: &Network) -> bool {
        let shorter = self.prefix.min(network.subnet.prefix());
        let mask = u32::MAX.checked_shl(32 - u32::from(shorter)).unwrap_or(0);
        (self.address.to_bits() ^ network.subnet.gateway().to_bits()) & mask == 0
    }
}

fn refuse_overlap(
    network: &Network,
    own: Option<u32>,
    links: &[Link],
    addresses: &[Assigned],
) -> Result<(), HostError> {
    let clash = |a: &&Assigned| Some(a.index) != own && a.overlaps(network);
    let Some(found) = addresses.iter().find(clash) else {
        return Ok(());
    };
    let interface = links.iter().find(|link| link.index == found.index);
    Err(HostError::Overlap {
        bridge: network.bridge.clone(),
        subnet: network.subnet,
        interface: interface.map_or_else(|| format!("index {}", found.index), |link| link.name.clone()),
        address: found.address,
        prefix: found.prefix,
    })
}

fn read_link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: None,
        mac: None,
        mtu: None,
        controller: None,
        spanning_tree: false,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = Some(*mtu),
            LinkAttribute::Controller(index) => link.controller = Some(*index),
            LinkAttribute::Address(bytes) => {
                link.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddress::new);
            }
            LinkAttribute::LinkInfo(infos) => read_info(&mut link, infos),
            _ => {}
        }
    }
    link
}

fn read_info(link: &mut Link, infos: &[LinkInfo]) {
    for info in infos {
        match info {
            LinkInfo::Kind(kind) => link.kind = Some(kind.clone()),
            LinkInfo::Data(InfoData::Bridge(data)) => {
                link.spanning_tree = data.iter().any(
                    |item| matches!(item, InfoBridge::StpState(state) if *state != BridgeStpState::Disabled),
                );
            }
            _ => {}
        }
    }
}

fn read_address(message: &AddressMessage) -> Option<Assigned> {
    if message.header.family != AddressFamily::Inet {
        return None;
    }
    // On a point-to-point link `Address` is the peer's; `Local` is ours wherever the kernel tells it.
    let mut ours = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(IpAddr::V4(local)) => ours = Some(*local),
            AddressAttribute::Address(IpAddr::V4(address)) if ours.is_none() => ours = Some(*address),
            _ => {}
        }
    }
    ours.map(|address| Assigned {
        index: message.header.index,
        address,
        prefix: message.header.prefix_len,
    })
}

#[cfg(test)]
#[path = "links_tests.rs"]
mod tests;
