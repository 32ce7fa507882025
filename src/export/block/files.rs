//! Puts our block into a file, or takes it out: everything around it stays as it is, to the octet.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use super::{Malformed, Markers, Place, find};
use crate::export::files::{Rest, Written};

/// Why a file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The block in it can not be told from the rest.
    #[error("{}: {why}: put that right by hand, and nothing else is needed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: Malformed,
    },
    /// Somebody else wrote it at the same time.
    #[error("{} was changed by another program meanwhile", .0.display())]
    Raced(PathBuf),
    /// The kernel refused something.
    #[error("can not {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, in the words of the message.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> BlockError + 'a {
    move |source| BlockError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Makes the block in a file what `content` writes; at the file's end where there was none. A file that is missing is
/// made.
///
/// Only where the last line has no end it gets one. `content` is asked up to twice, and has to write the same each
/// time. Mode and owner stay; the file is replaced in one step, but for one that is a mount point of its own (as a
/// container's `/etc/hosts` is): that is written over.
pub fn put_block(
    path: &Path,
    markers: &Markers,
    content: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<Written, BlockError> {
    let block = |out: &mut dyn Write| {
        writeln!(out, "{}", markers.begin())?;
        content(out)?;
        writeln!(out, "{}", markers.end())
    };
    if !path.exists() {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path);
        made.map_err(failed("make", path))?;
    }
    change(path, markers, Some(&block))
}

/// Takes the block out of a file; one that has none, or is not there, is not touched.
pub fn remove_block(path: &Path, markers: &Markers) -> Result<Written, BlockError> {
    if path.exists() {
        change(path, markers, None)
    } else {
        Ok(Written::Same)
    }
}

type Content<'a> = &'a dyn Fn(&mut dyn Write) -> io::Result<()>;

fn change(path: &Path, markers: &Markers, block: Option<Content<'_>>) -> Result<Written, BlockError> {
    // Of a link, what it leads to is the file.
    let path = &path.canonicalize().map_err(failed("find", path))?;
    let mut old = File::open(path).map_err(failed("read", path))?;
    let place = find(BufReader::new(&old), markers)
        .map_err(failed("read", path))?
        .map_err(|why| BlockError::Malformed {
            path: path.clone(),
            why,
        })?;
    let same = match block {
        None => place.start == place.end,
        Some(block) => has(&mut old, place, block).map_err(failed("read", path))?,
    };
    if same {
        return Ok(Written::Same);
    }
    let beside = beside(path, markers);
    let replaced = write(&old, place, block, &beside)
        .map_err(failed("write", &beside))
        .and_then(|()| replace(path, &old, &beside));
    if replaced.is_err() {
        // It may never have been made; the first error is the one to tell.
        drop(fs::remove_file(&beside));
    }
    replaced.map(|()| Written::Changed)
}

/// Whether the block is there and says this.
fn has(old: &mut File, place: Place, block: Content<'_>) -> io::Result<bool> {
    if place.start == place.end {
        return Ok(false);
    }
    old.seek(SeekFrom::Start(place.start))?;
    let mut rest = Rest::of(BufReader::new(old.take(place.end - place.start)));
    Ok(block(&mut rest).is_ok() && rest.is_empty())
}

fn beside(path: &Path, markers: &Markers) -> PathBuf {
    // Of the daemon's own: another one may be writing its block into the same file.
    let mut daemon = DefaultHasher::new();
    markers.begin().hash(&mut daemon);
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".seedbed-new-{:08x}", daemon.finish() & 0xffff_ffff));
    path.with_file_name(name)
}

/// Writes the whole new file beside the old one.
fn write(mut old: &File, place: Place, block: Option<Content<'_>>, beside: &Path) -> io::Result<()> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // One that a killed process left behind.
        _ => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    let mut out = BufWriter::new(file);
    old.seek(SeekFrom::Start(0))?;
    io::copy(&mut old.take(place.start), &mut out)?;
    if let Some(block) = block {
        if place.follows_open_line {
            out.write_all(b"\n")?;
        }
        block(&mut out)?;
    }
    old.seek(SeekFrom::Start(place.end))?;
    io::copy(&mut old, &mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    let before = old.metadata()?;
    fchown(&file, Some(before.uid()), Some(before.gid()))?;
    file.set_permissions(before.permissions())?;
    file.sync_all()
}

/// Puts the new file in the place of the old one.
fn replace(path: &Path, old: &File, beside: &Path) -> Result<(), BlockError> {
    let identity = |meta: &fs::Metadata| {
        (
            meta.dev(),
            meta.ino(),
            meta.len(),
            meta.mtime(),
            meta.mtime_nsec(),
        )
    };
    let (read, now) = (old.metadata(), fs::metadata(path));
    let (read, now) = (
        read.map_err(failed("read", path))?,
        now.map_err(failed("read", path))?,
    );
    if identity(&read) != identity(&now) {
        return Err(BlockError::Raced(path.to_owned()));
    }
    match fs::rename(beside, path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices
            ) =>
        {
            write_over(path, beside).map_err(failed("write", path))?;
            fs::remove_file(beside).map_err(failed("remove", beside))
        }
        Err(error) => Err(failed("replace", path)(error)),
        Ok(()) => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(failed("sync", folder))
        }
    }
}

