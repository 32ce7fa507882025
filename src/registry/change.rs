//! The closed vocabulary of the registry: every write there is, and what it comes down to.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::hardware::HardwareEdit;
use super::nics::{NewNic, NicsEdit};
use super::policy::PolicyEdit;
use crate::model::name::SnapshotName;
use crate::model::snapshot::Snapshot;
use crate::model::{
    Access, Bytes, Custom, CustomOption, Deleted, DeletedId, DhcpSettings, Directory, DnsRecord, Domain,
    FirstBoot, Hosting, Image, ImageId, Instance, InstancePolicy, KeyName, Lease, MacAddress, NetBoot,
    NetworkName, OwnerName, RecordName, RingKey, Route, Secret, SecretName, Secrets, SiteSecret, SshKeys,
    TemplateName, User, Vm, VmName,
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
        edit: Box<Edit>,
    },
    /// Gives a managed VM other disks, which lie beside its own: from here on they are its disks, and are put in place.
    Replace {
        /// Whose.
        name: VmName,
        /// The generation that the new root disk is a clone of.
        image: ImageId,
        /// Its size.
        disk: Bytes,
        /// Whether there is nothing on it, so that the VM becomes another instance, whose first boot is still to come.
        anew: bool,
    },
    /// Notes that a managed VM's first start succeeded, or that its new disks are in place: from now on it stays until it is deleted.
    Launched {
        /// Whose.
        name: VmName,
    },
    /// Notes that a VM's first boot begins: until it succeeds, and for a bounded time, the VM is told its secrets. Nothing for
    /// one that has none, or has had its first success.
    Released {
        /// Whose.
        name: VmName,
    },
    /// Keeps what a VM's first successful boot told. It is kept once for an instance: other keys told later are refused.
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
    /// Keeps what host keys and seed URLs are made from, where nothing is kept yet.
    KeepSecret(SiteSecret),
    /// Adds a generation of an image, or replaces one that no VM is a clone of.
    PutImage {
        /// The generation; the first one of an image is the current one in any case.
        image: Image,
        /// Whether new clones are made of it from now on.
        promote: bool,
    },
    /// Makes a generation the one that new clones are made of.
    Promote(ImageId),
    /// Deletes generations that no VM is a clone of.
    RemoveImages(Vec<ImageId>),
    /// Deletes VMs as [`Self::Delete`] does, and keeps what was registered of them, so that it can be undone. Of one that was
    /// never launched nothing is kept.
    SetAside {
        /// Which; a name that is listed twice counts once.
        names: Vec<VmName>,
    },
    /// Registers a deleted VM again, as it was. One that Seedbed runs is in phase Launching until its disks are in place.
    Undelete(Undelete),
    /// Notes that the disks of a VM that came back are in place.
    Undeleted(DeletedId),
    /// Deletes a VM that was coming back, and keeps what was kept.
    SendBack(DeletedId),
    /// Notes that a snapshot of a VM was taken.
    AddSnapshot {
        /// Of which.
        vm: VmName,
        /// The snapshot.
        snapshot: Snapshot,
    },
    /// Forgets a snapshot.
    RemoveSnapshot {
        /// Of which VM.
        vm: VmName,
        /// Which.
        snapshot: SnapshotName,
    },
    /// Gives a VM the disks of a snapshot, which lie beside its own: from here on they are its disks, and are put in place.
    Restore {
        /// Which VM.
        vm: VmName,
        /// To which snapshot.
        snapshot: SnapshotName,
    },
    /// Gives up what is kept of deleted VMs.
    ForgetDeleted(Vec<DeletedId>),
}

/// How a deleted VM comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelete {
    /// Which.
    pub id: DeletedId,
    /// By which name; its own when not given. By another one it is another instance, which cloud-init sets up anew.
    pub name: Option<VmName>,
    /// Whether what others have meanwhile is chosen anew; if not, it is refused. Under another name it is in any case.
    pub anew: bool,
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
    /// Its NICs beside the first. Where those in `custom` are another VM's, it gets its own on the same networks.
    pub nics: Vec<NewNic>,
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
    /// Whether it becomes another instance, which cloud-init sets up anew: another UUID, and all else stays.
    pub new_instance: bool,
    /// Whether it is told its secrets once more, as in its first boot.
    pub release: bool,
    /// What a managed VM was created with.
    pub hardware: Box<HardwareEdit>,
    /// When it is started without being asked for by name.
    pub policy: PolicyEdit,
    /// What to change of its NICs beside the first.
    pub nics: NicsEdit,
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
    /// What it is told in confidence.
    pub secrets: SecretsEdit,
    /// What becomes of its instance-id when what it is told is changed.
    pub instance_policy: Option<InstancePolicy>,
    /// Whether it is told who it is by being written to.
    pub offline: Option<bool>,
}

/// What to change of what a VM is told in confidence; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretsEdit {
    /// Values by name; none takes the name away.
    pub named: Vec<(SecretName, Option<Secret<String>>)>,
    /// Whether its user-data is one.
    pub user_data: Option<bool>,
}

impl SecretsEdit {
    fn on(self, mut old: Secrets) -> Secrets {
        for (name, value) in self.named {
            match value {
                Some(value) => old.named.insert(name, Some(value)),
                None => old.named.remove(&name),
            };
        }
        old.user_data = self.user_data.unwrap_or(old.user_data);
        old
    }
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
            secrets,
            instance,
            offline,
            nics,
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
            secrets: self.secrets.on(secrets),
            instance: Instance {
                policy: self.instance_policy.unwrap_or(instance.policy),
                ..instance
            },
            offline: self.offline.unwrap_or(offline),
            nics,
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
    /// Generations of images to write, each in place of the one of its number.
    pub put_images: Vec<Arc<Image>>,
    /// Images to delete.
    pub removed_images: Vec<ImageId>,
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
    /// Deleted VMs to keep, each in place of what was kept of that deletion.
    pub put_deleted: Vec<Arc<Deleted>>,
    /// Deletions of which nothing is kept any more.
    pub removed_deleted: Vec<DeletedId>,
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
        for id in &self.removed_images {
            next.remove_image(id);
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
