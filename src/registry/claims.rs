//! Who holds which name, MAC, address and tap: those of the directory and those of the change being judged.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use super::refusal::Refusal;
use crate::model::{
    Directory, MacAddress, Network, NetworkName, RecordData, TapName, Timestamp, VmName, identity, mac,
};

/// What is taken, and the cursors that make the search for what is free linear in the pool, not in pool × batch.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    directory: &'a Directory,
    now: Timestamp,
    names: HashSet<VmName>,
    macs: HashMap<MacAddress, VmName>,
    addresses: HashMap<Ipv4Addr, VmName>,
    taps: HashSet<TapName>,
    aliases: HashMap<VmName, VmName>,
    /// Per network, the lowest address that may still be free.
    cursors: HashMap<NetworkName, u32>,
}

impl<'a> Claims<'a> {
    pub(super) fn on(directory: &'a Directory, now: Timestamp) -> Self {
        Self {
            directory,
            now,
            aliases: HashMap::new(),
            names: HashSet::new(),
            macs: HashMap::new(),
            addresses: HashMap::new(),
            taps: HashSet::new(),
            cursors: HashMap::new(),
        }
    }

    /// Claims a name that nobody has.
    pub(super) fn name(&mut self, name: &VmName) -> Result<(), Refusal> {
        let name = name.clone();
        if self.directory.vm(&name).is_some() {
            return Err(Refusal::NameTaken { name });
        }
        if let Some(holder) = self.alias_holder(&name) {
            return Err(Refusal::AliasTaken {
                vm: name.clone(),
                alias: name,
                holder,
            });
        }
        if self.names.insert(name.clone()) {
            Ok(())
        } else {
            Err(Refusal::NameTwice { name })
        }
    }

    /// Claims a VM's other names. One that a record of the network's domain has is taken too, and so are VMs' own.
    pub(super) fn aliases(
        &mut self,
        vm: &VmName,
        network: &Network,
        aliases: &[VmName],
    ) -> Result<(), Refusal> {
        for alias in aliases {
            let own = self
                .directory
                .vm_aliased(alias)
                .is_some_and(|holder| holder.name == *vm);
            let has_record = self.has_record(network, alias, |_| true);
            let holder = if self.directory.vm(alias).is_some() || self.names.contains(alias) || alias == vm {
                Some(format!("VM {alias}"))
            } else if own {
                None
            } else {
                self.alias_holder(alias)
                    .or_else(|| has_record.then(|| format!("a DNS record of domain {}", network.domain)))
            };
            if let Some(holder) = holder {
                return Err(Refusal::AliasTaken {
                    vm: vm.clone(),
                    alias: alias.clone(),
                    holder,
                });
            }
            self.aliases.insert(alias.clone(), vm.clone());
        }
        Ok(())
    }

    /// Claims a VM's name in its network's domain: a record there that says an address, or another name, is in the way.
    pub(super) fn name_in(&self, name: &VmName, network: &Network) -> Result<(), Refusal> {
        if !self.has_record(network, name, RecordData::is_address) {
            return Ok(());
        }
        Err(Refusal::AliasTaken {
            vm: name.clone(),
            alias: name.clone(),
            holder: format!("a DNS record of domain {}", network.domain),
        })
    }

    /// Claims a VM's name and its other names in the domain of a further network of its: no VM has them, but a record may.
    pub(super) fn names_in(&self, vm: &VmName, aliases: &[VmName], network: &Network) -> Result<(), Refusal> {
        self.name_in(vm, network)?;
        let taken = aliases
            .iter()
            .find(|alias| self.has_record(network, alias, |_| true));
        taken.map_or(Ok(()), |alias| {
            Err(Refusal::AliasTaken {
                vm: vm.clone(),
                alias: alias.clone(),
                holder: format!("a DNS record of domain {}", network.domain),
            })
        })
    }

    /// Whether a name has such records in the domain, whichever of the networks that share it they were added to.
    fn has_record(&self, network: &Network, name: &VmName, such: impl Fn(&RecordData) -> bool) -> bool {
        let sharing = self
            .directory
            .networks()
            .filter(|other| other.domain == network.domain);
        sharing.into_iter().any(|other| {
            let records = self.directory.records().at(&other.name, name.as_str());
            records.iter().any(|record| such(&record.data))
        })
    }

    fn alias_holder(&self, alias: &VmName) -> Option<String> {
        let registered = self.directory.vm_aliased(alias).map(|vm| &vm.name);
        registered
            .or_else(|| self.aliases.get(alias))
            .map(|holder| format!("VM {holder}"))
    }

