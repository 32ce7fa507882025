//! Ports of VMs that someone else runs.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// What a client may ask for about ports of VMs that someone else runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "port", rename_all = "kebab-case")]
pub enum PortRequest {
    /// Puts an interface on the bridge of its VM, and guards it; answered by [`super::Answer::Ports`].
    Up {
        /// The interface.
        interface: String,
        /// The hardware addresses that the guest behind it may have: that of one VM among them. When empty, the VM is the one
        /// whose tap has this name.
        macs: Vec<String>,
    },
    /// Takes from interfaces what [`PortRequest::Up`] gave them; answered by [`super::Answer::Ports`].
    Down {
        /// The interface; who does not know it any more names the hardware addresses behind it.
        interface: Option<String>,
        /// The hardware addresses whose ports are meant.
        macs: Vec<String>,
    },
    /// Shows the ports that are guarded; answered by [`super::Answer::Ports`].
    List,
}

/// A port of a VM that someone else runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortInfo {
    /// The interface.
    pub interface: String,
    /// The VM behind it.
    pub vm: String,
    /// The VM's hardware address.
    pub mac: String,
    /// The VM's address.
    pub ip: Ipv4Addr,
    /// The bridge it is on.
    pub bridge: String,
}
