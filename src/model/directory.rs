//! The directory: an immutable view of all records at one revision, which every reader holds without waiting.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::image::Image;
use super::lease::Leases;
use super::mac::MacAddress;
use super::name::{ImageName, NetworkName, TapName, VmName};
use super::network::Network;
use super::record::DnsRecords;
use super::vm::Vm;

/// Counts the committed changes; every answer equals some revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

/// All records at one revision, found by name, hardware address, IP address or tap.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    revision: Revision,
    networks: BTreeMap<NetworkName, Arc<Network>>,
    images: BTreeMap<ImageName, Arc<Image>>,
    by_name: BTreeMap<VmName, Arc<Vm>>,
    by_mac: HashMap<MacAddress, Arc<Vm>>,
    by_address: HashMap<Ipv4Addr, Arc<Vm>>,
    by_tap: HashMap<TapName, Arc<Vm>>,
    by_alias: HashMap<VmName, Arc<Vm>>,
    leases: Arc<Leases>,
    records: Arc<DnsRecords>,
}

impl Directory {
    /// An empty directory of these networks.
    pub fn of(networks: impl IntoIterator<Item = Network>) -> Self {
        let networks = networks
            .into_iter()
            .map(|network| (network.name.clone(), Arc::new(network)))
            .collect();
        Self {
            networks,
            ..Self::default()
        }
    }

    /// The number of the last change that is in here.
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Marks the directory as the result of this revision.
    pub const fn set_revision(&mut self, revision: Revision) {
        self.revision = revision;
    }

    /// The networks, by name.
    pub fn networks(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.networks.values()
    }

    /// The network of that name.
    pub fn network(&self, name: &NetworkName) -> Option<&Arc<Network>> {
        self.networks.get(name)
    }

    /// The VMs, by name.
    pub fn vms(&self) -> impl ExactSizeIterator<Item = &Arc<Vm>> {
        self.by_name.values()
    }

    /// The VM of that name.
    pub fn vm(&self, name: &VmName) -> Option<&Arc<Vm>> {
        self.by_name.get(name)
    }

    /// The VM whose NIC has that hardware address.
    pub fn vm_by_mac(&self, mac: MacAddress) -> Option<&Arc<Vm>> {
        self.by_mac.get(&mac)
    }

    /// The VM that has that address.
    pub fn vm_at(&self, address: Ipv4Addr) -> Option<&Arc<Vm>> {
        self.by_address.get(&address)
    }

    /// The VM behind that tap.
    pub fn vm_behind(&self, tap: &TapName) -> Option<&Arc<Vm>> {
        self.by_tap.get(tap)
    }

    /// The VM that has that name as another of its own.
    pub fn vm_aliased(&self, alias: &VmName) -> Option<&Arc<Vm>> {
        self.by_alias.get(alias)
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

    /// The images, by name.
    pub fn images(&self) -> impl ExactSizeIterator<Item = &Arc<Image>> {
        self.images.values()
    }

    /// The image of that name.
    pub fn image(&self, name: &ImageName) -> Option<&Arc<Image>> {
        self.images.get(name)
    }

    /// The VMs whose disk is a clone of that image.
    pub fn clones_of<'a>(&'a self, image: &'a ImageName) -> impl Iterator<Item = &'a Arc<Vm>> {
        self.vms()
            .filter(move |vm| vm.machine().is_some_and(|machine| machine.image == *image))
    }

    /// Puts a VM in, in place of the one of that name. The caller has checked that nobody else holds its addresses.
    pub fn put_vm(&mut self, vm: Arc<Vm>) {
        self.remove_vm(&vm.name);
        self.by_mac.insert(vm.mac, Arc::clone(&vm));
        self.by_address.insert(vm.address, Arc::clone(&vm));
        self.by_tap.insert(vm.tap.clone(), Arc::clone(&vm));
        for alias in vm.aliases() {
            self.by_alias.insert(alias.clone(), Arc::clone(&vm));
        }
        self.by_name.insert(vm.name.clone(), vm);
    }

    /// Takes a VM out; its addresses are free at once.
    pub fn remove_vm(&mut self, name: &VmName) -> Option<Arc<Vm>> {
        let vm = self.by_name.remove(name)?;
        self.by_mac.remove(&vm.mac);
        self.by_address.remove(&vm.address);
        self.by_tap.remove(&vm.tap);
        for alias in vm.aliases() {
            self.by_alias.remove(alias);
        }
        Some(vm)
    }

    /// Puts an image in, in place of the one of that name.
    pub fn put_image(&mut self, image: Arc<Image>) {
        self.images.insert(image.name.clone(), image);
    }

    /// Takes an image out.
    pub fn remove_image(&mut self, name: &ImageName) -> Option<Arc<Image>> {
        self.images.remove(name)
    }
}

/// Where readers take the current directory from: cheap, never waits.
pub type Published = arc_swap::ArcSwap<Directory>;
