//! What is derived from a VM's name, so that it never has to be typed: MAC, UUID, instance-id, tap name.
//!
//! The derivation is a contract: a VM that is deleted and registered again under its name gets the same identity, so
//! these functions must give the same answer in every release (the tests hold the values fast).

use std::fmt::{self, Write as _};
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::Arc;

use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::host_key::SiteSecret;
use super::mac::MacAddress;
use super::name::{NetworkName, TapName, VmName};
use super::secret::Secret;
use super::time::Timestamp;

/// cloud-init's name of one life of a VM: its SMBIOS UUID in lower case, so that every metadata view agrees on it
/// (guest-contract §1.5).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// The instance-id of the VM with this UUID.
    pub fn of(uuid: Uuid) -> Self {
        Self(Arc::from(uuid.hyphenated().to_string()))
    }

    /// The instance-id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// What becomes of the instance-id when what a VM is told is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InstancePolicy {
    /// It stays: cloud-init does nothing once more that it does once.
    #[default]
    Keep,
    /// It changes too: cloud-init sets the guest up anew at the next boot.
    Content,
}

impl InstancePolicy {
    /// All policies.
    pub const ALL: [Self; 2] = [Self::Keep, Self::Content];

    /// The word for it in commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Content => "content",
        }
    }
}

/// Which of a VM's instances this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Instance {
    /// What becomes of it when what the VM is told is changed.
    pub policy: InstancePolicy,
    /// When it became another one last, beside those that were registered under the name.
    pub renewed: Option<Timestamp>,
}

impl FromStr for InstancePolicy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let found = Self::ALL.into_iter().find(|policy| policy.as_str() == text);
        found.ok_or_else(|| PolicyError(text.escape_debug().take(40).collect()))
    }
}

/// A text that is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no policy for the instance-id: it is keep, or content")]
pub struct PolicyError(String);

/// The hardware address of a name: `52:54` (locally administered, as QEMU's own) and 32 bits of its hash.
///
/// `attempt` counts from zero; a registrar that finds an address taken asks again with the next one.
pub fn mac(name: &VmName, attempt: u32) -> MacAddress {
    let [a, b, c, d, ..] = hash("mac", name, attempt);
    MacAddress::new([0x52, 0x54, a, b, c, d])
}

/// The SMBIOS UUID of a name: version 8 (RFC 9562 §5.8), 122 bits of its hash.
pub fn uuid(name: &VmName) -> Uuid {
    renewed_uuid(name, 0)
}

/// The SMBIOS UUID of a name whose identity was given up that many times for a new one. The host key that is made for a VM
/// follows it ([`super::HostKey::derive`]).
pub fn renewed_uuid(name: &VmName, renewals: u32) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(hash("uuid", name, renewals).split_at(16).0);
    Uuid::new_v8(bytes)
}

