//! Who may become root without a password: a file of ours that sudoers(5) includes.

use super::super::draft::{Draft, ROOT};
use crate::offline::root::RootError;

const MAIN: &str = "/etc/sudoers";
const OURS: &str = "/etc/sudoers.d/90-seedbed";
/// sudo takes no file that others can write.
const MODE: u32 = 0o440;

/// Whether an account may, by our file as it is.
pub(super) fn has(draft: &Draft<'_>, name: &str) -> Result<bool, RootError> {
    let text = draft.text(OURS)?.unwrap_or_default();
    Ok(text
        .lines()
        .any(|line| line.split_whitespace().next() == Some(name)))
}

pub(super) fn write(draft: &mut Draft<'_>, names: &[&str]) -> Result<(), RootError> {
    if names.is_empty() {
        draft.remove(OURS);
        return Ok(());
    }
    let Some(main) = draft.text(MAIN)? else {
        draft.note(format!(
            "it has no sudo: {} can not become root",
            names.join(", ")
        ));
        return Ok(());
    };
    let includes = |line: &str| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("#includedir" | "@includedir")) && words.next() == Some("/etc/sudoers.d")
    };
    if !main.lines().any(includes) {
        draft.edit(MAIN, MODE, |old| {
            let end = if old.is_empty() || old.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            format!("{old}{end}#includedir /etc/sudoers.d\n")
        })?;
    }
    let mut text = String::from("# Written by seedbed.\n");
    for name in names {
        text.push_str(name);
        text.push_str(" ALL=(ALL) NOPASSWD:ALL\n");
    }
    draft.directory("/etc/sudoers.d", 0o750, ROOT);
    draft.put(OURS, text, MODE);
    Ok(())
}