/// Writes a mount point over: who reads meanwhile may find a part, but never an empty file.
fn write_over(path: &Path, beside: &Path) -> io::Result<()> {
    let mut new = File::open(beside)?;
    let mut old = OpenOptions::new().write(true).open(path)?;
    let length = io::copy(&mut new, &mut old)?;
    old.set_len(length)?;
    old.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn markers() -> Markers {
        Markers::of(Path::new("/var/lib/seedbed"))
    }

    fn put(path: &Path, block: &str) -> Result<Written, BlockError> {
        put_block(path, &markers(), |out| out.write_all(block.as_bytes()))
    }

    #[test]
    fn the_block_comes_changes_and_goes_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        fs::write(&path, "127.0.0.1 localhost\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::chown(&path, Some(12), Some(34)).unwrap();
        assert_eq!(put(&path, "10.77.0.5 web1\n").unwrap(), Written::Changed);
        assert_eq!(put(&path, "10.77.0.5 web1\n").unwrap(), Written::Same);
        let mut text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "127.0.0.1 localhost\n# BEGIN seedbed /var/lib/seedbed\n10.77.0.5 web1\n# END seedbed /var/lib/seedbed\n"
        );
        text += "::1 localhost";
        fs::write(&path, &text).unwrap();
        assert_eq!(put(&path, "").unwrap(), Written::Changed);
        assert_eq!(remove_block(&path, &markers()).unwrap(), Written::Changed);
        assert_eq!(remove_block(&path, &markers()).unwrap(), Written::Same);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "127.0.0.1 localhost\n::1 localhost"
        );
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o640, 12, 34));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_block_that_is_not_whole_is_never_touched_and_its_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let (begin, end) = (markers().begin, markers().end);
        for (text, says) in [
            (
                format!("a\n{begin}\nb\n"),
                "line 2 begins Seedbed's block, and no line ends it",
            ),
            (
                format!("a\nb\n{end}\n"),
                "line 3 ends Seedbed's block, and no line begins it",
            ),
            (
                format!("{begin}\n{end}\n{begin}\n{end}\n"),
                "line 3 begins Seedbed's block a second time",
            ),
            (
                format!("{begin}\n{begin}\n{end}\n"),
                "line 2 begins Seedbed's block a second time",
            ),
        ] {
            fs::write(&path, &text).unwrap();
            for result in [put(&path, "x\n"), remove_block(&path, &markers())] {
                let error = result.unwrap_err().to_string();
                assert!(error.contains(says) && error.contains("hosts: line"), "{error}");
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn two_daemons_have_a_block_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        put(&path, "1\n").unwrap();
        let other = Markers::of(Path::new("/srv/other"));
        put_block(&path, &other, |out| out.write_all(b"2\n")).unwrap();
        remove_block(&path, &markers()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "# BEGIN seedbed /srv/other\n2\n# END seedbed /srv/other\n");
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, real) = (folder.path().join("hosts"), folder.path().join("real"));
        fs::write(&real, "a\n").unwrap();
        std::os::unix::fs::symlink("real", &path).unwrap();
        put(&path, "b\n").unwrap();
        assert!(path.is_symlink());
        assert!(fs::read_to_string(&real).unwrap().contains("\nb\n"));
    }

    /// The rest of this test runs in a mount namespace of its own, which it is started in anew.
    #[test]
    fn a_mount_point_is_written_over() {
        const NAME: &str = "export::block::files::tests::a_mount_point_is_written_over";
        let Some(folder) = std::env::var_os("SEEDBED_TEST_MOUNT").map(PathBuf::from) else {
            let folder = tempfile::tempdir().unwrap();
            let script = "mount --bind \"$1/source\" \"$1/hosts\" && shift && exec \"$@\"";
            for name in ["source", "hosts"] {
                fs::write(folder.path().join(name), "127.0.0.1 localhost\n").unwrap();
            }
            let status = Command::new("unshare")
                .args(["--mount", "sh", "-c", script, "sh"])
                .arg(folder.path())
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", NAME])
                .env("SEEDBED_TEST_MOUNT", folder.path())
                .status()
                .unwrap();
            assert!(status.success());
            let text = fs::read_to_string(folder.path().join("source")).unwrap();
            assert!(
                text.ends_with("\n# BEGIN seedbed /var/lib/seedbed\n2\n# END seedbed /var/lib/seedbed\n"),
                "{text}"
            );
            return;
        };
        let path = folder.join("hosts");
        put(&path, "a longer block\n").unwrap();
        put(&path, "2\n").unwrap();
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            2,
            "nothing is left beside"
        );
    }

    #[test]
    fn fifty_thousand_lines_are_a_block_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        fs::write(&path, "127.0.0.1 localhost\n").unwrap();
        let lines =
            |out: &mut dyn Write| (0..50_000).try_for_each(|n| writeln!(out, "10.0.0.1 vm{n}.lab vm{n}"));
        assert_eq!(put_block(&path, &markers(), lines).unwrap(), Written::Changed);
        assert_eq!(put_block(&path, &markers(), lines).unwrap(), Written::Same);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 50_003);
    }

    proptest! {
        #[test]
        fn what_is_around_the_block_stays_to_the_octet(
            before in "(?s)[a-z #\r\n]{0,60}",
            after in "(?s)[a-z #\r\n]{0,60}",
            block in "[a-z\n]{0,30}",
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("hosts");
            fs::write(&path, &before).unwrap();
            let block = format!("{block}\n");
            put(&path, &block).unwrap();
            let mut text = fs::read_to_string(&path).unwrap();
            prop_assert!(text.starts_with(&before));
            text += &after;
            fs::write(&path, &text).unwrap();
            put(&path, "other\n").unwrap();
            remove_block(&path, &markers()).unwrap();
            let open = !before.is_empty() && !before.ends_with('\n');
            let expected = format!("{before}{}{after}", if open { "\n" } else { "" });
            prop_assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        }
    }
}
