//! A guest's files as they are to be: read through to the disk, changed in memory, and only then written where they differ. So a
//! plan is looked at without being carried out, and one that was carried out changes nothing the second time.

use std::collections::BTreeMap;

use super::Done;
use crate::offline::root::{Kind, Root, RootError};

/// What a file that only root writes, and everybody reads, has.
pub(super) const READABLE: u32 = 0o644;
/// What a file that only its owner reads has.
pub(super) const PRIVATE: u32 = 0o600;

/// Root's numbers.
pub(super) const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// Whose a file is, as the guest numbers users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Changes to a guest's files that are not written yet.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    root: &'a Root,
    pending: BTreeMap<String, Pending>,
    notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    /// A file; `hold` says whether one that is there keeps its mode and owner.
    File {
        bytes: Vec<u8>,
        mode: u32,
        owner: Owner,
        hold: bool,
    },
    Directory {
        mode: u32,
        owner: Owner,
    },
    Link {
        target: String,
        owner: Owner,
    },
    Gone,
}

impl<'a> Draft<'a> {
    /// No changes to the files under this root.
    pub(super) const fn of(root: &'a Root) -> Self {
        Self {
            root,
            pending: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// The files as they are.
    pub(super) const fn root(&self) -> &'a Root {
        self.root
    }

    /// Keeps a sentence for whoever asked for the changes.
    pub(super) fn note(&mut self, sentence: impl Into<String>) {
        self.notes.push(sentence.into());
    }

    /// Whether something is there.
    pub(super) fn exists(&self, path: &str) -> bool {
        match self.pending.get(path) {
            Some(Pending::Gone) => false,
            Some(_) => true,
            None => self.root.exists(path),
        }
    }

    /// A file's text; octets that are not UTF-8 are read as Latin-1, and written back as they were.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>, RootError> {
        Ok(self.bytes(path)?.map(decoded))
    }

    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, RootError> {
        match self.pending.get(path) {
            Some(Pending::File { bytes, .. }) => Ok(Some(bytes.clone())),
            Some(_) => Ok(None),
            None => self.root.read(path),
        }
    }

    /// Writes a file that is wholly ours: root's, and of this mode.
    pub(super) fn put(&mut self, path: &str, text: impl Into<String>, mode: u32) {
        self.put_for(path, text.into().into_bytes(), mode, ROOT);
    }

    /// The same for somebody else.
    pub(super) fn put_for(&mut self, path: &str, bytes: Vec<u8>, mode: u32, owner: Owner) {
        let file = Pending::File {
            bytes,
            mode,
            owner,
            hold: false,
        };
        self.pending.insert(path.to_owned(), file);
    }

    /// Changes the text of a file that is the system's: it keeps its mode and owner. A new one is root's, and of this mode.
    pub(super) fn edit(
        &mut self,
        path: &str,
        mode: u32,
        change: impl FnOnce(&str) -> String,
    ) -> Result<(), RootError> {
        let old = self.bytes(path)?.unwrap_or_default();
        let is_text = std::str::from_utf8(&old).is_ok();
        let text = change(&decoded(old));
        let bytes = if is_text { text.into_bytes() } else { latin1(&text) };
        let file = Pending::File {
            bytes,
            mode,
            owner: ROOT,
            hold: true,
        };
        self.pending.insert(path.to_owned(), file);
        Ok(())
    }

    /// Makes a directory with this mode and owner; one that is there stays as it is.
    pub(super) fn directory(&mut self, path: &str, mode: u32, owner: Owner) {
        if !self.exists(path) {
            self.pending
                .insert(path.to_owned(), Pending::Directory { mode, owner });
        }
    }

    /// Makes a symbolic link.
    pub(super) fn link(&mut self, path: &str, target: String, owner: Owner) {
        self.pending
            .insert(path.to_owned(), Pending::Link { target, owner });
    }

    /// Removes a file.
    pub(super) fn remove(&mut self, path: &str) {
        self.pending.insert(path.to_owned(), Pending::Gone);
    }

    /// Removes the files of a directory whose names are such.
    pub(super) fn remove_in(&mut self, folder: &str, such: impl Fn(&str) -> bool) -> Result<(), RootError> {
        for name in self.root.list(folder)?.iter().filter(|name| such(name)) {
            self.remove(&format!("{folder}/{name}"));
        }
        Ok(())
    }

