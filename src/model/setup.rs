//! What a guest is set up with once in an instance's life, and what of that a change of its record touches.

use std::fmt;

use super::name::{KeyName, NetworkName, OwnerName, SecretName};
use super::secret::Secret;
use super::vm::Vm;

/// A part of what cloud-init does once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetUp {
    /// The user's user-data.
    UserData,
    /// The template.
    Template,
    /// Accounts beside the image's own.
    Accounts,
    /// What it is told in confidence by name.
    Secrets,
    /// Its hardware address: cloud-init ties the guest's network to the one it finds in its first boot.
    Mac,
    /// Who may log in. Guests whose sshd asks for keys learn of new ones sooner.
    Keys,
    /// How many NICs it has: cloud-init sets those up that it finds in its first boot.
    Nics,
}

impl SetUp {
    /// What differs between two states of one VM's record.
    pub fn differing(old: &Vm, new: &Vm) -> Vec<Self> {
        let all = [
            (Self::UserData, old.user_data != new.user_data),
            (Self::Template, old.template != new.template),
            (Self::Accounts, old.users() != new.users()),
            (Self::Secrets, named(old).ne(named(new))),
            (Self::Mac, old.mac != new.mac),
            (
                Self::Keys,
                old.keys != new.keys || owner(old) != owner(new) || ring(old).ne(ring(new)),
            ),
            (Self::Nics, networks(old).ne(networks(new))),
        ];
        let differs = |(part, differs): (Self, bool)| differs.then_some(part);
        all.into_iter().filter_map(differs).collect()
    }
}

fn networks(vm: &Vm) -> impl Iterator<Item = &NetworkName> {
    vm.nics().map(|nic| nic.network)
}

fn owner(vm: &Vm) -> Option<&OwnerName> {
    vm.access()?.owner.as_ref()
}

fn ring(vm: &Vm) -> impl Iterator<Item = &KeyName> {
    vm.access().into_iter().flat_map(|access| &access.ring)
}

fn named(vm: &Vm) -> impl Iterator<Item = (&SecretName, &Option<Secret<String>>)> {
    vm.secrets().into_iter().flat_map(|secrets| &secrets.named)
}

impl fmt::Display for SetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserData => "user-data",
            Self::Template => "template",
            Self::Accounts => "accounts",
            Self::Secrets => "secrets",
            Self::Mac => "hardware address",
            Self::Keys => "keys",
            Self::Nics => "NICs",
        })
    }
}
