//! The look at a user's user-data before a VM is launched with it: a mistake that cloud-init would only log inside the guest
//! is told here, with its line.
//!
//! [`check_user_data`] looks at the form: what it refuses cloud-init can not read at all. [`findings`] looks at what a
//! cloud-config says: keys and types that cloud-init does not know, which whoever knows better may force.

mod finding;
mod keys;
mod parts;
mod scalar;
mod schema;
mod tree;

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_yaml::Value;

use self::finding::Finding;
pub use self::finding::Findings;
use super::ignition::{self, IgnitionProblem};
use crate::model::cloud_init::Release;

/// The most user-data that is accepted, in bytes.
pub const MAX_USER_DATA: usize = 1 << 20;

/// How cloud-init tells what a document is: by its first characters, in any case (guest-contract §2.1). `#cloud-config`
/// itself is not in the list, because what follows it is looked at.
const PASSED: [&str; 8] = [
    "#!",
    "#include",
    "#cloud-boothook",
    ARCHIVE,
    "#cloud-config-jsonp",
    "#part-handler",
    "#upstart-job",
    "## template: jinja",
];
const CLOUD_CONFIG: &str = "#cloud-config";
const ARCHIVE: &str = "#cloud-config-archive";

/// What is wrong with a user-data. The text does not say which file it is about: whoever shows it puts that in front.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserDataProblem {
    /// More than [`MAX_USER_DATA`].
    #[error(
        "user-data has {0} bytes; at most {MAX_USER_DATA} are allowed: fetch the rest from a #include or a script"
    )]
    TooLarge(usize),
    /// A byte order mark hides the first line from cloud-init.
    #[error(
        "it starts with a byte order mark (BOM), which hides the first line from cloud-init: save it as UTF-8 without BOM"
    )]
    ByteOrderMark,
    /// YAML, but not marked as cloud-config.
    #[error(
        "user-data has no `#cloud-config` line: make that its first line, or cloud-init ignores the rest"
    )]
    NoHeader,
    /// Marked as nothing that cloud-init knows.
    #[error(
        "it starts with `{0}`, which cloud-init does not know: the first line is `#cloud-config` for settings, \
         `#!/bin/sh` for a script, or `#include` for a list of URLs"
    )]
    UnknownKind(String),
    /// Not text.
    #[error("line {line}: a cloud-config is UTF-8 text, and this is not")]
    NotUtf8 {
        /// The first line that is not, from 1.
        line: usize,
    },
    /// Not YAML.
    #[error("line {line}, column {column}: {reason}")]
    NotYaml {
        /// Where the reader stopped, from 1.
        line: usize,
        /// Where in that line, from 1.
        column: usize,
        /// What was found and what was expected.
        reason: String,
    },
    /// An Ignition config, but not one that Ignition reads.
    #[error("it is no sound Ignition config: {0}")]
    Ignition(#[from] IgnitionProblem),
    /// YAML, but no mapping.
    #[error("it is {0}; a cloud-config is a mapping of keys to values, such as `packages: [curl]`")]
    NotAMapping(&'static str),
}

/// Checks that cloud-init will understand a user-data: known by its first line, and a cloud-config is a YAML mapping.
///
/// Nothing is a good user-data; scripts, MIME messages, gzip and Jinja templates are passed as they are. An Ignition config
/// is checked as one: it is for images whose agent is Ignition.
pub fn check_user_data(bytes: &[u8]) -> Result<(), UserDataProblem> {
    if bytes.len() > MAX_USER_DATA {
        return Err(UserDataProblem::TooLarge(bytes.len()));
    }
    let start = bytes.trim_ascii_start();
    if start.is_empty() || start.starts_with(&[0x1f, 0x8b]) || is_mime(bytes) {
        return Ok(());
    }
    if PASSED.iter().any(|kind| starts_with(start, kind)) {
        return Ok(());
    }
    if starts_with(start, CLOUD_CONFIG) {
        return cloud_config(bytes).or_else(|problem| given_twice(bytes, problem));
    }
    if ignition::is_meant(bytes) {
        return Ok(ignition::check(bytes)?);
    }
    Err(unmarked(start))
}

/// Whether a user-data is one cloud-config, and nothing that holds some.
pub fn is_cloud_config(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    starts_with(start, CLOUD_CONFIG) && !is_mime(bytes) && !PASSED.iter().any(|kind| starts_with(start, kind))
}

/// Looks at what the cloud-configs within a user-data say, for this release of cloud-init, or for any when it is not known.
///
/// What every release from 22.4 on takes is never a problem; the keys of older and newer ones are told as warnings. Parts of an
/// archive and of a MIME message are looked at too; compressed ones and Jinja templates are passed.
pub fn findings(bytes: &[u8], release: Option<Release>) -> Findings {
    let mut findings = Findings::default();
    for document in parts::of(bytes) {
        match mapping(&document.text).or_else(|problem| given_twice(document.text.as_bytes(), problem)) {
            Ok(()) => {
                if let Some(tree) = tree::read(&document.text) {
                    schema::check(&tree, &document.lines, release, &mut findings);
                }
            }
            Err(problem) => findings.problem(in_part(problem, &document.lines)),
        }
    }
    findings
}

/// A problem of a whole document, which is a part of a user-data.
fn in_part(problem: UserDataProblem, lines: &schema::Lines) -> Finding {
    let (line, what) = match problem {
        UserDataProblem::NotYaml { line, reason, .. } => (line, reason),
        other => (1, other.to_string()),
    };
    Finding {
        place: lines.place(line),
        key: String::new(),
        what,
    }
}

/// cloud-init takes the last of two values for one key, and tells nobody: that is looked at later.
fn given_twice(bytes: &[u8], problem: UserDataProblem) -> Result<(), UserDataProblem> {
    let is_that =
        matches!(&problem, UserDataProblem::NotYaml { reason, .. } if reason.contains("duplicate entry"));
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let is_mapping = || tree::read(text).is_some_and(|tree| tree.kind() == scalar::Kind::Map);
    if is_that && is_mapping() {
        Ok(())
    } else {
        Err(problem)
    }
}

/// Checks what a template made: a cloud-config, or an archive whose cloud-config parts are sound.
pub(crate) fn vendor_data(text: &str) -> Result<(), UserDataProblem> {
    if !is_archive(text.as_bytes()) {
        return cloud_config(text.as_bytes());
    }
    let parts: Vec<Part> = serde_yaml::from_str(text).map_err(|error| not_yaml(text, &error))?;
    parts
        .iter()
        .filter(|part| part.kind == "text/cloud-config")
        .try_for_each(|part| cloud_config(part.content.as_bytes()))
}

/// One part of a cloud-config archive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    content: String,
}

