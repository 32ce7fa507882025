//! A file system that is really full.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::super::CommitError;
use super::*;

/// A file system of two mebibytes, as long as this lives.
struct Small {
    root: tempfile::TempDir,
}

impl Small {
    /// `None` where it can not be mounted.
    fn mounted() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m,mode=0700", "seedbed-test"])
            .arg(root.path())
            .status()
            .ok()?;
        mount.success().then_some(Self { root })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Takes all the space there is.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.file("ballast")).unwrap();
        let full = loop {
            if let Err(error) = ballast.write_all(&[b'#'; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn free(&self) {
        fs::remove_file(self.file("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a test that failed may still have the registry open.
        let unmounted = Command::new("umount").arg("-l").arg(self.root.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// A VM that takes 64 KiB of the registry.
fn large(text: &str) -> NewVm {
    NewVm {
        user_data: Some(vec![b'#'; 48 << 10].into()),
        ..new(text)
    }
}

fn names(registry: &Registry) -> Vec<String> {
    registry.read().vms().map(|vm| vm.name.to_string()).collect()
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_takes_them_again_without_a_restart() {
    let Some(disk) = Small::mounted() else {
        println!("skipped: needs root, to mount a small file system");
        return;
    };
    let path = disk.file("registry.redb");
    let registry = opened(&path, vec![lab()]);
    let mut acknowledged = Vec::new();
    for round in 0..2 {
        let kept = format!("kept{round}");
        registry.commit(register([new(&kept)])).await.unwrap();
        acknowledged.push(kept);
        disk.fill();
        // The first ones may still fit into space that the file has already.
        let mut refused = Vec::new();
        for index in 0..20 {
            let vm = format!("full{round}-{index}");
            match registry.commit(register([large(&vm)])).await {
                Ok(_) => acknowledged.push(vm),
                Err(error) => refused.push(error),
            }
        }
        let failed = refused.first().unwrap();
        assert!(matches!(failed, CommitError::Failed { .. }), "{failed}");
        let text = failed.to_string();
        assert!(
            text.contains("No space left on device") && text.contains("Guests are still served"),
            "{text}"
        );
        acknowledged.sort();
        assert_eq!(names(&registry), acknowledged);
        disk.free();
        let late = format!("late{round}");
        registry.commit(register([new(&late)])).await.unwrap();
        acknowledged.push(late);
        acknowledged.sort();
        assert_eq!(names(&registry), acknowledged);
    }
    let before = dumped(&registry.read());
    drop(registry);
    assert_eq!(dumped(&opened(&path, vec![lab()]).read()), before);
}
