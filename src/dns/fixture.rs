//! A small directory for the tests of this folder.

use std::sync::Arc;

use crate::model::{Directory, Network, Revision, Vm, examples};

pub(super) fn network(name: &str, subnet: &str, domain: &str) -> Network {
    Network {
        bridge: name.parse().unwrap(),
        domain: domain.parse().unwrap(),
        ..examples::network(name, subnet)
    }
}

pub(super) fn vm(name: &str, network: &str, address: &str) -> Arc<Vm> {
    Arc::new(Vm {
        network: network.parse().unwrap(),
        ..examples::vm(name, address)
    })
}

/// Two networks, one VM on each.
pub(super) fn lab() -> Directory {
    let mut directory = Directory::of([
        network("br0", "10.77.0.1/24", "lab"),
        network("dmz", "10.78.0.1/16", "dmz.lab"),
    ]);
    directory.put_vm(vm("web1", "br0", "10.77.0.10"));
    directory.put_vm(vm("mx", "dmz", "10.78.5.10"));
    directory.set_revision(Revision(7));
    directory
}
