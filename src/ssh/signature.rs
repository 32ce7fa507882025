//! Whether a signature is of a host key: the types that RFC 8332, RFC 5656 and RFC 8709 have. Pure.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::Problem;
use super::wire::Reader;

/// The algorithms of host keys that can be checked here, the best first.
pub(super) const ALGORITHMS: [&str; 5] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// The type of key that an algorithm signs with.
pub(super) fn key_type(algorithm: &str) -> &str {
    match algorithm {
        "rsa-sha2-512" | "rsa-sha2-256" => "ssh-rsa",
        other => other,
    }
}

/// Checks that `signature` over `message` is made with the private half of `key`, by the algorithm that was agreed on.
pub(super) fn check(algorithm: &str, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Problem> {
    let (mut key, mut signature) = (Reader(key), Reader(signature));
    let fits = key.string()? == key_type(algorithm).as_bytes() && signature.string()? == algorithm.as_bytes();
    if !fits {
        return Err(Problem::Malformed(
            "a key or signature of another type than was agreed on",
        ));
    }
    let signed = signature.string()?;
    let is_right = match algorithm {
        "ssh-ed25519" => simple(&ED25519, key.string()?, message, signed),
        "ecdsa-sha2-nistp256" => ecdsa(&ECDSA_P256_SHA256_FIXED, 32, key, message, signed)?,
        "ecdsa-sha2-nistp384" => ecdsa(&ECDSA_P384_SHA384_FIXED, 48, key, message, signed)?,
        "rsa-sha2-512" => rsa(&RSA_PKCS1_2048_8192_SHA512, key, message, signed)?,
        "rsa-sha2-256" => rsa(&RSA_PKCS1_2048_8192_SHA256, key, message, signed)?,
        _ => return Err(Problem::NothingInCommon("type of host key")),
    };
    if is_right { Ok(()) } else { Err(Problem::NotItsKey) }
}

fn simple(by: &'static dyn VerificationAlgorithm, key: &[u8], message: &[u8], signed: &[u8]) -> bool {
    UnparsedPublicKey::new(by, key).verify(message, signed).is_ok()
}

/// The two numbers of a signature stand as they are in SSH, and side by side at a fixed length in ring.
fn ecdsa(
    by: &'static dyn VerificationAlgorithm,
    length: usize,
    mut key: Reader<'_>,
    message: &[u8],
    signed: &[u8],
) -> Result<bool, Problem> {
    key.string()?;
    let point = key.string()?;
    let mut numbers = Reader(signed);
    let mut fixed = Vec::with_capacity(2 * length);
    for _ in 0..2 {
        let number = without_zeros(numbers.string()?);
        let Some(missing) = length.checked_sub(number.len()) else {
            return Ok(false);
        };
        fixed.resize(fixed.len() + missing, 0);
        fixed.extend(number);
    }
    Ok(simple(by, point, message, &fixed))
}

fn rsa(
    by: &'static RsaParameters,
    mut key: Reader<'_>,
    message: &[u8],
    signed: &[u8],
) -> Result<bool, Problem> {
    let (e, n) = (without_zeros(key.string()?), without_zeros(key.string()?));
    Ok(RsaPublicKeyComponents { n, e }
        .verify(by, message, signed)
        .is_ok())
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let start = number
        .iter()
        .position(|octet| *octet != 0)
        .unwrap_or(number.len());
    number.get(start..).unwrap_or_default()
}
