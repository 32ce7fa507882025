//! From what was written to what is meant: defaults filled in, every rule checked, every problem kept.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::file::{DefaultsFile, File, Text};
use super::{AccelChoice, Config, Defaults, HostNames, VendorData, networks, paths, starts};
use crate::model::{Bytes, Places, time};

/// How long a deleted VM can be undone when nothing else is said: until the next day's "where is it?".
const UNDO_WINDOW: Duration = Duration::from_secs(86_400);

/// What is wrong so far: where, and what.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<(String, String)>);

impl Problems {
    /// Notes one.
    pub(super) fn note(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.0.push((place.into(), message.into()));
    }

    /// The value, or `None` and a note of why not.
    pub(super) fn keep<T, E: Display>(&mut self, place: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.note(place, error.to_string())).ok()
    }

    /// What was written there, parsed; the default when nothing was written, and after a note.
    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        place: &str,
        written: Option<&Text>,
        default: T,
    ) -> T {
        written
            .and_then(|Text(text)| self.keep(place, text.parse()))
            .unwrap_or(default)
    }

    /// A span of time within bounds.
    pub(super) fn span(
        &mut self,
        place: &str,
        written: Option<&Text>,
        default: Duration,
        (least, most): (Duration, Duration),
    ) -> Duration {
        let span = written.and_then(|Text(text)| self.keep(place, time::parse_span(text)));
        match span {
            Some(span) if span < least => {
                self.note(
                    place,
                    format!("{} is too short: use at least {}", seconds(span), seconds(least)),
                );
                default
            }
            Some(span) if span > most => {
                self.note(
                    place,
                    format!("{} is too long: use at most {}", seconds(span), seconds(most)),
                );
                default
            }
            Some(span) => span,
            None => default,
        }
    }
}

impl IntoIterator for Problems {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn seconds(span: Duration) -> String {
    format!("{}s", span.as_secs())
}

/// The whole configuration. After a note the result is only good for finding further problems.
pub(super) fn config(file: &File, problems: &mut Problems) -> Config {
    let File {
        state_dir,
        run_dir,
        socket,
        accel,
        qemu,
        templates,
        vendor_data,
        host_names,
        hosts_file,
        undo_window,
        defaults: written_defaults,
        networks: written_networks,
        starts: written_starts,
    } = file;
    let state_dir = directory(problems, "state_dir", state_dir.as_ref())
        .unwrap_or_else(|| PathBuf::from(paths::STATE_DIR));
    let run_dir =
        directory(problems, "run_dir", run_dir.as_ref()).unwrap_or_else(|| PathBuf::from(paths::RUN_DIR));
    let socket = directory(problems, "socket", socket.as_ref());
    let socket = paths::socket_of(socket, Some(&run_dir));
    check_socket(problems, &socket);
    Config {
        places: Places::new(state_dir, run_dir),
        socket,
        networks: networks::networks(problems, written_networks.as_deref().unwrap_or_default()),
        accel: problems.parsed("accel", accel.as_ref(), AccelChoice::Auto),
        qemu: program(problems, qemu.as_ref()),
        defaults: defaults(problems, written_defaults.as_ref()),
        templates_dir: directory(problems, "templates", templates.as_ref()),
        vendor_data: VendorData {
            everywhere: directory(problems, "vendor_data", vendor_data.as_ref()),
            networks: networks::vendor_data(problems, written_networks.as_deref().unwrap_or_default()),
        },
        host_names: problems.parsed("host_names", host_names.as_ref(), HostNames::Auto),
        hosts_file: directory(problems, "hosts_file", hosts_file.as_ref())
            .unwrap_or_else(|| PathBuf::from("/etc/hosts")),
        undo_window: problems.span(
            "undo_window",
            undo_window.as_ref(),
            UNDO_WINDOW,
            (Duration::ZERO, Duration::from_secs(10 * 365 * 86_400)),
        ),
        starts: starts::starts(problems, written_starts.as_ref()),
    }
}

/// A daemon has no working directory that means anything to the operator, so every path is absolute.
pub(super) fn directory(problems: &mut Problems, place: &str, written: Option<&Text>) -> Option<PathBuf> {
    let path = PathBuf::from(&written?.0);
    if path.is_absolute() {
        return Some(path);
    }
    problems.note(
        place,
        format!("`{}` is not an absolute path: start it with /", path.display()),
    );
    None
}

fn check_socket(problems: &mut Problems, socket: &Path) {
    // sun_path of unix(7) has 108 octets, the last of them zero.
    const MOST: usize = 107;
    let length = socket.as_os_str().len();
    if length > MOST {
        problems.note(
            "socket",
            format!("the path of the admin socket has {length} octets; Unix sockets allow {MOST}"),
        );
    }
}

fn program(problems: &mut Problems, written: Option<&Text>) -> PathBuf {
    let Some(Text(text)) = written else {
        return PathBuf::from(format!("qemu-system-{}", std::env::consts::ARCH));
    };
    let path = PathBuf::from(text);
    if text.is_empty() || (text.contains('/') && !path.is_absolute()) {
        problems.note(
            "qemu",
            format!("`{text}` is neither a program's name nor an absolute path"),
        );
    }
    path
}

fn defaults(problems: &mut Problems, written: Option<&DefaultsFile>) -> Defaults {
    const LEAST_MEMORY: Bytes = Bytes::mib(32);
    let default = Defaults::default();
    let Some(DefaultsFile {
        cpus,
        memory,
        swap,
        stop_deadline,
    }) = written
    else {
        return default;
    };
    let meant = Defaults {
        cpus: number(problems, "defaults.cpus", cpus.as_ref(), (1, 255)).unwrap_or(default.cpus),
        memory: problems.parsed("defaults.memory", memory.as_ref(), default.memory),
        swap: problems.parsed("defaults.swap", swap.as_ref(), default.swap),
        stop_deadline: problems.span(
            "defaults.stop_deadline",
            stop_deadline.as_ref(),
            default.stop_deadline,
            (Duration::ZERO, Duration::from_secs(86_400)),
        ),
    };
    if meant.memory < LEAST_MEMORY {
        problems.note(
            "defaults.memory",
            format!(
                "{} is too little: no guest boots in less than {LEAST_MEMORY}",
                meant.memory
            ),
        );
    }
    meant
}

/// A whole number within bounds.
pub(super) fn number(
    problems: &mut Problems,
    place: &str,
    written: Option<&Text>,
    (least, most): (u16, u16),
) -> Option<u16> {
    let Text(text) = written?;
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Some(number),
        _ => {
            problems.note(
                place,
                format!("`{}` is not a number from {least} to {most}", text.escape_debug()),
            );
            None
        }
    }
}

/// A word that is none of those there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not one of {known}")]
pub struct ChoiceError {
    found: String,
    known: String,
}

/// The choice that a word means.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Result<T, ChoiceError> {
    if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(*choice);
    }
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let known = match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    };
    Err(ChoiceError {
        found: text.escape_debug().take(40).collect(),
        known,
    })
}

impl FromStr for AccelChoice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        choice(
            text,
            &[("auto", Self::Auto), ("kvm", Self::Kvm), ("tcg", Self::Tcg)],
        )
    }
}

impl FromStr for HostNames {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        choice(
            text,
            &[
                ("auto", Self::Auto),
                ("resolved", Self::Resolved),
                ("hosts", Self::Hosts),
                ("off", Self::Off),
            ],
        )
    }
}
