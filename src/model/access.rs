//! Who may enter a VM, beside the keys in its own record: its owner, keys of the ring, accounts and their passwords.

use std::fmt;
use std::str::FromStr;

use super::host_key::HostKey;
use super::key::SshKeys;
use super::name::{AccountName, KeyName, OwnerName};
use super::secret::Secret;

/// Who may enter a VM, and how it shows that it is itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Whose VM it is: all keys of that owner may log in.
    pub owner: Option<OwnerName>,
    /// Keys of the ring that may log in, whoever owns them.
    pub ring: Vec<KeyName>,
    /// Accounts beside the image's own.
    pub users: Vec<User>,
    /// The SSH host key that was made for it; `None` where it makes its own.
    pub host_key: Option<HostKey>,
}

/// An account that cloud-init makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: AccountName,
    /// Whether it may become root without a password, as the image's own account may.
    pub sudo: bool,
    /// Groups beside its own; missing ones are made.
    pub groups: Vec<AccountName>,
    /// Its login shell; the system's default when not given.
    pub shell: Option<Shell>,
    /// Its password; without one nobody logs in by password.
    pub password: Option<PasswordHash>,
    /// The keys that may log in to it; with none, those of the VM.
    pub keys: SshKeys,
}

/// A program's absolute path, as it stands in passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell(Box<str>);

/// A password as crypt(5) hashes it. The password itself is never here.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Secret<String>);

/// Why a text describes no account. None of these quotes a password hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Not a path that passwd(5) can hold.
    #[error("`{0}` is not a login shell: give an absolute path such as /bin/bash")]
    Shell(String),
    /// Not a hash of a method that is still safe.
    #[error(
        "that is not a password hash: it has to be made by crypt(5) and begin with $y$, $gy$, $7$, $6$, $5$ or $2b$. \
         `mkpasswd` or `openssl passwd -6` make one, or let --password-prompt do it"
    )]
    Hash,
}

impl User {
    /// An account of that name, with nothing beside.
    pub fn named(name: AccountName) -> Self {
        Self {
            name,
            sudo: false,
            groups: Vec::new(),
            shell: None,
            password: None,
            keys: SshKeys::default(),
        }
    }
}

impl Shell {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Shell {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<Self, AccessError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '+');
        let sound = text.starts_with('/') && text.len() <= 255 && text.chars().all(plain);
        if sound {
            Ok(Self(text.into()))
        } else {
            Err(AccessError::Shell(text.escape_debug().take(64).collect()))
        }
    }
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The methods of crypt(5) that its authors call fit for new passwords, and SHA-crypt, which every Linux has.
const METHODS: [&str; 8] = ["$y$", "$gy$", "$7$", "$6$", "$5$", "$2b$", "$2y$", "$2a$"];

impl PasswordHash {
    /// The hash, for the guest that is to have it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl FromStr for PasswordHash {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<Self, AccessError> {
        // crypt(5): "The hashed passphrase ... consists of printable ASCII characters, and is guaranteed not to contain
        // whitespace or the characters `:`, `;`, `*`, `!`, or `\`."
        let alphabet = |b: u8| b.is_ascii_graphic() && !matches!(b, b':' | b';' | b'*' | b'!' | b'\\');
        let method = METHODS.iter().any(|method| text.starts_with(method));
        // The shortest hash of these methods is bcrypt's, with 60 characters.
        let sound = method && (40..=384).contains(&text.len()) && text.bytes().all(alphabet);
        if sound && text.matches('$').count() >= 3 {
            Ok(Self(Secret::new(text.to_owned())))
        } else {
            Err(AccessError::Hash)
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$6$rounds=5000$saltsaltsaltsalt$HYRyw4Of/jYLZbv36GVJlJxhVvg8r4C5NfnkJ1dV0M7gF\
         fNpbPTQfC6VwMyhlkxvG9QDKzD4cHVDzJkyYSfmJ0";

    #[test]
    fn a_password_is_a_hash_of_a_safe_method() {
        assert_eq!(HASH.parse::<PasswordHash>().unwrap().expose(), HASH);
        for bad in [
            "hunter2",
            "$6$$$$$",
            "$6$salt$short",
            "$1$saltsalt$abcdefghijklmnopqrstuvwxyzabcdefghijklmnop",
            &HASH.replace('H', ":"),
            &HASH.replace('H', "\n"),
            &HASH.replace('H', "*"),
            &"$6$".repeat(200),
        ] {
            let error = bad.parse::<PasswordHash>().unwrap_err().to_string();
            assert!(!error.contains(bad), "{error} quotes {bad:?}");
        }
    }

    #[test]
    fn a_hash_is_not_in_debug_output() {
        let user = User {
            password: Some(HASH.parse().unwrap()),
            ..User::named("ann".parse().unwrap())
        };
        let shown = format!("{user:?}");
        assert!(
            shown.contains("password: Some((secret))") && !shown.contains("$6$"),
            "{shown}"
        );
    }

    #[test]
    fn a_shell_is_an_absolute_path() {
        for good in ["/bin/bash", "/usr/bin/zsh-5.9", "/run/current-system/sw/bin/fish"] {
            assert_eq!(good.parse::<Shell>().unwrap().as_str(), good);
        }
        for bad in ["", "bash", "/bin/a b", "/bin/x:y", "/bin/\n", "/bin/$(x)"] {
            bad.parse::<Shell>().unwrap_err();
        }
    }
}
