//! SSH public keys as they stand in an `authorized_keys` line.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use base64ct::{Base64, Base64Unpadded, Encoding as _};
use sha2::{Digest as _, Sha256};

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

    /// What tells it from all others: its type and its data, without the comment.
    pub fn data(&self) -> &str {
        let end = self
            .0
            .match_indices(' ')
            .nth(1)
            .map_or(self.0.len(), |(end, _)| end);
        self.0.get(..end).unwrap_or_default()
    }

    /// What its holder calls it; may be empty.
    pub fn comment(&self) -> &str {
        self.0.splitn(3, ' ').nth(2).unwrap_or_default()
    }

    /// The SHA-256 of its data (RFC 4253 §6.6), which is its fingerprint; `None` when the data is not base64 after all.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        let data = Base64::decode_vec(self.0.split(' ').nth(1)?).ok()?;
        Some(Sha256::digest(data).into())
    }

    /// The fingerprint as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.sha256().map_or_else(
            || "unreadable".to_owned(),
            |sha256| format!("SHA256:{}", Base64Unpadded::encode_string(&sha256)),
        )
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

/// What DNS tells of a host key (SSHFP, RFC 4255): its SHA-256, fingerprint type 2 (RFC 6594). There is no SHA-1 beside it
/// (type 1): whoever reads only that should not trust what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sshfp {
    /// The key's algorithm: 1 is RSA, 3 ECDSA (RFC 6594), 4 Ed25519 (RFC 7479).
    pub algorithm: u8,
    /// The fingerprint.
    pub sha256: [u8; 32],
}

impl Sshfp {
    /// The fingerprint type SHA-256.
    pub const TYPE: u8 = 2;

    /// What is told of a key; nothing of one that no host can have.
    pub fn of(key: &SshKey) -> Option<Self> {
        let algorithm = match key.kind() {
            "ssh-rsa" => 1,
            "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => 3,
            "ssh-ed25519" => 4,
            _ => return None,
        };
        let sha256 = key.sha256()?;
        Some(Self { algorithm, sha256 })
    }
}

impl fmt::Display for Sshfp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.algorithm, Self::TYPE)?;
        self.sha256.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
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
    fn a_key_has_data_a_comment_and_the_fingerprint_that_ssh_keygen_prints() {
        let folder = tempfile::tempdir().unwrap();
        for (kind, bits, algorithm) in [("ed25519", "256", 4), ("ecdsa", "384", 3), ("rsa", "2048", 1)] {
            let path = folder.path().join(kind);
            let made = std::process::Command::new("ssh-keygen")
                .args(["-q", "-t", kind, "-b", bits, "-N", "", "-C", "two words", "-f"])
                .arg(&path)
                .status();
            assert!(made.unwrap().success());
            let public = path.with_extension("pub");
            let key: SshKey = std::fs::read_to_string(&public).unwrap().parse().unwrap();
            assert_eq!(format!("{} {}", key.data(), key.comment()), key.as_str());
            assert_eq!(key.comment(), "two words");
            let record = std::process::Command::new("ssh-keygen")
                .args(["-r", "host", "-f"])
                .arg(&public)
                .output()
                .unwrap();
            let record = String::from_utf8(record.stdout).unwrap();
            let ours = Sshfp::of(&key).unwrap();
            assert_eq!(ours.algorithm, algorithm);
            assert!(
                record.lines().any(|line| line == format!("host IN SSHFP {ours}")),
                "{record}"
            );
            let listed = std::process::Command::new("ssh-keygen")
                .arg("-lf")
                .arg(&public)
                .output()
                .unwrap();
            let listed = String::from_utf8(listed.stdout).unwrap();
            assert!(listed.contains(&format!(" {} ", key.fingerprint())), "{listed}");
        }
    }

    #[test]
    fn a_key_without_a_comment_is_its_data() {
        let key: SshKey = KEY.strip_suffix(" ops@lab").unwrap().parse().unwrap();
        assert_eq!((key.data(), key.comment()), (key.as_str(), ""));
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
