//! A VM: what was registered, and what was learnt once and kept.

use std::net::Ipv4Addr;
use std::sync::Arc;

use uuid::Uuid;

use super::access::{Access, User};
use super::bytes::Bytes;
use super::dhcp::{DhcpSettings, NetBoot};
use super::generation::ImageId;
use super::hardware::{ExtraDisk, Hardware, Uefi};
use super::identity::{Instance, InstanceId};
use super::image::{Image, View};
use super::key::{SshKey, SshKeys};
use super::mac::MacAddress;
use super::name::{NetworkName, TapName, TemplateName, VmName};
use super::nic::MoreNic;
use super::policy::Policy;
use super::release::Secrets;
use super::snapshot::History;
use super::time::Timestamp;
use super::workshop::{Install, Workshop};

/// A registered virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vm {
    /// Its name, hostname and DNS label.
    pub name: VmName,
    /// The network its first NIC is on.
    pub network: NetworkName,
    /// Its first NIC's hardware address, unique in the registry.
    pub mac: MacAddress,
    /// Its first NIC's reserved IPv4 address, unique in the registry.
    pub address: Ipv4Addr,
    /// Its SMBIOS UUID.
    pub uuid: Uuid,
    /// The name of its first NIC's tap, unique in the registry.
    pub tap: TapName,
    /// The keys that may log in.
    pub keys: SshKeys,
    /// The template its seed is rendered from.
    pub template: TemplateName,
    /// The user's own user-data, byte for byte.
    pub user_data: Option<Arc<[u8]>>,
    /// Who runs it.
    pub hosting: Hosting,
    /// When it was registered.
    pub created: Timestamp,
    /// What its first successful boot told; `None` until then.
    pub first_boot: Option<FirstBoot>,
    /// What the operator set for this VM alone; most have nothing.
    pub custom: Option<Box<Custom>>,
}

/// What an operator sets for one VM beside its identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Custom {
    /// Other names it has in its domain (CNAME), unique among all names and aliases.
    pub aliases: Vec<VmName>,
    /// What DHCP tells it; what is empty is as its network says.
    pub dhcp: DhcpSettings,
    /// What it boots from the network.
    pub boot: Option<NetBoot>,
    /// Who may enter it.
    pub access: Access,
    /// What it is told in confidence.
    pub secrets: Secrets,
    /// Which of its instances it is.
    pub instance: Instance,
    /// Whether it is told who it is by being written to, whatever view its image has.
    pub offline: bool,
    /// Its NICs beside the first.
    pub nics: Vec<MoreNic>,
}

impl Custom {
    /// The record's form: `None` when nothing is set.
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// Who runs a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosting {
    /// Someone else (libvirt, Proxmox, a physical box): it is only served.
    External,
    /// Seedbed runs its QEMU. Boxed, because a host runs hundreds of these and may serve tens of thousands of others.
    Managed(Box<Machine>),
}

impl From<Machine> for Hosting {
    fn from(machine: Machine) -> Self {
        Self::Managed(Box::new(machine))
    }
}

/// The shape of a managed VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The generation of a base image that its disk is a clone of.
    pub image: ImageId,
    /// Virtual CPUs.
    pub cpus: u16,
    /// Memory.
    pub memory: Bytes,
    /// The root disk's size; never less than the image's.
    pub disk: Bytes,
    /// The swap disk's size; zero for none.
    pub swap: Bytes,
    /// How far its making has come.
    pub phase: Phase,
    /// What becomes of its disk when it powers off; nothing for all but workshops.
    pub workshop: Option<Box<Workshop>>,
    /// What was pinned when it was created; nothing for those from before anything was, and for workshops.
    pub hardware: Option<Box<Hardware>>,
    /// When it is started without being asked for by name; most have nothing. [`Machine::policy`] reads it.
    pub policy: Option<Box<Policy>>,
    /// Its snapshots; nothing for most.
    pub history: Option<Box<History>>,
}

impl Machine {
    /// When it is started without being asked for by name.
    pub fn policy(&self) -> &Policy {
        static NONE: Policy = Policy::NONE;
        self.policy.as_deref().unwrap_or(&NONE)
    }

    /// Whether it has a board that was pinned: devices that came later are for those alone, as to a guest of before they would be
    /// other hardware.
    pub fn is_pinned(&self) -> bool {
        let hardware = self.hardware.as_ref();
        hardware.is_some_and(|hardware| hardware.machine_type.is_some())
    }

    /// Its disks beside its own.
    pub fn extra_disks(&self) -> &[ExtraDisk] {
        self.hardware.as_ref().map_or(&[], |hardware| &hardware.disks)
    }