/// The SMBIOS UUID of the next instance of a VM that stays what it is: its disk, its addresses and its host key.
pub fn next_instance(vm: Uuid, now: Timestamp) -> Uuid {
    let mut hasher = Sha256::new();
    hasher.update(b"seedbed 1 instance\0");
    hasher.update(vm.as_bytes());
    hasher.update(now.0.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(hasher.finalize().split_at(16).0);
    Uuid::new_v8(bytes)
}

/// What the `vmgenid` device says of a VM that went back to snapshots that many times.
pub fn restored(vm: Uuid, restores: u32) -> Uuid {
    let mut hasher = Sha256::new();
    hasher.update(b"seedbed 1 restored\0");
    hasher.update(vm.as_bytes());
    hasher.update(restores.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(hasher.finalize().split_at(16).0);
    Uuid::new_v8(bytes)
}

/// The part of a VM's seed URL that only who reads its SMBIOS table knows: in a guest that is root alone.
///
/// It is derived as host keys are, so that it is nowhere kept, and belongs to one registration of the name: it stays when the
/// VM's instance changes, because a running guest's table does.
#[derive(Clone)]
pub struct SeedKey(Secret<String>);

impl SeedKey {
    /// The key of the VM of this name that was registered then.
    pub fn derive(site: &SiteSecret, name: &VmName, created: Timestamp) -> Self {
        let mut octets = [0; 10];
        let registered = created.0.to_be_bytes();
        let info = [
            b"seedbed 1 seed url\0".as_slice(),
            name.as_str().as_bytes(),
            b"\0",
            &registered,
        ];
        // 10 octets are far below what HKDF can give (RFC 5869 §2.3: 255 times the hash).
        Hkdf::<Sha256>::new(None, site.expose())
            .expand_multi_info(&info, &mut octets)
            .unwrap_or_else(|error| unreachable!("HKDF gives 10 octets: {error}"));
        let hex = octets.iter().fold(String::with_capacity(20), |mut hex, octet| {
            // Writing to a String can not fail.
            let _infallible = write!(hex, "{octet:02x}");
            hex
        });
        Self(Secret::new(hex))
    }

    /// The key, for the VM's own table.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Whether a text is the key. Their hashes are compared: how long that takes says nothing about the key.
    pub fn is(&self, text: &str) -> bool {
        Sha256::digest(self.0.expose()) == Sha256::digest(text)
    }
}

impl fmt::Debug for SeedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The tap's name: `tap-` and the VM's name where that fits an interface name, else its start and a hash.
pub fn tap(name: &VmName, attempt: u32) -> TapName {
    let plain = format!("tap-{name}");
    if plain.len() <= 15 && attempt == 0 {
        return TapName::from_str(&plain)
            .unwrap_or_else(|error| unreachable!("a derived tap name is valid: {error}"));
    }
    tap_of(name, hash("tap", name, attempt))
}

/// The hardware address of a VM's NIC on a further network, as [`mac`] of its first: it is the same whenever the VM is given
/// such a NIC.
pub fn nic_mac(name: &VmName, network: &NetworkName, attempt: u32) -> MacAddress {
    let [a, b, c, d, ..] = nic_hash("nic mac", name, network, attempt);
    MacAddress::new([0x52, 0x54, a, b, c, d])
}

/// The tap's name of a VM's NIC on a further network: the start of the VM's name, and a hash of both.
pub fn nic_tap(name: &VmName, network: &NetworkName, attempt: u32) -> TapName {
    tap_of(name, nic_hash("nic tap", name, network, attempt))
}

fn tap_of(name: &VmName, [a, b, c, ..]: [u8; 32]) -> TapName {
    let start: String = name.as_str().chars().take(5).collect();
    let text = format!("tap-{start}{a:02x}{b:02x}{c:02x}");
    TapName::from_str(&text).unwrap_or_else(|error| unreachable!("a derived tap name is valid: {error}"))
}

/// The user id that a VM's QEMU runs as, from the range no distribution assigns (systemd's UIDS-GIDS.md: 1879048192 to
/// 2147483647 are unused). It holds the last 27 bits of the address: all addresses of one /5 have different ones, but two
/// networks that are alike in those bits (10.77.0.0/24 and 18.77.0.0/24) share them.
pub fn uid(address: Ipv4Addr) -> u32 {
    1_900_000_000 + (address.to_bits() & 0x07ff_ffff)
}

/// The bits of a packet's mark that others use, and that ours leaves alone: kube-proxy's (0x4000, 0x8000) and Tailscale's
/// (0xff0000) mean "translate" and "drop" on hosts that have them.
const OTHERS_BITS: u32 = 0x00ff_c000;
/// Says that a mark is ours.
const OUR_BIT: u32 = 1 << 31;

/// The mark that packets have which came in by the tap of the VM with this address; never 0.
///
/// It is made of the address, so that a daemon that starts again makes the same: the last 21 bits, spread over the bits that
/// nobody else uses. Two addresses of one /11 never share one.
pub const fn mark(address: Ipv4Addr) -> u32 {
    let free = !(OTHERS_BITS | OUR_BIT);
    let (mut rest, mut mark, mut bit) = (address.to_bits(), OUR_BIT, 0);
    while bit < u32::BITS {
        if free & (1 << bit) != 0 {
            mark |= (rest & 1) << bit;
            rest >>= 1;
        }
        bit += 1;
    }
    mark
}

/// The mark of ours in a packet's, whatever others have added to it; `None` where there is none.
pub const fn mark_in(packet: u32) -> Option<u32> {
    if packet & OUR_BIT == 0 {
        None
    } else {
        Some(packet & !OTHERS_BITS)
    }
}

fn hash(what: &str, name: &VmName, attempt: u32) -> [u8; 32] {
    hash_of(&[what, name.as_str()], attempt)
}

fn nic_hash(what: &str, name: &VmName, network: &NetworkName, attempt: u32) -> [u8; 32] {
    hash_of(&[what, name.as_str(), network.as_str()], attempt)
}

fn hash_of(texts: &[&str], attempt: u32) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"seedbed 1 ");
    for text in texts {
        hasher.update(text.as_bytes());
        hasher.update([0]);
    }
    hasher.update(attempt.to_be_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mac;

    fn name(text: &str) -> VmName {
        text.parse().unwrap()
    }

    #[test]
    fn the_derivation_is_the_same_in_every_release() {
        let web1 = name("web1");
        assert_eq!(mac::text(super::mac(&web1, 0)), "52:54:ce:9b:49:d4");
        assert_eq!(uuid(&web1).to_string(), "7573fe52-e13e-82a6-a9ae-40fb6a351c25");
        assert_eq!(tap(&web1, 0).as_str(), "tap-web1");
        assert_eq!(
            renewed_uuid(&web1, 1).to_string(),
            "759db39b-665c-8516-bd1f-d8a037822e3e"
        );
    }

    #[test]
    fn the_derivation_of_a_further_nic_is_the_same_in_every_release() {
        let (web1, lan) = (name("web1"), "lan".parse().unwrap());
        assert_eq!(mac::text(nic_mac(&web1, &lan, 0)), "52:54:3c:13:e9:c0");
        assert_eq!(nic_tap(&web1, &lan, 0).as_str(), "tap-web1c1ef17");
        assert_ne!(
            nic_mac(&web1, &lan, 0),
            nic_mac(&web1, &"dmz".parse().unwrap(), 0)
        );
        assert_eq!(mac::check(nic_mac(&web1, &lan, 0)), Ok(()));
    }

    #[test]
    fn a_derived_mac_is_a_stations_own_and_changes_with_the_attempt() {
        let web1 = name("web1");
        assert_eq!(mac::check(super::mac(&web1, 0)), Ok(()));
        assert_ne!(super::mac(&web1, 0), super::mac(&web1, 1));
    }

    #[test]
    fn a_mark_is_an_addresss_own_and_leaves_the_bits_of_others_alone() {
        let mut seen = std::collections::HashSet::new();
        for host in 0..1 << 16 {
            let mark = mark(Ipv4Addr::from_bits(0x0a4d_0000 | host));
            assert!(mark != 0 && mark & 0x00ff_c000 == 0, "{mark:x}");
            assert_eq!(mark_in(mark | 0x0004_8000), Some(mark));
            assert!(seen.insert(mark), "{host}");
        }
        assert_eq!(mark(Ipv4Addr::new(10, 77, 0, 5)), 0xb400_0005);
        assert_eq!((mark_in(0), mark_in(0x0004_8000)), (None, None));
    }

    #[test]
    fn a_long_name_still_has_a_tap_of_its_own() {
        let (one, two) = (
            tap(&name("customer-frontend-1"), 0),
            tap(&name("customer-frontend-2"), 0),
        );
        assert!(one != two && one.as_str().len() <= 15, "{one} {two}");
    }
}
