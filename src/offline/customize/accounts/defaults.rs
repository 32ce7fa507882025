//! How a guest makes accounts: what useradd(8) would read of it.

use std::ops::RangeInclusive;

use super::super::draft::Draft;
use crate::offline::root::RootError;

/// What a new account is like where nothing else is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Defaults {
    /// The numbers that people's accounts have.
    pub(super) ids: RangeInclusive<u32>,
    /// The directory of the home directories.
    pub(super) homes: String,
    /// The mode of a home directory.
    pub(super) mode: u32,
    /// The login shell.
    pub(super) shell: String,
}

impl Defaults {
    /// What login.defs(5) and the files that are there say.
    pub(super) fn of(draft: &Draft<'_>) -> Result<Self, RootError> {
        let login = draft.text("/etc/login.defs")?.unwrap_or_default();
        let value = |key: &str| {
            login.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                (words.next() == Some(key)).then(|| words.next()).flatten()
            })
        };
        let number =
            |key: &str, default: u32| value(key).and_then(|text| text.parse().ok()).unwrap_or(default);
        let octal = |key: &str| value(key).and_then(|text| u32::from_str_radix(text, 8).ok());
        let umask = octal("UMASK").unwrap_or(0o022);
        Ok(Self {
            ids: number("UID_MIN", 1000)..=number("UID_MAX", 60_000),
            homes: "/home".to_owned(),
            mode: octal("HOME_MODE").unwrap_or(0o777 & !umask) & 0o777,
            shell: if draft.exists("/bin/bash") {
                "/bin/bash"
            } else {
                "/bin/sh"
            }
            .to_owned(),
        })
    }
}
