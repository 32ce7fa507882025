//! The SSH host key: the one that the registry made is the only one a guest has, because the image's own are those of all its
//! clones.

use super::draft::{Draft, PRIVATE, READABLE};
use super::plan::Plan;
use crate::offline::root::RootError;

const FOLDER: &str = "/etc/ssh";
const KEY: &str = "ssh_host_ed25519_key";
const CONFIG: &str = "/etc/ssh/sshd_config";
/// Where sshd is, and how much of it is looked at.
const SERVER: &str = "/usr/sbin/sshd";
const SERVER_MAX: u64 = 32 << 20;

pub(super) fn write(draft: &mut Draft<'_>, plan: &Plan) -> Result<(), RootError> {
    if !draft.exists(FOLDER) {
        draft.note("it has no SSH server: nobody will log in to it by ssh");
        return Ok(());
    }
    let Some(key) = &plan.host_key else {
        return Ok(());
    };
    if !takes_ed25519(draft)? {
        draft.note(
            "its SSH server is older than OpenSSH 6.5 and takes no Ed25519 key: it keeps the host keys of its image, which all \
             clones of it share",
        );
        return Ok(());
    }
    draft.remove_in(FOLDER, |name| {
        name.starts_with("ssh_host_") && name != KEY && name.strip_suffix(".pub") != Some(KEY)
    })?;
    let path = format!("{FOLDER}/{KEY}");
    draft.put_for(
        &path,
        key.private.expose().as_bytes().to_vec(),
        PRIVATE,
        super::draft::ROOT,
    );
    draft.put(&format!("{path}.pub"), key.public.clone() + "\n", READABLE);
    let names_others = draft.text(CONFIG)?.is_some_and(|text| names_only_others(&text));
    if names_others {
        draft.edit(CONFIG, READABLE, |old| with_our_key(old, &path))?;
    }
    Ok(())
}

/// Whether the server knows the type of our key, by the name of it that is in the program.
fn takes_ed25519(draft: &Draft<'_>) -> Result<bool, RootError> {
    let name = b"ssh-ed25519";
    let program = draft.root().read_up_to(SERVER, SERVER_MAX)?;
    Ok(program.is_none_or(|bytes| bytes.windows(name.len()).any(|part| part == name)))
}

/// The file that a line of `sshd_config` names as a host key.
fn host_key(line: &str) -> Option<&str> {
    let (word, rest) = line.trim_start().split_once([' ', '\t', '='])?;
    word.eq_ignore_ascii_case("hostkey")
        .then(|| rest.trim_matches([' ', '\t', '=', '"']))
}

fn names_only_others(config: &str) -> bool {
    let mut named = config.lines().filter_map(host_key).peekable();
    named.peek().is_some() && named.all(|file| !file.ends_with(KEY))
}

/// The configuration with a line for our key before those for others.
fn with_our_key(config: &str, path: &str) -> String {
    let mut ours = Some(format!("HostKey {path}\n"));
    let mut text = String::with_capacity(config.len() + 64);
    for line in config.lines() {
        if host_key(line).is_some()
            && let Some(ours) = ours.take()
        {
            text += &ours;
        }
        text += line;
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_names_other_keys_alone_is_given_ours() {
        let old = "Port 22\nHostKey /etc/ssh/ssh_host_rsa_key\nhostkey=/etc/ssh/ssh_host_dsa_key\n";
        assert!(names_only_others(old));
        let new = with_our_key(old, "/etc/ssh/ssh_host_ed25519_key");
        assert_eq!(
            new,
            "Port 22\nHostKey /etc/ssh/ssh_host_ed25519_key\nHostKey /etc/ssh/ssh_host_rsa_key\n\
             hostkey=/etc/ssh/ssh_host_dsa_key\n"
        );
        assert!(!names_only_others(&new));
        // Without a line sshd looks for all it knows.
        assert!(!names_only_others(
            "#HostKey /etc/ssh/ssh_host_rsa_key\nPort 22\n"
        ));
    }
}
