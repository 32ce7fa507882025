//! The stored forms since schema 3: who may enter a VM, the key ring, and the site's own secret.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{RecordError, TextV1, error, field, keys};
use crate::model::{
    Access, HostKey, KeyName, PasswordHash, RingKey, Secret, SecretName, Secrets, Shell, SiteSecret, SshKey,
    SshKeys, Timestamp, User, VmName,
};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::registry) struct AccessV3 {
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ring: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    users: Vec<UserV3>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_key: Option<HexV3>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserV3 {
    name: String,
    #[serde(default, skip_serializing_if = "super::network::is_false")]
    sudo: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shell: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<SecretV3>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
}

/// A text that no debug output shows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SecretV3(Secret<String>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::registry) struct SecretsV3 {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    named: BTreeMap<String, SecretV3>,
    #[serde(skip_serializing_if = "super::network::is_false")]
    user_data: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<u64>,
}

/// 32 octets as hexadecimal digits, that no debug output shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::registry) struct HexV3(SecretV3);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry) struct RingKeyV3 {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    keys: Vec<String>,
    source: String,
    added: u64,
}

/// How many times a name was given a new identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry) struct IdentityV3 {
    name: String,
    renewals: u32,
}

impl Serialize for SecretV3 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for SecretV3 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

impl From<&[u8; 32]> for HexV3 {
    fn from(octets: &[u8; 32]) -> Self {
        let mut hex = String::with_capacity(64);
        for octet in octets {
            // Writing to a String can not fail.
            let _infallible = write!(hex, "{octet:02x}");
        }
        Self(SecretV3(Secret::new(hex)))
    }
}

impl HexV3 {
    fn octets(&self, name: &'static str) -> Result<[u8; 32], RecordError> {
        let mut octets = [0; 32];
        let digits = self.0.0.expose().as_bytes();
        let mut pairs = digits.chunks(2).map(super::octet);
        for octet in &mut octets {
            let next = pairs.next().flatten();
            *octet = next.ok_or_else(|| error(name, &"not 64 hexadecimal digits"))?;
        }
        match pairs.next() {
            None => Ok(octets),
            Some(_) => Err(error(name, &"more than 64 hexadecimal digits")),
        }
    }
}

/// The name that the site's secret is stored under.
pub(in crate::registry) const SITE_SECRET: &str = "ssh-host-keys";

impl From<&SiteSecret> for HexV3 {
    fn from(secret: &SiteSecret) -> Self {
        Self::from(secret.expose())
    }
}

impl TryFrom<HexV3> for SiteSecret {
    type Error = RecordError;

    fn try_from(stored: HexV3) -> Result<Self, RecordError> {
        stored.octets(SITE_SECRET).map(Self::of)
    }
}

fn lines(keys: &SshKeys) -> Vec<String> {
    keys.iter().map(SshKey::to_string).collect()
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn fields<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &'static str,
    stored: &[String],
) -> Result<Vec<T>, RecordError> {
    stored.iter().map(|text| field(name, text)).collect()
}

fn read_keys(name: &'static str, stored: &[String]) -> Result<SshKeys, RecordError> {
    let lines: Vec<_> = stored.iter().map(|line| TextV1::of(line)).collect();
    keys(name, &lines)
}

impl From<&Access> for AccessV3 {
    fn from(access: &Access) -> Self {
        let Access {
            owner,
            ring,
            users,
            host_key,
        } = access;
        Self {
            owner: owner.as_ref().map(ToString::to_string),
            ring: texts(ring),
            users: users.iter().map(UserV3::from).collect(),
            host_key: host_key.as_ref().map(|key| HexV3::from(key.expose_seed())),
        }
    }
}

impl TryFrom<AccessV3> for Access {
    type Error = RecordError;

