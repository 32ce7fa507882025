//! Which network a packet belongs to: the bridge's own, or one behind a relay agent (RFC 2131 §4.1, RFC 3046).

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use super::message::Request;
use super::wire::Malformed;
use crate::model::{Directory, Network};

/// What serving one interface needs to know: which networks are reached through it.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The network whose bridge the interface is.
    pub local: Option<&'a Network>,
    /// The networks whose relay agents reach this host by the interface.
    pub relayed: &'a [Arc<Network>],
    /// All records, at one revision.
    pub directory: &'a Directory,
}

/// A packet that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// The UDP payload.
    pub payload: &'a [u8],
    /// The sender, by the packet's IP and UDP headers.
    pub source: SocketAddrV4,
    /// The UDP port it was sent to: 67, or 4011 for what network boot asks a proxy.
    pub port: u16,
}

/// The network a request is answered from; `None` where none is served.
pub(super) fn network<'a>(
    scope: &Scope<'a>,
    arrival: &Arrival<'_>,
    request: &Request<'_>,
) -> Result<Option<&'a Network>, Malformed> {
    if request.giaddr.is_unspecified() {
        direct(scope, arrival, request)
    } else {
        relayed(scope, arrival, request).map(Some)
    }
}

/// A packet that no agent says it passed on.
///
/// RFC 3046 §2.1: only an agent adds option 82, and §2.1.1 has it set `giaddr` too; so that without `giaddr` it is a
/// guest's own word, and the packet is dropped.
///
/// RFC 2131 §4.3.2: a client in RENEWING sends by unicast, "so no relay agents will be involved in its transmission", and
/// "the DHCP server will trust the value in 'ciaddr'". Here that is not trusted alone: the client also sends from there.
fn direct<'a>(
    scope: &Scope<'a>,
    arrival: &Arrival<'_>,
    request: &Request<'_>,
) -> Result<Option<&'a Network>, Malformed> {
    if request.options.agent.is_some() {
        return Err(Malformed::Relayed);
    }
    let from_its_own = !request.ciaddr.is_unspecified() && request.ciaddr == *arrival.source.ip();
    let behind_a_router = scope
        .relayed
        .iter()
        .find(|network| from_its_own && network.subnet.contains(request.ciaddr));
    Ok(behind_a_router.map(|network| &**network).or(scope.local))
}

/// A packet that an agent passed on: believed from the network's own agents only.
///
/// RFC 2131 §4.3.1: the address is chosen by "the subnet from which the message was received (if 'giaddr' is 0) or on the
/// address of the relay agent that forwarded the message ('giaddr' when not 0)". RFC 3527 §3: where the link-selection
/// sub-option is there, the server uses its subnet instead of that of `giaddr`.
fn relayed<'a>(
    scope: &Scope<'a>,
    arrival: &Arrival<'_>,
    request: &Request<'_>,
) -> Result<&'a Network, Malformed> {
    let link = request
        .options
        .agent
        .as_deref()
        .and_then(link_selection)
        .unwrap_or(request.giaddr);
    scope
        .relayed
        .iter()
        .find(|network| network.subnet.contains(link))
        .filter(|network| {
            let relay = network.dhcp.relay.as_ref();
            relay.is_some_and(|relay| relay.agents.contains(arrival.source.ip()))
        })
        .map(|network| &**network)
        .ok_or(Malformed::Relayed)
}

/// Sub-option 5 of option 82: the subnet the client is on, when that is not the agent's.
fn link_selection(mut agent: &[u8]) -> Option<Ipv4Addr> {
    const LINK_SELECTION: u8 = 5;
    while let [code, length, rest @ ..] = agent {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *code == LINK_SELECTION {
            return <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from);
        }
        agent = rest;
    }
    None
}

#[cfg(test)]
mod tests;
