//! What a workshop's QEMU has besides: the installer, its empty disk and its drive.

use serde_json::json;

use super::command::{Args, CommandError, MEDIA_FD, checked, file, text};
use crate::model::workshop::Install;
use crate::model::{Places, Vm, VmName};

/// An empty disk, and the install media in a drive, of which installers know that it is one (a virtio disk is none to Debian's).
///
/// The media stay where they are: QEMU, which could not open them as its own user, is given them opened.
pub(super) fn installation(
    args: &mut Args,
    vm: &Vm,
    install: &Install,
    places: &Places,
) -> Result<(), CommandError> {
    let disk = json!({
        "driver": "qcow2", "node-name": "root", "discard": "unmap", "backing": null,
        "file": file("a disk's path", &places.disk(&vm.name), false)?,
    });
    args.pair("-blockdev", disk.to_string());
    args.pair(
        "-device",
        "virtio-blk-pci,drive=root,serial=root,bus=pcie.0,addr=0x3",
    );
    if install.has_media {
        args.pair("-add-fd", format!("fd={MEDIA_FD},set=1"));
        let media = json!({
            "driver": "raw", "node-name": "media", "read-only": true,
            "file": {"driver": "file", "filename": "/dev/fdset/1", "read-only": true},
        });
        args.pair("-blockdev", media.to_string());
        args.pair("-device", "ide-cd,drive=media,bus=ide.0");
    }
    Ok(())
}

/// The installer's kernel. When it reboots, it is done as when it powers off: what comes next is a clone's first boot.
pub(super) fn installer(
    args: &mut Args,
    vm: &VmName,
    install: &Install,
    places: &Places,
) -> Result<(), CommandError> {
    let kernel = text("a kernel's path", &places.installer_kernel(vm))?;
    let initrd = text("an initrd's path", &places.installer_initrd(vm))?;
    args.pair("-kernel", kernel);
    args.pair("-initrd", initrd);
    args.pair("-append", checked("the kernel command line", &install.cmdline)?);
    args.pair("-action", "reboot=shutdown");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::command::tests::{of, pairs};
    use super::*;
    use crate::model::workshop::{Family, Work, Workshop};

    fn install(has_media: bool) -> Work {
        Work::Install(Install {
            family: Family::Debian,
            cmdline: "console=ttyS0,115200n8 ---".to_owned(),
            default_user: "debian".to_owned(),
            has_media,
            answers: None,
        })
    }

    fn args(work: Work) -> Vec<String> {
        of(Some(Workshop {
            image: "base".parse().unwrap(),
            work,
        }))
    }

    #[test]
    fn an_installer_has_an_empty_disk_and_its_media_are_opened_for_it() {
        let args = args(install(true));
        assert!(pairs(&args, "-append").eq(["console=ttyS0,115200n8 ---"]));
        assert!(pairs(&args, "-action").eq(["reboot=shutdown"]));
        assert!(pairs(&args, "-add-fd").eq(["fd=4,set=1"]));
        assert!(pairs(&args, "-kernel").all(|path| path.ends_with("/web1/installer/kernel")));
        let disks: Vec<_> = pairs(&args, "-blockdev").collect();
        assert!(
            disks[0].contains("\"backing\":null") && !disks[0].contains("images"),
            "{disks:?}"
        );
        assert!(
            disks
                .iter()
                .any(|disk| disk.contains("/dev/fdset/1") && disk.contains("\"read-only\":true"))
        );
        assert!(pairs(&args, "-machine").any(|machine| machine.contains("sata=on")));
        assert!(pairs(&args, "-device").any(|device| device == "ide-cd,drive=media,bus=ide.0"));
    }

    #[test]
    fn without_media_there_is_no_drive() {
        let args = args(install(false));
        assert_eq!(pairs(&args, "-add-fd").count(), 0);
        assert!(pairs(&args, "-machine").any(|machine| machine.contains("sata=off")));
        assert!(!args.iter().any(|arg| arg.contains("ide-cd")), "{args:?}");
    }

    #[test]
    fn an_edited_image_boots_as_a_clone_and_may_reboot() {
        assert_eq!(args(Work::Edit), of(None));
    }
}
