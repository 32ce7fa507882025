//! What is run, in its order: cloud-init's `stages.py` (user-data before vendor-data) and the order of its final modules.

use std::fmt::Write as _;

use super::{Owned, Settings, comment};
use crate::seed::parts::{BOOTHOOK, SCRIPT};
use crate::seed::yaml::Node;

/// Adds what is run, each on a line of a comment.
pub(super) fn add(text: &mut String, user: &[Owned], vendor: &[Owned], settings: &Settings) {
    let mut lines = Vec::new();
    for owned in user
        .iter()
        .chain(vendor)
        .filter(|owned| owned.part.kind == BOOTHOOK)
    {
        lines.push(line("early in every boot", "boothook", owned));
    }
    scripts(&mut lines, vendor, (SCRIPT, "late in the first boot"));
    for (kind, when) in [
        (
            "text/x-shellscript-per-once",
            "late in the first boot of the disk",
        ),
        ("text/x-shellscript-per-boot", "late in every boot"),
        ("text/x-shellscript-per-instance", "late in the first boot"),
    ] {
        scripts(&mut lines, user.iter().chain(vendor), (kind, when));
    }
    // The commands are a script of their own name among the user's (`cc_runcmd.py`).
    let commands = Node::of_text("runcmd".to_owned());
    let has_commands = settings.entries.iter().any(|entry| entry.key.is_key(&commands));
    let commands =
        has_commands.then(|| format!("late in the first boot: runcmd of {}", settings.told(&commands)));
    let mut own = Vec::new();
    scripts(
        &mut own,
        user.iter().filter(|owned| *owned.part.name < *"runcmd"),
        (SCRIPT, "late in the first boot"),
    );
    own.extend(commands);
    scripts(
        &mut own,
        user.iter().filter(|owned| *owned.part.name >= *"runcmd"),
        (SCRIPT, "late in the first boot"),
    );
    lines.append(&mut own);
    if lines.is_empty() {
        return;
    }
    text.push_str("\n# What runs, in this order:\n");
    for (number, line) in (1_usize..).zip(lines) {
        // Writing to a String can not fail.
        let _infallible = writeln!(text, "# {number}. {}", comment(&line));
    }
}

/// The scripts of one kind, by name: cloud-init runs what is in a directory.
fn scripts<'a>(
    lines: &mut Vec<String>,
    parts: impl IntoIterator<Item = &'a Owned>,
    (kind, when): (&str, &str),
) {
    let mut found: Vec<_> = parts
        .into_iter()
        .filter(|owned| owned.part.kind == kind)
        .collect();
    found.sort_by(|one, other| one.part.name.cmp(&other.part.name));
    lines.extend(found.into_iter().map(|owned| line(when, "script", owned)));
}

fn line(when: &str, what: &str, owned: &Owned) -> String {
    format!(
        "{when}: {what} {} ({} bytes)",
        owned.told(),
        owned.part.content.len()
    )
}
