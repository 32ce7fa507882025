//! Who is asking: the VM that is registered at the source address on that network, when the neighbour entry agrees.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::Neighbour;
use crate::model::{
    Directory, Event, EventKind, Hosting, MacAddress, Network, NetworkName, Vm, VmName, identity, mac,
};

/// Where a request came from, and whose that is.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The network whose socket accepted it.
    pub network: Arc<Network>,
    /// Its source address.
    pub source: Ipv4Addr,
    /// The VM that is there.
    pub vm: Result<Arc<Vm>, Stranger>,
}

/// Why a caller is served nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// No VM of this network has the address.
    #[error("{address} is not the address of a registered VM on network {network}")]
    Unregistered {
        /// The source address.
        address: Ipv4Addr,
        /// The network it spoke on.
        network: NetworkName,
    },
    /// The kernel has no neighbour entry for the address (any more), so nothing confirms it. It has one again after the next
    /// packet.
    #[error("{address} is {vm}'s address, but the kernel has no neighbour entry that confirms it: ask again")]
    Unconfirmed {
        /// The source address.
        address: Ipv4Addr,
        /// Who is registered there.
        vm: VmName,
    },
    /// Someone else speaks from the address.
    #[error("{address} is {vm}'s address and belongs to {}, but {} speaks from it", mac::text(*registered), mac::text(*seen))]
    Impostor {
        /// The source address.
        address: Ipv4Addr,
        /// Who is registered there.
        vm: VmName,
        /// The hardware address it is registered with.
        registered: MacAddress,
        /// The hardware address that speaks.
        seen: MacAddress,
    },
    /// It came in by another port than that of the VM at that address.
    #[error("{address} is {vm}'s address, but what speaks from it came in by another port than {vm}'s")]
    OtherPort {
        /// The source address.
        address: Ipv4Addr,
        /// Who is registered there.
        vm: VmName,
    },
    /// The right hardware address speaks, but not through the VM's own tap: a VM we run has a permanent entry while it runs.
    #[error(
        "{address} is {vm}'s address, and {vm} does not run under Seedbed's guard now: someone else may have taken its addresses"
    )]
    Unguarded {
        /// The source address.
        address: Ipv4Addr,
        /// Who is registered there.
        vm: VmName,
    },
}

impl Stranger {
    /// What it means for the VM whose address it is: somebody else has it, or may have it.
    pub fn event(&self) -> Option<Event> {
        let vm = match self {
            Self::Unregistered { .. } | Self::Unconfirmed { .. } => return None,
            Self::Impostor { vm, .. } | Self::OtherPort { vm, .. } | Self::Unguarded { vm, .. } => vm.clone(),
        };
        let why = self.to_string();
        Some(Event {
            vm,
            kind: EventKind::Impersonated { why },
        })
    }
}

/// How sure it is by which port a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The packet that opened it had this mark.
    Marked(u32),
    /// This kernel does not say.
    Unknown,
}

