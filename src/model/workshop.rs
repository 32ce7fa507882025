//! Workshops: VMs whose disk becomes an image when they power off.

use std::fmt;
use std::str::FromStr;

use super::name::ImageName;

/// What becomes of a VM's disk when the VM has powered itself off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workshop {
    /// The image whose next generation the disk becomes.
    pub image: ImageName,
    /// What is done in it.
    pub work: Work,
}

/// What is done in a workshop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// The image is changed by hand, on an overlay of its current generation.
    Edit,
    /// A system is installed on an empty disk.
    Install(Install),
}

impl Workshop {
    /// How a system is installed in it, where one is.
    pub const fn install(&self) -> Option<&Install> {
        match &self.work {
            Work::Install(install) => Some(install),
            Work::Edit => None,
        }
    }
}

/// How a system is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// Whose installer it is.
    pub family: Family,
    /// The command line of the installer's kernel.
    pub cmdline: String,
    /// The account that gets the keys in clones of the image.
    pub default_user: String,
    /// Whether the installer has an ISO image in its drive.
    pub has_media: bool,
    /// What it is told instead of asking; `None` when it asks at the console.
    pub answers: Option<Answers>,
}

/// What an installer is told instead of asking, beside what its template says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers {
    /// Where it gets its packages; as its template says when not given.
    pub mirror: Option<Mirror>,
}

/// Whose installer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Debian's, and of distributions that use it as it is.
    Debian,
    /// Ubuntu's live server.
    Ubuntu,
    /// Anaconda: RHEL, Alma, Rocky, `CentOS` Stream, Fedora Server.
    RedHat,
    /// Alpine's `setup-alpine`.
    Alpine,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Debian, Self::Ubuntu, Self::RedHat, Self::Alpine];

    /// The word records use for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
            Self::RedHat => "redhat",
            Self::Alpine => "alpine",
        }
    }

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debian => "Debian",
            Self::Ubuntu => "Ubuntu",
            Self::RedHat => "the RHEL family",
            Self::Alpine => "Alpine",
        }
    }

    /// The account that its installed systems' cloud-init makes.
    pub const fn default_user(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
            Self::RedHat => "cloud-user",
            Self::Alpine => "alpine",
        }
    }

    /// The memory that its installer needs, in MiB, with some to spare.
    pub const fn memory_mib(self) -> u64 {
        match self {
            Self::Debian | Self::Alpine => 1024,
            Self::Ubuntu | Self::RedHat => 3072,
        }
    }
}

/// The URL of an archive of packages: `http://mirror.example.org/debian`.
///
/// Plain characters only, because it is printed into files of several syntaxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror(Box<str>);

/// A text that is not the URL of an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the URL of an archive, such as http://mirror.example.org/debian")]
pub struct MirrorError(String);

const SCHEME: &str = "http://";

impl Mirror {
    /// The host, with its port where one is given.
    pub fn host(&self) -> &str {
        let rest = self.0.strip_prefix(SCHEME).unwrap_or_default();
        rest.split_once('/').map_or(rest, |(host, _)| host)
    }

    /// The directory, from its slash on, without one at its end but for `/` itself.
    pub fn directory(&self) -> &str {
        let rest = self.0.strip_prefix(SCHEME).unwrap_or_default();
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
    }
}

impl FromStr for Mirror {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        const LONGEST: usize = 200;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte);
        let trimmed = text.trim_end_matches('/');
        let good = trimmed
            .strip_prefix(SCHEME)
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(plain));
        if good && text.len() <= LONGEST {
            Ok(Self(trimmed.into()))
        } else {
            Err(MirrorError(text.escape_debug().to_string()))
        }
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_taken_apart() {
        for (text, shown, host, directory) in [
            (
                "http://mirror.example.org/debian",
                "http://mirror.example.org/debian",
                "mirror.example.org",
                "/debian",
            ),
            (
                "http://10.0.0.1:3142/deb/x/",
                "http://10.0.0.1:3142/deb/x",
                "10.0.0.1:3142",
                "/deb/x",
            ),
            ("http://mirror", "http://mirror", "mirror", "/"),
        ] {
            let mirror: Mirror = text.parse().unwrap();
            assert_eq!(
                (mirror.to_string().as_str(), mirror.host(), mirror.directory()),
                (shown, host, directory)
            );
        }
    }

    #[test]
    fn what_a_file_could_read_otherwise_is_no_mirror() {
        for bad in [
            "",
            "http://",
            "http:///debian",
            "mirror.example.org",
            "https://mirror.example.org/debian",
            "http://x/a b",
            "http://x/$(y)",
            "http://x/\n",
            "http://x/'",
            "http://x/a;b",
        ] {
            assert!(bad.parse::<Mirror>().is_err(), "{bad:?}");
        }
    }
}
