//! What comes back: progress, then an answer or a refusal.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::CheckInfo;
use super::deleted::DeletedInfo;
use super::hardware::HardwareInfo;
use super::images::{ImageInfo, LintInfo};
use super::life::LifeInfo;
use super::nics::NicInfo;
use super::ports::PortInfo;
use super::snapshots::SnapshotInfo;

/// One line of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frame {
    /// The work goes on.
    Progress(ProgressLine),
    /// It is done.
    Answer(Answer),
    /// It was not done.
    Refusal(Refusal),
}

/// What is being done right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressLine {
    /// The VM or image it is about.
    pub subject: String,
    /// What is being done, or the rung that was reached: `cloning`, `starting`, `dhcp`, `ready`.
    pub stage: String,
}

/// How a request ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Who is there.
    Hello {
        /// The daemon's version.
        version: String,
        /// Its process id.
        pid: u32,
    },
    /// VMs as they are now.
    Vms(Vec<VmInfo>),
    /// Images as they are now.
    Images(Vec<ImageInfo>),
    /// What was found in images, in the order of the request.
    Lints(Vec<LintInfo>),
    /// Dynamic leases, by address.
    Leases(Vec<LeaseInfo>),
    /// DNS records, by network and name.
    Records(Vec<RecordInfo>),
    /// The key ring, by name.
    Keys(Vec<KeyInfo>),
    /// The templates of seeds, by name.
    Templates(Vec<TemplateInfo>),
    /// Networks as they are now, by name.
    Networks(Vec<NetworkInfo>),
    /// Hardware addresses without a record, by network, the last seen first.
    Discovered(Vec<DiscoveredInfo>),
    /// What would be registered, in the order of the request.
    Planned(Vec<PlannedVm>),
    /// A text to print as it is.
    Text(String),
    /// Bytes that are no text, to write as they are.
    Bytes(Vec<u8>),
    /// One sentence that says what was done.
    Done(String),
    /// Snapshots of a VM, the oldest first.
    Snapshots(Vec<SnapshotInfo>),
    /// Deleted VMs that can be undone, by name, the oldest first.
    Deleted(Vec<DeletedInfo>),
    /// Ports of VMs that someone else runs, by name.
    Ports(Vec<PortInfo>),
    /// What was seen of VMs just now, in the order of the request.
    Checks(Vec<CheckInfo>),
}

/// A VM as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmInfo {
    /// Its name.
    pub name: String,
    /// Its fully qualified name.
    pub fqdn: String,
    /// `running`, `paused`, `stopped`, `starting`, `stopping`, `failed` or `external`.
    pub state: String,
    /// The highest rung of its current boot: `started`, `dhcp`, `metadata`, `ready`; `None` when it does not run.
    pub step: Option<String>,
    /// Why it failed.
    pub failure: Option<String>,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its hardware address.
    pub mac: String,
    /// Its network.
    pub network: String,
    /// Its SMBIOS UUID and instance-id.
    pub uuid: String,
    /// Its tap.
    pub tap: String,
    /// Its image; `None` for an external VM.
    pub image: Option<String>,
    /// Virtual CPUs.
    pub cpus: Option<u16>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Root disk in bytes.
    pub disk: Option<u64>,
    /// Swap disk in bytes.
    pub swap: Option<u64>,
    /// The account that gets the keys.
    pub default_user: Option<String>,
    /// The keys that may log in: its own, those it names, and its owner's.
    pub keys: Vec<String>,
    /// Whose VM it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The keys of the ring that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ring: Vec<String>,
    /// Its accounts beside the image's own, a line each: `ann: sudo, groups docker, password`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Its other names.
    pub aliases: Vec<String>,
    /// What it boots from the network: an image, or a URL.
    pub netboot: Option<String>,
    /// What DHCP tells it alone, a setting a line: `mtu: 1400`.
    pub dhcp: Vec<String>,
    /// Its template.
    pub template: String,
    /// How it learns who it is, and why so, in one sentence.
    pub view: String,
    /// The seed URL it is given.
    pub seed_url: String,
    /// What it is told in confidence, and until when; `None` where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<String>,
    /// What becomes of its instance-id when what it is told is changed: `keep` or `content`.
    #[serde(default)]
    pub instance_id_policy: String,
    /// What cloud-init reported last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<String>,
    /// What cloud-init reported as failed in this boot, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cloud_init_failures: Vec<String>,
    /// How many requests of others from its address were refused since the daemon started.
    #[serde(default)]
    pub impersonations: u64,
    /// When what was just changed counts, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<String>,
    /// When it was registered, RFC 3339.
    pub created: String,
    /// How long ago that was, in seconds.
    pub age_seconds: u64,
    /// QEMU's process id.
    pub pid: Option<u32>,
    /// `kvm` or `tcg`, while it runs.
    pub accel: Option<String>,
    /// Its SSH host keys: the one that was made for it, or those it told.
    pub host_keys: Vec<String>,
    /// The socket of its console's broker, for `console`.
    pub serial: Option<PathBuf>,
    /// Its serial log, for `log`.
    pub console_log: Option<PathBuf>,
    /// The generated `known_hosts` file, for `ssh`.
    pub known_hosts: PathBuf,
    /// What is known of its life beside its state.
    #[serde(flatten)]
    pub life: LifeInfo,
    /// What it was created with, and keeps.
    #[serde(flatten)]
    pub hardware: HardwareInfo,
    /// All its NICs, where it has several; the first one is in the fields above too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<NicInfo>,
}

