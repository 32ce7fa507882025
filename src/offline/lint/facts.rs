//! What is known of a guest: its distribution, its agent, and so which views of the metadata it reads.

use serde::{Deserialize, Serialize};

use super::Look;
use crate::model::cloud_init::Release;
use crate::model::image::View;

/// The most bytes of a package database: Debian's is 1 to 5 MiB.
const DATABASE_MAX: u64 = 64 << 20;

/// What is known of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its distribution, as it calls itself.
    pub distribution: Option<String>,
    /// The version of its cloud-init.
    pub cloud_init: Option<String>,
    /// The version of its systemd.
    pub systemd: Option<String>,
    /// What configures its network.
    pub network: Vec<String>,
    /// Its boot loader.
    pub boot_loader: Option<String>,
    /// The views of the metadata that it reads, the best one first: what `image add --view` takes.
    pub views: Vec<String>,
}

impl Facts {
    /// The release of its cloud-init.
    pub fn release(&self) -> Option<Release> {
        self.cloud_init
            .as_deref()
            .and_then(|version| version.parse().ok())
    }
}

pub(super) fn facts(look: &Look<'_>) -> Facts {
    let packages = Packages::read(look);
    let cloud_init = packages.version("cloud-init").or_else(|| python_package(look));
    let systemd = shared_library(look).or_else(|| packages.version("systemd"));
    Facts {
        distribution: distribution(look),
        views: views(look, cloud_init.as_deref(), systemd.as_deref()),
        network: network(look),
        boot_loader: super::boot::loader(look),
        cloud_init,
        systemd,
    }
}

fn distribution(look: &Look<'_>) -> Option<String> {
    let release = look
        .text("/etc/os-release")
        .or_else(|| look.text("/usr/lib/os-release"));
    if let Some(name) = release.as_deref().and_then(|text| assigned(text, "PRETTY_NAME")) {
        return Some(name);
    }
    look.text("/etc/debian_version")
        .map(|version| format!("Debian {}", version.trim()))
}

/// The value of a shell assignment, without its quotes.
pub(super) fn assigned(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| {
        Some(
            line.trim()
                .strip_prefix(name)?
                .strip_prefix('=')?
                .trim()
                .to_owned(),
        )
    };
    let value = text.lines().filter_map(value).next_back()?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// A package database that is text: dpkg's and apk's.
struct Packages {
    text: String,
    name: &'static str,
    version: &'static str,
}

impl Packages {
    fn read(look: &Look<'_>) -> Self {
        let dpkg = "/var/lib/dpkg/status";
        if look.exists(dpkg) {
            return Self {
                text: look.large(dpkg, DATABASE_MAX),
                name: "Package: ",
                version: "Version: ",
            };
        }
        let apk = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];
        let apk = apk.into_iter().find(|path| look.exists(path));
        Self {
            text: apk.map(|path| look.large(path, DATABASE_MAX)).unwrap_or_default(),
            name: "P:",
            version: "V:",
        }
    }

    fn version(&self, package: &str) -> Option<String> {
        let paragraph = self.text.split("\n\n").find(|paragraph| {
            let named = paragraph
                .lines()
                .any(|line| line.strip_prefix(self.name) == Some(package));
            // A package that was removed, but for its configuration, is in dpkg's file too.
            let gone = |line: &str| line.starts_with("Status: ") && !line.ends_with(" installed");
            named && !paragraph.lines().any(gone)
        })?;
        let version = paragraph
            .lines()
            .find_map(|line| line.strip_prefix(self.version))?;
        Some(version.trim().to_owned())
    }
}

/// cloud-init's version by its Python metadata, whatever the package manager: `cloud_init-24.4-py3.9.egg-info`.
fn python_package(look: &Look<'_>) -> Option<String> {
    let pythons = look
        .within("/usr/lib")
        .into_iter()
        .filter(|path| path.starts_with("/usr/lib/python3"));
    pythons
        .flat_map(|python| ["site-packages", "dist-packages"].map(|kind| format!("{python}/{kind}")))
        .flat_map(|folder| look.or_empty(look.root.list(&folder)))
        .find_map(|name| {
            let rest = name.strip_prefix("cloud_init-")?;
            let info = rest.ends_with(".egg-info") || rest.ends_with(".dist-info");
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let version = rest.get(..digits)?.trim_end_matches('.');
            (info && !version.is_empty()).then(|| version.to_owned())
        })
}

