//! What stands between a QEMU that its guest took over and the rest of the host, beside its user and its own seccomp filter.
//!
//! ```text
//!   namespaces   no network but the tap's file descriptor, no IPC with anyone
//!   Landlock     the files below and no others; no TCP, no signals and no abstract sockets beyond itself
//!   no_new_privs no program gives it more rights
//!   cgroup       what is left of it ends with it (`super::cgroup`)
//! ```

mod process;

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};

use crate::model::{Places, Vm};

pub(super) use process::spawn;

/// The newest of the kernel's rules that are asked for; an older kernel applies those it knows.
const NEWEST: ABI = ABI::V6;

/// Where programs, their libraries and QEMU's firmware lie.
const PROGRAMS: [&str; 5] = ["/usr", "/bin", "/lib", "/lib64", "/nix/store"];
/// What programs look at when they start: the linker's cache, the time zone, the processors and the kernel's page sizes.
const LOOKED_AT: [&str; 5] = [
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/sys/crypto",
    "/sys/devices/system",
    "/sys/kernel/mm",
];
/// Devices that every program may use, and the one that runs guests.
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
    "/dev/kvm",
];

/// The files that a VM's QEMU can reach, beside those that are given to it opened.
#[derive(Debug)]
pub(super) struct Confinement {
    /// Where the program lies, with what belongs to it.
    program: PathBuf,
    /// What it may read.
    read: Vec<PathBuf>,
    /// Directories whose files it may change; it can not make new ones there.
    change: Vec<PathBuf>,
    /// Where it makes its sockets.
    sockets: PathBuf,
}

impl Confinement {
    /// What a VM's QEMU, which is this program, needs: the base of its disk, its own files, and its sockets.
    pub(super) fn of(program: &Path, vm: &Vm, places: &Places) -> Self {
        let image = vm.machine().map(|machine| places.image(&machine.image));
        Self {
            program: around(program),
            read: image.into_iter().collect(),
            change: vec![places.vm(&vm.name)],
            sockets: places.vm_sockets(&vm.name),
        }
    }

    /// Confines this thread, and what it starts, to that; says how much of it this kernel applies.
    fn enter(&self) -> Result<RulesetStatus, RulesetError> {
        let look = AccessFs::ReadFile | AccessFs::ReadDir;
        let run = look | AccessFs::Execute;
        let change = look | AccessFs::WriteFile | AccessFs::Truncate;
        let sockets = look | AccessFs::WriteFile | AccessFs::MakeSock | AccessFs::RemoveFile;
        let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        let entered = Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?
            .add_rules(path_beneath_rules(PROGRAMS, run))?
            .add_rules(path_beneath_rules([&self.program], run))?
            .add_rules(path_beneath_rules(LOOKED_AT, look))?
            .add_rules(path_beneath_rules(DEVICES, device))?
            .add_rules(path_beneath_rules(&self.read, look))?
            .add_rules(path_beneath_rules(&self.change, change))?
            .add_rules(path_beneath_rules([&self.sockets], sockets))?
            .restrict_self()?;
        Ok(entered.ruleset)
    }
}

/// The directory that has a program and what belongs to it: `/opt/qemu` of `/opt/qemu/bin/qemu`.
fn around(program: &Path) -> PathBuf {
    let folder = program.parent().unwrap_or(program);
    match folder.parent() {
        Some(prefix) if folder.ends_with("bin") => prefix.to_owned(),
        _ => folder.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_its_own_firmware_and_libraries_beside_it() {
        assert_eq!(around(Path::new("/opt/qemu/bin/qemu")), Path::new("/opt/qemu"));
        assert_eq!(around(Path::new("/srv/qemu-10/qemu")), Path::new("/srv/qemu-10"));
    }
}
