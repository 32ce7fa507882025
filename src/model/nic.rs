//! The NICs of a VM: the first is in the VM's own fields, and the few that have more keep the others beside.

use std::net::Ipv4Addr;

use super::mac::MacAddress;
use super::name::{NetworkName, TapName};
use super::vm::Vm;

/// The PCI slot of every VM's first NIC.
pub const FIRST_SLOT: u8 = 0x2;
/// The PCI slots of further NICs, behind those of all other devices: a NIC that is added moves nothing. In a VM whose hardware is
/// pinned each of them is a port, whether a NIC is behind it or not, so that one comes and goes while the VM runs.
pub const MORE_SLOTS: std::ops::RangeInclusive<u8> = 0x18..=0x1e;

/// A NIC beside a VM's first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoreNic {
    /// The network it is on; a VM has one NIC on each.
    pub network: NetworkName,
    /// Its hardware address, unique in the registry.
    pub mac: MacAddress,
    /// Its reserved IPv4 address, unique in the registry.
    pub address: Ipv4Addr,
    /// The name of its tap, unique in the registry.
    pub tap: TapName,
    /// Its PCI slot, one of [`MORE_SLOTS`]; it stays as long as the NIC does, and with it the NIC's name in the guest.
    pub slot: u8,
}

/// One NIC of a VM, whether its first or another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nic<'a> {
    /// The network it is on.
    pub network: &'a NetworkName,
    /// Its hardware address.
    pub mac: MacAddress,
    /// Its IPv4 address.
    pub address: Ipv4Addr,
    /// The name of its tap.
    pub tap: &'a TapName,
    /// Its PCI slot.
    pub slot: u8,
}

impl<'a> From<&'a MoreNic> for Nic<'a> {
    fn from(nic: &'a MoreNic) -> Self {
        Self {
            network: &nic.network,
            mac: nic.mac,
            address: nic.address,
            tap: &nic.tap,
            slot: nic.slot,
        }
    }
}

impl Vm {
    /// Its NICs, the first one first.
    pub fn nics(&self) -> impl Iterator<Item = Nic<'_>> + Clone {
        std::iter::once(self.first_nic()).chain(self.more_nics().iter().map(Nic::from))
    }

    /// Its first NIC: the one whose network has its name servers and its way out.
    pub const fn first_nic(&self) -> Nic<'_> {
        Nic {
            network: &self.network,
            mac: self.mac,
            address: self.address,
            tap: &self.tap,
            slot: FIRST_SLOT,
        }
    }

    /// Its NICs beside the first.
    pub fn more_nics(&self) -> &[MoreNic] {
        self.custom.as_ref().map_or(&[], |custom| custom.nics.as_slice())
    }

    /// Its NIC on that network.
    pub fn nic_on(&self, network: &NetworkName) -> Option<Nic<'_>> {
        self.nics().find(|nic| nic.network == network)
    }

    /// Its NIC with that hardware address.
    pub fn nic_with(&self, mac: MacAddress) -> Option<Nic<'_>> {
        self.nics().find(|nic| nic.mac == mac)
    }

    /// Its NIC that has that address.
    pub fn nic_at(&self, address: Ipv4Addr) -> Option<Nic<'_>> {
        self.nics().find(|nic| nic.address == address)
    }
}
