//! The closed vocabulary of the registry: every write there is, what it does, and why it may be refused.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::model::mac::{self, MacError};
use crate::model::subnet::{AddressProblem, Pool};
use crate::model::{
    Access, AccountName, Bytes, Custom, CustomOption, DhcpSettings, Directory, DnsRecord, Domain, FirstBoot,
    Hosting, Image, ImageName, KeyName, Lease, MacAddress, NetBoot, NetworkName, OwnerName, RecordName,
    RingKey, Route, SiteSecret, SshKeys, TemplateName, User, Vm, VmName,
};

/// One write. Each is done as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Registers VMs, all or none.
    Register {
        /// In the order they get their addresses.
        vms: Vec<NewVm>,
    },
    /// Changes VMs' records in the same way, all or none.
    Update {
        /// Whose; a name that is listed twice counts once.
        names: Vec<VmName>,
        /// What.
        edit: Edit,
    },
    /// Notes that a managed VM's first start succeeded: from now on it stays until it is deleted.
    Launched {
        /// Whose.
        name: VmName,
    },
    /// Keeps what a VM's first successful boot told. It is kept once: other keys told later are refused.
    FirstBoot {
        /// Whose.
        name: VmName,
        /// What it told.
        first_boot: FirstBoot,
    },
    /// Deletes VMs, all or none; their addresses are free at once.
    Delete {
        /// Which; a name that is listed twice counts once.
        names: Vec<VmName>,
    },
    /// Lends addresses to clients that no VM is. A lease that the directory leaves no room for is left out: whoever
    /// asked finds in the new directory whether it was made.
    Lend {
        /// The leases, each in place of the one its holder had.
        leases: Vec<Lease>,
    },
    /// Ends leases, whether they are lent or declined; those that are not there are no problem.
    EndLeases {
        /// Their addresses.
        addresses: Vec<Ipv4Addr>,
    },
    /// Adds a DNS record to a network's domain.
    AddRecord(DnsRecord),
    /// Deletes DNS records of a network's domain.
    RemoveRecords {
        /// The network.
        network: NetworkName,
        /// The name they are of.
        owner: RecordName,
        /// Their type, such as `TXT`; all of that name when not given.
        kind: Option<String>,
        /// Their value, as it is shown; all of that type when not given.
        value: Option<String>,
    },
    /// Adds keys to the key ring.
    AddKey {
        /// The keys.
        key: RingKey,
        /// Whether they may take the place of those of that name.
        replace: bool,
    },
    /// Deletes keys of the key ring; the VMs that name them forget them.
    RemoveKeys {
        /// Their names.
        names: Vec<KeyName>,
    },
    /// Adds an image, or replaces one that no VM is a clone of.
    PutImage(Image),
    /// Deletes an image that no VM is a clone of.
    RemoveImage(ImageName),
}

/// A VM to register: what the user chose. The rest is derived from the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVm {
    /// Its name.
    pub name: VmName,
    /// Its network. When not given it is the only one or, of several, the one that the given address lies in.
    pub network: Option<NetworkName>,
    /// Its hardware address; derived from the name when not given.
    pub mac: Option<MacAddress>,
    /// Its address; the lowest free one of the network's pool when not given.
    pub address: Option<Ipv4Addr>,
    /// The keys that may log in.
    pub keys: SshKeys,
    /// The template its seed is rendered from.
    pub template: TemplateName,
    /// The user's own user-data.
    pub user_data: Option<Arc<[u8]>>,
    /// Who runs it.
    pub hosting: Hosting,
    /// What is set for it alone.
    pub custom: Custom,
    /// Whether the identity that VMs of this name had is given up: a new UUID, and a new host key.
    pub new_identity: bool,
}

