//! Which SSH keys are meant: those on the command line, or those of whoever typed it, also through sudo.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::failure::Failure;
use super::terminal::Terminal;
use crate::model::{KeyName, SshKey};

/// The private key files that ssh tries, in its order.
const IDENTITIES: [&str; 5] = ["id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk"];

/// What `--key` values stand for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// Key lines.
    pub(super) lines: Vec<String>,
    /// Names in the key ring.
    pub(super) names: Vec<String>,
}

/// What `--key FILE|KEY|NAME` values stand for. An empty one stands for nothing.
pub(super) fn given(values: &[String]) -> Result<Given, Failure> {
    let mut given = Given::default();
    let values = values.iter().map(|value| value.trim());
    for value in values.filter(|value| !value.is_empty()) {
        if value.split_once(' ').is_some_and(|(kind, _)| is_key_type(kind)) {
            given.lines.push(parse(value, "--key")?);
        } else {
            let path = expand_home(value);
            if !path.exists() && value.parse::<KeyName>().is_ok() {
                given.names.push(value.to_owned());
                continue;
            }
            if !path.exists() {
                return Err(Failure::not_found(format!(
                    "--key `{}` is neither an SSH public key, nor a file, nor a name in the key ring",
                    value.escape_debug()
                ))
                .hint(
                    "give the file of the public key, such as ~/.ssh/id_ed25519.pub, or the key line itself",
                ));
            }
            given.lines.extend(of_file(&path)?);
        }
    }
    Ok(given)
}

/// The first key of whoever runs this, which is then said; nothing when keys were given.
pub(super) fn own_unless(given: &[String], terminal: &mut Terminal) -> Result<Vec<String>, Failure> {
    if !given.is_empty() {
        return Ok(Vec::new());
    }
    let home = home().unwrap_or_default();
    let public = |name: &&str| home.join(".ssh").join(format!("{name}.pub"));
    let Some(path) = IDENTITIES.iter().map(public).find(|path| path.is_file()) else {
        return Err(Failure::refused(format!(
            "no --key given, and {} holds no public key",
            home.join(".ssh").display()
        ))
        .hint("give --key FILE, or make one first: ssh-keygen -t ed25519"));
    };
    terminal.say(&format!("using the SSH key {}", path.display()));
    of_file(&path)
}

/// The private keys of the user behind sudo: root's ssh would not look there by itself.
pub(super) fn identities_behind_sudo() -> Vec<PathBuf> {
    let Some(home) = home_behind_sudo() else {
        return Vec::new();
    };
    let paths = IDENTITIES.iter().map(|name| home.join(".ssh").join(name));
    paths.filter(|path| path.is_file()).collect()
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|start| word.starts_with(start))
}

/// The keys in a file, one a line; for a private key's file, its public half beside it.
pub(super) fn of_file(path: &Path) -> Result<Vec<String>, Failure> {
    let text = super::input::text(path)?;
    if text.contains("PRIVATE KEY-----") {
        let mut public = path.as_os_str().to_owned();
        public.push(".pub");
        if !Path::new(&public).is_file() {
            let path = path.display();
            return Err(
                Failure::refused(format!("{path} is a private key, and {path}.pub is missing"))
                    .hint(format!("make it: ssh-keygen -y -f {path} > {path}.pub")),
            );
        }
        return of_file(Path::new(&public));
    }
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            keys.push(parse(line, &format!("{} line {number}", path.display()))?);
        }
    }
    if keys.is_empty() {
        return Err(Failure::refused(format!("{} holds no SSH key", path.display())));
    }
    Ok(keys)
}

pub(super) fn parse(line: &str, place: &str) -> Result<String, Failure> {
    match line.parse::<SshKey>() {
        Ok(key) => Ok(key.to_string()),
        Err(error) => Err(Failure::refused(format!("{place}: {error}"))),
    }
}

/// Replaces a leading `~/`, which shells leave alone in `--key=~/.ssh/id_ed25519.pub`.
pub(super) fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// The home directory of whoever typed the command.
fn home() -> Option<PathBuf> {
    home_behind_sudo().or_else(|| std::env::var_os("HOME").map(PathBuf::from))
}

fn home_behind_sudo() -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let user = std::env::var("SUDO_USER").ok().filter(|user| user != "root")?;
    // getent also knows the users of LDAP and the like.
    let output = Command::new("getent")
        .args(["passwd", "--", &user])
        .output()
        .ok()?;
    home_of_entry(&String::from_utf8(output.stdout).ok()?)
}

/// The home directory of one line of passwd(5).
fn home_of_entry(entry: &str) -> Option<PathBuf> {
    let home = entry.lines().next()?.split(':').nth(5)?;
    (!home.is_empty()).then(|| PathBuf::from(home))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ ops@lab";

    #[test]
    fn a_key_a_file_of_keys_and_a_private_key_with_its_half_are_all_understood() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let many = write("authorized_keys", &format!("# ours\n\n{KEY}\n{KEY}\n"));
        let private = write("id", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
        write("id.pub", &format!("{KEY}\n"));
        let found = given(&[KEY.to_owned(), many, private, "ops".to_owned(), String::new()]).unwrap();
        assert_eq!(
            (found.lines, found.names),
            (vec![KEY.to_owned(); 4], vec!["ops".to_owned()])
        );
    }

    #[test]
    fn what_holds_no_key_is_refused_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lonely");
        std::fs::write(&path, "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
        let failure = given(&[path.display().to_string()]).unwrap_err();
        assert!(failure.message.ends_with("lonely.pub is missing"), "{failure:?}");
        std::fs::write(&path, "\nhello there\n").unwrap();
        let failure = given(&[path.display().to_string()]).unwrap_err();
        assert!(failure.message.contains("lonely line 2"), "{failure:?}");
        std::fs::write(&path, "\n").unwrap();
        given(&[path.display().to_string()]).unwrap_err();
    }

    #[test]
    fn the_home_directory_is_the_sixth_field() {
        let home = home_of_entry("ann:x:1000:1000:Ann,,,:/home/ann:/bin/bash\n");
        assert_eq!(home, Some(PathBuf::from("/home/ann")));
        assert_eq!(home_of_entry("ann:x"), None);
        assert_eq!(home_of_entry(""), None);
    }
}
