//! SSH host keys that are made here and given to a VM, so that everybody knows them before it boots.
//!
//! A key is derived (HKDF, RFC 5869) from the site's secret and the VM's identity: the VM that is deleted and registered
//! again under its name is the same host to every `ssh`, and nothing has to be kept of the one that was deleted.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use ssh_key::{LineEnding, PrivateKey};
use uuid::Uuid;

use super::key::SshKeys;
use super::secret::Secret;

/// Who makes a VM's SSH host keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostKeyPolicy {
    /// The VM, at its first boot; it reports the public halves when it phones home. No private key leaves it.
    #[default]
    Reported,
    /// Seedbed, when the VM is registered; cloud-init puts them in place.
    Generated,
}

impl HostKeyPolicy {
    /// All policies.
    pub const ALL: [Self; 2] = [Self::Reported, Self::Generated];

    /// The word for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Generated => "generated",
        }
    }
}

/// What the host keys of a site are derived from. It is made once, at random, and kept in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSecret(Secret<[u8; 32]>);

impl SiteSecret {
    /// The secret of these octets, which have to be random.
    pub const fn of(octets: [u8; 32]) -> Self {
        Self(Secret::new(octets))
    }

    /// The octets, to be stored.
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// The SSH host key that was made for one VM: Ed25519 (RFC 8709), which every OpenSSH since 6.5 has.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey {
    seed: Secret<[u8; 32]>,
    /// One line; a list because whoever asks for a VM's host keys gets one.
    public: SshKeys,
}

impl HostKey {
    /// The key of the VM with this UUID. It is a contract as the UUID itself is: the same answer in every release.
    pub fn derive(site: &SiteSecret, uuid: Uuid) -> Self {
        let mut seed = [0; 32];
        let info = [b"seedbed 1 ssh-ed25519 host key\0".as_slice(), uuid.as_bytes()];
        // 32 octets are far below what HKDF can give (RFC 5869 §2.3: 255 times the hash).
        Hkdf::<Sha256>::new(None, site.expose())
            .expand_multi_info(&info, &mut seed)
            .unwrap_or_else(|error| unreachable!("HKDF gives 32 octets: {error}"));
        Self::of_seed(seed)
    }

    /// The key whose private half comes from this seed (RFC 8032 §5.1.5).
    pub fn of_seed(seed: [u8; 32]) -> Self {
        let pair = Ed25519Keypair::from(Ed25519PrivateKey::from_bytes(&seed));
        let line = ssh_key::PublicKey::from(pair.public).to_openssh();
        let public = line.ok().and_then(|line| line.parse().ok());
        Self {
            seed: Secret::new(seed),
            public: public.into_iter().collect(),
        }
    }

    /// The seed, to be stored.
    pub const fn expose_seed(&self) -> &[u8; 32] {
        self.seed.expose()
    }

    /// The public half, as `known_hosts` has it after the name.
    pub const fn public(&self) -> &SshKeys {
        &self.public
    }

    /// The private half as OpenSSH's own file format, for the VM alone.
    pub fn private(&self) -> Secret<String> {
        let pair = Ed25519Keypair::from(Ed25519PrivateKey::from_bytes(self.seed.expose()));
        let text = PrivateKey::new(KeypairData::from(pair), "")
            .and_then(|key| key.to_openssh(LineEnding::LF))
            .map(|text| text.as_str().to_owned());
        Secret::new(text.unwrap_or_else(|error| unreachable!("a key of 32 octets can be written: {error}")))
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostKey").field(&self.public).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::process::Command;

    use super::*;

    fn key(secret: u8, uuid: u128) -> HostKey {
        HostKey::derive(&SiteSecret::of([secret; 32]), Uuid::from_u128(uuid))
    }

    #[test]
    fn the_same_identity_has_the_same_key_in_every_release() {
        // `openssl kdf ... HKDF` and `openssl pkey` come to the same.
        assert_eq!(
            key(7, 1).public()[0].as_str(),
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByAagraHnXqXX/6l6bWXP2Xi6pHdjSmh+XMzUDqd/Yc"
        );
    }

    #[test]
    fn another_vm_and_another_site_have_another_key() {
        let keys = [key(7, 1), key(7, 2), key(8, 1)].map(|key| key.public()[0].to_string());
        assert!(
            keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2],
            "{keys:?}"
        );
    }

    #[test]
    fn openssh_reads_the_private_half_and_finds_the_public_one_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = key(7, 1);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .unwrap();
        file.write_all(key.private().expose().as_bytes()).unwrap();
        let read = Command::new("ssh-keygen")
            .arg("-y")
            .arg("-f")
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&read.stdout).trim(),
            key.public()[0].as_str()
        );
    }

    #[test]
    fn debug_output_shows_the_public_half_alone() {
        let shown = format!("{:?} {:?}", key(7, 1), SiteSecret::of([7; 32]));
        assert!(
            shown.contains("ssh-ed25519 ") && shown.contains("(secret)"),
            "{shown}"
        );
        assert!(!shown.contains("seed") && !shown.contains("7, 7"), "{shown}");
    }
}
