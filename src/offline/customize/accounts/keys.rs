//! The keys that may log in to an account, between two lines of ours in its `authorized_keys`: what others put there stays.

use super::super::draft::{Draft, PRIVATE};
use super::Entry;
use crate::offline::root::RootError;

const BEGIN: &str = "# BEGIN seedbed";
const END: &str = "# END seedbed";

pub(super) fn write(draft: &mut Draft<'_>, entry: &Entry, keys: &[String]) -> Result<(), RootError> {
    let folder = format!("{}/.ssh", entry.home.trim_end_matches('/'));
    let path = format!("{folder}/authorized_keys");
    let old = draft.text(&path)?;
    if old.is_none() && keys.is_empty() {
        return Ok(());
    }
    let text = with_keys(&old.unwrap_or_default(), keys);
    draft.directory(&folder, 0o700, entry.owner);
    draft.put_for(&path, text.into_bytes(), PRIVATE, entry.owner);
    Ok(())
}

/// The file with these keys in our part of it; without a part of ours where there are none.
fn with_keys(old: &str, keys: &[String]) -> String {
    let mut text = String::with_capacity(old.len() + 512);
    let mut is_ours = false;
    let mut add = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    for line in old.lines() {
        match line {
            BEGIN => is_ours = true,
            END => is_ours = false,
            _ if !is_ours => add(line),
            _ => {}
        }
    }
    if !keys.is_empty() {
        add(BEGIN);
        for key in keys {
            add(key);
        }
        add(END);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_others_stay_and_ours_are_those_of_the_plan() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        let one = with_keys(
            "ssh-rsa AAAA theirs",
            &keys(&["ssh-ed25519 BBBB ann", "ssh-ed25519 CCCC bob"]),
        );
        assert_eq!(
            one,
            "ssh-rsa AAAA theirs\n# BEGIN seedbed\nssh-ed25519 BBBB ann\nssh-ed25519 CCCC bob\n# END seedbed\n"
        );
        assert_eq!(
            with_keys(&one, &keys(&["ssh-ed25519 BBBB ann", "ssh-ed25519 CCCC bob"])),
            one
        );
        assert_eq!(with_keys(&one, &[]), "ssh-rsa AAAA theirs\n");
    }
}
