//! Files that the user names on the command line.

use std::io::Read as _;
use std::path::Path;

use super::failure::Failure;

/// The text of a file, or of standard input when it is called `-`.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes(path)?)
        .map_err(|error| Failure::refused(format!("{} is no text: {error}", path.display())))
}

/// The user's own user-data, which may be compressed; the daemon checks what it says.
pub(super) fn user_data(path: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    path.map(bytes).transpose()
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|error| Failure::io(format!("can not read {}", path.display()), &error))
}
