//! What many records have in common: read once while the registry is loaded, and then shared by all that hold it.
//!
//! 50,000 VMs are on few networks, from few templates and images, and for few sets of keys. Each of those texts is
//! checked and stored at its first record only.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher as _;
use std::str::FromStr;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::record::StoredImage;
use super::record::{RecordError, TextV1, field, keys};
use crate::model::{NetworkName, SshKey, SshKeys, TemplateName};

/// What the records that were read so far have in common.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) networks: Names<NetworkName>,
    pub(super) images: Names<StoredImage>,
    pub(super) templates: Names<TemplateName>,
    pub(super) keys: KeyLists,
}

/// Names by their text.
#[derive(Debug)]
pub(super) struct Names<Name>(HashMap<Box<str>, Name>);

impl<Name> Default for Names<Name> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<Name: FromStr<Err: fmt::Display> + Clone> Names<Name> {
    /// The name in this field.
    pub(super) fn of(&mut self, name: &'static str, text: &TextV1<'_>) -> Result<Name, RecordError> {
        if let Some(known) = self.0.get(text.as_str()) {
            return Ok(known.clone());
        }
        let read: Name = field(name, text.as_str())?;
        self.0.insert(text.as_str().into(), read.clone());
        Ok(read)
    }
}

/// Lists of keys, with the hash of their texts.
#[derive(Debug, Default)]
pub(super) struct KeyLists {
    known: HashTable<(u64, SshKeys)>,
    hasher: DefaultHashBuilder,
}

impl KeyLists {
    /// The keys in this field.
    pub(super) fn of(&mut self, name: &'static str, stored: &[TextV1<'_>]) -> Result<SshKeys, RecordError> {
        let Self { known, hasher } = self;
        let texts: Vec<&str> = stored.iter().map(TextV1::as_str).collect();
        let hash = hasher.hash_one(&texts);
        let same = |(_, keys): &(u64, SshKeys)| keys.iter().map(SshKey::as_str).eq(texts.iter().copied());
        if let Some((_, keys)) = known.find(hash, same) {
            return Ok(keys.clone());
        }
        let read = keys(name, stored)?;
        known.insert_unique(hash, (hash, read.clone()), |(hash, _)| *hash);
        Ok(read)
    }
}
