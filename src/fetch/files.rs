//! Files with holes: what is unpacked is mostly zeros, which take no room.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::model::Bytes;

/// The piece that is either written or left out: a block of most file systems.
const BLOCK: usize = 4096;

/// An I/O error with the file it happened to.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}: {source}", path.display())]
pub struct FileError {
    /// What was being done, as a verb form: `reading`, `writing`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// Adds the action and the path to an I/O error.
pub(super) fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| FileError {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Why something was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// What is packed makes no sense, or is cut short.
    #[error("{0}")]
    Packed(io::Error),
    /// There is more in it than can be meant.
    #[error("far more comes out of it than can be meant: {} and no end", Bytes(*.0))]
    Bomb(u64),
    /// The file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// How much may come out of something packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Never more than this, in bytes.
    pub(super) most: u64,
    /// So much may come out of anything, however small.
    pub(super) always: u64,
    /// Beyond it, so many bytes for each that was read: an empty disk packs to a seven-thousandth, a real one to a hundredth at best.
    pub(super) times: u64,
}

impl Limit {
    const fn allows(&self, out: u64, read: u64) -> bool {
        let by_ratio = read.saturating_mul(self.times);
        out <= self.most && (out <= self.always || out <= by_ratio)
    }
}

/// Writes all that `content` reads into an empty file, without the blocks that are zeros. `read` tells how much was read of what is
/// packed, in bytes, and is asked after each piece. Returns the length, in bytes.
pub(super) fn fill(
    (path, file): (&Path, &File),
    mut content: impl Read,
    limit: Limit,
    mut read: impl FnMut() -> u64,
) -> Result<u64, UnpackError> {
    let mut buffer = vec![0; 256 * BLOCK];
    let mut length = 0_u64;
    loop {
        let count = whole(&mut content, &mut buffer).map_err(UnpackError::Packed)?;
        let piece = buffer.get(..count).unwrap_or_default();
        for (number, block) in (0..).zip(piece.chunks(BLOCK)) {
            if block.iter().any(|byte| *byte != 0) {
                let offset = length.saturating_add(number * BLOCK as u64);
                file.write_all_at(block, offset).map_err(at("writing", path))?;
            }
        }
        length = length.saturating_add(count as u64);
        if !limit.allows(length, read()) {
            return Err(UnpackError::Bomb(length));
        }
        if count < buffer.len() {
            break;
        }
    }
    file.set_len(length).map_err(at("writing", path))?;
    Ok(length)
}

/// Reads until the buffer is full, or there is no more.
fn whole(content: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match content.read(rest) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The room that is left for files beside `path`, in bytes.
pub(super) fn room(path: &Path) -> io::Result<u64> {
    let file_system = rustix::fs::statvfs(path)?;
    Ok(file_system.f_bavail.saturating_mul(file_system.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use proptest::prelude::*;

    use super::*;

    const LIMIT: Limit = Limit {
        most: 1 << 30,
        always: 32 << 20,
        times: 100,
    };

    fn filled(
        content: impl Read,
        limit: Limit,
        read: u64,
    ) -> (Result<u64, UnpackError>, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let result = fill((file.path(), file.as_file()), content, limit, || read);
        (result, file)
    }

    #[test]
    fn zeros_take_no_room_also_at_the_end() {
        let content = io::repeat(0)
            .take(20 << 20)
            .chain(&b"x"[..])
            .chain(io::repeat(0).take(5_000_000));
        let (length, file) = filled(content, LIMIT, 0);
        let expected = (20 << 20) + 1 + 5_000_000;
        assert_eq!(length.unwrap(), expected);
        let metadata = file.as_file().metadata().unwrap();
        assert_eq!(metadata.len(), expected);
        assert!(
            metadata.blocks() * 512 <= 64 << 10,
            "{} blocks",
            metadata.blocks()
        );
    }

    #[test]
    fn what_unfolds_without_end_is_refused_and_an_empty_disk_is_not() {
        let (result, _file) = filled(io::repeat(0), LIMIT, 1_000);
        assert!(matches!(result, Err(UnpackError::Bomb(length)) if length <= LIMIT.always + (1 << 20)));
        filled(io::repeat(0).take(64 << 20), LIMIT, 1 << 20).0.unwrap();
        let (result, _file) = filled(io::repeat(0), LIMIT, u64::MAX);
        assert!(matches!(result, Err(UnpackError::Bomb(length)) if length > LIMIT.most));
    }

    #[test]
    fn a_full_disk_is_told_as_such() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let result = fill((Path::new("/dev/full"), &full), &b"x"[..], LIMIT, || 1);
        let Err(UnpackError::File(error)) = result else {
            panic!("{result:?}")
        };
        assert!(
            error.to_string().starts_with("writing /dev/full: No space left"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn what_comes_out_is_what_went_in(runs in prop::collection::vec((any::<bool>(), 1..20_000_usize), 0..8)) {
            let content: Vec<u8> = runs
                .iter()
                .flat_map(|(zero, length)| std::iter::repeat_n(if *zero { 0 } else { 7 }, *length))
                .collect();
            let (length, file) = filled(&content[..], LIMIT, 0);
            prop_assert_eq!(length.unwrap(), content.len() as u64);
            prop_assert_eq!(std::fs::read(file.path()).unwrap(), content);
        }
    }
}