    /// Whether a file would be made that is not there: it has no label of `SELinux`'s.
    pub(super) fn makes_files(&self) -> Result<bool, RootError> {
        for (path, pending) in &self.pending {
            if *pending != Pending::Gone && self.root.status(path)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the changes are, in the order of the paths, with the notes behind. Written they are only where `write` says so.
    pub(super) fn finish(self, write: bool) -> Result<Vec<Done>, RootError> {
        let mut done = Vec::new();
        for (path, pending) in &self.pending {
            let Some(change) = differing(self.root, path, pending)? else {
                continue;
            };
            if write {
                make(self.root, path, pending)?;
            }
            done.push(change);
        }
        done.extend(self.notes.into_iter().map(Done::Note));
        Ok(done)
    }
}

/// What a change comes to; nothing where all is as it should be.
fn differing(root: &Root, path: &str, pending: &Pending) -> Result<Option<Done>, RootError> {
    let Some(status) = root.status(path)? else {
        let is_new = *pending != Pending::Gone;
        return Ok(is_new.then(|| Done::Made(path.to_owned())));
    };
    let is_as_wanted = match pending {
        Pending::Gone => return Ok(Some(Done::Removed(path.to_owned()))),
        Pending::Directory { .. } => true,
        Pending::Link { target, .. } => root.read_link(path)?.as_ref() == Some(target),
        Pending::File {
            bytes,
            mode,
            owner,
            hold,
        } => {
            let is_held = *hold
                || (status.kind == Kind::File
                    && status.mode == *mode
                    && (status.uid, status.gid) == (owner.uid, owner.gid));
            is_held && root.read(path)?.as_ref() == Some(bytes)
        }
    };
    Ok((!is_as_wanted).then(|| Done::Changed(path.to_owned())))
}

fn make(root: &Root, path: &str, pending: &Pending) -> Result<(), RootError> {
    if *pending == Pending::Gone {
        return root.remove(path).map(drop);
    }
    let is_new = root.status(path)?.is_none();
    if let Some((folder, _)) = path.rsplit_once('/').filter(|(folder, _)| !folder.is_empty()) {
        root.make_dir(folder, 0o755)?;
    }
    match pending {
        Pending::Gone => {}
        Pending::File {
            bytes,
            mode,
            owner,
            hold,
        } => {
            root.write(path, bytes, *mode)?;
            if is_new || !hold {
                root.chown(path, owner.uid, owner.gid)?;
                root.chmod(path, *mode)?;
            }
        }
        Pending::Directory { mode, owner } => {
            root.make_dir(path, *mode)?;
            root.chown(path, owner.uid, owner.gid)?;
            root.chmod(path, *mode)?;
        }
        Pending::Link { target, owner } => {
            root.symlink(target, path)?;
            root.chown(path, owner.uid, owner.gid)?;
        }
    }
    Ok(())
}

fn decoded(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect())
}

/// Octets again of what [`decoded`] made characters of; what was added beside is UTF-8.
fn latin1(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(character) {
            Ok(octet) => bytes.push(octet),
            Err(_) => bytes.extend(character.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Tree, tree};
    use super::*;

    fn changed(tree: &Tree, change: impl FnOnce(&mut Draft<'_>)) -> Vec<Done> {
        let root = tree.root();
        let mut draft = Draft::of(&root);
        change(&mut draft);
        draft.finish(true).unwrap()
    }

    #[test]
    fn only_what_differs_is_written() {
        let tree = tree(&[
            ("/etc/same", "same\n"),
            ("/etc/other", "old\n"),
            ("/etc/gone", ""),
        ]);
        let all = |draft: &mut Draft<'_>| {
            draft.edit("/etc/same", READABLE, str::to_owned).unwrap();
            draft
                .edit("/etc/other", READABLE, |_| "new\n".to_owned())
                .unwrap();
            draft.put("/etc/deep/new", "text", PRIVATE);
            draft.remove("/etc/gone");
            draft.remove("/etc/never-was");
        };
        let made = [
            Done::Made("/etc/deep/new".to_owned()),
            Done::Removed("/etc/gone".to_owned()),
            Done::Changed("/etc/other".to_owned()),
        ];
        assert_eq!(changed(&tree, all), made);
        assert_eq!(tree.read("/etc/other"), "new\n");
        assert_eq!(tree.mode("/etc/deep/new"), PRIVATE);
        assert_eq!(changed(&tree, all), []);
    }

    #[test]
    fn what_is_only_looked_at_is_not_written() {
        let tree = tree(&[("/etc/hostname", "base\n")]);
        let root = tree.root();
        let mut draft = Draft::of(&root);
        draft.put("/etc/hostname", "web1\n", READABLE);
        assert_eq!(draft.text("/etc/hostname").unwrap().unwrap(), "web1\n");
        assert_eq!(
            draft.finish(false).unwrap(),
            [Done::Changed("/etc/hostname".to_owned())]
        );
        assert_eq!(tree.read("/etc/hostname"), "base\n");
    }

    #[test]
    fn a_text_of_another_age_keeps_its_octets() {
        let tree = tree(&[]);
        tree.write_bytes(
            "/etc/passwd",
            b"jos\xe9:x:1000:1000:Jos\xe9:/home/jos\xe9:/bin/sh\n",
        );
        changed(&tree, |draft| {
            draft
                .edit("/etc/passwd", READABLE, |old| {
                    format!("{old}ann:x:1001:1001::/home/ann:/bin/sh\n")
                })
                .unwrap();
        });
        let bytes = tree.read_bytes("/etc/passwd");
        assert!(bytes.starts_with(b"jos\xe9:x:1000:1000:Jos\xe9:/home/jos\xe9:/bin/sh\nann:x:1001"));
    }

    #[test]
    fn a_file_that_is_too_open_is_closed() {
        let tree = tree(&[("/etc/key", "key")]);
        let done = changed(&tree, |draft| draft.put("/etc/key", "key", PRIVATE));
        assert_eq!(done, [Done::Changed("/etc/key".to_owned())]);
        assert_eq!(tree.mode("/etc/key"), PRIVATE);
    }
}
