//! Builds a base image from Debian packages, by a script that is part of the binary (`debian.sh` beside this file).
//!
//! It runs in the command line client and not in the daemon: a package manager has no place in a daemon that guests talk
//! to, and the daemon's own network namespace may have no way out.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

const SCRIPT: &str = include_str!("debian.sh");
/// How the script marks what it says to us, beside what its tools print.
const MARK: &str = "seedbed-build: ";
/// The script's variables that make another image of the same suite.
const INGREDIENTS: [&str; 9] = [
    "SEEDBED_MIRROR",
    "SEEDBED_SECURITY_MIRROR",
    "SEEDBED_KEYRING",
    "SEEDBED_IMAGE_SIZE",
    "SEEDBED_EXTRA_PACKAGES",
    "SEEDBED_KERNEL",
    "SEEDBED_CLOUD_INIT",
    "SEEDBED_COMPRESS",
    "SOURCE_DATE_EPOCH",
];

/// A Debian release that an image can be built of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Debian 11.
    Bullseye,
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

/// A suite that can not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no recipe for the suite `{0}`: choose bullseye (Debian 11), bookworm (12) or trixie (13)")]
pub struct UnknownSuite(String);

impl Suite {
    /// The release's code name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// The release of cloud-init that it has for its whole life.
    pub const fn cloud_init(self) -> &'static str {
        match self {
            Self::Bullseye => "20.4",
            Self::Bookworm => "22.4",
            Self::Trixie => "25.1",
        }
    }

    /// The account that cloud-init makes in its images.
    pub const fn default_user(self) -> &'static str {
        "debian"
    }
}

impl std::str::FromStr for Suite {
    type Err = UnknownSuite;

    fn from_str(text: &str) -> Result<Self, UnknownSuite> {
        match text {
            "bullseye" => Ok(Self::Bullseye),
            "bookworm" => Ok(Self::Bookworm),
            "trixie" => Ok(Self::Trixie),
            _ => Err(UnknownSuite(text.escape_debug().take(40).collect())),
        }
    }
}

/// Why an image was not built. Whatever it was, nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file or directory was in the way.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `setpriv`, which runs the script's `bash`, could not be run.
    #[error("setpriv (of the package util-linux) could not be run: {0}")]
    Shell(std::io::Error),
    /// The script failed; its last words say why.
    #[error("the image could not be built:\n{0}")]
    Failed(String),
}

/// What the script is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A new phase began.
    Phase {
        /// Its number, from 1.
        number: u64,
        /// How many there are.
        of: u64,
        /// What it does.
        what: String,
    },
    /// Something within the phase.
    Detail(String),
}

/// The file a cache directory keeps the built image in. Its name changes with the recipe, which is the script and the
/// variables of the environment `env` that it obeys: an image of another recipe is never used.
pub fn cached(cache: &Path, suite: Suite, env: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let mut recipe = Sha256::new_with_prefix(SCRIPT);
    for name in INGREDIENTS {
        // To the script, an empty variable is as good as none.
        if let Some(value) = env(name).filter(|value| !value.is_empty()) {
            recipe.update([b"\0", name.as_bytes(), b"=", value.as_encoded_bytes()].concat());
        }
    }
    let digest: [u8; 32] = recipe.finalize().into();
    let [a, b, c, d, ..] = digest;
    cache.join(format!(
        "debian-{}-{a:02x}{b:02x}{c:02x}{d:02x}.qcow2",
        suite.as_str()
    ))
}

/// Builds an image of the suite into `output`, which appears complete or not at all. Takes one to three minutes.
///
/// When the calling thread ends before that, so does the build, and it leaves nothing.
pub fn build(suite: Suite, output: &Path, on_step: impl FnMut(Step)) -> Result<(), BuildError> {
    let folder = output.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(|source| BuildError::Io {
        path: folder.to_owned(),
        source,
    })?;
    run(&mut script(suite, output), on_step)
}

fn script(suite: Suite, output: &Path) -> Command {
    // A client that is killed can not tell its script to stop; the kernel does.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "bash", "-c", SCRIPT])
        .args(["seedbed-build", suite.as_str()])
        .arg(output);
    command
}

fn run(script: &mut Command, mut on_step: impl FnMut(Step)) -> Result<(), BuildError> {
    let mut script = script
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(BuildError::Shell)?;
    let complaints = script.stderr.take().map(|mut stderr| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What could be read of the complaint is what is shown; a read error takes nothing from it.
            stderr.read_to_end(&mut bytes).ok();
            bytes
        })
    });
    if let Some(stdout) = script.stdout.take() {
        BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| step(&line))
            .for_each(&mut on_step);
    }
    let status = script.wait().map_err(BuildError::Shell)?;
    let said = complaints
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default();
    if status.success() {
        Ok(())
    } else {
        Err(BuildError::Failed(last_words(&said)))
    }
}

