//! Why a change is refused, in sentences for whoever asked for it.

use std::fmt;
use std::net::Ipv4Addr;

use uuid::Uuid;

use crate::model::mac::{self, MacError};
use crate::model::name::SnapshotName;
use crate::model::subnet::{AddressProblem, Pool};
use crate::model::{
    AccountName, Bytes, DiskProblem, ImageRef, KeyName, MacAddress, NetworkName, RecordName, VmName,
};

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
        image: ImageRef,
    },
    /// What is installed can not become an image that is there.
    #[error(
        "there is an image {image} already: choose another name, or change that one with `seedbed image edit`"
    )]
    ImageExists {
        /// The image.
        image: ImageRef,
    },
    /// A clone's disk can grow, but not shrink.
    #[error("{vm}: a disk of {disk} is smaller than image {image}, which has {least}")]
    DiskTooSmall {
        /// Who asked for it.
        vm: VmName,
        /// The size asked for.
        disk: Bytes,
        /// The image.
        image: ImageRef,
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
        image: ImageRef,
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
    /// A guest that would never hear of its accounts.
    #[error(
        "{vm} can not be given {what}: its image {image} reads the view {view}, which carries none; put them into its \
         user-data, or into the image"
    )]
    NoAccounts {
        /// Whose.
        vm: VmName,
        /// What: accounts, or secrets by name.
        what: &'static str,
        /// The image.
        image: ImageRef,
        /// How its guests are told about themselves.
        view: &'static str,
    },
    /// Without a current generation, nobody knows what a clone of the image would be.
    #[error(
        "{image} is the image's current generation, and others stay: make another one current first (`seedbed image promote`)"
    )]
    CurrentGeneration {
        /// Which.
        image: ImageRef,
    },
    /// VMs are clones of the image.
    #[error(
        "image {image} is in use: {clones} would lose the base of their disks, or what they boot; delete or change them first"
    )]
    ImageInUse {
        /// The image.
        image: ImageRef,
        /// Its clones, and those that boot it from the network.
        clones: Listed<VmName>,
    },
    /// VMs that were clones of the image can come back.
    #[error(
        "image {image} is kept for deleted VMs that can be undone: {deleted}; give them up first \
         (`seedbed delete --deleted NAME...`), or wait until their time is over (`seedbed list --deleted`)"
    )]
    ImageKept {
        /// The image.
        image: ImageRef,
        /// The names they had.
        deleted: Listed<VmName>,
    },
    /// Nothing is kept of such a VM.
    #[error(
        "there is no deleted VM {name} that could come back; `seedbed list --deleted` shows those that can"
    )]
    UnknownDeleted {
        /// The name it had.
        name: VmName,
    },
    /// The VM is on its way back.
    #[error("{name} is coming back right now")]
    Returning {
        /// The name it had.
        name: VmName,
    },
    /// The VM has a snapshot of that name.
    #[error("{vm} has a snapshot {snapshot} already: choose another name, or delete that one")]
    SnapshotTaken {
        /// Whose.
        vm: VmName,
        /// Its name.
        snapshot: SnapshotName,
    },
    /// The VM has no such snapshot.
    #[error("{vm} has no snapshot {snapshot}; `seedbed snapshot list {vm}` shows those it has")]
    UnknownSnapshot {
        /// Whose.
        vm: VmName,
        /// Its name.
        snapshot: SnapshotName,
    },
    /// Another VM has the UUID.
    #[error("its UUID {uuid} is {holder}'s")]
    UuidTaken {
        /// The UUID.
        uuid: Uuid,
        /// Whose it is.
        holder: VmName,
    },
    /// Others have meanwhile what the VM had.
    #[error("{name} can not come back as it was: {taken}. {way_out}")]
    Taken {
        /// The name it would have.
        name: VmName,
        /// What is taken, each in a few words.
        taken: Sentences,
        /// What to do.
        way_out: WayBack,
    },
    /// Its disks can not be changed so.
    #[error("{vm} can not be changed so: {problem}")]
    Disks {
        /// Whose.
        vm: VmName,
        /// Why not.
        problem: DiskProblem,
    },
    /// What a VM would be started after is not there.
    #[error("{vm} can not start after {after}: there is no VM {after}")]
    UnknownDependency {
        /// The VM.
        vm: VmName,
        /// What it would wait for.
        after: VmName,
    },
    /// A VM would wait for itself.
    #[error("{vm} would start after itself, by way of {through}: none of them could ever start")]
    Circle {
        /// The VM.
        vm: VmName,
        /// Those by which it comes back to itself.
        through: Listed<VmName>,
    },
    /// The VM can not have such a NIC.
    #[error("{vm}: {problem}")]
    Nic {
        /// Whose.
        vm: VmName,
        /// Why not.
        problem: NicProblem,
    },
}

/// What to do where a deleted VM can not come back as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayBack {
    /// Its name is taken.
    Name,
    /// Something else is.
    Other,
}

impl fmt::Display for WayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "Give it another name: --as NEWNAME; what is taken is then chosen anew",
            Self::Other => "With --anew, what is taken is chosen anew",
        })
    }
}

/// Several reasons in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentences(pub Vec<String>);

impl fmt::Display for Sentences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// Why a VM can not have a NIC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NicProblem {
    /// What is set for the first NIC has options of its own.
    #[error("network {0} is that of its first NIC, which stays: --ip and --mac change its addresses")]
    First(NetworkName),
    /// Two NICs on one wire: a guest answers for both addresses on either.
    #[error("it would have two NICs on network {0}: a VM has one on each")]
    Twice(NetworkName),
    /// There is nothing to take away.
    #[error("it has no NIC on network {0}")]
    None(NetworkName),
    /// Two NICs with one hardware address.
    #[error("two of its NICs would have MAC address {}", mac::text(*.0))]
    Mac(MacAddress),
    /// Two NICs with one address.
    #[error("two of its NICs would have address {0}")]
    Address(Ipv4Addr),
    /// There is no slot left.
    #[error("it has {0} NICs beside its first one already, and there is room for no more")]
    TooMany(usize),
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
            | Self::NoAccounts { vm, .. }
            | Self::Disks { vm, .. }
            | Self::UnknownDependency { vm, .. }
            | Self::Circle { vm, .. }
            | Self::FirstBootKept { vm }
            | Self::Nic { vm, .. } => Some(vm),
            Self::UnknownVms { .. }
            | Self::UnknownImage { .. }
            | Self::ImageInUse { .. }
            | Self::ImageKept { .. }
            | Self::UnknownDeleted { .. }
            | Self::Returning { .. }
            | Self::Taken { .. }
            | Self::UuidTaken { .. }
            | Self::SnapshotTaken { .. }
            | Self::UnknownSnapshot { .. }
            | Self::ImageExists { .. }
            | Self::CurrentGeneration { .. }
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
                | Self::UnknownDeleted { .. }
                | Self::UnknownSnapshot { .. }
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
