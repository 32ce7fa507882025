//! A block of our own in a text file of somebody else's, between two marker lines. Pure: finds it; `files.rs` below
//! writes it.

use std::io::{self, BufRead};
use std::path::Path;

pub(super) mod files;

/// The lines that a block stands between.
///
/// They name the state directory: several daemons may keep a block in one file, and each knows its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    begin: String,
    end: String,
}

impl Markers {
    /// The markers of the daemon with this state directory.
    pub fn of(state: &Path) -> Self {
        let state = state.display().to_string();
        let state = state.escape_debug();
        Self {
            begin: format!("# BEGIN seedbed {state}"),
            end: format!("# END seedbed {state}"),
        }
    }

    /// The line before the block, without its end.
    pub fn begin(&self) -> &str {
        &self.begin
    }

    /// The line after the block, without its end.
    pub fn end(&self) -> &str {
        &self.end
    }
}

/// Where in a file the block is, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The octet that the block begins at, its marker included; the file's length when there is none.
    pub start: u64,
    /// The octet after it; the same when there is none.
    pub end: u64,
    /// Whether the line before it has no end.
    pub follows_open_line: bool,
}

/// Why a file's block is not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A block begins and does not end.
    #[error("line {0} begins Seedbed's block, and no line ends it")]
    NoEnd(u64),
    /// A block ends and did not begin.
    #[error("line {0} ends Seedbed's block, and no line begins it")]
    NoBegin(u64),
    /// A second block.
    #[error("line {0} begins Seedbed's block a second time")]
    Twice(u64),
}

/// Finds the block in a file.
pub(super) fn find(mut file: impl BufRead, markers: &Markers) -> io::Result<Result<Place, Malformed>> {
    let (mut at, mut number, mut line) = (0_u64, 0_u64, Vec::new());
    let mut begun = None;
    let mut found: Option<Place> = None;
    let mut ends_open = false;
    loop {
        line.clear();
        let length = file.read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        number += 1;
        let text = line.trim_ascii_end();
        if text == markers.begin.as_bytes() {
            if begun.is_some() || found.is_some() {
                return Ok(Err(Malformed::Twice(number)));
            }
            begun = Some((at, number));
        } else if text == markers.end.as_bytes() {
            let Some((start, _)) = begun.take() else {
                return Ok(Err(Malformed::NoBegin(number)));
            };
            found = Some(Place {
                start,
                end: at.saturating_add(length as u64),
                follows_open_line: false,
            });
        }
        at = at.saturating_add(length as u64);
        ends_open = line.last() != Some(&b'\n');
    }
    if let Some((_, number)) = begun {
        return Ok(Err(Malformed::NoEnd(number)));
    }
    Ok(Ok(found.unwrap_or(Place {
        start: at,
        end: at,
        follows_open_line: ends_open,
    })))
}