/// What to change of a VM; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Another address on the same network.
    pub address: Option<Ipv4Addr>,
    /// Another hardware address.
    pub mac: Option<MacAddress>,
    /// The whole new set of keys.
    pub keys: Option<SshKeys>,
    /// Another template.
    pub template: Option<TemplateName>,
    /// Other user-data; `Some(None)` takes it away.
    pub user_data: Option<Option<Arc<[u8]>>>,
    /// Virtual CPUs of a managed VM.
    pub cpus: Option<u16>,
    /// Memory of a managed VM.
    pub memory: Option<Bytes>,
    /// What is set for it alone.
    pub custom: CustomEdit,
}

/// What to change of what is set for a VM alone; what is `None` stays, and what is empty is as its network says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomEdit {
    /// The whole new set of aliases.
    pub aliases: Option<Vec<VmName>>,
    /// Other name servers.
    pub dns: Option<Vec<Ipv4Addr>>,
    /// Other time servers.
    pub ntp: Option<Vec<Ipv4Addr>>,
    /// Another search list.
    pub search: Option<Vec<Domain>>,
    /// Another MTU.
    pub mtu: Option<Option<u16>>,
    /// Other routes.
    pub routes: Option<Vec<Route>>,
    /// The whole new set of other DHCP options.
    pub options: Option<Vec<CustomOption>>,
    /// Another network boot.
    pub boot: Option<Option<NetBoot>>,
    /// Who may enter it.
    pub access: Box<AccessEdit>,
}

/// What to change of who may enter a VM; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessEdit {
    /// Another owner.
    pub owner: Option<Option<OwnerName>>,
    /// The whole new set of keys of the ring.
    pub ring: Option<Vec<KeyName>>,
    /// The whole new set of accounts.
    pub users: Option<Vec<User>>,
}

impl CustomEdit {
    /// What is set for a VM after this change.
    pub fn on(self, old: Custom) -> Custom {
        let Custom {
            aliases,
            dhcp,
            boot,
            access,
        } = old;
        Custom {
            aliases: self.aliases.unwrap_or(aliases),
            dhcp: DhcpSettings {
                dns: self.dns.unwrap_or(dhcp.dns),
                ntp: self.ntp.unwrap_or(dhcp.ntp),
                search: self.search.unwrap_or(dhcp.search),
                mtu: self.mtu.unwrap_or(dhcp.mtu),
                routes: self.routes.unwrap_or(dhcp.routes),
                options: self.options.unwrap_or(dhcp.options),
            },
            boot: self.boot.unwrap_or(boot),
            access: Access {
                owner: self.access.owner.unwrap_or(access.owner),
                ring: self.access.ring.unwrap_or(access.ring),
                users: self.access.users.unwrap_or(access.users),
                host_key: access.host_key,
            },
        }
    }
}

/// What a change comes down to: the records to write, and the VMs it was about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// The records to write and to delete; empty when the change changes nothing.
    pub batch: Batch,
    /// The VMs as they are now, in the order of the change; deleted ones as they were.
    pub vms: Vec<Arc<Vm>>,
}

/// Records to write and to delete in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// VMs to write, each in place of the one of its name.
    pub put_vms: Vec<Arc<Vm>>,
    /// VMs to delete.
    pub removed_vms: Vec<VmName>,
    /// Images to write, each in place of the one of its name.
    pub put_images: Vec<Arc<Image>>,
    /// Images to delete.
    pub removed_images: Vec<ImageName>,
    /// Leases to write, each in place of the one of its address and of its holder's.
    pub put_leases: Vec<Arc<Lease>>,
    /// Addresses whose leases are deleted.
    pub removed_leases: Vec<Ipv4Addr>,
    /// All records of a name, in place of those it had; none deletes them.
    pub put_records: Vec<RecordSet>,
    /// What changes of the site's own records.
    pub site: SiteBatch,
}

