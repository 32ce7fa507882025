//! The nouns of Seedbed, valid by construction: names, addresses, records and the directory of all of them.
//!
//! Nothing here does I/O, reads a clock, or knows a file format; every other module may import it, and it imports
//! none of them. A value of these types can be trusted: whoever holds a [`VmName`] holds a valid RFC 1123 label.

pub mod access;
pub mod boot;
pub mod bytes;
pub mod cloud_init;
pub mod deleted;
pub mod dhcp;
pub mod directory;
#[cfg(test)]
pub(crate) mod examples;
pub mod generation;
pub mod hardware;
pub mod host_key;
pub mod identity;
pub mod image;
mod index;
pub mod key;
pub mod lease;
pub mod mac;
pub mod name;
pub mod network;
pub mod nic;
pub mod places;
pub mod policy;
pub mod range;
pub mod record;
pub mod release;
pub mod ring;
pub mod secret;
pub mod setup;
pub mod site;
pub mod snapshot;
pub mod subnet;
pub mod time;
pub mod vm;
pub mod workshop;

pub use access::{Access, PasswordHash, Shell, User};
pub use boot::{BootStep, Event, EventKind, Pause, Progress, VmState};
pub use bytes::Bytes;
pub use deleted::{Deleted, DeletedId};
pub use dhcp::{CustomOption, DhcpSettings, NetBoot, Route};
pub use directory::{Directory, Revision};
pub use generation::{Generation, ImageId, ImageRef};
pub use hardware::{DiskProblem, ExtraDisk, Hardware, Uefi};
pub use host_key::{HostKey, HostKeyPolicy, SiteSecret};
pub use identity::{Instance, InstanceId, InstancePolicy, SeedKey};
pub use image::Image;
pub use key::{SshKey, SshKeys, Sshfp};
pub use lease::{Lease, LeaseState, Leases};
pub use mac::MacAddress;
pub use name::{
    AccountName, BridgeName, CpuModel, DiskName, Domain, ImageName, KeyName, MachineType, NetworkName,
    OwnerName, SecretName, TapName, TemplateName, VmName,
};
pub use network::Network;
pub use nic::{MoreNic, Nic};
pub use places::Places;
pub use policy::Policy;
pub use record::{DnsRecord, DnsRecords, HostName, RecordData, RecordName};
pub use release::{Secrets, Window};
pub use ring::{KeyRing, RingKey};
pub use secret::Secret;
pub use setup::SetUp;
pub use site::Site;
pub use subnet::{Pool, Subnet};
pub use time::{Clock, Timestamp};
pub use vm::{Custom, FirstBoot, Hosting, Machine, Phase, Vm};
pub use workshop::Workshop;
