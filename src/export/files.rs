//! Writes generated files whole or not at all: whoever reads one finds the old text or the new.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Whether a file had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It has new content, and is on disk.
    Changed,
    /// It had this content and mode already, and was not touched.
    Same,
}

/// Why a file was not written; what was there before is still there.
#[derive(Debug, thiserror::Error)]
#[error("can not {doing} {}: {source}", path.display())]
pub struct WriteError {
    /// What was tried, in the words of the message.
    doing: &'static str,
    /// With which file or folder.
    path: PathBuf,
    /// What the kernel said.
    source: io::Error,
}

/// Gives the file at `path` what `content` writes, and these permission bits. When this returns, both are on disk.
///
/// `content` is asked up to twice, and has to write the same each time: first what is there is compared with it, and
/// only a file that differs is written, beside the old one under a name of its own (`.name.seedbed-new`), and renamed
/// over it. So the text of a whole registry is never in memory. A symbolic link is replaced, not followed. A path has
/// one writer at a time: the caller sees to that.
pub fn write_atomically(
    path: &Path,
    mode: u32,
    content: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<Written, WriteError> {
    let failed = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| WriteError { doing, path, source }
    };
    if is_there(path, mode, &content) {
        return Ok(Written::Same);
    }
    let name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput.into())
        .map_err(failed("write", path))?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(".seedbed-new");
    let beside = folder.join(beside);
    // One that a killed process left behind.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &beside)(error));
        }
        _ => {}
    }
    let put = create(&beside, mode, &content)
        .map_err(failed("write", &beside))
        .and_then(|()| fs::rename(&beside, path).map_err(failed("replace", path)));
    if let Err(error) = put {
        // It may never have been made; the first error is the one to tell.
        drop(fs::remove_file(&beside));
        return Err(error);
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync", folder))?;
    Ok(Written::Changed)
}

/// Whether the file is a regular one with this mode and content. One that can not be read is not.
fn is_there(path: &Path, mode: u32, content: impl Fn(&mut dyn Write) -> io::Result<()>) -> bool {
    let regular =
        fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o7777 == mode);
    let Some(file) = regular.then(|| File::open(path).ok()).flatten() else {
        return false;
    };
    let mut rest = Rest::of(BufReader::new(file));
    content(&mut rest).is_ok() && rest.is_empty()
}

/// What of a file was not compared yet: writing takes the same octets from it, and fails where they differ.
pub(super) struct Rest<R>(R);

impl<R: BufRead> Rest<R> {
    pub(super) const fn of(file: R) -> Self {
        Self(file)
    }

    /// Whether all of it was compared.
    pub(super) fn is_empty(&mut self) -> bool {
        self.0.fill_buf().is_ok_and(<[u8]>::is_empty)
    }
}

impl<R: BufRead> Write for Rest<R> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let found = self.0.fill_buf()?;
        let length = found.len().min(octets.len());
        let is_same = length > 0 && found.get(..length) == octets.get(..length);
        if !is_same && !octets.is_empty() {
            return Err(io::Error::other("the file has other content"));
        }
        self.0.consume(length);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Closed to others until it is whole, and never through a link.
fn create(path: &Path, mode: u32, content: impl Fn(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let mut buffered = BufWriter::new(file);
    content(&mut buffered)?;
    let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, content: &[u8], mode: u32) -> Result<Written, WriteError> {
        write_atomically(path, mode, |out| out.write_all(content))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn content_and_mode_are_as_told_and_nothing_is_left_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        for (content, mode) in [(b"one\n".as_slice(), 0o644), (b"second\n", 0o640)] {
            assert_eq!(write(&path, content, mode).unwrap(), Written::Changed);
            assert_eq!(fs::read(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
            assert_eq!(names(folder.path()), ["hosts"]);
        }
    }

    #[test]
    fn equal_content_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        write(&path, b"same", 0o644).unwrap();
        let before = fs::metadata(&path).unwrap();
        assert_eq!(write(&path, b"same", 0o644).unwrap(), Written::Same);
        let after = fs::metadata(&path).unwrap();
        assert_eq!(
            (before.ino(), before.modified().unwrap()),
            (after.ino(), after.modified().unwrap())
        );
        assert_eq!(write(&path, b"same", 0o600).unwrap(), Written::Changed);
        assert_eq!(write(&path, b"sama", 0o600).unwrap(), Written::Changed);
    }

    #[test]
    fn what_begins_like_the_file_or_goes_on_behind_it_is_another_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        for content in ["", "one\n", "one\ntwo\n", "one\n", ""] {
            assert_eq!(write(&path, content.as_bytes(), 0o644).unwrap(), Written::Changed);
            assert_eq!(fs::read(&path).unwrap(), content.as_bytes());
            assert_eq!(write(&path, content.as_bytes(), 0o644).unwrap(), Written::Same);
        }
    }

    #[test]
    fn content_that_is_cut_short_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        write(&path, b"old", 0o644).unwrap();
        let cut = write_atomically(&path, 0o644, |out| {
            out.write_all(b"new")?;
            Err(io::Error::other("no more"))
        });
        assert!(cut.unwrap_err().to_string().ends_with("no more"));
        assert_eq!(
            (names(folder.path()), fs::read(&path).unwrap()),
            (vec!["hosts".to_owned()], b"old".to_vec())
        );
    }

    proptest::proptest! {
        #[test]
        fn only_a_file_of_other_content_is_written(
            old in proptest::collection::vec(0_u8..3, 0..40),
            pieces in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..8), 0..8),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("hosts");
            write(&path, &old, 0o644).unwrap();
            let new = pieces.concat();
            let written = write_atomically(&path, 0o644, |out| {
                pieces.iter().try_for_each(|piece| out.write_all(piece))
            });
            let expected = if new == old { Written::Same } else { Written::Changed };
            proptest::prop_assert_eq!(written.unwrap(), expected);
            proptest::prop_assert_eq!(fs::read(&path).unwrap(), new);
        }
    }

    #[test]
    fn a_reader_keeps_the_whole_old_file() {
        use std::io::Read as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        write(&path, b"old", 0o644).unwrap();
        let mut reader = File::open(&path).unwrap();
        write(&path, b"new text", 0o644).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "old");
    }

    #[test]
    fn what_a_killed_writer_left_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        fs::write(folder.path().join(".hosts.seedbed-new"), "half").unwrap();
        write(&path, b"whole", 0o644).unwrap();
        assert_eq!(
            (names(folder.path()), fs::read(&path).unwrap()),
            (vec!["hosts".to_owned()], b"whole".to_vec())
        );
    }

    #[test]
    fn a_link_is_replaced_and_what_it_pointed_to_is_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("hosts"), folder.path().join("victim"));
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        write(&path, b"ours", 0o644).unwrap();
        assert_eq!(
            (fs::read(&victim).unwrap(), fs::read(&path).unwrap()),
            (b"mine".to_vec(), b"ours".to_vec())
        );
        assert!(!path.is_symlink());
    }

    #[test]
    fn a_refusal_names_the_whole_path_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no-such-folder").join("hosts");
        let error = write(&missing, b"x", 0o644).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{}/no-such-folder/.hosts", folder.path().display())),
            "{error}"
        );

        let taken = folder.path().join("folder");
        fs::create_dir(&taken).unwrap();
        let error = write(&taken, b"x", 0o644).unwrap_err().to_string();
        assert!(
            error.contains("can not replace") && error.contains(&taken.display().to_string()),
            "{error}"
        );
        assert_eq!(names(folder.path()), ["folder"]);
    }
}
