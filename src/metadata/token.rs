//! Session tokens of EC2's second version: what a program in a guest can only have by asking with PUT.
//!
//! A token is its expiry and a code over that and the VM (HMAC-SHA-256, RFC 2104), under a key of this daemon's life alone:
//! nothing is stored for it, another VM's is worth nothing, and none outlives a restart.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::model::Timestamp;

/// The longest that a token may be asked for, in seconds: six hours.
const LONGEST: u64 = 21_600;

/// Makes tokens, and knows its own.
#[derive(Clone)]
pub struct Tokens {
    key: [u8; 32],
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// The tokens of one life of the daemon; `key` is random.
    pub const fn under(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A token for a VM; `seconds` is how long it was asked for, as it was written. `None` for what is no such time.
    pub fn issue(&self, vm: Uuid, seconds: Option<&str>, now: Timestamp) -> Option<String> {
        let seconds: u64 = seconds?.trim().parse().ok()?;
        if !(1..=LONGEST).contains(&seconds) {
            return None;
        }
        let expires = now.0.checked_add(seconds)?;
        let mut token = format!("{expires:016x}");
        for octet in self.code(vm, expires).finalize().into_bytes() {
            // Writing to a String can not fail.
            let _infallible = write!(token, "{octet:02x}");
        }
        Some(token)
    }

    /// Whether a token is one of ours for this VM, and is still good.
    pub fn accepts(&self, vm: Uuid, token: &str, now: Timestamp) -> bool {
        let read = || {
            let (expires, code) = token.split_at_checked(16)?;
            let expires = u64::from_str_radix(expires, 16).ok()?;
            let octets: Option<Vec<u8>> = (0..code.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(code.get(at..at + 2)?, 16).ok())
                .collect();
            Some((expires, octets?))
        };
        // In constant time: what is compared is the code of what was sent.
        read().is_some_and(|(expires, code)| {
            self.code(vm, expires).verify_slice(&code).is_ok() && now.0 < expires
        })
    }

    fn code(&self, vm: Uuid, expires: u64) -> Hmac<Sha256> {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.key)
            .unwrap_or_else(|error| unreachable!("HMAC takes keys of any length: {error}"));
        code.update(b"seedbed ec2 token 1 ");
        code.update(vm.as_bytes());
        code.update(&expires.to_be_bytes());
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const WEB1: Uuid = Uuid::from_u128(1);
    const WEB2: Uuid = Uuid::from_u128(2);

    fn tokens() -> Tokens {
        Tokens::under([7; 32])
    }

    #[test]
    fn h15_a_token_is_good_for_its_vm_its_time_and_this_daemon_alone() {
        let token = tokens().issue(WEB1, Some("60"), NOW).unwrap();
        assert!(tokens().accepts(WEB1, &token, NOW));
        assert!(tokens().accepts(WEB1, &token, Timestamp(NOW.0 + 59)));
        assert!(!tokens().accepts(WEB1, &token, Timestamp(NOW.0 + 60)));
        assert!(!tokens().accepts(WEB2, &token, NOW));
        assert!(!Tokens::under([8; 32]).accepts(WEB1, &token, NOW));
        for time in [None, Some("0"), Some("21601"), Some("-1"), Some("x"), Some("")] {
            assert_eq!(tokens().issue(WEB1, time, NOW), None, "{time:?}");
        }
        assert!(tokens().issue(WEB1, Some("21600"), NOW).is_some());
    }

    proptest! {
        #[test]
        fn h15_a_token_with_one_bit_changed_is_nobodys(bit in 0_usize..(16 + 64) * 8) {
            let token = tokens().issue(WEB1, Some("60"), NOW).unwrap();
            let mut octets = token.clone().into_bytes();
            octets[bit / 8] ^= 1 << (bit % 8);
            // A letter in upper case is the same digit.
            if let Ok(changed) = String::from_utf8(octets) {
                let same = changed.eq_ignore_ascii_case(&token);
                prop_assert_eq!(tokens().accepts(WEB1, &changed, NOW), same);
            }
        }

        #[test]
        fn any_text_is_no_token(text in "\\PC{0,100}") {
            prop_assert!(!tokens().accepts(WEB1, &text, NOW));
        }
    }
}
