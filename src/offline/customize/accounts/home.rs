//! Home directories: one that is missing is made of /etc/skel.

use super::super::draft::{Draft, Owner};
use super::Entry;
use super::defaults::Defaults;
use crate::offline::root::{Kind, RootError};

const SKELETON: &str = "/etc/skel";
/// How deep a skeleton may be, and how many files it may have: people's have a handful.
const DEEPEST: u32 = 8;
const MOST: usize = 1_000;

/// Makes the home directory of an account that has none.
pub(super) fn make(draft: &mut Draft<'_>, entry: &Entry, defaults: &Defaults) -> Result<(), RootError> {
    if draft.exists(&entry.home) {
        return Ok(());
    }
    draft.directory(&entry.home, defaults.mode, entry.owner);
    let mut left = MOST;
    copy(draft, (SKELETON, &entry.home), entry.owner, (DEEPEST, &mut left))
}

fn copy(
    draft: &mut Draft<'_>,
    (from, to): (&str, &str),
    owner: Owner,
    (depth, left): (u32, &mut usize),
) -> Result<(), RootError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Ok(());
    };
    for name in draft.root().list(from)? {
        let Some(fewer) = left.checked_sub(1) else {
            return Ok(());
        };
        *left = fewer;
        let (from, to) = (format!("{from}/{name}"), format!("{to}/{name}"));
        let Some(status) = draft.root().status(&from)? else {
            continue;
        };
        match status.kind {
            Kind::File => {
                let bytes = draft.root().read(&from)?.unwrap_or_default();
                draft.put_for(&to, bytes, status.mode & 0o777, owner);
            }
            Kind::Directory => {
                draft.directory(&to, status.mode & 0o777, owner);
                copy(draft, (&from, &to), owner, (depth, left))?;
            }
            Kind::Link => {
                if let Some(target) = draft.root().read_link(&from)? {
                    draft.link(&to, target, owner);
                }
            }
            Kind::Special => {}
        }
    }
    Ok(())
}
