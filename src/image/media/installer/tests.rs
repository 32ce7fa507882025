use std::io::Cursor;

use super::*;
use crate::image::media::iso::tests::{tree, written};

fn of(paths: &[&str], options: &[&str]) -> Result<Installer, MediaError> {
    let bytes = written("xorrisofs", options, tree(paths).path());
    Installer::find(&mut Iso::open(Cursor::new(bytes)).unwrap())
}

/// What is on the media of each, and what of it is not to be taken for another's.
const MEDIA: [(Family, &[&str]); 7] = [
    (
        Family::Debian,
        &["/linux", "/initrd.gz", "/boot/grub/grub.cfg", "/isolinux.bin"],
    ),
    (
        Family::Debian,
        &[
            "/install.amd/vmlinuz",
            "/install.amd/initrd.gz",
            "/install.amd/gtk/initrd.gz",
        ],
    ),
    (
        Family::Ubuntu,
        &["/casper/vmlinuz", "/casper/initrd", "/install/readme"],
    ),
    (
        Family::RedHat,
        &[
            "/images/pxeboot/vmlinuz",
            "/images/pxeboot/initrd.img",
            "/images/install.img",
        ],
    ),
    (
        Family::Alpine,
        &["/boot/vmlinuz-lts", "/boot/initramfs-lts", "/boot/modloop-lts"],
    ),
    (Family::Alpine, &["/boot/vmlinuz-virt", "/boot/initramfs-virt"]),
    (
        Family::Debian,
        &[
            "/debian-installer/amd64/linux",
            "/debian-installer/amd64/initrd.gz",
        ],
    ),
];

#[test]
fn the_installer_of_each_family_is_found() {
    for (family, paths) in MEDIA {
        let found = of(paths, &["-R"]).unwrap();
        assert_eq!(
            (found.family, &*found.label),
            (family, "A Volume 9-4"),
            "{paths:?}"
        );
        let lengths = (found.kernel.len, found.initrd.len);
        let named = |part: &str| paths.iter().find(|path| path.contains(part)).unwrap().len() as u64;
        assert_eq!(lengths, (named("lin"), named("init")), "{paths:?}");
    }
}

#[test]
fn media_without_an_installer_are_told_what_is_looked_for() {
    let none = of(&["/windows/setup.exe"], &[]).unwrap_err().to_string();
    assert!(
        none.contains("no installer that is known") && none.contains("/casper/vmlinuz"),
        "{none}"
    );
    let half = of(&["/casper/vmlinuz"], &["-R"]).unwrap_err().to_string();
    assert!(
        half.contains("/casper/vmlinuz") && half.contains("no initrd /casper/initrd"),
        "{half}"
    );
}

#[test]
fn every_installer_talks_to_the_serial_console() {
    for family in Family::ALL {
        for answers in [None, Some("http://10.77.0.1/install/")] {
            let line = command_line(family, "X", answers);
            assert!(line.contains("console=ttyS0,115200n8"), "{line}");
            assert_eq!(
                answers.is_some(),
                line.contains("http://10.77.0.1/install/"),
                "{line}"
            );
        }
    }
}

#[test]
fn an_unattended_installer_is_told_where_its_answers_are() {
    let url = Some("http://10.77.0.1/install/");
    let of = |family: Family, label: &str| command_line(family, label, url);
    let debian = of(Family::Debian, "");
    assert!(
        debian.starts_with("auto=true priority=critical url=http://10.77.0.1/install/preseed.cfg "),
        "{debian}"
    );
    assert!(debian.ends_with(" --- console=ttyS0,115200n8"), "{debian}");
    assert!(
        of(Family::Ubuntu, "").contains(" autoinstall ds=nocloud-net;s=http://10.77.0.1/install/ ---"),
        "{}",
        of(Family::Ubuntu, "")
    );
    assert_eq!(
        of(Family::RedHat, "Rocky 9\\x"),
        "inst.stage2=hd:LABEL=Rocky\\x209\\x5cx inst.text console=ttyS0,115200n8 ip=dhcp \
         inst.ks=http://10.77.0.1/install/kickstart.cfg inst.cmdline"
    );
    assert!(of(Family::Alpine, "").ends_with(" apkovl=http://10.77.0.1/install/alpine.apkovl.tar.gz"));
}
