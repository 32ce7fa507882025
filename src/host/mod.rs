//! The machine we run on: bridges, taps, the packet filter, neighbours, and what on this host breaks guests.
//!
//! Small functions without policy: the daemon decides when a bridge is made and whose frames may pass; this module
//! does it, and says in words why it could not. Everything acts in the network namespace of the calling process, so
//! `ip netns exec lab seedbed serve` needs no further care.
//!
//! The order that leaves no gap: [`Tap::create`](tap::Tap::create), then [`nft::load`] of a ruleset that knows the tap,
//! then [`Host::attach`], and only then QEMU. A port that the ruleset does not know is someone else's: it may not speak
//! as a guest or as the gateway, but is otherwise free.

pub mod accel;
pub mod doctor;
mod known;
mod links;
mod metadata_address;
mod neighbours;
pub mod nft;
pub mod ports;
pub mod pressure;
pub mod probe;
pub mod resolver;
pub mod ruleset;
pub mod sysctl;
pub mod tap;

#[cfg(test)]
mod dhcp_wire_tests;
#[cfg(test)]
mod frame;
#[cfg(test)]
mod namespace;
#[cfg(test)]
mod spoofing;
#[cfg(test)]
mod wire;

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{BridgeName, Subnet};

pub use links::{Made, bridge_mac};
pub use neighbours::Neighbour;

/// A handle on this host's network configuration (one rtnetlink socket for requests and one for what the kernel tells, shared by its clones).
#[derive(Debug, Clone)]
pub struct Host {
    netlink: rtnetlink::Handle,
    /// What was looked up of its neighbours.
    known: Arc<known::Known>,
}

/// Why the host did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel refused a request about a link, an address or a neighbour.
    #[error("can not {doing}: {source}{}", permission(.source))]
    Netlink {
        /// What was asked for, in words.
        doing: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// No interface has this name.
    #[error("there is no interface `{0}` on this host")]
    NoInterface(String),
    /// The name of the bridge belongs to something else.
    #[error("interface `{name}` exists and is a {kind}, not a bridge: name another bridge, or remove it")]
    NotABridge {
        /// The interface.
        name: BridgeName,
        /// What it is (`veth`, `vlan`, `physical or unknown device`).
        kind: String,
    },
    /// No guest is behind this interface.
    #[error("interface `{name}` {why}: name the tap or veth that the guest is behind")]
    NotAPort {
        /// The interface.
        name: String,
        /// What it is, or has (`is a bridge`).
        why: String,
    },
    /// Two interfaces would claim the same addresses, and the host could answer on only one.
    #[error(
        "subnet {subnet} of bridge `{bridge}` overlaps {address}/{prefix} on interface `{interface}`: choose another subnet"
    )]
    Overlap {
        /// The bridge that was to be set up.
        bridge: BridgeName,
        /// Its subnet.
        subnet: Subnet,
        /// The interface that is in the way.
        interface: String,
        /// Its address.
        address: Ipv4Addr,
        /// Its prefix length.
        prefix: u8,
    },
    /// A tap could not be made.
    #[error("can not create tap `{tap}`: {why}")]
    Tap {
        /// The tap's name.
        tap: String,
        /// The reason and what to do about it.
        why: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A file of the kernel could not be read or written.
    #[error("can not {doing} {}: {source}{}", path.display(), permission(.source))]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The packet filter's tool is not there, or could not be run.
    #[error("can not run nft: {0}; install the package nftables")]
    NoNft(io::Error),
    /// nft ran and refused.
    #[error("nft refused the ruleset: {0}")]
    Nft(String),
}

impl Host {
    /// Opens the handle in the network namespace of the calling thread. Must be called inside a tokio runtime, which
    /// serves the socket until the last clone is dropped.
    pub fn open() -> Result<Self, HostError> {
        let (connection, netlink, _) = rtnetlink::new_connection().map_err(|source| HostError::Netlink {
            doing: "open a netlink socket".into(),
            source,
        })?;
        drop(tokio::spawn(connection));
        let known = Arc::new(known::Known::default());
        known::listen(&known);
        Ok(Self { netlink, known })
    }
}

/// The hint that people need most.
fn permission(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied {
        " (root or CAP_NET_ADMIN is needed)"
    } else {
        ""
    }
}

/// A netlink failure with what was being done; the kernel's number becomes the system's own words.
fn netlink(doing: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> HostError {
    |error| HostError::Netlink {
        doing: doing.into(),
        source: match error {
            rtnetlink::Error::NetlinkError(message) => message.to_io(),
            other => io::Error::other(other),
        },
    }
}

/// Whether the kernel answered with this kind of error.
fn answered(error: &rtnetlink::Error, kinds: &[rustix::io::Errno]) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message)
        if kinds.iter().any(|kind| kind.raw_os_error() == message.raw_code().abs()))
}
