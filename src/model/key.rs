//! SSH public keys as they stand in an `authorized_keys` line.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

/// One SSH public key: type, base64 blob and an optional comment, on one line and without options.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SshKey(Arc<str>);

/// Keys that belong together. A clone is the same list: VMs that were registered together hold it once, in one word each.
#[derive(Clone, PartialEq, Eq)]
pub struct SshKeys(Arc<Vec<SshKey>>);

/// Why a text is not an SSH public key that a VM may be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is a private key.
    #[error("that is a private key; give the public half, usually the file of the same name with .pub")]
    Private,
    /// The first word is no key type: options such as `command=` would change what the key allows.
    #[error(
        "`{0}` is not an SSH key type; a key line starts with ssh-ed25519, ssh-rsa, ecdsa-sha2-... or sk-..."
    )]
    Type(String),
    /// The blob is not base64 of a key of that type.
    #[error("the key data after `{0}` is not a key of that type: was the line cut?")]
    Blob(String),
    /// More than one line, or control characters.
    #[error("an SSH key is one line of printable text")]
    Line,
    /// Longer than any real key.
    #[error("the key line has {0} bytes; at most 16384 are allowed")]
    TooLong(usize),
}

const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

impl SshKey {
    /// The key line.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's type, such as `ssh-ed25519`.
    pub fn kind(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }
}

impl FromStr for SshKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.len() > 16_384 {
            return Err(KeyError::TooLong(text.len()));
        }
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        if text.chars().any(char::is_control) {
            return Err(KeyError::Line);
        }
        let mut words = text.split_ascii_whitespace();
        let kind = words.next().unwrap_or_default();
        if !TYPES.contains(&kind) {
            return Err(KeyError::Type(kind.escape_debug().take(40).collect()));
        }
        let blob = words.next().unwrap_or_default();
        if !blob_is_of(kind, blob) {
            return Err(KeyError::Blob(kind.to_owned()));
        }
        let comment = words.collect::<Vec<_>>().join(" ");
        Ok(Self(Arc::from(format!("{kind} {blob} {comment}").trim_end())))
    }
}

/// Whether the base64 blob starts with the key type as an SSH string (RFC 4253 §6.6): a cut or mixed-up line does not.
fn blob_is_of(kind: &str, blob: &str) -> bool {
    let alphabet = blob
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
    if !alphabet || blob.len() < 32 || !blob.len().is_multiple_of(4) {
        return false;
    }
    let mut start = u32::try_from(kind.len())
        .unwrap_or_default()
        .to_be_bytes()
        .to_vec();
    start.extend(kind.bytes());
    // Whole groups of three octets become four characters; what is left over shares one with the data behind it.
    let whole = start.len() / 3 * 3;
    start.truncate(whole);
    blob.starts_with(&base64(&start))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextet =
        |group: u32, shift: u32| char::from(*ALPHABET.get((group >> shift & 63) as usize).unwrap_or(&b'A'));
    bytes
        .chunks_exact(3)
        .flat_map(|chunk| {
            let group = chunk.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
            [
                sextet(group, 18),
                sextet(group, 12),
                sextet(group, 6),
                sextet(group, 0),
            ]
        })
        .collect()
}

impl Default for SshKeys {
    /// No keys: one empty list for all, because most records of a roster have none.
    fn default() -> Self {
        static NONE: LazyLock<Arc<Vec<SshKey>>> = LazyLock::new(Arc::default);
        Self(Arc::clone(&NONE))
    }
}

impl Deref for SshKeys {
    type Target = [SshKey];

    fn deref(&self) -> &[SshKey] {
        self.0.as_slice()
    }
}

impl From<Vec<SshKey>> for SshKeys {
    fn from(keys: Vec<SshKey>) -> Self {
        if keys.is_empty() {
            return Self::default();
        }
        Self(Arc::new(keys))
    }
}

impl FromIterator<SshKey> for SshKeys {
    fn from_iter<T: IntoIterator<Item = SshKey>>(keys: T) -> Self {
        keys.into_iter().collect::<Vec<_>>().into()
    }
}

impl fmt::Debug for SshKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ ops@lab";

    #[test]
    fn a_key_line_is_kept_as_it_is() {
        assert_eq!(format!("  {KEY}\n").parse::<SshKey>().unwrap().as_str(), KEY);
    }

    #[test]
    fn options_second_lines_private_and_cut_keys_are_refused() {
        for bad in [
            "",
            "hello",
            "command=\"rm -rf /\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ",
            &format!("{KEY}\n{KEY}"),
            "-----BEGIN OPENSSH PRIVATE KEY-----\nabc",
            "ssh-ed25519 AAAAC3Nza",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ",
            &format!("ssh-rsa {}", "A".repeat(20_000)),
        ] {
            assert!(bad.parse::<SshKey>().is_err(), "{bad:?} was accepted");
        }
    }
}
