//! What may be set for a VM alone, as it is written.

use serde::{Deserialize, Serialize};

use crate::model::Secret;

/// What may be set for a VM alone: what is `None` is as its network says or, in a change, stays; an empty list, or an
/// empty text, is as its network says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomSettings {
    /// Other names, for one VM.
    pub aliases: Option<Vec<String>>,
    /// Name servers.
    pub dns: Option<Vec<String>>,
    /// Time servers.
    pub ntp: Option<Vec<String>>,
    /// The search list.
    pub search: Option<Vec<String>>,
    /// Interface MTU.
    pub mtu: Option<String>,
    /// Routes beside the default route: `192.168.0.0/16=10.77.0.9`.
    pub routes: Option<Vec<String>>,
    /// Other DHCP options: `150: ip 10.77.0.5`.
    pub options: Option<Vec<String>>,
    /// What is booted from the network: an image, or a URL.
    pub boot: Option<String>,
    /// Whose VM it is.
    pub owner: Option<String>,
    /// Names of keys in the key ring.
    pub ring: Option<Vec<String>>,
    /// Accounts beside the image's own.
    pub users: Option<Vec<WrittenUser>>,
    /// Values that the VM is told in confidence, by name; none takes a name away.
    #[serde(default)]
    pub secrets: Vec<(String, Option<Concealed>)>,
    /// Whether all of its user-data is told in confidence.
    #[serde(default)]
    pub secret_user_data: Option<bool>,
    /// What becomes of its instance-id when what it is told is changed: `keep` or `content`.
    #[serde(default)]
    pub instance_id: Option<String>,
    /// Whether it is told who it is by being written to before it starts, whatever view its image has.
    #[serde(default)]
    pub offline: Option<bool>,
}

/// An account, with the words of cloud-init's `users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenUser {
    /// Its name.
    pub name: String,
    /// Whether it may become root without a password.
    #[serde(default)]
    pub sudo: bool,
    /// Groups beside its own.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Its login shell.
    #[serde(default)]
    pub shell: Option<String>,
    /// Its password, hashed by crypt(5).
    #[serde(default)]
    pub hashed_passwd: Option<Concealed>,
    /// The keys that may log in to it; with none, those of the VM.
    #[serde(default)]
    pub ssh_authorized_keys: Vec<String>,
}

/// A secret on its way to the daemon: written to the socket, and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concealed(Secret<String>);

impl Concealed {
    /// Conceals a text.
    pub const fn of(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// The text.
    pub const fn expose(&self) -> &String {
        self.0.expose()
    }
}

impl Serialize for Concealed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Concealed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::of)
    }
}
