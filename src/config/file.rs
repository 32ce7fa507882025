//! The configuration as written: what the operator typed, before anything is checked or filled in.
//!
//! Every scalar that has a syntax of its own is kept as text here, so that [`super::Config`] can report all mistakes at
//! once; only the shape of the document (unknown keys, a list where a mapping belongs) is judged by serde.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What survives a reboot.
    pub state_dir: Option<Text>,
    /// What does not.
    pub run_dir: Option<Text>,
    /// The admin socket.
    pub socket: Option<Text>,
    /// `auto`, `kvm` or `tcg`.
    pub accel: Option<Text>,
    /// The QEMU program.
    pub qemu: Option<Text>,
    /// The operator's own seed templates.
    pub templates: Option<Text>,
    /// What every VM is given as vendor-data besides its template.
    pub vendor_data: Option<Text>,
    /// How this host itself finds the VMs' names: `auto`, `resolved`, `hosts` or `off`.
    pub host_names: Option<Text>,
    /// The hosts file that names are kept in when `host_names` says so.
    pub hosts_file: Option<Text>,
    /// How long a deleted VM can be undone.
    pub undo_window: Option<Text>,
    /// What a VM gets when the user does not say.
    pub defaults: Option<DefaultsFile>,
    /// The networks.
    pub networks: Option<Vec<NetworkFile>>,
    /// How many VMs are started at once.
    pub starts: Option<super::StartsFile>,
}

/// What a VM gets when the user does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultsFile {
    /// Virtual CPUs.
    pub cpus: Option<Text>,
    /// Memory.
    pub memory: Option<Text>,
    /// Swap disk.
    pub swap: Option<Text>,
    /// How long a guest may take to power off.
    pub stop_deadline: Option<Text>,
}

/// One network.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// Its name.
    pub name: Option<Text>,
    /// Its bridge.
    pub bridge: Option<Text>,
    /// The bridge's address and the prefix length.
    pub subnet: Option<Text>,
    /// The addresses to give out.
    pub pool: Option<Text>,
    /// The DNS domain.
    pub domain: Option<Text>,
    /// Whether guests reach the world through the host's address.
    pub nat: Option<bool>,
    /// How long a lease holds.
    pub lease: Option<Text>,
    /// DNS.
    pub dns: Option<DnsFile>,
    /// Who makes the SSH host keys: `reported` or `generated`.
    pub ssh_host_keys: Option<Text>,
    /// DHCP.
    pub dhcp: Option<DhcpFile>,
    /// Metadata.
    pub metadata: Option<MetadataFile>,
    /// What the network's VMs are given as vendor-data besides their templates, in the place of the site's.
    pub vendor_data: Option<Text>,
    /// Time servers.
    pub ntp: Option<Vec<Text>>,
    /// Interface MTU.
    pub mtu: Option<Text>,
    /// Routes beside the default route.
    pub routes: Option<Vec<RouteFile>>,
}

/// DNS of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsFile {
    /// Where other names are asked.
    pub upstreams: Option<Vec<Text>>,
    /// How long a VM's answer may be cached.
    pub ttl: Option<Text>,
    /// Who may transfer the zones.
    pub transfer: Option<Vec<Text>>,
    /// Whether answers from elsewhere may hold private addresses.
    pub private_answers: Option<bool>,
    /// The name servers that guests are told.
    pub servers: Option<Vec<Text>>,
    /// The domains in which guests look for short names.
    pub search: Option<Vec<Text>>,
}

/// Metadata of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataFile {
    /// How many hops an answer goes.
    pub ttl: Option<Text>,
    /// `optional` or `required`.
    pub ec2_tokens: Option<Text>,
    /// How long after its start a VM is told its secrets at most.
    pub secrets_for: Option<Text>,
    /// Whether cloud-init is asked to report what it does.
    pub reports: Option<bool>,
}

/// DHCP of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DhcpFile {
    /// `authoritative`, `polite` or `proxy`.
    pub mode: Option<Text>,
    /// `ignore`, `pool` or `discover`.
    pub unregistered: Option<Text>,
    /// The addresses of dynamic leases.
    pub dynamic: Option<Text>,
    /// Options that have no key of their own, by code.
    pub options: Option<BTreeMap<u8, Text>>,
    /// How firmware gets to iPXE.
    pub loaders: Option<LoadersFile>,
    /// Relay agents; a network with them is not on this host.
    pub relay: Option<RelayFile>,
}

/// How firmware gets to iPXE.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadersFile {
    /// A TFTP server.
    pub tftp: Option<Text>,
    /// The file for BIOS firmware.
    pub bios: Option<Text>,
    /// The file for 64-bit x86 UEFI firmware.
    pub efi_x64: Option<Text>,
    /// The file for 64-bit Arm UEFI firmware.
    pub efi_arm64: Option<Text>,
    /// The URL for UEFI firmware that boots by HTTP.
    pub http: Option<Text>,
}

/// Relay agents.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayFile {
    /// Our own address as the agents reach it.
    pub server: Text,
    /// The addresses they send from.
    pub agents: Vec<Text>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteFile {
    /// The destination, `192.168.0.0/16`.
    pub to: Text,
    /// The router.
    pub via: Text,
}

/// A scalar, as text: `lease: 43200` means the same as `lease: "43200"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }
}