/// Keys of the key ring as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Their name.
    pub name: String,
    /// Whose they are.
    pub owner: Option<String>,
    /// The keys.
    pub keys: Vec<PublicKeyInfo>,
    /// Where they came from.
    pub source: String,
    /// When they were added, RFC 3339.
    pub added: String,
    /// How long ago that was, in seconds.
    pub age_seconds: u64,
    /// The VMs they may log in to, by name.
    pub used_by: Vec<String>,
}

/// One public key as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKeyInfo {
    /// Its fingerprint, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// Its type, such as `ssh-ed25519`.
    pub kind: String,
    /// What its holder calls it.
    pub comment: String,
}

/// A template as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateInfo {
    /// Its name.
    pub name: String,
    /// `built-in`, or the path of its file.
    pub origin: String,
    /// Whether it stands in the place of one that is built in.
    pub replaces_built_in: bool,
    /// The VMs that use it, by name.
    pub used_by: Vec<String>,
}

/// A dynamic lease as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseInfo {
    /// Its network.
    pub network: String,
    /// The address.
    pub ip: Ipv4Addr,
    /// Who has it.
    pub mac: String,
    /// `active`, `expired` or `declined`.
    pub state: String,
    /// What the client calls itself.
    pub hostname: Option<String>,
    /// When it was lent first, RFC 3339.
    pub since: String,
    /// Until when, RFC 3339.
    pub expires: String,
    /// How long it holds yet, in seconds; 0 when it does not.
    pub left_seconds: u64,
}

/// A DNS record as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordInfo {
    /// The network whose domain it is in.
    pub network: String,
    /// Its name in that domain, or `@`.
    pub name: String,
    /// Its whole name.
    pub fqdn: String,
    /// Its type.
    pub kind: String,
    /// Its value.
    pub value: String,
}

/// A network as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInfo {
    /// Its name.
    pub name: String,
    /// Its bridge; of a relayed network, the interface its requests come in by.
    pub bridge: String,
    /// Its subnet, such as `10.77.0.0/24`.
    pub subnet: String,
    /// The bridge's own address.
    pub gateway: Ipv4Addr,
    /// The addresses that are given out, such as `10.77.0.10-10.77.0.254`.
    pub pool: String,
    /// How many those are.
    pub pool_size: u32,
    /// How many of them a VM or an active lease has.
    pub pool_taken: u32,
    /// Its domain.
    pub domain: String,
    /// Whether guests reach the world through the host's address.
    pub nat: bool,
    /// `authoritative`, `polite` or `proxy`.
    pub dhcp: String,
    /// What happens to hardware addresses without a record: `ignore`, `pool` or `discover`.
    pub unregistered: String,
    /// How long a lease holds, in seconds.
    pub lease_seconds: u64,
    /// Where other names are asked; empty means the host's own resolvers.
    pub upstreams: Vec<String>,
    /// Who may transfer its zones, beside this host.
    pub transfer: Vec<String>,
    /// The names of its reverse zones.
    pub reverse_zones: Vec<String>,
    /// How many VMs are on it.
    pub vms: u64,
    /// How many dynamic leases are active on it.
    pub leases: u64,
    /// How this host finds the VMs' names, or why it does not.
    pub host_names: String,
}

/// A hardware address that asked for an address and has no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveredInfo {
    /// The network it asked on.
    pub network: String,
    /// The hardware address.
    pub mac: String,
    /// What it calls itself.
    pub hostname: Option<String>,
    /// The vendor class it tells.
    pub vendor: Option<String>,
    /// When it asked first, RFC 3339.
    pub first_seen: String,
    /// When it asked last, RFC 3339.
    pub last_seen: String,
    /// How long ago that was, in seconds.
    pub seen_seconds_ago: u64,
    /// How often it asked.
    pub count: u64,
}

/// A VM that would be registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedVm {
    /// Its name.
    pub name: String,
    /// The address it would have.
    pub ip: Ipv4Addr,
    /// The hardware address it would have.
    pub mac: String,
    /// Its network.
    pub network: String,
    /// Its other names.
    pub aliases: Vec<String>,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Whose fault it is.
    pub fault: Fault,
    /// What is wrong and where, in one sentence.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// What was asked can not be done as things are.
    Request,
    /// Something asked for by name does not exist.
    NotFound,
    /// Only root may do it.
    Permission,
    /// A deadline passed.
    Timeout,
    /// The host lacks something, or something on it failed.
    Host,
    /// Ours.
    Internal,
}

impl Refusal {
    /// A refusal of what was asked.
    pub fn request(message: impl Into<String>) -> Self {
        Self {
            fault: Fault::Request,
            message: message.into(),
            hint: None,
        }
    }

    /// A refusal because something does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self {
            fault: Fault::NotFound,
            message: message.into(),
            hint: None,
        }
    }

    /// A refusal because only root may do it.
    pub fn permission(message: impl Into<String>) -> Self {
        Self {
            fault: Fault::Permission,
            message: message.into(),
            hint: None,
        }
    }

    /// A refusal because a deadline passed.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self {
            fault: Fault::Timeout,
            message: message.into(),
            hint: None,
        }
    }

    /// A bug of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self {
            fault: Fault::Internal,
            message: message.into(),
            hint: None,
        }
    }

    /// A failure of the host.
    pub fn host(message: impl Into<String>) -> Self {
        Self {
            fault: Fault::Host,
            message: message.into(),
            hint: None,
        }
    }

    /// The same refusal with a word on what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
