//! The look at a user's user-data before a VM is launched with it: a mistake that cloud-init would only log inside the guest
//! is told here, with line and column.

use serde::Deserialize;
use serde_yaml::Value;

use super::ignition::{self, IgnitionProblem};

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
        return cloud_config(bytes);
    }
    if ignition::is_meant(bytes) {
        return Ok(ignition::check(bytes)?);
    }
    Err(unmarked(start))
}

/// Checks what a template made: a cloud-config, or an archive whose cloud-config parts are sound.
pub(super) fn vendor_data(text: &str) -> Result<(), UserDataProblem> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> String {
        check_user_data(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn everything_cloud_init_knows_by_its_first_line_is_passed() {
        for good in [
            "",
            "\n",
            "#cloud-config\n",
            "#cloud-config\npackages: [curl]\n",
            "#Cloud-Config\r\npackages:\r\n  - curl\r\n",
            "\n#cloud-config\n{\"packages\": []}\n",
            "#!/bin/sh\n: not yaml [",
            "#include\nhttp://10.77.0.1/x\n",
            "#include-once\nhttp://10.77.0.1/x\n",
            "#cloud-boothook\nx",
            "#cloud-config-archive\n- type: text/cloud-config\n",
            "#cloud-config-jsonp\n[]",
            "#part-handler\n",
            "## template: jinja\n#cloud-config\nfqdn: {{ v1.local_hostname }}.x\n",
            "Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x\n",
        ] {
            assert_eq!(check_user_data(good.as_bytes()), Ok(()), "{good:?}");
        }
        assert_eq!(check_user_data(&[0x1f, 0x8b, 8, 0, 0xff]), Ok(()));
    }

    #[test]
    fn a_byte_order_mark_is_told() {
        assert_eq!(
            check_user_data("\u{feff}#cloud-config\na: b\n".as_bytes()),
            Err(UserDataProblem::ByteOrderMark)
        );
    }

    #[test]
    fn a_forgotten_first_line_is_told() {
        for bad in ["packages: [curl]\n", "# cloud-config\npackages: [curl]\n"] {
            assert_eq!(
                check_user_data(bad.as_bytes()),
                Err(UserDataProblem::NoHeader),
                "{bad:?}"
            );
        }
        assert!(refused("hello\n").contains("`hello`"));
        assert!(matches!(
            check_user_data(b"\xff\xfe#"),
            Err(UserDataProblem::UnknownKind(_))
        ));
    }

    #[test]
    fn a_cloud_config_that_is_not_yaml_is_refused_with_its_place() {
        let broken = check_user_data(b"#cloud-config\npackages: [curl\nruncmd: x\n").unwrap_err();
        assert!(
            matches!(broken, UserDataProblem::NotYaml { line: 3, .. }),
            "{broken}"
        );
        let tab = refused("#cloud-config\nusers:\n\t- default\n");
        assert!(tab.contains("line 3") && tab.contains("no tabs"), "{tab}");
        let colon = refused("#cloud-config\nruncmd: echo: hello\n");
        assert!(colon.contains("line 2, column"), "{colon}");
        assert!(refused("#cloud-config\na: 1\na: 2\n").contains("duplicate"));
    }

    #[test]
    fn a_cloud_config_is_a_mapping() {
        assert!(refused("#cloud-config\n- a\n- b\n").contains("a list"));
        assert!(refused("#cloud-config\nhello\n").contains("a single text"));
    }

    #[test]
    fn a_user_data_has_at_most_a_mebibyte() {
        let mut bytes = b"#!".to_vec();
        bytes.resize(MAX_USER_DATA, b'x');
        assert_eq!(check_user_data(&bytes), Ok(()));
        bytes.push(b'x');
        assert_eq!(
            check_user_data(&bytes),
            Err(UserDataProblem::TooLarge(MAX_USER_DATA + 1))
        );
    }

    #[test]
    fn a_cloud_config_is_utf8() {
        let bytes = b"#cloud-config\na: b\nc: \xff\n";
        assert_eq!(check_user_data(bytes), Err(UserDataProblem::NotUtf8 { line: 3 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let marked = [b"#cloud-config\n", bytes.as_slice()].concat();
            for bytes in [&bytes, &marked] {
                if let Err(problem) = check_user_data(bytes) {
                    prop_assert!(problem.to_string().chars().count() < 700);
                }
            }
        }

        #[test]
        fn any_text_after_the_first_line_is_judged_without_a_panic(text in "[\\PC\n\t ]{0,120}") {
            let judged = check_user_data(format!("#cloud-config\n{text}").as_bytes());
            prop_assert!(judged.is_ok() || !judged.unwrap_err().to_string().is_empty());
        }
    }
}
