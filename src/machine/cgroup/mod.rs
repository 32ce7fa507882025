//! The control group of each VM (cgroup v2): its QEMU is in it with whatever that starts, so that nothing of it can outlive the VM or
//! slip away from who ends it, and what all of it takes of the host is bounded.
//!
//! Where systemd runs, the group is a transient scope that systemd makes on request, because it owns the tree; elsewhere
//! it is a directory of ours at the top of the tree. What is here is pure: how groups are named, and what the kernel's files say.

mod client;
mod files;

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::model::{Bytes, Places};

#[cfg(test)]
pub(super) use files::remove_home;
pub(super) use files::{Belongs, Cgroup, belongs, folder_of, give_back, of, put};
pub use files::{beside, sweep};

/// What all processes of a VM may take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Memory, what is cached of its disks included (the kernel gives that up first).
    pub(super) memory: Bytes,
    /// Processes and threads.
    pub(super) tasks: u64,
}

impl Limits {
    /// Limits that no honest QEMU comes near: the translator keeps up to 1 GiB of code, and each disk has up to 64 threads.
    pub(super) const fn generous(guest: Bytes) -> Self {
        Self {
            memory: Bytes(guest.0.saturating_mul(2).saturating_add(4 << 30)),
            tasks: 2048,
        }
    }
}

/// Where the groups of this daemon's VMs are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Home {
    /// Where the tree is mounted.
    mount: PathBuf,
    /// What the names of this daemon's groups begin with.
    prefix: String,
    /// Whether systemd owns the tree.
    by_systemd: bool,
}

impl Home {
    /// The home of a daemon with these places; `None` where the kernel's mounts show no tree of version 2.
    ///
    /// Two daemons of one host have two run directories, and so groups of different names.
    fn of(places: &Places, mounts: &str, by_systemd: bool) -> Option<Self> {
        let run = places.run();
        let prefix = if run == Path::new("/run/seedbed") {
            "seedbed".to_owned()
        } else {
            let digest = Sha256::digest(run.as_os_str().as_encoded_bytes());
            let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
            format!("seedbed-{:08x}", u32::from_be_bytes([a, b, c, d]))
        };
        Some(Self {
            mount: mount(mounts)?,
            prefix,
            by_systemd,
        })
    }

    /// The slice of all our scopes. A dash in a slice's name is a level of the tree (systemd.slice(5)).
    fn slice(&self) -> String {
        format!("{}.slice", self.prefix)
    }

    /// The directory that has one directory for each VM.
    fn folder(&self) -> PathBuf {
        if !self.by_systemd {
            return self.mount.join(&self.prefix);
        }
        let top = self.mount.join("seedbed.slice");
        if self.prefix == "seedbed" {
            top
        } else {
            top.join(self.slice())
        }
    }

    /// The name of a VM's group. A scope that ends has its name a moment longer, so its successor has another one.
    fn name(&self, vm: &str, pid: u32) -> String {
        if self.by_systemd {
            format!("{}-vm-{vm}-{pid}.scope", self.prefix)
        } else {
            vm.to_owned()
        }
    }

    /// The VM whose group has this name.
    fn vm<'a>(&self, name: &'a str) -> Option<&'a str> {
        if !self.by_systemd {
            return Some(name);
        }
        let inner = name.strip_prefix(&self.prefix)?.strip_prefix("-vm-")?;
        let (vm, pid) = inner.strip_suffix(".scope")?.rsplit_once('-')?;
        pid.parse::<u32>().ok().map(|_| vm)
    }

    /// The directory of the group of a process, whoever's it is, from its `/proc/PID/cgroup`.
    fn folder_of(&self, membership: &str) -> Option<PathBuf> {
        let path = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
        Some(self.mount.join(path))
    }

    /// The group of a process, from its `/proc/PID/cgroup`, when it is one of ours.
    fn group_of(&self, membership: &str) -> Option<PathBuf> {
        let group = self.folder_of(membership)?;
        let name = group.file_name()?.to_str()?;
        (group.parent() == Some(&self.folder()) && self.vm(name).is_some()).then_some(group)
    }
}

/// Where the tree of version 2 is mounted, from `/proc/self/mounts`.
fn mount(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/pids cgroup rw 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";

    fn home(run: &str, by_systemd: bool) -> Home {
        Home::of(&Places::new("/s", run), HYBRID, by_systemd).unwrap()
    }

    #[test]
    fn the_tree_of_version_2_is_found_beside_others() {
        assert_eq!(mount(HYBRID), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mount("cgroup /sys/fs/cgroup/pids cgroup rw 0 0\n"), None);
    }

    #[test]
    fn a_group_is_named_after_its_vm_and_found_by_its_process() {
        let ours = home("/run/seedbed", false);
        assert_eq!(ours.name("web-1", 7), "web-1");
        let found = ours.group_of("9:name=systemd:/\n0::/seedbed/web-1\n").unwrap();
        assert_eq!(found, Path::new("/sys/fs/cgroup/unified/seedbed/web-1"));
        let scope = home("/run/seedbed", true);
        assert_eq!(scope.name("web-1", 7), "seedbed-vm-web-1-7.scope");
        assert_eq!(scope.vm("seedbed-vm-web-1-7.scope"), Some("web-1"));
        let found = scope.group_of("0::/seedbed.slice/seedbed-vm-web-1-7.scope\n");
        assert!(found.is_some_and(|found| found.ends_with("seedbed.slice/seedbed-vm-web-1-7.scope")));
    }

    #[test]
    fn a_group_of_someone_elses_is_never_taken_for_ours() {
        for home in [home("/run/seedbed", false), home("/run/seedbed", true)] {
            for path in [
                "/",
                "/seedbed",
                "/seedbed.slice",
                "/system.slice/seedbed.service",
                "/other/web1",
                "/seedbed/web1/inner",
                "/seedbed.slice/other.scope",
            ] {
                assert_eq!(home.group_of(&format!("0::{path}\n")), None, "{path}");
            }
        }
    }

    #[test]
    fn two_daemons_of_one_host_have_groups_of_their_own() {
        let (one, other) = (home("/run/one", true), home("/run/other", true));
        assert_ne!(one.folder(), other.folder());
        assert!(one.folder().parent().unwrap().ends_with("seedbed.slice"));
        assert_eq!(other.vm(&one.name("web1", 7)), None);
        assert_eq!(one, home("/run/one", true));
    }
}
