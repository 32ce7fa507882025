//! What is to be written into a VM's disk: a plan, made from its record alone and carried to the program that writes it. Pure.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::{Image, Network, Secret, User, Vm, mac};

/// Counted up when the same plan is written otherwise, so that disks which an earlier release wrote to are written to again.
const RECIPE: u32 = 1;

/// The account that is there in every system.
const ROOT: &str = "root";

/// What a VM's disk says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The short host name.
    pub hostname: String,
    /// The DNS domain.
    pub domain: String,
    /// The hardware address of its only NIC, lower case with colons.
    pub mac: String,
    /// Its SMBIOS UUID, hyphenated; the machine id and the id of its connection are made of it.
    pub uuid: String,
    /// Its SSH host key.
    pub host_key: Option<HostKeyFiles>,
    /// Its accounts, the image's own first.
    pub accounts: Vec<Account>,
    /// Whether it has a swap disk.
    pub swap: bool,
}

/// An SSH host key, as the files that sshd reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostKeyFiles {
    /// The private half, as OpenSSH stores it.
    pub private: Hidden,
    /// The public half, one line.
    pub public: String,
}

/// An account that has to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Whether it may become root without a password; `None` leaves that to the image where the account is there.
    pub sudo: Option<bool>,
    /// Groups beside its own; missing ones are made.
    pub groups: Vec<String>,
    /// Its login shell; `None` for the one it has, or the system's default.
    pub shell: Option<String>,
    /// Its password, hashed by crypt(5); `None` for the one it has, or none.
    pub password: Option<Hidden>,
    /// The keys that may log in, one line each.
    pub keys: Vec<String>,
}

/// A secret on its way into a disk: no debug output shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(Secret<String>);

impl Hidden {
    /// Hides a text.
    pub const fn of(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// The text.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Hidden {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::of)
    }
}

impl Plan {
    /// The plan of a VM with the keys that it is served, on its network and of its image.
    pub fn of(vm: &Vm, network: &Network, image: &Image) -> Self {
        let made = vm.access().and_then(|access| access.host_key.as_ref());
        let host_key = made.map(|key| HostKeyFiles {
            private: Hidden::of(key.private().expose().clone()),
            public: lines(key.public()).join("\n"),
        });
        Self {
            hostname: vm.name.to_string(),
            domain: network.domain.to_string(),
            mac: mac::text(vm.mac),
            uuid: vm.uuid.hyphenated().to_string(),
            host_key,
            accounts: accounts(vm, &image.default_user),
            swap: vm.machine().is_some_and(|machine| machine.swap.0 > 0),
        }
    }

    /// What tells it from other plans, in hexadecimal: a disk that a plan of this digest was written into is up to date.
    pub fn digest(&self) -> String {
        // A plan is text and numbers, which JSON takes.
        let text = serde_json::to_vec(&(RECIPE, self)).unwrap_or_default();
        let mut hex = String::with_capacity(64);
        for octet in Sha256::digest(text) {
            // Writing to a String can not fail.
            let _infallible = write!(hex, "{octet:02x}");
        }
        hex
    }

    /// The machine id, as machine-id(5) has it.
    pub(super) fn machine_id(&self) -> String {
        self.uuid.replace('-', "")
    }
}

/// The image's own account with the VM's keys, and the VM's accounts. One of them may be the image's own.
fn accounts(vm: &Vm, default_user: &str) -> Vec<Account> {
    let own = Account {
        name: default_user.to_owned(),
        sudo: None,
        groups: Vec::new(),
        shell: None,
        password: None,
        keys: lines(&vm.keys),
    };
    let users = vm.users().iter().map(|user| account(user, vm));
    let (same, others): (Vec<_>, Vec<_>) = users.partition(|account| account.name == own.name);
    let own = same.into_iter().next().unwrap_or(own);
    std::iter::once(own).chain(others).collect()
}

fn account(user: &User, vm: &Vm) -> Account {
    Account {
        name: user.name.to_string(),
        sudo: (user.name.as_str() != ROOT).then_some(user.sudo),
        groups: user.groups.iter().map(ToString::to_string).collect(),
        shell: user.shell.as_ref().map(ToString::to_string),
        password: user
            .password
            .as_ref()
            .map(|hash| Hidden::of(hash.expose().to_owned())),
        keys: lines(vm.keys_of(user)),
    }
}

fn lines(keys: &[crate::model::SshKey]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}