/// Records of the site's own to write and to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteBatch {
    /// What host keys are made from.
    pub secret: Option<SiteSecret>,
    /// How many times these names were given a new identity.
    pub renewals: BTreeMap<VmName, u32>,
    /// Keys of the ring to write, each in place of those of its name.
    pub put_keys: Vec<Arc<RingKey>>,
    /// Names of the ring to delete.
    pub removed_keys: Vec<KeyName>,
}

/// All DNS records of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    /// The network whose domain the name is in.
    pub network: NetworkName,
    /// The name.
    pub owner: RecordName,
    /// Its records; none when there is no such name any more.
    pub records: Vec<Arc<DnsRecord>>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Self {
            put_vms,
            removed_vms,
            put_images,
            removed_images,
            put_leases,
            removed_leases,
            put_records,
            site,
        } = self;
        put_vms.is_empty()
            && removed_vms.is_empty()
            && put_images.is_empty()
            && removed_images.is_empty()
            && put_leases.is_empty()
            && removed_leases.is_empty()
            && put_records.is_empty()
            && site.is_empty()
    }

    /// Whether a zone or a generated file may be another after this batch.
    pub fn changes_names(&self) -> bool {
        !(self.put_vms.is_empty() && self.removed_vms.is_empty() && self.put_records.is_empty())
    }

    /// The directory as it is after this batch.
    pub fn on(&self, directory: &Directory) -> Directory {
        let mut next = directory.clone();
        for name in &self.removed_vms {
            next.remove_vm(name);
        }
        for vm in &self.put_vms {
            next.put_vm(Arc::clone(vm));
        }
        for name in &self.removed_images {
            next.remove_image(name);
        }
        for image in &self.put_images {
            next.put_image(Arc::clone(image));
        }
        if !(self.removed_leases.is_empty() && self.put_leases.is_empty()) {
            let leases = next.leases_mut();
            for address in &self.removed_leases {
                leases.remove(*address);
            }
            for lease in &self.put_leases {
                leases.put(Arc::clone(lease));
            }
        }
        if !self.put_records.is_empty() {
            let records = next.records_mut();
            for set in &self.put_records {
                records.put(&set.network, &set.owner, set.records.clone());
            }
        }
        self.site.make(&mut next);
        next
    }
}