    /// Claims a hardware address that the user chose.
    pub(super) fn mac(&mut self, vm: &VmName, mac: MacAddress) -> Result<(), Refusal> {
        mac::check(mac).map_err(|problem| Refusal::Mac {
            vm: vm.clone(),
            problem,
        })?;
        match self.mac_holder(mac) {
            Some(holder) if holder != vm => Err(Refusal::MacTaken {
                vm: vm.clone(),
                mac,
                holder: holder.clone(),
            }),
            _ => {
                self.macs.insert(mac, vm.clone());
                Ok(())
            }
        }
    }

    /// Claims an address that the user chose.
    pub(super) fn address(
        &mut self,
        vm: &VmName,
        network: &Network,
        address: Ipv4Addr,
    ) -> Result<(), Refusal> {
        network
            .subnet
            .check(address)
            .map_err(|problem| Refusal::Address {
                vm: vm.clone(),
                problem,
            })?;
        match self.address_holder(address) {
            Some(holder) if holder != vm => Err(Refusal::AddressTaken {
                vm: vm.clone(),
                address,
                holder: holder.clone(),
            }),
            _ => {
                self.addresses.insert(address, vm.clone());
                Ok(())
            }
        }
    }

    /// Claims the lowest free address of the network's pool.
    pub(super) fn free_address(&mut self, vm: &VmName, network: &Network) -> Result<Ipv4Addr, Refusal> {
        let pool = network.pool;
        let from = self
            .cursors
            .get(&network.name)
            .copied()
            .unwrap_or_else(|| pool.first().to_bits());
        let free = (from..=pool.last().to_bits())
            .map(Ipv4Addr::from_bits)
            .find(|address| {
                network.subnet.check(*address).is_ok()
                    && self.address_holder(*address).is_none()
                    && !self.is_lent(*address)
            });
        let Some(address) = free else {
            return Err(Refusal::PoolFull {
                vm: vm.clone(),
                network: network.name.clone(),
                pool,
            });
        };
        // Nothing below is free any more: claims are only ever added.
        self.cursors
            .insert(network.name.clone(), address.to_bits().saturating_add(1));
        self.addresses.insert(address, vm.clone());
        Ok(address)
    }

    /// Claims the first of the name's derived hardware addresses that is free.
    pub(super) fn free_mac(&mut self, vm: &VmName) -> MacAddress {
        self.derived_mac(vm, |attempt| identity::mac(vm, attempt))
    }

    /// Claims the first of the derived hardware addresses of its NIC on a further network that is free.
    pub(super) fn free_nic_mac(&mut self, vm: &VmName, network: &NetworkName) -> MacAddress {
        self.derived_mac(vm, |attempt| identity::nic_mac(vm, network, attempt))
    }

    fn derived_mac(&mut self, vm: &VmName, derive: impl Fn(u32) -> MacAddress) -> MacAddress {
        let mac = first_free(derive, |mac| self.mac_holder(*mac).is_none());
        self.macs.insert(mac, vm.clone());
        mac
    }

    /// Claims the first of the name's derived taps that is free.
    pub(super) fn free_tap(&mut self, vm: &VmName) -> TapName {
        self.derived_tap(|attempt| identity::tap(vm, attempt))
    }

    /// Claims the first of the derived taps of its NIC on a further network that is free.
    pub(super) fn free_nic_tap(&mut self, vm: &VmName, network: &NetworkName) -> TapName {
        self.derived_tap(|attempt| identity::nic_tap(vm, network, attempt))
    }

    fn derived_tap(&mut self, derive: impl Fn(u32) -> TapName) -> TapName {
        let is_free = |tap: &TapName| self.directory.vm_behind(tap).is_none() && !self.taps.contains(tap);
        let tap = first_free(derive, is_free);
        self.taps.insert(tap.clone());
        tap
    }

    /// Whether a client has the address for some time yet, or found it taken: it is not chosen by itself, but whoever
    /// asks for it by name gets it.
    fn is_lent(&self, address: Ipv4Addr) -> bool {
        self.directory
            .leases()
            .at(address)
            .is_some_and(|lease| lease.expires > self.now)
    }

    fn mac_holder(&self, mac: MacAddress) -> Option<&VmName> {
        let registered = self.directory.vm_by_mac(mac).map(|vm| &vm.name);
        registered.or_else(|| self.macs.get(&mac))
    }

    fn address_holder(&self, address: Ipv4Addr) -> Option<&VmName> {
        let registered = self.directory.vm_at(address).map(|vm| &vm.name);
        registered.or_else(|| self.addresses.get(&address))
    }
}

/// The first attempt whose result is free. Each attempt is another hash, so one ends the search soon: the registry
/// can not hold the 2^32 derived MACs, nor the 2^24 derived taps that share the start of a name.
fn first_free<T>(derive: impl Fn(u32) -> T, is_free: impl Fn(&T) -> bool) -> T {
    let mut attempt = 0;
    loop {
        let candidate = derive(attempt);
        if is_free(&candidate) {
            return candidate;
        }
        attempt = attempt.wrapping_add(1);
    }
}