/// systemd's version by the name of its library: `libsystemd-shared-252.so`.
fn shared_library(look: &Look<'_>) -> Option<String> {
    let folders = [
        "/usr/lib/systemd",
        "/lib/systemd",
        "/usr/lib64/systemd",
        "/usr/lib/x86_64-linux-gnu/systemd",
        "/lib/x86_64-linux-gnu/systemd",
    ];
    folders
        .iter()
        .flat_map(|folder| look.or_empty(look.root.list(folder)))
        .find_map(|name| {
            let version = name.strip_prefix("libsystemd-shared-")?.strip_suffix(".so")?;
            Some(version.to_owned())
        })
}

fn network(look: &Look<'_>) -> Vec<String> {
    let signs = [
        ("netplan", ["/usr/sbin/netplan", "/usr/share/netplan"]),
        (
            "NetworkManager",
            ["/usr/sbin/NetworkManager", "/usr/bin/NetworkManager"],
        ),
        (
            "systemd-networkd",
            [
                "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
                "/etc/systemd/system/network-online.target.wants/systemd-networkd-wait-online.service",
            ],
        ),
        ("ifupdown", ["/sbin/ifup", "/usr/sbin/ifup"]),
        (
            "network-scripts",
            ["/etc/sysconfig/network-scripts/ifup-eth", "/etc/init.d/network"],
        ),
        ("wicked", ["/usr/sbin/wicked", "/usr/sbin/wickedd"]),
    ];
    let found = signs.iter().filter(|(_, paths)| {
        // What is enabled is a link, whose end may be elsewhere.
        paths
            .iter()
            .any(|path| look.or_empty(look.root.status(path)).is_some())
    });
    found.map(|(name, _)| (*name).to_owned()).collect()
}

/// docs/metadata.md says why these.
fn views(look: &Look<'_>, cloud_init: Option<&str>, systemd: Option<&str>) -> Vec<String> {
    let named = |views: &[View]| views.iter().map(|view| view.as_str().to_owned()).collect();
    if let Some(version) = cloud_init {
        let blind = ["23.4", "23.4.1", "23.4.2", "23.4.3"];
        let upstream = version.split(['-', '~', '+']).next().unwrap_or_default();
        let release: Option<Release> = version.parse().ok();
        return match release {
            // These do not read the SMBIOS serial number.
            _ if blind.contains(&upstream) => named(&[View::Cidata, View::OpenStack]),
            Some(release) if release >= Release::new(22, 4) => named(&[
                View::Auto,
                View::OpenStack,
                View::NoCloud,
                View::Ec2,
                View::Cidata,
            ]),
            _ => named(&[View::NoCloud, View::Cidata, View::Ec2]),
        };
    }
    let has = |paths: &[&str]| paths.iter().any(|path| look.exists(path));
    if has(&["/usr/bin/ignition", "/usr/lib/dracut/modules.d/30ignition"]) {
        return named(&[View::Ignition, View::OpenStack]);
    }
    if has(&["/sbin/tiny-cloud", "/usr/sbin/tiny-cloud", "/usr/bin/tiny-cloud"]) {
        return named(&[View::Auto, View::NoCloud]);
    }
    if has(&["/etc/cirros", "/usr/bin/cirros-query", "/usr/sbin/cirros-init"]) {
        return named(&[View::Ec2]);
    }
    let number = systemd.and_then(|version| {
        let digits = version
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(version.len());
        version.get(..digits)?.parse::<u32>().ok()
    });
    if number.is_some_and(|number| number >= 252) {
        return named(&[View::Credentials, View::None]);
    }
    named(&[View::None])
}