/// Finds the VM behind a source address of a network: by whichever of its NICs it asks, it is the same VM.
///
/// The port is asked first: what came in by a tap of ours has the mark of that tap's VM, which nothing in a packet can forge,
/// and a VM that Seedbed runs speaks by its own tap only.
///
/// Then both must agree: the address is registered on this network, and the kernel's neighbour entry for it is the VM's hardware
/// address. A guest that takes another's address is refused, and what it asks for is not served.
///
/// Of a VM that Seedbed runs, the entry must be permanent: it is made when the VM's tap is guarded and removed when it
/// stops, and while it is there the packet filter lets nobody else use the VM's addresses. Without it any unguarded port
/// (an external VM, an enslaved network card) could take both and read the documents of a VM that is stopped. An external
/// VM has no tap of ours; what confirms it is its hardware address alone.
pub fn identify(
    directory: &Directory,
    network: &Network,
    source: Ipv4Addr,
    neighbour: Option<Neighbour>,
    port: Port,
) -> Result<Arc<Vm>, Stranger> {
    let (vm, nic) = directory
        .vm_at(source)
        .and_then(|vm| Some((vm, vm.nic_at(source)?)))
        .filter(|(_, nic)| *nic.network == network.name)
        .ok_or_else(|| Stranger::Unregistered {
            address: source,
            network: network.name.clone(),
        })?;
    let (address, name) = (source, || vm.name.clone());
    if let Port::Marked(mark) = port {
        match (identity::mark_in(mark), &vm.hosting) {
            // What someone else runs may be behind a port that is guarded as a tap of ours is.
            (Some(tap), _) if tap == identity::mark(nic.address) => {}
            (None, Hosting::External) => {}
            // A daemon of an earlier release left tables that mark nothing; ours are there in a moment.
            (None, Hosting::Managed(_)) => return Err(Stranger::Unguarded { address, vm: name() }),
            (Some(_), _) => return Err(Stranger::OtherPort { address, vm: name() }),
        }
    }
    match neighbour {
        None => Err(Stranger::Unconfirmed { address, vm: name() }),
        Some(entry) if entry.mac != nic.mac => Err(Stranger::Impostor {
            address,
            vm: name(),
            registered: nic.mac,
            seen: entry.mac,
        }),
        Some(entry) => match vm.hosting {
            Hosting::Managed(_) if !entry.permanent => Err(Stranger::Unguarded { address, vm: name() }),
            Hosting::Managed(_) | Hosting::External => Ok(Arc::clone(vm)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::examples;
    use crate::seed::tests::{network, vm};

    fn directory() -> (Directory, Network) {
        let network = network("10.77.0.1/24");
        let mut directory = Directory::of([network.clone()]);
        directory.put_vm(Arc::new(managed("web1", "10.77.0.5")));
        directory.put_vm(Arc::new(managed("web2", "10.77.0.6")));
        directory.put_vm(Arc::new(vm("db1", "10.77.0.7")));
        (directory, network)
    }

    fn managed(name: &str, address: &str) -> Vm {
        Vm {
            hosting: Hosting::from(examples::machine()),
            ..vm(name, address)
        }
    }

    /// The entry of a VM whose tap is guarded.
    fn permanent(mac: MacAddress) -> Neighbour {
        Neighbour { mac, permanent: true }
    }

    /// An entry that the kernel learnt from ARP.
    fn learnt(mac: MacAddress) -> Neighbour {
        Neighbour {
            mac,
            permanent: false,
        }
    }

    fn asked(source: &str, neighbour: Option<Neighbour>) -> Result<String, Stranger> {
        asked_by(source, neighbour, Port::Unknown)
    }

    fn asked_by(source: &str, neighbour: Option<Neighbour>, port: Port) -> Result<String, Stranger> {
        let (directory, network) = directory();
        let source = source.parse().unwrap();
        identify(&directory, &network, source, neighbour, port).map(|vm| vm.name.to_string())
    }

    #[test]
    fn a_vm_of_ours_speaks_by_its_own_tap_and_by_no_other() {
        let mac = vm("web1", "10.77.0.5").mac;
        let by = |mark| asked_by("10.77.0.5", Some(permanent(mac)), Port::Marked(mark));
        assert_eq!(by(identity::mark([10, 77, 0, 5].into())), Ok("web1".to_owned()));
        assert_eq!(
            by(identity::mark([10, 77, 0, 5].into()) | 0x4000),
            Ok("web1".to_owned())
        );
        let refused = by(identity::mark([10, 77, 0, 6].into())).unwrap_err();
        assert!(matches!(refused, Stranger::OtherPort { .. }), "{refused}");
        let event = refused.event().unwrap();
        assert!(event.vm.as_str() == "web1" && matches!(event.kind, EventKind::Impersonated { .. }));
        assert!(matches!(by(0), Err(Stranger::Unguarded { .. })));
        assert!(matches!(by(0x4000), Err(Stranger::Unguarded { .. })));
        // One that someone else runs is behind none of our taps, or behind a port of its own that is guarded.
        let mac = vm("db1", "10.77.0.7").mac;
        let by = |mark| asked_by("10.77.0.7", Some(learnt(mac)), Port::Marked(mark));
        assert_eq!((by(0), by(0x4000)), (Ok("db1".to_owned()), Ok("db1".to_owned())));
        assert_eq!(by(identity::mark([10, 77, 0, 7].into())), Ok("db1".to_owned()));
        assert!(matches!(
            by(identity::mark([10, 77, 0, 5].into())),
            Err(Stranger::OtherPort { .. })
        ));
    }

    #[test]
    fn a_vm_is_known_by_its_address_and_its_neighbour_entry() {
        let mac = vm("web1", "10.77.0.5").mac;
        assert_eq!(asked("10.77.0.5", Some(permanent(mac))), Ok("web1".to_owned()));
    }

    #[test]
    fn whoever_takes_both_addresses_of_a_vm_that_does_not_run_is_refused() {
        let mac = vm("web1", "10.77.0.5").mac;
        let refused = asked("10.77.0.5", Some(learnt(mac))).unwrap_err();
        assert!(matches!(refused, Stranger::Unguarded { .. }), "{refused}");
    }

    #[test]
    fn an_external_vm_is_known_by_its_hardware_address_however_it_was_learnt() {
        let mac = vm("db1", "10.77.0.7").mac;
        for entry in [learnt(mac), permanent(mac)] {
            assert_eq!(asked("10.77.0.7", Some(entry)), Ok("db1".to_owned()));
        }
        let web2 = vm("web2", "10.77.0.6").mac;
        let refused = asked("10.77.0.7", Some(learnt(web2))).unwrap_err();
        assert!(matches!(refused, Stranger::Impostor { .. }), "{refused}");
    }

    #[test]
    fn a_guest_that_takes_anothers_address_is_refused() {
        let web2 = vm("web2", "10.77.0.6").mac;
        for entry in [learnt(web2), permanent(web2)] {
            let refused = asked("10.77.0.5", Some(entry)).unwrap_err();
            assert!(matches!(refused, Stranger::Impostor { .. }), "{refused}");
        }
    }

    #[test]
    fn an_address_nothing_confirms_is_refused() {
        assert!(matches!(
            asked("10.77.0.5", None),
            Err(Stranger::Unconfirmed { .. })
        ));
    }

    #[test]
    fn an_address_that_is_not_registered_is_refused() {
        let mac = vm("web1", "10.77.0.5").mac;
        for source in ["10.77.0.9", "10.77.0.1", "127.0.0.1"] {
            assert!(
                matches!(
                    asked(source, Some(permanent(mac))),
                    Err(Stranger::Unregistered { .. })
                ),
                "{source}"
            );
        }
    }

    #[test]
    fn a_vm_is_itself_by_each_of_its_nics_and_only_on_its_network_and_by_its_tap() {
        let (mut directory, lab) = directory();
        let back = Network {
            name: "back".parse().unwrap(),
            ..network("10.78.0.1/24")
        };
        let web3 = examples::with_nic(managed("web3", "10.77.0.9"), "back", "10.78.0.9");
        let (first, second) = (web3.mac, web3.more_nics()[0].mac);
        directory.put_vm(Arc::new(web3));
        let mark = |octets: [u8; 4]| Port::Marked(identity::mark(octets.into()));
        let at = |network: &Network, address: [u8; 4], mac, port| {
            let found = identify(&directory, network, address.into(), Some(permanent(mac)), port);
            found.map(|vm| vm.name.to_string())
        };
        let web3 = Ok("web3".to_owned());
        assert_eq!(at(&lab, [10, 77, 0, 9], first, mark([10, 77, 0, 9])), web3);
        assert_eq!(at(&back, [10, 78, 0, 9], second, mark([10, 78, 0, 9])), web3);
        assert!(matches!(
            at(&lab, [10, 78, 0, 9], second, Port::Unknown),
            Err(Stranger::Unregistered { .. })
        ));
        assert!(matches!(
            at(&back, [10, 78, 0, 9], first, Port::Unknown),
            Err(Stranger::Impostor { .. })
        ));
        assert!(matches!(
            at(&back, [10, 78, 0, 9], second, mark([10, 77, 0, 9])),
            Err(Stranger::OtherPort { .. })
        ));
    }

    #[test]
    fn a_vm_of_another_network_is_a_stranger_on_this_one() {
        let (mut directory, network) = directory();
        let mut elsewhere = vm("db2", "10.77.0.8");
        elsewhere.network = "other".parse().unwrap();
        let mac = elsewhere.mac;
        directory.put_vm(Arc::new(elsewhere));
        let found = identify(
            &directory,
            &network,
            "10.77.0.8".parse().unwrap(),
            Some(permanent(mac)),
            Port::Unknown,
        );
        assert!(matches!(found, Err(Stranger::Unregistered { .. })));
    }
}
