//! `SELinux`: files that were made from outside have no label, and a guest that enforces its policy could not read them.

use super::draft::{Draft, READABLE};
use crate::offline::root::RootError;

/// Has the guest label all of its files at its next boot, after which it boots once more (selinux(8)).
const RELABEL: &str = "/.autorelabel";

/// To be called last: whether there are new files is known then.
pub(super) fn relabel(draft: &mut Draft<'_>) -> Result<(), RootError> {
    let config = draft.text("/etc/selinux/config")?.unwrap_or_default();
    let is_on = config
        .lines()
        .filter_map(|line| line.trim().strip_prefix("SELINUX="))
        .any(|mode| matches!(mode.trim(), "enforcing" | "permissive"));
    if is_on && draft.makes_files()? {
        draft.put(RELABEL, "", READABLE);
        draft.note("it labels its files for SELinux at its next boot, and boots once more");
    }
    Ok(())
}