/// Why a change is not made. Nothing of it was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is registered already.
    #[error("a VM named {name} is registered already")]
    NameTaken {
        /// The name.
        name: VmName,
    },
    /// The same change has the name twice.
    #[error("{name} is listed twice")]
    NameTwice {
        /// The name.
        name: VmName,
    },
    /// Another VM has the hardware address.
    #[error("MAC address {} is {holder}'s: {vm} needs another", mac::text(*.mac))]
    MacTaken {
        /// Who asked for it.
        vm: VmName,
        /// The address.
        mac: MacAddress,
        /// Whose it is, in the registry or in the same change.
        holder: VmName,
    },
    /// No station can have the hardware address.
    #[error("{vm}: {problem}")]
    Mac {
        /// Who asked for it.
        vm: VmName,
        /// Why not.
        problem: MacError,
    },
    /// Another VM has the address.
    #[error("address {address} is {holder}'s: {vm} needs another")]
    AddressTaken {
        /// Who asked for it.
        vm: VmName,
        /// The address.
        address: Ipv4Addr,
        /// Whose it is, in the registry or in the same change.
        holder: VmName,
    },
    /// No VM of that network can have the address.
    #[error("{vm}: {problem}")]
    Address {
        /// Who asked for it.
        vm: VmName,
        /// Why not.
        problem: AddressProblem,
    },
    /// Every address of the pool is in use.
    #[error(
        "network {network} has no free address left for {vm} in its pool {pool}: \
         delete VMs, choose an address outside the pool, or widen the pool in the configuration"
    )]
    PoolFull {
        /// Who needs one.
        vm: VmName,
        /// The network.
        network: NetworkName,
        /// Its pool.
        pool: Pool,
    },
    /// The configuration has no such network.
    #[error("{vm}: there is no network {network}; the configuration has {known}")]
    UnknownNetwork {
        /// Who would be on it.
        vm: VmName,
        /// The network.
        network: NetworkName,
        /// Those there are.
        known: Listed<NetworkName>,
    },
    /// The configuration has no such network.
    #[error("there is no network {network}; the configuration has {known}")]
    NoSuchNetwork {
        /// The network.
        network: NetworkName,
        /// Those there are.
        known: Listed<NetworkName>,
    },
    /// A VM of ours has to be on a bridge of ours.
    #[error(
        "{vm} can not {what} on network {network}: that is not on this host (it is reached through relay agents)"
    )]
    Relayed {
        /// Who would be on it.
        vm: VmName,
        /// What it would do.
        what: &'static str,
        /// The network.
        network: NetworkName,
    },
    /// Where another server gives the addresses, ours are nobody's: a VM of ours would be guarded to an address it never
    /// gets, and what is served by address finds nobody.
    #[error(
        "{vm} can not {what} on network {network}: another DHCP server gives the addresses there (`mode: proxy`)"
    )]
    Proxied {
        /// Who would be on it.
        vm: VmName,
        /// What it would do.
        what: &'static str,
        /// The network.
        network: NetworkName,
    },
    /// Nothing tells which network is meant.
    #[error("{vm}: there are several networks ({known}): say which with --network")]
    SeveralNetworks {
        /// Who would be on one of them.
        vm: VmName,
        /// Those there are.
        known: Listed<NetworkName>,
    },
    /// The configuration has no network at all.
    #[error("{vm} can not be registered: the configuration has no network")]
    NoNetwork {
        /// Who would be on it.
        vm: VmName,
    },
    /// The VMs are not registered.
    #[error("no VM named {names} is registered")]
    UnknownVms {
        /// The names.
        names: Listed<VmName>,
    },
    /// The image is not in the store.
    #[error("there is no image {image}")]
    UnknownImage {
        /// The image.
        image: ImageName,
    },
    /// A clone's disk can grow, but not shrink.
    #[error("{vm}: a disk of {disk} is smaller than image {image}, which has {least}")]
    DiskTooSmall {
        /// Who asked for it.
        vm: VmName,
        /// The size asked for.
        disk: Bytes,
        /// The image.
        image: ImageName,
        /// The image's size.
        least: Bytes,
    },
    /// A machine without a processor.
    #[error("{vm} needs at least one virtual CPU")]
    NoCpus {
        /// Who.
        vm: VmName,
    },
    /// Someone else runs the VM.
    #[error("{vm} is external: whoever runs it decides its CPUs, memory and power")]
    External {
        /// Who.
        vm: VmName,
    },
    /// An image without a kernel can not be booted from the network.
    #[error(
        "{vm} can not boot image {image} from the network: it has no kernel (add one with `image add --kernel`)"
    )]
    NoKernel {
        /// Who would boot it.
        vm: VmName,
        /// The image.
        image: ImageName,
    },
    /// The alias is a name or an alias of another VM, or has a DNS record.
    #[error("{vm} can not also be called {alias}: {holder} has that name")]
    AliasTaken {
        /// Who asked for it.
        vm: VmName,
        /// The name.
        alias: VmName,
        /// Whose it is.
        holder: String,
    },
    /// The VM told other host keys at its first boot.
    #[error(
        "{vm} told its host keys at its first boot already and these are others; the first ones are kept \
         (after reinstalling a VM, delete it and register it again)"
    )]
    FirstBootKept {
        /// Who.
        vm: VmName,
    },
    /// A name that a DNS record would stand beside something it can not stand beside.
    #[error("{owner} of network {network} can not have that record: {why}")]
    Record {
        /// The name.
        owner: RecordName,
        /// The network.
        network: NetworkName,
        /// What is in the way.
        why: RecordConflict,
    },
    /// There is no such DNS record.
    #[error("network {network} has no such record of {owner}; `seedbed dns list` shows those there are")]
    UnknownRecord {
        /// The name.
        owner: RecordName,
        /// The network.
        network: NetworkName,
    },
    /// The key ring has that name already.
    #[error("the key ring has keys named {name} already: choose another name, or give --replace")]
    KeyTaken {
        /// The name.
        name: KeyName,
    },
    /// The key ring has no such names.
    #[error("the key ring has no keys named {names}; `seedbed key list` shows those there are")]
    UnknownKeys {
        /// The names.
        names: Listed<KeyName>,
    },
    /// No keys, or more than anybody has.
    #[error("{name} would have {count} keys: give 1 to {most}")]
    KeyCount {
        /// The name.
        name: KeyName,
        /// How many were given.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// Two accounts of one name.
    #[error("{vm} would have two accounts named {user}")]
    UserTwice {
        /// Whose.
        vm: VmName,
        /// The account.
        user: AccountName,
    },
    /// VMs are clones of the image.
    #[error(
        "image {image} is in use: {clones} would lose the base of their disks, or what they boot; delete or change them first"
    )]
    ImageInUse {
        /// The image.
        image: ImageName,
        /// Its clones, and those that boot it from the network.
        clones: Listed<VmName>,
    },
}

