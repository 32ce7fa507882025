//! What a client may ask for.

use serde::{Deserialize, Serialize};

use super::deleted::UndeleteVms;
use super::hardware::{HardwareChange, NewHardware};
use super::images::ImageRequest;
use super::life::PowerVms;
use super::nics::NicSettings;
use super::policy::PolicySettings;
use super::ports::PortRequest;
use super::settings::CustomSettings;
use super::site::{RingRequest, TemplateRequest};
use super::snapshots::SnapshotRequest;
use super::twin::CloneVm;

/// What a client may ask for. Names are patterns (`web[1-20]`) wherever several make sense.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Asks who is there; answered by [`super::Answer::Hello`].
    Hello,
    /// Registers VMs, clones their disks and starts them; answered by [`super::Answer::Vms`].
    Launch(LaunchVms),
    /// Registers VMs that someone else runs; answered by [`super::Answer::Vms`].
    Add(AddVms),
    /// Registers many VMs at once, all or none; answered by [`super::Answer::Done`].
    Import {
        /// What to register.
        rows: Vec<ImportRow>,
        /// The network of all of them; the only one when not given.
        #[serde(default)]
        network: Option<String>,
        /// Whether to tell only what would be registered; answered by [`super::Answer::Planned`].
        #[serde(default)]
        dry_run: bool,
    },
    /// Changes VMs; answered by [`super::Answer::Vms`].
    Set(SetVms),
    /// Shows VMs, all when `names` is empty; answered by [`super::Answer::Vms`].
    List {
        /// Which.
        names: Vec<String>,
    },
    /// Starts VMs that are not running; answered by [`super::Answer::Vms`].
    Start(Select),
    /// Powers VMs off: ACPI first, then by force; answered by [`super::Answer::Vms`].
    Stop(StopVms),
    /// Stops and starts VMs; answered by [`super::Answer::Vms`].
    Restart(StopVms),
    /// Replaces the disks of VMs; answered by [`super::Answer::Done`].
    ReplaceDisks(ReplaceDisks),
    /// Deletes VMs and their disks; answered by [`super::Answer::Done`].
    Delete(DeleteVms),
    /// Waits until VMs reach a rung; answered by [`super::Answer::Vms`], or refused as soon as one failed.
    Wait(WaitFor),
    /// Shows the exact bytes of one view of VMs, one after the other; answered by [`super::Answer::Text`].
    Render {
        /// Whose: names and ranges.
        names: Vec<String>,
        /// Which view.
        view: View,
        /// Whether private keys and password hashes are in it; if not, a word stands in their place.
        #[serde(default)]
        secrets: bool,
    },
    /// Shows the `cidata` volume of one VM; answered by [`super::Answer::Bytes`].
    Volume {
        /// Whose.
        name: String,
        /// Whether with private host keys and password hashes.
        #[serde(default)]
        secrets: bool,
    },
    /// Shows the dynamic leases; answered by [`super::Answer::Leases`].
    Leases,
    /// Shows networks, all when `names` is empty; answered by [`super::Answer::Networks`].
    Networks {
        /// Which.
        names: Vec<String>,
    },
    /// Shows the hardware addresses that asked for an address and have none; answered by [`super::Answer::Discovered`].
    Discovered,
    /// Registers the machine of a hardware address, with the address it was lent; answered by [`super::Answer::Vms`].
    Adopt {
        /// The hardware address.
        mac: String,
        /// How it is registered.
        register: AddVms,
    },
    /// Adds a DNS record; answered by [`super::Answer::Done`].
    AddRecord(WrittenRecord),
    /// Shows the DNS records beside those of the VMs; answered by [`super::Answer::Records`].
    Records {
        /// Of which network; of all when not given.
        network: Option<String>,
    },
    /// Deletes DNS records; answered by [`super::Answer::Done`].
    RemoveRecords {
        /// Whose domain; that of the only network when not given.
        network: Option<String>,
        /// The name in it, or `@`.
        owner: String,
        /// The type; all when not given.
        kind: Option<String>,
        /// The value; all when not given.
        value: Option<String>,
    },
    /// Something about the key ring.
    Ring(RingRequest),
    /// Something about the templates of seeds.
    Template(TemplateRequest),
    /// Shows the generated hosts file; answered by [`super::Answer::Text`].
    Hosts,
    /// Shows the registry in another program's format; answered by [`super::Answer::Text`].
    Export {
        /// Which format.
        form: ExportForm,
        /// Of which network; of the only one when not given, and of all where the format allows it.
        network: Option<String>,
    },
    /// Something about base images.
    Image(ImageRequest),
    /// Pauses, resumes or kills VMs; answered by [`super::Answer::Vms`].
    Power(PowerVms),
    /// Clones a VM; answered by [`super::Answer::Vms`].
    Clone(CloneVm),
    /// Something about snapshots.
    Snapshot(SnapshotRequest),
    /// Brings deleted VMs back; answered by [`super::Answer::Done`].
    Undelete(UndeleteVms),
    /// Shows the deleted VMs that can be undone, all when `names` is empty; answered by [`super::Answer::Deleted`].
    Deleted {
        /// Which.
        names: Vec<String>,
    },
    /// Something about ports of VMs that someone else runs.
    Port(PortRequest),
    /// Looks which VMs are live, all when `names` is empty; answered by [`super::Answer::Checks`].
    Check {
        /// Which.
        names: Vec<String>,
    },
}

