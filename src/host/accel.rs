//! Whether KVM really runs guests here, or QEMU has to emulate the processor.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;

const DEVICE: &str = "/dev/kvm";

/// What was found out about KVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvmState {
    /// Guests run on the processor itself.
    Usable {
        /// The group of `/dev/kvm`, which an unprivileged QEMU has to be in.
        gid: u32,
    },
    /// They have to be emulated, about ten times slower.
    Unusable {
        /// Why, in a sentence for people.
        why: String,
    },
}

/// Looks at `/dev/kvm` and at the processor. That the device opens is not enough: in some containers and nested VMs it
/// opens, and no guest ever starts.
pub fn probe() -> KvmState {
    let opened = OpenOptions::new().read(true).write(true).open(DEVICE);
    let gid = opened.and_then(|file| file.metadata()).map(|data| data.gid());
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    judge(
        gid,
        cfg!(any(target_arch = "x86_64", target_arch = "x86")),
        &processor,
    )
}

fn judge(gid: io::Result<u32>, x86: bool, cpuinfo: &str) -> KvmState {
    let unusable = |why: String| KvmState::Unusable { why };
    match gid {
        Err(error) if error.kind() == io::ErrorKind::NotFound => unusable(format!(
            "{DEVICE} does not exist: load the module kvm_intel or kvm_amd, and enable virtualisation in the firmware"
        )),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => unusable(format!(
            "{DEVICE} may not be opened: run as root or join the group kvm"
        )),
        Err(error) => unusable(format!("{DEVICE} can not be opened: {error}")),
        Ok(_) if x86 && !virtualises(cpuinfo) => unusable(format!(
            "{DEVICE} opens, but the processor shows neither vmx nor svm: enable virtualisation in the firmware, or nested \
             virtualisation in the host of this VM"
        )),
        Ok(gid) => KvmState::Usable { gid },
    }
}

/// Whether the flags of the first processor have Intel's or AMD's virtualisation.
fn virtualises(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == "flags")
        .is_some_and(|(_, flags)| {
            flags
                .split_ascii_whitespace()
                .any(|flag| flag == "vmx" || flag == "svm")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(state: KvmState) -> String {
        match state {
            KvmState::Unusable { why } => why,
            KvmState::Usable { gid } => panic!("usable with group {gid}"),
        }
    }

    #[test]
    fn a_device_that_opens_is_not_enough_on_x86() {
        let plain = "processor\t: 0\nflags\t\t: fpu vme svm_lock\n";
        assert!(why(judge(Ok(104), true, plain)).contains("neither vmx nor svm"));
        let intel = "vmx flags\t: vnmi\nflags\t\t: fpu vmx sse\n";
        assert_eq!(judge(Ok(104), true, intel), KvmState::Usable { gid: 104 });
        assert_eq!(
            judge(Ok(104), false, "Features : fp asimd"),
            KvmState::Usable { gid: 104 }
        );
    }

    #[test]
    fn a_device_that_does_not_open_says_what_to_do() {
        let intel = "flags : vmx";
        let refused = |kind: io::ErrorKind| why(judge(Err(kind.into()), true, intel));
        assert!(refused(io::ErrorKind::NotFound).contains("load the module"));
        assert!(refused(io::ErrorKind::PermissionDenied).contains("group kvm"));
    }
}