/// Checks that a text is a cloud-config: its first line says so, and it is a YAML mapping or nothing.
pub(super) fn cloud_config(bytes: &[u8]) -> Result<(), UserDataProblem> {
    if !starts_with(bytes.trim_ascii_start(), CLOUD_CONFIG) {
        return Err(unmarked(bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        UserDataProblem::NotUtf8 {
            line: before.split(|byte| *byte == b'\n').count(),
        }
    })?;
    mapping(text)
}

/// Checks that a text is a YAML mapping, or nothing.
fn mapping(text: &str) -> Result<(), UserDataProblem> {
    match serde_yaml::from_str::<Value>(text) {
        Ok(Value::Mapping(_) | Value::Null) => Ok(()),
        Ok(other) => Err(UserDataProblem::NotAMapping(kind_of(&other))),
        Err(error) => Err(not_yaml(text, &error)),
    }
}

fn unmarked(start: &[u8]) -> UserDataProblem {
    let mapping = std::str::from_utf8(start)
        .ok()
        .and_then(|text| serde_yaml::from_str::<Value>(text.trim_start_matches('\u{feff}')).ok())
        .is_some_and(|value| value.is_mapping());
    if start.starts_with("\u{feff}".as_bytes()) {
        return UserDataProblem::ByteOrderMark;
    }
    if mapping {
        return UserDataProblem::NoHeader;
    }
    let first = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let shown = String::from_utf8_lossy(first).escape_debug().take(40).collect();
    UserDataProblem::UnknownKind(shown)
}

fn not_yaml(text: &str, error: &serde_yaml::Error) -> UserDataProblem {
    let (line, column) = error
        .location()
        .map_or((1, 1), |location| (location.line(), location.column()));
    let said = error.to_string();
    let suffix = format!(" at line {line} column {column}");
    let reason = said.strip_suffix(&suffix).unwrap_or(&said);
    let tab = text
        .lines()
        .nth(line.saturating_sub(1))
        .is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'));
    let advice = if tab {
        "; indent with spaces, YAML allows no tabs there"
    } else {
        ""
    };
    UserDataProblem::NotYaml {
        line,
        column,
        reason: format!("{reason}{advice}"),
    }
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Sequence(_) => "a list",
        Value::String(_) => "a single text",
        Value::Number(_) => "a single number",
        Value::Bool(_) => "a single true or false",
        Value::Null => "empty",
        Value::Mapping(_) => "a mapping",
        Value::Tagged(_) => "a tagged value",
    }
}

/// Whether cloud-init takes it for an archive.
pub(super) fn is_archive(bytes: &[u8]) -> bool {
    starts_with(bytes.trim_ascii_start(), ARCHIVE)
}

/// cloud-init takes a message for MIME when its first 4,096 bytes name the MIME version.
pub(super) fn is_mime(bytes: &[u8]) -> bool {
    const FIELD: &[u8] = b"mime-version:";
    bytes
        .get(..4_096)
        .unwrap_or(bytes)
        .windows(FIELD.len())
        .any(|window| window.eq_ignore_ascii_case(FIELD))
}

fn starts_with(bytes: &[u8], prefix: &str) -> bool {
    bytes
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}
