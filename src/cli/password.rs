//! Passwords that are typed: hashed here, so that nothing but the hash ever leaves this process.

use std::io::{self, IsTerminal as _};

use sha_crypt::{Algorithm, Params, PasswordHasher as _, ShaCrypt};

use super::failure::Failure;
use crate::control::Concealed;
use crate::model::Secret;

/// How often SHA-512 is applied: a login takes a third of a second, and so does each guess.
const ROUNDS: u32 = 500_000;
/// A password of a line of standard input.
const LONGEST: u64 = 1024;

/// Asks for the password of an account, twice where a person types it, and returns its hash for crypt(5).
pub(super) fn ask(user: &str) -> Result<Concealed, Failure> {
    let password = if io::stdin().is_terminal() {
        let typed = prompt(&format!("Password for {user}: "))?;
        if typed != prompt("The same again: ")? {
            return Err(Failure::refused("the passwords are not the same"));
        }
        typed
    } else {
        line()?
    };
    if password.expose().is_empty() {
        return Err(Failure::refused("an empty password would let everybody in"));
    }
    hash(&password, ROUNDS)
}

fn prompt(text: &str) -> Result<Secret<String>, Failure> {
    rpassword::prompt_password(text)
        .map(Secret::new)
        .map_err(|error| Failure::io("can not read a password from the terminal", &error))
}

/// The first line of standard input, without its end.
fn line() -> Result<Secret<String>, Failure> {
    use std::io::{BufRead as _, Read as _};
    let mut line = String::new();
    let read = io::stdin().lock().take(LONGEST).read_line(&mut line);
    let line = Secret::new(line);
    read.map_err(|error| Failure::io("can not read a password from standard input", &error))?;
    let text = line.expose().trim_end_matches(['\r', '\n']);
    Ok(Secret::new(text.to_owned()))
}

/// SHA-512-crypt, which every Linux of the last fifteen years can check; yescrypt is better, but not everywhere.
fn hash(password: &Secret<String>, rounds: u32) -> Result<Concealed, Failure> {
    // crypt(5) takes 16 characters of salt, and compares whole texts: these 12 octets become exactly that many.
    let mut salt = [0; 12];
    getrandom::fill(&mut salt)
        .map_err(|error| Failure::internal(format!("the kernel gives no random numbers: {error}")))?;
    let params = Params::new(rounds).map_err(|error| Failure::internal(error.to_string()))?;
    let hash = ShaCrypt::new(Algorithm::Sha512Crypt, params)
        .hash_password_with_salt(password.expose().as_bytes(), &salt)
        .map_err(|error| Failure::internal(format!("the password can not be hashed: {error}")))?;
    Ok(Concealed::of(hash.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::model::PasswordHash;

    #[test]
    fn the_systems_crypt_finds_the_password_in_the_hash() {
        for password in ["hunter2", "pässwörd with blanks", "x"] {
            let hash = hash(&Secret::new(password.to_owned()), 1_000).unwrap();
            hash.expose().parse::<PasswordHash>().unwrap();
            let again = Command::new("perl")
                .args(["-e", "print crypt($ARGV[0], $ARGV[1])", password, hash.expose()])
                .output()
                .unwrap();
            assert_eq!(&String::from_utf8_lossy(&again.stdout), hash.expose());
        }
    }

    #[test]
    fn the_same_password_has_another_hash_each_time() {
        let [one, other] = [(), ()].map(|()| hash(&Secret::new("x".to_owned()), 1_000).unwrap());
        assert_ne!(one, other);
    }
}
