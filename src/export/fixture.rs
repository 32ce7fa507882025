//! A small directory for the tests of this folder.

use std::sync::Arc;

use crate::model::{Custom, Directory, HostKey, SiteSecret, Vm, examples};

/// One wide network without VMs.
pub(super) fn lab() -> Directory {
    Directory::of([examples::network("lab", "10.77.0.1/8")])
}

pub(super) fn vm(name: &str, address: &str) -> Arc<Vm> {
    Arc::new(examples::vm(name, address))
}

/// A VM whose host key was made here.
pub(super) fn with_host_key(name: &str, address: &str) -> Arc<Vm> {
    let vm = examples::vm(name, address);
    let mut custom = Custom::default();
    custom.access.host_key = Some(HostKey::derive(&SiteSecret::of([7; 32]), vm.uuid));
    Arc::new(Vm {
        custom: custom.boxed(),
        ..vm
    })
}

pub(super) fn with_aliases(name: &str, address: &str, aliases: &[&str]) -> Arc<Vm> {
    let aliases = aliases.iter().map(|alias| alias.parse().unwrap()).collect();
    let custom = Custom {
        aliases,
        ..Custom::default()
    };
    Arc::new(Vm {
        custom: custom.boxed(),
        ..examples::vm(name, address)
    })
}