    fn try_from(stored: AccessV3) -> Result<Self, RecordError> {
        Ok(Self {
            owner: stored
                .owner
                .map(|owner| field("access.owner", &owner))
                .transpose()?,
            ring: fields("access.ring", &stored.ring)?,
            users: stored
                .users
                .into_iter()
                .map(User::try_from)
                .collect::<Result<_, _>>()?,
            host_key: stored
                .host_key
                .map(|key| key.octets("access.host_key").map(HostKey::of_seed))
                .transpose()?,
        })
    }
}

impl From<&Secrets> for SecretsV3 {
    fn from(secrets: &Secrets) -> Self {
        let Secrets {
            named,
            user_data,
            released,
        } = secrets;
        // A record has the value of each: without one they are on their way to a guest only.
        let kept = |(name, value): (&SecretName, &Option<Secret<String>>)| {
            Some((name.to_string(), SecretV3(value.clone()?)))
        };
        Self {
            named: named.iter().filter_map(kept).collect(),
            user_data: *user_data,
            released: released.map(|at| at.0),
        }
    }
}

impl TryFrom<SecretsV3> for Secrets {
    type Error = RecordError;

    fn try_from(stored: SecretsV3) -> Result<Self, RecordError> {
        let read = |(name, value): (String, SecretV3)| Ok((field("secrets.named", &name)?, Some(value.0)));
        Ok(Self {
            named: stored.named.into_iter().map(read).collect::<Result<_, _>>()?,
            user_data: stored.user_data,
            released: stored.released.map(Timestamp),
        })
    }
}

impl From<&User> for UserV3 {
    fn from(user: &User) -> Self {
        let User {
            name,
            sudo,
            groups,
            shell,
            password,
            keys,
        } = user;
        let secret = |hash: &PasswordHash| SecretV3(Secret::new(hash.expose().to_owned()));
        Self {
            name: name.to_string(),
            sudo: *sudo,
            groups: texts(groups),
            shell: shell.as_ref().map(ToString::to_string),
            password: password.as_ref().map(secret),
            keys: lines(keys),
        }
    }
}

impl TryFrom<UserV3> for User {
    type Error = RecordError;

    fn try_from(stored: UserV3) -> Result<Self, RecordError> {
        let hash = |text: SecretV3| field("access.users.password", text.0.expose());
        Ok(Self {
            name: field("access.users.name", &stored.name)?,
            sudo: stored.sudo,
            groups: fields("access.users.groups", &stored.groups)?,
            shell: stored
                .shell
                .map(|shell| field::<Shell>("access.users.shell", &shell))
                .transpose()?,
            password: stored.password.map(hash).transpose()?,
            keys: read_keys("access.users.keys", &stored.keys)?,
        })
    }
}

impl From<&RingKey> for RingKeyV3 {
    fn from(key: &RingKey) -> Self {
        let RingKey {
            name,
            owner,
            keys,
            source,
            added,
        } = key;
        Self {
            name: name.to_string(),
            owner: owner.as_ref().map(ToString::to_string),
            keys: lines(keys),
            source: source.to_string(),
            added: added.0,
        }
    }
}

impl TryFrom<RingKeyV3> for RingKey {
    type Error = RecordError;

    fn try_from(stored: RingKeyV3) -> Result<Self, RecordError> {
        Ok(Self {
            name: field::<KeyName>("name", &stored.name)?,
            owner: stored.owner.map(|owner| field("owner", &owner)).transpose()?,
            keys: read_keys("keys", &stored.keys)?,
            source: stored.source.into(),
            added: Timestamp(stored.added),
        })
    }
}

impl From<(&VmName, u32)> for IdentityV3 {
    fn from((name, renewals): (&VmName, u32)) -> Self {
        Self {
            name: name.to_string(),
            renewals,
        }
    }
}

impl TryFrom<IdentityV3> for (VmName, u32) {
    type Error = RecordError;

    fn try_from(stored: IdentityV3) -> Result<Self, RecordError> {
        Ok((field("name", &stored.name)?, stored.renewals))
    }
}
