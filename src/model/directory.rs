//! The directory: an immutable view of all records at one revision, which every reader holds without waiting.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::dhcp::NetBoot;
use super::generation::{Generation, ImageId, ImageRef};
use super::image::{Image, View};
use super::index::Index;
use super::lease::Leases;
use super::mac::MacAddress;
use super::name::{ImageName, NetworkName, TapName, VmName};
use super::network::{MetadataPolicy, Network};
use super::nic::Nic;
use super::record::DnsRecords;
use super::release::Window;
use super::site::Site;
use super::time::Timestamp;
use super::vm::{Hosting, Vm};

/// Counts the committed changes; every answer equals some revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

/// All records at one revision, found by name, hardware address, IP address or tap.
///
/// A clone shares its parts with the original; changing one of them copies only that part.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    revision: Revision,
    named: Revision,
    networks: Arc<BTreeMap<NetworkName, Arc<Network>>>,
    images: Arc<BTreeMap<ImageId, Arc<Image>>>,
    vms: Arc<Index>,
    leases: Arc<Leases>,
    records: Arc<DnsRecords>,
    site: Arc<Site>,
}

impl Directory {
    /// An empty directory of these networks.
    pub fn of(networks: impl IntoIterator<Item = Network>) -> Self {
        let networks = networks
            .into_iter()
            .map(|network| (network.name.clone(), Arc::new(network)))
            .collect();
        Self {
            networks: Arc::new(networks),
            ..Self::default()
        }
    }

    /// The number of the last change that is in here.
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Marks the directory as the result of this revision, which may have changed names.
    pub const fn set_revision(&mut self, revision: Revision) {
        self.revision = revision;
        self.named = revision;
    }

    /// Marks the directory as the result of this revision, which changed no name: leases and images have none.
    pub const fn set_nameless_revision(&mut self, revision: Revision) {
        self.revision = revision;
    }

    /// The number of the last change that may have changed a name: the version of the zones and of the generated files.
    pub const fn names_revision(&self) -> Revision {
        self.named
    }

    /// The networks, by name.
    pub fn networks(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.networks.values()
    }

    /// The network of that name.
    pub fn network(&self, name: &NetworkName) -> Option<&Arc<Network>> {
        self.networks.get(name)
    }

    /// How many VMs there are.
    pub fn vm_count(&self) -> usize {
        self.vms.len()
    }

    /// The VMs, by name. They are sorted for the caller: who needs no order takes [`Self::each_vm`].
    pub fn vms(&self) -> impl ExactSizeIterator<Item = &Arc<Vm>> {
        let mut vms: Vec<&Arc<Vm>> = self.each_vm().collect();
        vms.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        vms.into_iter()
    }

    /// The VMs, in no order.
    pub fn each_vm(&self) -> impl Iterator<Item = &Arc<Vm>> {
        self.vms.all()
    }

    /// The VM of that name.
    pub fn vm(&self, name: &VmName) -> Option<&Arc<Vm>> {
        self.vm_named(name.as_str())
    }

    /// The VM of that name, for those who were sent some text: one that is no name names nobody.
    pub fn vm_named(&self, name: &str) -> Option<&Arc<Vm>> {
        self.vms.named(name)
    }

    /// The VM one of whose NICs has that hardware address.
    pub fn vm_by_mac(&self, mac: MacAddress) -> Option<&Arc<Vm>> {
        self.vms.by_mac(mac)
    }

    /// The VM one of whose NICs has that address.
    pub fn vm_at(&self, address: Ipv4Addr) -> Option<&Arc<Vm>> {
        self.vms.at(address)
    }

    /// The VM one of whose NICs is behind that tap.
    pub fn vm_behind(&self, tap: &TapName) -> Option<&Arc<Vm>> {
        self.vms.behind(tap)
    }

