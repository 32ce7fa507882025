//! Debian's installer for a boot from the network, out of a Debian package: apt has checked its signature.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Failure, Terminal};
use crate::control::InstallMedia;

/// Where the package has the installer's files, under a root, for a release.
fn folder(root: &Path, release: &str) -> PathBuf {
    root.join("usr/lib/debian-installer/images")
        .join(release)
        .join("amd64/text/debian-installer/amd64")
}

/// The installer of a release that is named `debian-12`: of the installed package, or of one that apt gets.
pub(super) fn installer(name: &str, cache: &Path, terminal: &mut Terminal) -> Result<InstallMedia, Failure> {
    let release = release(name)?;
    let package = format!("debian-installer-{release}-netboot-amd64");
    if let Some(installed) = in_folder(&folder(Path::new("/"), release)) {
        return Ok(installed);
    }
    let kept = cache.join(archive(&package)?.trim_end_matches(".deb"));
    let there = || in_folder(&folder(&kept, release));
    if let Some(kept) = there() {
        return Ok(kept);
    }
    terminal.say(&format!("getting {package} by apt"));
    fetch(&package, cache, &kept)?;
    there().ok_or_else(|| unavailable(&package, "it has no installer where it should have one"))
}

fn in_folder(folder: &Path) -> Option<InstallMedia> {
    let (kernel, initrd) = (folder.join("linux"), folder.join("initrd.gz"));
    (kernel.is_file() && initrd.is_file()).then_some(InstallMedia::Debian { kernel, initrd })
}

fn release(name: &str) -> Result<&str, Failure> {
    let number = name
        .strip_prefix("debian-")
        .filter(|number| (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()));
    number.ok_or_else(|| {
        Failure::usage(format!(
            "`{}` is no release whose installer boots from the network",
            name.escape_debug()
        ))
        .hint("say debian-12 or the like, or give other installers by --iso FILE")
    })
}

/// The name of the package's file, which has its version in it: a mirror that moved on no longer has what an old installer needs.
fn archive(package: &str) -> Result<String, Failure> {
    let said = apt_get(&["--print-uris", "download", package], package, Path::new("/"))?;
    // 'http://.../NAME' NAME SIZE HASH
    let name = said.lines().find_map(|line| line.split_whitespace().nth(1));
    let name = name.filter(|name| name.starts_with(package) && !name.contains('/'));
    name.map(str::to_owned)
        .ok_or_else(|| unavailable(package, "apt does not say where it is"))
}

/// Downloads the package and unpacks it, whole or not at all.
fn fetch(package: &str, cache: &Path, place: &Path) -> Result<(), Failure> {
    let io = |error: std::io::Error| Failure::io(format!("can not use {}", cache.display()), &error);
    fs::create_dir_all(cache).map_err(io)?;
    let draft = cache.join(format!(".{package}.{}", std::process::id()));
    let fetched = fs::create_dir(&draft).map_err(io).and_then(|()| {
        apt_get(&["-q", "download", package], package, &draft)?;
        unpack(package, &draft)?;
        match fs::rename(draft.join("root"), place) {
            // Somebody else was as fast.
            Err(_) if place.is_dir() => Ok(()),
            renamed => renamed.map_err(io),
        }
    });
    // What can not be removed is a hidden directory of a cache.
    drop(fs::remove_dir_all(&draft));
    fetched
}

fn unpack(package: &str, draft: &Path) -> Result<(), Failure> {
    let entries = fs::read_dir(draft).map_err(|error| Failure::io("can not unpack", &error))?;
    let archive = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| unavailable(package, "apt downloaded nothing"))?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(&archive).arg(draft.join("root"));
    run(unpack, package).map(|_| ())
}

fn apt_get(words: &[&str], package: &str, folder: &Path) -> Result<String, Failure> {
    let mut command = Command::new("apt-get");
    command.args(words).current_dir(folder);
    run(command, package)
}

/// What a command says on its standard output, when it works.
fn run(mut command: Command, package: &str) -> Result<String, Failure> {
    let output = command
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unavailable(package, &format!("{}: {error}", command.get_program().display())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("it failed");
    Err(unavailable(package, last))
}

fn unavailable(package: &str, why: &str) -> Failure {
    Failure::refused(format!("Debian's installer is not to be had: package {package}: {}", why.escape_debug())).hint(
        format!("on Debian: apt-get update && apt-get install {package}; elsewhere, get an ISO from debian.org: --iso FILE"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_named_by_its_number() {
        assert_eq!(release("debian-12").unwrap(), "12");
        for bad in [
            "",
            "debian",
            "debian-",
            "debian-x",
            "debian-12/..",
            "ubuntu-24",
            "debian-1234",
        ] {
            assert!(release(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_installer_is_a_kernel_and_an_initrd() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path(), "12");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("linux"), "").unwrap();
        assert_eq!(in_folder(&folder), None);
        fs::write(folder.join("initrd.gz"), "").unwrap();
        let (kernel, initrd) = (folder.join("linux"), folder.join("initrd.gz"));
        assert_eq!(in_folder(&folder), Some(InstallMedia::Debian { kernel, initrd }));
    }
}
