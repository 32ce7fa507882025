//! The registry in other programs' file formats: hosts(5) and OpenSSH's `known_hosts`. Pure; `files.rs` writes.

use crate::model::{Directory, Vm};

pub mod files;
#[cfg(test)]
mod fixture;
mod hosts;
mod known_hosts;

pub use files::{WriteError, Written, write_atomically};
pub use hosts::{hosts, hosts_of};
pub use known_hosts::known_hosts;

/// The names a VM goes by, the full one first.
fn names(directory: &Directory, vm: &Vm) -> (Option<String>, String) {
    let full = directory
        .network(&vm.network)
        .map(|network| format!("{}.{}", vm.name, network.domain));
    (full, vm.name.to_string())
}