    /// The VMs that have a NIC on that network, by name, and that NIC.
    pub fn vms_on<'a>(&'a self, network: &'a NetworkName) -> impl Iterator<Item = (&'a Arc<Vm>, Nic<'a>)> {
        self.vms().filter_map(move |vm| Some((vm, vm.nic_on(network)?)))
    }

    /// The VM that has that name as another of its own.
    pub fn vm_aliased(&self, alias: &VmName) -> Option<&Arc<Vm>> {
        self.vms.aliased(alias.as_str())
    }

    /// As [`Self::vm_aliased`], for those who were sent some text.
    pub fn vm_with_alias(&self, alias: &str) -> Option<&Arc<Vm>> {
        self.vms.aliased(alias)
    }

    /// The dynamic leases.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// The dynamic leases, to be changed.
    pub fn leases_mut(&mut self) -> &mut Leases {
        Arc::make_mut(&mut self.leases)
    }

    /// The DNS records beside those of the VMs.
    pub fn records(&self) -> &DnsRecords {
        &self.records
    }

    /// The DNS records beside those of the VMs, to be changed.
    pub fn records_mut(&mut self) -> &mut DnsRecords {
        Arc::make_mut(&mut self.records)
    }

    /// The site's own records.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The site's own records, to be changed.
    pub fn site_mut(&mut self) -> &mut Site {
        Arc::make_mut(&mut self.site)
    }

    /// The VM as guests and people are told of it: with the keys that the ring adds to its own. Most are the record
    /// itself.
    pub fn served(&self, vm: &Arc<Vm>) -> Arc<Vm> {
        let access = vm
            .access()
            .filter(|access| access.owner.is_some() || !access.ring.is_empty());
        access.map_or_else(
            || Arc::clone(vm),
            |access| {
                let keys = self.site.ring.keys_of(&vm.keys, access);
                Arc::new(Vm {
                    keys,
                    ..Vm::clone(vm)
                })
            },
        )
    }

    /// Whether a VM is told its secrets at `now`.
    pub fn window(&self, vm: &Vm, now: Timestamp) -> Window {
        let network = self.network(&vm.network);
        let limit = network.map_or(MetadataPolicy::SECRETS_FOR, |network| {
            network.metadata.secrets_for
        });
        vm.window(limit, now)
    }

    /// All generations of all images, by name and number.
    pub fn images(&self) -> impl ExactSizeIterator<Item = &Arc<Image>> {
        self.images.values()
    }

    /// One generation of an image.
    pub fn image(&self, id: &ImageId) -> Option<&Arc<Image>> {
        self.images.get(id)
    }

    /// The generations of an image, by number.
    pub fn generations(&self, name: &ImageName) -> impl Iterator<Item = &Arc<Image>> {
        let first = ImageId::new(name.clone(), Generation::FIRST);
        self.images
            .range(first.clone()..)
            .map(|(_, image)| image)
            .take_while(move |image| image.id.name() == first.name())
    }

    /// The generation that new clones of an image are made of.
    pub fn current(&self, name: &ImageName) -> Option<&Arc<Image>> {
        self.generations(name).max_by_key(|image| image.promoted)
    }

    /// What a person means by the name of an image.
    pub fn image_named(&self, named: &ImageRef) -> Option<&Arc<Image>> {
        match named.generation {
            None => self.current(&named.name),
            Some(generation) => self.image(&ImageId::new(named.name.clone(), generation)),
        }
    }

    /// The number that the next generation of an image gets.
    pub fn next_generation(&self, name: &ImageName) -> Generation {
        let newest = self.generations(name).last();
        newest.map_or(Generation::FIRST, |image| image.id.generation().next())
    }

    /// The image whose clone the disk of a VM is; `None` where someone else runs it.
    pub fn image_of(&self, hosting: &Hosting) -> Option<&Arc<Image>> {
        match hosting {
            Hosting::Managed(machine) => self.image(&machine.image),
            Hosting::External => None,
        }
    }

    /// How a VM learns who it is.
    pub fn view_of(&self, vm: &Vm) -> View {
        vm.view(self.image_of(&vm.hosting).map(Arc::as_ref))
    }

    /// The image that is booted from the network; `None` when it is not there, or a URL is booted.
    pub fn boot_image(&self, boot: &NetBoot) -> Option<&Image> {
        match boot {
            NetBoot::Image(name) => self.current(name).map(Arc::as_ref),
            NetBoot::Url(_) => None,
        }
    }

    /// The VMs of which a disk, or a snapshot, is a clone of that generation, by name.
    pub fn clones_of<'a>(&'a self, image: &'a ImageId) -> impl Iterator<Item = &'a Arc<Vm>> {
        self.vms()
            .filter(move |vm| vm.machine().is_some_and(|machine| machine.needs(image)))
    }

    /// Makes room for that many VMs more, so that putting them in moves nothing.
    pub fn reserve_vms(&mut self, more: usize) {
        Arc::make_mut(&mut self.vms).reserve(more);
    }

    /// Puts a VM in, in place of the one of that name. The caller has checked that nobody else holds its addresses.
    pub fn put_vm(&mut self, vm: Arc<Vm>) {
        let vms = Arc::make_mut(&mut self.vms);
        vms.remove(&vm.name);
        vms.put(vm);
    }

    /// Takes a VM out; its addresses are free at once.
    pub fn remove_vm(&mut self, name: &VmName) -> Option<Arc<Vm>> {
        Arc::make_mut(&mut self.vms).remove(name)
    }

    /// Puts a generation of an image in, in place of the one of that number.
    pub fn put_image(&mut self, image: Arc<Image>) {
        Arc::make_mut(&mut self.images).insert(image.id.clone(), image);
    }

    /// Takes a generation of an image out.
    pub fn remove_image(&mut self, id: &ImageId) -> Option<Arc<Image>> {
        Arc::make_mut(&mut self.images).remove(id)
    }
}

/// Where readers take the current directory from: cheap, never waits.
pub type Published = arc_swap::ArcSwap<Directory>;

#[cfg(test)]
mod tests;