fn step(line: &str) -> Option<Step> {
    let text = line.strip_prefix(MARK)?;
    let phase = || {
        let (numbers, what) = text.strip_prefix('[')?.split_once("] ")?;
        let (number, of) = numbers.split_once('/')?;
        Some(Step::Phase {
            number: number.parse().ok()?,
            of: of.parse().ok()?,
            what: what.to_owned(),
        })
    };
    Some(phase().unwrap_or_else(|| Step::Detail(text.trim().to_owned())))
}

fn last_words(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.trim_start_matches(MARK))
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines
        .get(lines.len().saturating_sub(12)..)
        .unwrap_or_default()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_lines_become_steps_and_other_lines_do_not() {
        let phase = Step::Phase {
            number: 2,
            of: 7,
            what: "downloading".to_owned(),
        };
        assert_eq!(step("seedbed-build: [2/7] downloading"), Some(phase));
        assert_eq!(
            step("seedbed-build:       installing"),
            Some(Step::Detail("installing".to_owned()))
        );
        assert_eq!(step("Setting up libc6"), None);
    }

    /// Whether an image could be built here; says why a test is skipped when it could not.
    fn can_build() -> bool {
        let ready = rustix::process::geteuid().is_root()
            && ["mmdebstrap", "mke2fs", "sfdisk", "qemu-img"].iter().all(|tool| {
                ["/usr/bin", "/usr/sbin", "/sbin"]
                    .iter()
                    .any(|dir| Path::new(dir).join(tool).exists())
            })
            && Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists();
        assert!(
            ready || std::env::var_os("SEEDBED_REQUIRE_ROOT").is_none(),
            "SEEDBED_REQUIRE_ROOT is set, but no image can be built here"
        );
        if !ready {
            eprintln!(
                "skipped: needs root and the packages that contrib/test installs; run sudo contrib/test"
            );
        }
        ready
    }

    #[test]
    fn a_build_that_fails_says_why_and_leaves_nothing() {
        if !can_build() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        // What a build leaves that was killed beyond all help: no process holds the lock on it any more.
        std::fs::create_dir(folder.path().join(".seedbed-build.stale")).unwrap();
        // Port 9 (discard, RFC 863) of the loopback: nothing listens there, so that no package can be fetched.
        let mut script = script(Suite::Bookworm, &folder.path().join("image.qcow2"));
        script.env("SEEDBED_MIRROR", "http://127.0.0.1:9/debian");
        let mut phases = 0;
        let error = run(&mut script, |step| {
            phases += u64::from(matches!(step, Step::Phase { .. }));
        })
        .unwrap_err();
        assert_eq!(phases, 2, "the build did not get to its packages: {error}");
        let said = error.to_string();
        assert!(
            said.contains("mmdebstrap failed") && said.contains("127.0.0.1:9"),
            "{said}"
        );
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn the_cached_file_is_named_after_suite_and_recipe() {
        let plain = |_: &str| None;
        let name = cached(Path::new("/cache"), Suite::Trixie, plain);
        assert!(name.to_string_lossy().starts_with("/cache/debian-trixie-"));
        assert_ne!(name, cached(Path::new("/cache"), Suite::Bookworm, plain));
        let mut names = vec![name];
        for ingredient in INGREDIENTS {
            for value in ["a", "b"] {
                let env = |asked: &str| (asked == ingredient).then(|| value.into());
                names.push(cached(Path::new("/cache"), Suite::Trixie, env));
            }
            let empty = |asked: &str| (asked == ingredient).then(OsString::new);
            assert_eq!(
                names.first(),
                Some(&cached(Path::new("/cache"), Suite::Trixie, empty))
            );
        }
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "two recipes share a file");
    }

    #[test]
    fn every_variable_of_the_script_that_changes_the_image_is_an_ingredient() {
        // Where the work is done leaves no trace in the result.
        let documented = SCRIPT.lines().filter_map(|line| line.strip_prefix("#   "));
        let variables: Vec<_> = documented
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| {
                *name != "SEEDBED_BUILD_DIR" && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
            })
            .collect();
        for name in &variables {
            assert!(INGREDIENTS.contains(name), "{name}");
        }
        assert_eq!(variables.len(), INGREDIENTS.len(), "{variables:?}");
    }

    #[test]
    fn an_unknown_suite_is_refused_with_the_known_ones() {
        assert!(
            "jessie"
                .parse::<Suite>()
                .unwrap_err()
                .to_string()
                .contains("bookworm")
        );
    }
}
