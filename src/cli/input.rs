//! Files that the user names on the command line.

use std::io::Read as _;
use std::path::Path;

use super::failure::Failure;

/// The text of a file, or of standard input when it is called `-`.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes(path)?)
        .map_err(|error| Failure::refused(format!("{} is no text: {error}", path.display())))
}

/// More than any file that is read whole: a device that never ends is none.
const LARGEST: u64 = 256 * 1024 * 1024;

/// The octets of a file, or of standard input when it is called `-`.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::io(format!("can not read {}", path.display()), &error))?;
    if bytes.len() as u64 > LARGEST {
        let path = path.display();
        return Err(Failure::refused(format!("{path} is larger than 256 MiB")));
    }
    Ok(bytes)
}
