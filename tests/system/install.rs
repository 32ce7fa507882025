//! Debian's own installer, from its package and from an ISO: it gets its address by our DHCP and its answers over our HTTP. What
//! comes then needs an archive of packages: contrib/full-install does it all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::root;

const PACKAGE: &str = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64";

/// An ISO image in the layout of Debian's mini.iso, which has the same kernel and initrd as the package.
fn mini_iso(lab: &Lab) -> PathBuf {
    let (tree, iso) = (lab.path("mini"), lab.path("mini.iso"));
    fs::create_dir_all(tree.join("boot/grub")).unwrap();
    for file in ["linux", "initrd.gz"] {
        fs::copy(Path::new(PACKAGE).join(file), tree.join(file)).unwrap();
    }
    fs::write(
        tree.join("boot/grub/grub.cfg"),
        "linux /linux vga=788 --- quiet\n",
    )
    .unwrap();
    let mut write = Command::new("xorrisofs");
    write.args(["-quiet", "-R", "-J", "-V", "ISOIMAGE", "-o"]);
    Run::of(write.arg(&iso).arg(&tree)).ok();
    iso
}

/// Starts Debian's installer without questions, sees it come as far as it can without an archive, and gives it up.
fn asks_us_and_nobody_else(lab: &Lab, media: &[&str]) {
    let words = [
        "image",
        "install",
        "deb",
        "--unattended",
        "--detach",
        "--memory",
        "1G",
    ];
    let started = lab.seedbed(&[&words[..], media].concat()).ok();
    assert!(
        started.contains("install-deb runs, and becomes image deb"),
        "{started}"
    );
    let told = lab.seedbed(&["render", "install-deb", "--as", "answers"]).ok();
    assert!(told.contains("get_hostname string install-deb\n"), "{told}");
    let console = || lab.seedbed(&["log", "install-deb"]).ok();
    for rung in ["dhcp", "metadata"] {
        let waited = lab.seedbed(&["wait", "install-deb", "--for", rung, "--timeout", "480s"]);
        assert!(waited.code == 0, "{waited}\n{}\n{}", console(), lab.daemon_log());
    }
    let fetched = "the installer in install-deb fetches its answers (preseed.cfg)";
    assert!(lab.daemon_log().contains(fetched), "{}", lab.daemon_log());
    // What the preseed answers is not asked: the installer goes on to its archive, which is not here.
    let goes_on = eventually(Duration::from_secs(240), || console().contains("mirror"));
    let said = console();
    assert!(goes_on, "{said}\n{}", lab.daemon_log());
    assert!(
        said.contains("console=ttyS0,115200n8") && said.contains("DHCP"),
        "{said}"
    );
    lab.seedbed(&["delete", "install-deb", "--force"]).ok();
    let left = (
        lab.qemus(),
        lab.taps(),
        lab.listing("state/vms"),
        lab.listing("state/images"),
    );
    assert_eq!(left, (vec![], vec![], vec![], vec![]));
}

#[test]
fn debians_installer_of_the_package_and_of_an_iso_are_told_their_answers() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    asks_us_and_nobody_else(&lab, &["--netboot", "debian-12"]);
    let iso = mini_iso(&lab);
    asks_us_and_nobody_else(&lab, &["--iso", iso.to_str().unwrap()]);
}
