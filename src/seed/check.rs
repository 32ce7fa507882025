//! The look at a user's user-data before a VM is launched with it: a mistake that cloud-init would only log inside the guest
//! is told here, with its line.
//!
//! [`check_user_data`] looks at the form: what it refuses cloud-init can not read at all. [`findings`] looks at what a
//! cloud-config says: keys and types that cloud-init does not know, which whoever knows better may force.

mod finding;
mod keys;
mod schema;

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_yaml::Value;

use self::finding::Finding;
pub use self::finding::Findings;
use super::ignition::{self, IgnitionProblem};
use super::parts::{self, ARCHIVE, CLOUD_CONFIG, CLOUD_CONFIG_LINE, GZIP, JINJA, Lines, Part, is_mime};
use super::yaml::{self, Kind};
use crate::model::cloud_init::Release;

/// The most user-data that is accepted, in bytes.
pub const MAX_USER_DATA: usize = 1 << 20;

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
    if start.is_empty() || start.starts_with(&GZIP) || is_mime(bytes) {
        return Ok(());
    }
    match parts::kind_by_beginning(bytes) {
        Some(CLOUD_CONFIG) => cloud_config(bytes).or_else(|problem| given_twice(bytes, problem)),
        Some(_) => Ok(()),
        None if ignition::is_meant(bytes) => Ok(ignition::check(bytes)?),
        None => Err(unmarked(start)),
    }
}

/// Whether a user-data is one cloud-config, and nothing that holds some.
pub fn is_cloud_config(bytes: &[u8]) -> bool {
    parts::kind_by_beginning(bytes) == Some(CLOUD_CONFIG) && !is_mime(bytes)
}

/// Looks at what the cloud-configs within a user-data say, for this release of cloud-init, or for any when it is not known.
///
/// What every release from 22.4 on takes is never a problem; the keys of older and newer ones are told as warnings. Parts of an
/// archive and of a MIME message are looked at too; compressed ones and Jinja templates are passed.
pub fn findings(bytes: &[u8], release: Option<Release>) -> Findings {
    let mut findings = Findings::default();
    for part in parts::of(bytes) {
        let Some(text) = settings(&part) else { continue };
        match mapping(text).or_else(|problem| given_twice(text.as_bytes(), problem)) {
            Ok(()) => {
                if let Ok(Some(tree)) = yaml::read(text) {
                    schema::check(&tree, &part.lines, release, &mut findings);
                }
            }
            Err(problem) => findings.problem(in_part(problem, &part.lines)),
        }
    }
    findings
}

/// What a part says, where it is a cloud-config that the guest takes as it is.
fn settings(part: &Part) -> Option<&str> {
    let is_filled_in = parts::kind_by_beginning(&part.content) == Some(JINJA);
    if part.kind != CLOUD_CONFIG || is_filled_in {
        return None;
    }
    std::str::from_utf8(&part.content).ok()
}

/// A problem of a whole document, which is a part of a user-data.
fn in_part(problem: UserDataProblem, lines: &Lines) -> Finding {
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
    let is_mapping = || matches!(yaml::read(text), Ok(Some(tree)) if tree.kind() == Kind::Map);
    if is_that && is_mapping() {
        Ok(())
    } else {
        Err(problem)
    }
}

/// Checks what a template made: a cloud-config, or an archive whose cloud-config parts are sound.
pub(crate) fn vendor_data(text: &str) -> Result<(), UserDataProblem> {
    if parts::kind_by_beginning(text.as_bytes()) != Some(ARCHIVE) {
        return cloud_config(text.as_bytes());
    }
    let parts: Vec<Item> = serde_yaml::from_str(text).map_err(|error| not_yaml(text, &error))?;
    parts
        .iter()
        .filter(|part| part.kind == CLOUD_CONFIG)
        .try_for_each(|part| cloud_config(part.content.as_bytes()))
}

/// One part of a template's cloud-config archive, which is written with more care than cloud-init needs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    #[serde(rename = "type")]
    kind: String,
    content: String,
}

/// Checks that a text is a cloud-config: its first line says so, and it is a YAML mapping or nothing.
pub(super) fn cloud_config(bytes: &[u8]) -> Result<(), UserDataProblem> {
    if !parts::begins_with(bytes, CLOUD_CONFIG_LINE) {
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