/// Which VMs: patterns, or all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    /// Names and ranges.
    #[serde(default)]
    pub names: Vec<String>,
    /// All managed VMs instead.
    #[serde(default)]
    pub all: bool,
}

/// VMs to register, clone and start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchVms {
    /// How they are registered.
    #[serde(flatten)]
    pub register: AddVms,
    /// The base image.
    pub image: String,
    /// Virtual CPUs; the daemon's default when not given.
    pub cpus: Option<u16>,
    /// Memory, such as `512M`.
    pub memory: Option<String>,
    /// Size of the root disk, such as `10G`; the image's own when not given.
    pub disk: Option<String>,
    /// Size of the swap disk; `0` for none.
    pub swap: Option<String>,
    /// Whether to wait until they are ready, and how long at most.
    pub wait_seconds: Option<u64>,
    /// What they are created with, and keep.
    #[serde(default)]
    pub hardware: NewHardware,
    /// When they are started without being asked for by name.
    #[serde(default)]
    pub policy: PolicySettings,
}

/// VMs to register.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddVms {
    /// Names and ranges.
    pub names: Vec<String>,
    /// The address of the only VM; chosen from the pool when not given.
    pub ip: Option<String>,
    /// The hardware address of the only VM; derived from the name when not given.
    pub mac: Option<String>,
    /// SSH public keys, one line each.
    pub keys: Vec<String>,
    /// The user's own user-data, byte for byte: it may be compressed.
    pub user_data: Option<Vec<u8>>,
    /// Whether a user-data that says what cloud-init does not know is taken all the same.
    #[serde(default)]
    pub force: bool,
    /// The seed template; `default` when not given.
    pub template: Option<String>,
    /// The network; the only one when not given.
    pub network: Option<String>,
    /// Whether the identity that VMs of these names had is given up.
    #[serde(default)]
    pub new_identity: bool,
    /// What is set for these VMs alone.
    #[serde(default)]
    pub custom: CustomSettings,
    /// Their NICs beside the first.
    #[serde(default, skip_serializing_if = "NicSettings::is_empty")]
    pub nics: NicSettings,
}

/// One line of a roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRow {
    /// Where it stands, for messages: the line number in the file.
    pub line: u64,
    /// The VM's name.
    pub name: String,
    /// Its hardware address; derived when not given.
    pub mac: Option<String>,
    /// Its address; chosen when not given.
    pub ip: Option<String>,
    /// Its other names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// A DNS record as it is typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenRecord {
    /// Whose domain; that of the only network when not given.
    pub network: Option<String>,
    /// The name in it, or `@` for the domain itself.
    pub owner: String,
    /// The type, such as `CNAME`.
    pub kind: String,
    /// The value, as zone files write it.
    pub value: String,
}

