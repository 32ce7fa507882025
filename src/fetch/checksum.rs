//! Checksums of published files: SHA-256 and SHA-512, as hexadecimal digits.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest, Sha256, Sha512};

/// The checksum of a file as it is published, that is before it is unpacked. A longer one counts more than a shorter one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checksum {
    /// FIPS 180-4, 256 bits.
    Sha256([u8; 32]),
    /// FIPS 180-4, 512 bits.
    Sha512([u8; 64]),
}

/// A text that is not a checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChecksum {
    /// Something else than hexadecimal digits.
    #[error("it has other characters than 0 to 9 and a to f")]
    NotHex,
    /// MD5 or SHA-1, by their lengths: files with the same one can be made at will.
    #[error("{0} digits are an MD5 or SHA-1, which proves nothing any more")]
    Weak(usize),
    /// The length of no checksum.
    #[error("it has {0} digits: a SHA-256 has 64, a SHA-512 has 128")]
    Length(usize),
}

impl Checksum {
    /// The name of its algorithm.
    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::Sha512(_) => "SHA-512",
        }
    }

    /// The checksum by the same algorithm of all that `content` reads; `on_read` is told each number of bytes.
    pub fn same_of(&self, content: impl Read, on_read: impl FnMut(u64)) -> io::Result<Self> {
        Ok(match self {
            Self::Sha256(_) => Self::Sha256(digest::<Sha256>(content, on_read)?.into()),
            Self::Sha512(_) => Self::Sha512(digest::<Sha512>(content, on_read)?.into()),
        })
    }
}

fn digest<D: Digest>(
    mut content: impl Read,
    mut on_read: impl FnMut(u64),
) -> io::Result<sha2::digest::Output<D>> {
    let mut hasher = D::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                on_read(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
}

impl FromStr for Checksum {
    type Err = BadChecksum;

    fn from_str(text: &str) -> Result<Self, BadChecksum> {
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadChecksum::NotHex);
        }
        match text.len() {
            64 => Ok(Self::Sha256(bytes(text))),
            128 => Ok(Self::Sha512(bytes(text))),
            32 | 40 => Err(BadChecksum::Weak(text.len())),
            other => Err(BadChecksum::Length(other)),
        }
    }
}

/// What twice as many hexadecimal digits say.
fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte.to_ascii_lowercase() - b'a') + 10,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = pair.iter().fold(0, |value, hex| value << 4 | digit(*hex));
    }
    bytes
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {self}", self.algorithm())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// FIPS 180-4's example of one block, `abc`.
    const SHA256_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const SHA512_ABC: &str = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                              2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn content_has_the_checksum_that_the_standard_says() {
        for text in [SHA256_ABC, SHA512_ABC] {
            let expected: Checksum = text.parse().unwrap();
            let mut read = 0;
            let found = expected.same_of(&b"abc"[..], |count| read += count).unwrap();
            assert_eq!((found, read), (expected, 3));
            assert_ne!(expected.same_of(&b"abd"[..], |_| ()).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_checksum_is_told_by_what_is_wrong_with_it() {
        let parse = |text: &str| text.parse::<Checksum>().unwrap_err();
        assert_eq!(parse(&"x".repeat(64)), BadChecksum::NotHex);
        assert_eq!(parse(&"a".repeat(32)), BadChecksum::Weak(32));
        assert_eq!(parse(&"a".repeat(40)), BadChecksum::Weak(40));
        assert_eq!(parse(&"a".repeat(63)), BadChecksum::Length(63));
        assert_eq!(parse(""), BadChecksum::Length(0));
    }

    proptest! {
        #[test]
        fn a_checksum_reads_as_it_is_shown_in_either_case(bytes in any::<[u8; 32]>()) {
            let shown = Checksum::Sha256(bytes).to_string();
            prop_assert_eq!(shown.parse(), Ok(Checksum::Sha256(bytes)));
            prop_assert_eq!(shown.to_uppercase().parse(), Ok(Checksum::Sha256(bytes)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,140}") {
            let _ = text.parse::<Checksum>();
        }
    }
}