    /// The UEFI that starts it, where that is not a BIOS.
    pub fn uefi(&self) -> Option<&Uefi> {
        self.hardware.as_ref()?.uefi.as_ref()
    }
}

/// How far the making of a managed VM has come: a launch that is cut short is undone by the next start of the daemon, and an
/// exchange of its disks is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Registered, but its first start has not succeeded yet.
    Launching,
    /// Launched: it stays until it is deleted.
    Launched,
    /// Launched, and its disks are to be the ones that lie beside them, of which some may be in place already.
    Replacing,
}

/// What the first successful boot of a VM told about it (cloud-init's `phone_home`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstBoot {
    /// When it phoned home.
    pub at: Timestamp,
    /// Its SSH host keys, as `known_hosts` writes them after the host name.
    pub host_keys: SshKeys,
}

impl Vm {
    /// The name cloud-init knows this life of the VM by.
    pub fn instance_id(&self) -> InstanceId {
        InstanceId::of(self.uuid)
    }

    /// Its other names.
    pub fn aliases(&self) -> &[VmName] {
        self.custom
            .as_ref()
            .map_or(&[], |custom| custom.aliases.as_slice())
    }

    /// What DHCP tells it alone.
    pub fn dhcp(&self) -> Option<&DhcpSettings> {
        self.custom.as_ref().map(|custom| &custom.dhcp)
    }

    /// What it boots from the network.
    pub fn boot(&self) -> Option<&NetBoot> {
        self.custom.as_ref().and_then(|custom| custom.boot.as_ref())
    }

    /// Who may enter it, beside the keys of its own.
    pub fn access(&self) -> Option<&Access> {
        self.custom.as_ref().map(|custom| &custom.access)
    }

    /// Its accounts beside the image's own.
    pub fn users(&self) -> &[User] {
        self.access().map_or(&[], |access| access.users.as_slice())
    }

    /// Sets something for it alone.
    pub fn customize(&mut self, change: impl FnOnce(&mut Custom)) {
        let mut custom = self.custom.take().map(|custom| *custom).unwrap_or_default();
        change(&mut custom);
        self.custom = custom.boxed();
    }

    /// The keys that may log in to an account beside the image's own: its own, or else those of the VM, because who may enter the
    /// image's account may enter this one.
    pub fn keys_of<'a>(&'a self, user: &'a User) -> &'a SshKeys {
        if user.keys.is_empty() {
            &self.keys
        } else {
            &user.keys
        }
    }

    /// How it learns who it is: as its image does, but where it was launched otherwise. Of a VM that someone else runs nothing is
    /// known, and all that can be asked for is served.
    pub fn view(&self, image: Option<&Image>) -> View {
        if self.custom.as_ref().is_some_and(|custom| custom.offline) {
            return View::Offline;
        }
        image.map_or(View::Auto, |image| image.view)
    }

    /// Which of its instances it is.
    pub fn instance(&self) -> Instance {
        self.custom
            .as_ref()
            .map_or(Instance::default(), |custom| custom.instance)
    }

    /// When the first boot of its present instance succeeded.
    pub fn succeeded(&self) -> Option<Timestamp> {
        let at = self.first_boot.as_ref()?.at;
        let renewed = self.instance().renewed;
        renewed.is_none_or(|renewed| at > renewed).then_some(at)
    }

    /// Whether an SSH host key was made for it.
    pub fn has_made_host_key(&self) -> bool {
        self.access().is_some_and(|access| access.host_key.is_some())
    }

    /// The SSH host keys it is known by: the one that was made for it, or else those it reported. Where one was made, no
    /// report counts: whatever speaks for the VM could make it up.
    pub fn host_keys(&self) -> &[SshKey] {
        let made = self.access().and_then(|access| access.host_key.as_ref());
        let told = || {
            self.first_boot
                .as_ref()
                .map_or(&[] as &[_], |boot| &boot.host_keys)
        };
        made.map_or_else(told, |key| key.public())
    }

    /// What becomes of its disk when it powers off, where that is something.
    pub fn workshop(&self) -> Option<&Workshop> {
        self.machine()?.workshop.as_deref()
    }

    /// How a system is installed in it, where one is.
    pub fn install(&self) -> Option<&Install> {
        self.workshop()?.install()
    }

    /// Its machine, when Seedbed runs it.
    pub const fn machine(&self) -> Option<&Machine> {
        match &self.hosting {
            Hosting::Managed(machine) => Some(machine),
            Hosting::External => None,
        }
    }
}