/// What to change of VMs; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetVms {
    /// Names and ranges.
    pub names: Vec<String>,
    /// A new address, for one VM.
    pub ip: Option<String>,
    /// A new hardware address, for one VM.
    pub mac: Option<String>,
    /// Virtual CPUs, from the next start on.
    pub cpus: Option<u16>,
    /// Memory, from the next start on.
    pub memory: Option<String>,
    /// The whole new set of keys.
    pub keys: Option<Vec<String>>,
    /// New user-data; empty for none.
    pub user_data: Option<Vec<u8>>,
    /// Whether a user-data that says what cloud-init does not know is taken all the same.
    #[serde(default)]
    pub force: bool,
    /// Another template.
    pub template: Option<String>,
    /// What is set for these VMs alone.
    #[serde(default)]
    pub custom: CustomSettings,
    /// Whether they become other instances, which cloud-init sets up anew.
    #[serde(default)]
    pub new_instance: bool,
    /// Whether they are told their secrets once more.
    #[serde(default)]
    pub release_secrets: bool,
    /// What managed ones were created with.
    #[serde(default)]
    pub hardware: HardwareChange,
    /// When they are started without being asked for by name.
    #[serde(default)]
    pub policy: PolicySettings,
    /// What is to become of their NICs beside the first.
    #[serde(default, skip_serializing_if = "NicSettings::is_empty")]
    pub nics: NicSettings,
}

/// VMs to stop or restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopVms {
    /// Which.
    #[serde(flatten)]
    pub select: Select,
    /// Power off at once instead of asking the guest.
    pub force: bool,
    /// How long the guest may take before it is powered off, in seconds.
    pub deadline_seconds: u64,
}

/// VMs that get other disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaceDisks {
    /// Which.
    #[serde(flatten)]
    pub select: Select,
    /// Onto which generation of their image; back to the one they are clones of when not given.
    pub rebase: Option<Rebase>,
    /// Also those that run: power them off first.
    pub force: bool,
    /// Whether they are started then.
    pub start: bool,
}

/// Where disks are moved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebase {
    /// `NAME` or `NAME@NUMBER`; the current generation of their image when not given.
    pub to: Option<String>,
    /// Whether what is on them stays.
    pub keep_data: bool,
}

/// VMs to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVms {
    /// Which.
    #[serde(flatten)]
    pub select: Select,
    /// Also those that run: power them off first.
    pub force: bool,
    /// Whether nothing of them is kept. A name that no VM has is then one of a VM that was deleted before.
    #[serde(default)]
    pub now: bool,
    /// Whether only what is kept of VMs that were deleted before is meant.
    #[serde(default)]
    pub deleted: bool,
}

/// What to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitFor {
    /// Names and ranges.
    pub names: Vec<String>,
    /// The rung.
    pub rung: Rung,
    /// How long at most, in seconds.
    pub timeout_seconds: u64,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// QEMU runs.
    Started,
    /// It has its address: it was sent a DHCPACK.
    Dhcp,
    /// It fetched its meta-data.
    Metadata,
    /// It is ready.
    Ready,
    /// It does not run.
    Stopped,
}

/// One way to look at a VM's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// The four `NoCloud` documents.
    Nocloud,
    /// The settings that cloud-init ends with, of all its documents.
    Merged,
    /// The documents of `OpenStack`'s metadata service.
    Openstack,
    /// The leaves of EC2's metadata service.
    Ec2,
    /// The Ignition config.
    Ignition,
    /// systemd's credentials, as strings of the SMBIOS table.
    Credentials,
    /// The DHCP answer.
    Dhcp,
    /// The DHCP answers as a JSON list, a VM an element.
    DhcpJson,
    /// Its DNS records.
    Dns,
    /// Its lines of the hosts file.
    Hosts,
    /// The iPXE script, of a VM that boots from the network.
    Ipxe,
    /// What its installer is told instead of asking, of a VM that a system is installed in.
    Answers,
    /// The QEMU command line.
    Qemu,
}

/// Formats of other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportForm {
    /// hosts(5).
    Hosts,
    /// The zone file of the network's domain.
    Zone,
    /// The zone files of its reverse zones, one after the other.
    ReverseZone,
    /// dnsmasq's `dhcp-hostsfile`.
    DnsmasqDhcp,
    /// dnsmasq's `addn-hosts`.
    DnsmasqHosts,
    /// OpenSSH's `known_hosts`.
    KnownHosts,
    /// OpenSSH's `ssh_config`.
    SshConfig,
    /// Kea's `reservations` of a subnet.
    Kea,
}
