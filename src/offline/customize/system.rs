//! What a guest is: its family of distributions, and which services it starts.

use super::draft::Draft;
use crate::offline::root::RootError;

/// A family of distributions, by how they are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Debian,
    RedHat,
    Suse,
    Alpine,
    Other,
}

/// Where units that are started with the system are linked from.
const WANTS: [&str; 5] = [
    "/etc/systemd/system/multi-user.target.wants",
    "/etc/systemd/system/network-online.target.wants",
    "/etc/systemd/system/network.target.wants",
    "/usr/lib/systemd/system/multi-user.target.wants",
    "/lib/systemd/system/multi-user.target.wants",
];
/// The same for the scripts of System V, in the runlevels that servers run in.
const RUNLEVELS: [&str; 4] = ["/etc/rc2.d", "/etc/rc3.d", "/etc/rc.d/rc3.d", "/etc/rcS.d"];

/// The family of a guest, by os-release(5), or by the files that came before it.
pub(super) fn family(draft: &Draft<'_>) -> Result<Family, RootError> {
    let release = match draft.text("/etc/os-release")? {
        Some(text) => text,
        None => draft.text("/usr/lib/os-release")?.unwrap_or_default(),
    };
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_default()
            .trim_matches(['"', '\''])
            .to_ascii_lowercase()
    };
    let ids = format!("{} {}", value("ID="), value("ID_LIKE="));
    let named = ids.split_whitespace().find_map(|id| match id {
        "debian" | "ubuntu" => Some(Family::Debian),
        "rhel" | "fedora" | "centos" => Some(Family::RedHat),
        "suse" | "sles" | "opensuse" => Some(Family::Suse),
        "alpine" => Some(Family::Alpine),
        _ => None,
    });
    let by_file = || {
        let files = [
            ("/etc/debian_version", Family::Debian),
            ("/etc/redhat-release", Family::RedHat),
            ("/etc/SuSE-release", Family::Suse),
            ("/etc/alpine-release", Family::Alpine),
        ];
        files
            .into_iter()
            .find(|(file, _)| draft.exists(file))
            .map_or(Family::Other, |(_, family)| family)
    };
    Ok(named.unwrap_or_else(by_file))
}

/// Whether the guest has systemd.
pub(super) fn has_systemd(draft: &Draft<'_>) -> bool {
    ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"]
        .iter()
        .any(|path| draft.exists(path))
}

/// Whether a service is started with the system, by systemd or by a script of that name.
pub(super) fn starts(draft: &Draft<'_>, service: &str) -> Result<bool, RootError> {
    let unit = format!("{service}.service");
    for folder in WANTS {
        if draft.root().list(folder)?.contains(&unit) {
            return Ok(true);
        }
    }
    let is_script = |name: &String| {
        let name = name.strip_prefix('S').unwrap_or_default();
        name.trim_start_matches(|c: char| c.is_ascii_digit()) == service
    };
    for folder in RUNLEVELS {
        if draft.root().list(folder)?.iter().any(is_script) {
            return Ok(true);
        }
    }
    Ok(false)
}