impl Refusal {
    /// The VM whose part of the change is refused, so that a roster's reader can be told the line.
    pub const fn about(&self) -> Option<&VmName> {
        match self {
            Self::NameTaken { name: vm }
            | Self::NameTwice { name: vm }
            | Self::MacTaken { vm, .. }
            | Self::Mac { vm, .. }
            | Self::AddressTaken { vm, .. }
            | Self::Address { vm, .. }
            | Self::PoolFull { vm, .. }
            | Self::UnknownNetwork { vm, .. }
            | Self::SeveralNetworks { vm, .. }
            | Self::NoNetwork { vm }
            | Self::Relayed { vm, .. }
            | Self::Proxied { vm, .. }
            | Self::DiskTooSmall { vm, .. }
            | Self::NoCpus { vm }
            | Self::External { vm }
            | Self::NoKernel { vm, .. }
            | Self::AliasTaken { vm, .. }
            | Self::UserTwice { vm, .. }
            | Self::FirstBootKept { vm } => Some(vm),
            Self::UnknownVms { .. }
            | Self::UnknownImage { .. }
            | Self::ImageInUse { .. }
            | Self::NoSuchNetwork { .. }
            | Self::Record { .. }
            | Self::UnknownRecord { .. }
            | Self::KeyTaken { .. }
            | Self::UnknownKeys { .. }
            | Self::KeyCount { .. } => None,
        }
    }

    /// Whether what was asked for by name does not exist.
    pub const fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::UnknownVms { .. }
                | Self::UnknownImage { .. }
                | Self::UnknownNetwork { .. }
                | Self::NoSuchNetwork { .. }
                | Self::UnknownRecord { .. }
                | Self::UnknownKeys { .. }
        )
    }
}

/// What stands in the way of a DNS record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordConflict {
    /// The name is a VM's, or another name of one.
    #[error("it is VM {0}'s name, and VMs' addresses are the registry's to tell; choose another name")]
    Vm(VmName),
    /// RFC 1034 §3.6.2: "If a CNAME RR is present at a node, no other data should be present".
    #[error("a CNAME has to be its name's only record")]
    Cname,
    /// The apex has the zone's SOA and NS records.
    #[error("the domain itself can not be another name of a host")]
    ApexCname,
    /// It is there already.
    #[error("it is there already")]
    Same,
    /// More than an answer can hold.
    #[error("a name can have at most {0} records")]
    TooMany(usize),
}

/// Names in a sentence: the first few, and how many more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<N>(pub Vec<N>);

impl<N: fmt::Display> fmt::Display for Listed<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        for (index, name) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
        }
        match self.0.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}
