//! A session as a file that can be played: asciicast v2 (asciinema's documentation, `manual/asciicast/v2`).
//!
//! Only what is shown is written, never what is typed: passwords are not echoed.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Failure;
use crate::console::frame::Size;
use crate::model::Clock;

/// A recording that is being made.
#[derive(Debug)]
pub(super) struct Recorder {
    path: PathBuf,
    file: File,
    begun: Instant,
    /// The beginning of a character whose end has not come yet.
    cut: Vec<u8>,
}

impl Recorder {
    /// Makes the file, and writes what stands first. One that is there is not touched. Where no size is known, it is the usual one.
    pub(super) fn create(path: &Path, title: &str, size: Option<Size>) -> Result<Self, Failure> {
        let mut options = File::options();
        let opened = options.write(true).create_new(true).mode(0o600).open(path);
        let file = opened.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::refused(format!("{} is there already", path.display()))
                .hint("give the recording another name, or remove that one"),
            _ => Failure::io(format!("can not write the recording {}", path.display()), &error),
        })?;
        let mut recorder = Self {
            path: path.to_owned(),
            file,
            begun: Instant::now(),
            cut: Vec::new(),
        };
        let begun = recorder.begin(title, size);
        // The same command has to find the place empty again.
        begun.inspect_err(|_| drop(std::fs::remove_file(path)))?;
        Ok(recorder)
    }

    fn begin(&mut self, title: &str, size: Option<Size>) -> Result<(), Failure> {
        let (columns, rows) = size.map_or((80, 24), |size| (size.columns, size.rows));
        let header = json!({
            "version": 2, "width": columns, "height": rows, "title": title,
            "timestamp": Clock.now().0,
        });
        self.line(&header)
    }

    /// Something is shown.
    pub(super) fn output(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let text = text(&mut self.cut, bytes);
        if text.is_empty() {
            return Ok(());
        }
        self.event("o", &text)
    }

    /// It is shown on a terminal of another size from now on.
    pub(super) fn resized(&mut self, size: Size) -> Result<(), Failure> {
        self.event("r", &format!("{}x{}", size.columns, size.rows))
    }

    fn event(&mut self, kind: &str, data: &str) -> Result<(), Failure> {
        let event = json!([self.begun.elapsed().as_secs_f64(), kind, data]);
        self.line(&event)
    }

    fn line(&mut self, value: &Value) -> Result<(), Failure> {
        self.file
            .write_all(format!("{value}\n").as_bytes())
            .map_err(|error| {
                Failure::io(
                    format!("can not write the recording {}", self.path.display()),
                    &error,
                )
            })
    }
}

/// The characters that are whole, with the beginning of one that was kept from before; what is none is replaced.
fn text(cut: &mut Vec<u8>, bytes: &[u8]) -> String {
    let mut all = std::mem::take(cut);
    all.extend(bytes);
    *cut = all.split_off(all.len() - unfinished(&all));
    String::from_utf8_lossy(&all).into_owned()
}

/// How many octets at the end are the beginning of a character (RFC 3629, section 3).
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.iter().rev().take(3).zip(1..);
    for (byte, count) in last {
        let length = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if length > count { count } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::MetadataExt as _;

    proptest! {
        #[test]
        fn text_that_comes_in_any_parts_is_the_same_text(said in any::<String>(), part in 1_usize..5) {
            let mut cut = Vec::new();
            let whole: String = said.as_bytes().chunks(part).map(|part| text(&mut cut, part)).collect();
            prop_assert_eq!(whole, said);
            prop_assert!(cut.is_empty());
        }

        #[test]
        fn any_octets_become_text_and_none_wait_for_long(bytes in any::<Vec<u8>>(), part in 1_usize..5) {
            let mut cut = Vec::new();
            for part in bytes.chunks(part) {
                text(&mut cut, part);
                prop_assert!(cut.len() <= 3);
            }
        }
    }

    #[test]
    fn a_recording_is_a_header_and_a_line_for_each_event() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web1.cast");
        let size = Size {
            rows: 40,
            columns: 120,
        };
        let mut recorder = Recorder::create(&path, "web1", Some(size)).unwrap();
        recorder.output(b"\x1b[1mgr\xc3").unwrap();
        recorder.output(b"\xbcn\r\n\xff").unwrap();
        recorder.resized(size).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            (&lines[0]["version"], &lines[0]["width"], &lines[0]["height"]),
            (&json!(2), &json!(120), &json!(40))
        );
        let events: Vec<_> = lines[1..].iter().map(|line| (&line[1], &line[2])).collect();
        assert_eq!(
            events,
            [
                (&json!("o"), &json!("\u{1b}[1mgr")),
                (&json!("o"), &json!("ün\r\n\u{fffd}")),
                (&json!("r"), &json!("120x40")),
            ]
        );
        assert!(lines[1..].iter().all(|line| line[0].as_f64().unwrap() >= 0.0));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = Recorder::create(&path, "web1", None).unwrap_err();
        assert!(again.message.contains("is there already"), "{again:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
