//! What a check of VMs found.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// What was seen of a VM just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckInfo {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its hardware address.
    pub mac: String,
    /// `ok`, `wrong`, `booting`, or the state's word of a VM that does not run and need not: `stopped`.
    pub verdict: String,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
    /// Its state, as `list` has it.
    pub state: String,
    /// The highest rung of its current boot.
    pub step: Option<String>,
    /// Who answers ARP requests for its address: `ok` (it does), the hardware addresses that do, `silent`, or `not asked`.
    pub arp: String,
    /// Whether it answers ICMP echoes: `ok` or `silent`.
    pub ping: String,
    /// Whether Seedbed's DNS server leads from its name to its address and back: `ok`, `wrong`, `silent` or `not asked`.
    pub dns: String,
    /// Its SSH server: `ok` (it has the registered host key), `key unknown` (it greets, and no key is registered), `other key`,
    /// `closed`, `silent`, `broken` or `not asked`.
    pub ssh: String,
    /// What its SSH server calls itself.
    pub ssh_banner: Option<String>,
    /// When it asked the metadata service last since the daemon started, RFC 3339.
    pub metadata: Option<String>,
    /// How long ago that was, in seconds.
    pub metadata_seconds_ago: Option<u64>,
}

impl CheckInfo {
    /// Whether something is wrong with it.
    pub fn is_wrong(&self) -> bool {
        self.verdict == "wrong"
    }
}
