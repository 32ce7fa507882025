//! Guests that learn who they are without HTTP: from a volume, from QEMU's firmware configuration, from the SMBIOS table.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, Run, eventually};
use crate::lifecycle::Shell;
use crate::{guests, root};

/// A tiny guest of an image with this view, as far as it comes without metadata: it has its address.
fn launched(lab: &Lab, view: &'static str, more: &[&str]) {
    guests::add_tiny_as(lab, view, view);
    let mut launch = lab.command(&["launch", view, "--image", view, "--memory", guests::MEMORY]);
    launch.args(["--key", guests::KEY]).args(more);
    Run::of(&mut launch).ok();
    has_an_address(lab, view);
}

fn has_an_address(lab: &Lab, name: &str) {
    lab.seedbed(&["wait", name, "--for", "dhcp", "--timeout", "120s"])
        .ok();
    // Its shell is up as soon as it has found that nothing told it where to ask.
    let told = eventually(Duration::from_secs(60), || {
        lab.seedbed(&["log", name])
            .stdout
            .contains("TINY-FAILED no seed in SMBIOS serial")
    });
    assert!(told, "{}", lab.seedbed(&["log", name]).stdout);
}

/// In a guest, a line prints what is right. It is run a few times: under load, the emulated serial port sends a character
/// twice now and then.
fn prints(lab: &Lab, name: &'static str, line: &str, is_right: impl Fn(&str) -> bool) {
    let mut shell = Shell { lab, name, typed: 0 };
    let mut text = String::new();
    let right = (0..12).any(|_| {
        text = shell.run(line).replace('\r', "");
        is_right(&text)
    });
    assert!(right, "`{line}` printed\n{text}");
}

fn user_data(lab: &Lab, text: &str) -> String {
    let path = lab.path("user-data");
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn refused_launch(lab: &Lab, image: &str, user_data: &str) -> Run {
    let mut launch = lab.command(&["launch", "web2", "--image", image, "--key", guests::KEY]);
    Run::of(launch.args(["--user-data", user_data]))
}

fn sha256(file: &Path) -> String {
    let sum = Run::of(Command::new("sha256sum").arg(file)).ok();
    sum.split(' ').next().unwrap().to_owned()
}

/// What the host has for a VM is for its QEMU alone to read, and not on a command line.
fn is_nobody_elses_business(lab: &Lab, name: &str) {
    let folder = lab.path("state/vms").join(name).join("seed");
    let disk = fs::metadata(folder.with_file_name("disk.qcow2")).unwrap();
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(Result::unwrap).collect();
    assert!(!files.is_empty());
    for file in files {
        let metadata = file.metadata().unwrap();
        assert_eq!(
            (metadata.mode() & 0o777, metadata.uid()),
            (0o600, disk.uid()),
            "{file:?}"
        );
    }
    let key = guests::KEY.split(' ').nth(1).unwrap();
    for pid in lab.qemus() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(key));
    }
}

#[test]
fn a_guest_finds_its_volume_behind_its_disks_and_can_not_change_it() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let first = user_data(&lab, "#cloud-config\n{}\n");
    launched(&lab, "cidata", &["--swap", "16M", "--user-data", &first]);
    let volume = lab.path("cidata.img");
    let rendered = || {
        let file = volume.to_str().unwrap();
        lab.seedbed(&[
            "render",
            "cidata",
            "--as",
            "cidata",
            "--show-secrets",
            "--output",
            file,
        ])
        .ok();
        sha256(&volume)
    };
    let disks = "cd /sys/block; for disk in vda vdb vdc; do echo $(cat $disk/serial); done; cat vdc/ro; busybox sha256sum /dev/vdc";
    let has_its_volume = || {
        let wanted = format!("root swap cidata 1 {} /dev/vdc", rendered());
        prints(&lab, "cidata", disks, |text| {
            text.split_whitespace().collect::<Vec<_>>().join(" ") == wanted
        });
    };
    has_its_volume();
    is_nobody_elses_business(&lab, "cidata");

    // At the next start it has what is true then.
    let before = rendered();
    let second = user_data(&lab, "#cloud-config\npackages: []\n");
    lab.seedbed(&["set", "cidata", "--user-data", &second]).ok();
    lab.seedbed(&["restart", "cidata", "--force"]).ok();
    has_an_address(&lab, "cidata");
    assert_ne!(rendered(), before);
    has_its_volume();

    let shown = lab.seedbed(&["show", "cidata"]).ok();
    assert!(
        shown.contains("on a read-only disk (its image cidata@1 was added so)"),
        "{shown}"
    );
    lab.seedbed(&["delete", "cidata", "--force"]).ok();
    assert_eq!(lab.listing("state/vms"), Vec::<String>::new());
}

#[test]
fn a_guest_finds_its_ignition_config_in_the_firmware_configuration() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let config =
        r#"{"ignition":{"version":"3.4.0"},"passwd":{"users":[{"name":"core","passwordHash":"a-secret"}]}}"#;
    let own = user_data(&lab, config);
    launched(&lab, "ignition", &["--user-data", &own]);
    assert_eq!(
        lab.seedbed(&["render", "ignition", "--as", "ignition"])
            .ok()
            .trim(),
        config
    );
    let read = "cat /sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config/raw";
    prints(&lab, "ignition", read, |text| text.contains(config));
    is_nobody_elses_business(&lab, "ignition");

    // A config that Ignition would refuse, or not even look at, is refused here.
    let wrong = user_data(&lab, r#"{"ignition":{"version":"2.2.0"}}"#);
    refused_launch(&lab, "ignition", &wrong).refused(1, &["ignition.version is `2.2.0`", "3.0.0"]);
    let other = user_data(&lab, "#cloud-config\n{}\n");
    refused_launch(&lab, "ignition", &other).refused(1, &["web2 is no Ignition config", "butane"]);
    assert_eq!(lab.listing("state/vms"), ["ignition"]);
}

#[test]
fn a_guest_finds_its_credentials_in_the_smbios_table() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    launched(&lab, "credentials", &[]);
    let unread = user_data(&lab, "#cloud-config\n{}\n");
    refused_launch(&lab, "credentials", &unread).refused(1, &["web2", "never reads"]);
    let table = "busybox tr '\\000' '\\n' </sys/firmware/dmi/entries/11-0/raw";
    let rendered = lab
        .seedbed(&["render", "credentials", "--as", "credentials"])
        .ok();
    prints(&lab, "credentials", table, |text| {
        let has = |line: &str| text.lines().any(|other| other.ends_with(line));
        rendered.lines().all(has)
    });
    assert!(
        rendered.contains(&format!("ssh.authorized_keys.root={}", guests::KEY)),
        "{rendered}"
    );
    is_nobody_elses_business(&lab, "credentials");
    assert!(
        !lab.daemon_log().contains("reached metadata"),
        "{}",
        lab.daemon_log()
    );
}

/// A Debian guest, and the key that opens it.
struct Debian {
    lab: Lab,
    key: String,
}

impl Debian {
    fn launched(view: &str) -> Self {
        let lab = Lab::new();
        let image = guests::debian();
        let file = image.to_string_lossy();
        lab.seedbed(&["image", "add", "debian-12", &file, "--view", view])
            .ok();
        let key = lab.path("key").to_string_lossy().into_owned();
        Run::of(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key])).ok();
        let public = format!("{key}.pub");
        let launch = [
            "launch",
            "web1",
            "--image",
            "debian-12",
            "--key",
            &public,
            "--wait=900",
        ];
        let guest = Self { lab, key };
        let run = guest.lab.seedbed(&launch);
        assert!(run.code == 0, "{run}\n{}", guest.console());
        guest
    }

    fn console(&self) -> String {
        fs::read(self.lab.path("state/vms/web1/console.log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn ssh(&self, command: &str) -> Run {
        let known = format!(
            "-oUserKnownHostsFile={}",
            self.lab.path("state/known_hosts").display()
        );
        let json = self.lab.seedbed(&["list", "web1", "--format", "json"]).ok();
        let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
        let ip = shown[0]["ip"].as_str().unwrap().to_owned();
        let mut ssh = self.lab.inside(&[
            "ssh",
            "-F",
            "none",
            "-o",
            "IdentitiesOnly=yes",
            "-i",
            &self.key,
            &known,
        ]);
        let strict = [
            "-oStrictHostKeyChecking=yes",
            "-oBatchMode=yes",
            "-oConnectTimeout=20",
        ];
        ssh.args(strict).arg(format!("debian@{ip}")).arg(command);
        Run::of(&mut ssh)
    }
}

/// cloud-init's local stage reads the volume: name, keys and all, and nothing is asked over HTTP.
#[test]
fn a_debian_guest_with_a_volume_is_itself_without_the_metadata_service() {
    if !root() {
        return;
    }
    let guest = Debian::launched("cidata");
    let source = guest
        .ssh("cat /run/cloud-init/result.json; sudo blkid -s LABEL -o value /dev/vdc")
        .ok();
    assert!(
        source.contains("DataSourceNoCloud [seed=/dev/vdc]") && source.contains("cidata"),
        "{source}"
    );
    assert_eq!(guest.ssh("hostname -f; id -un").ok(), "web1.lab\ndebian\n");
    let log = guest.lab.daemon_log();
    assert!(
        log.contains("web1 reached ready") && !log.contains("web1 reached metadata"),
        "{log}"
    );
}

/// The kernel and initrd that are in the Debian image, so that its kernel can be given a command line.
fn kernel_of(image: &Path, folder: &Path) -> (PathBuf, PathBuf) {
    let raw = folder.join("disk.raw");
    Run::of(
        Command::new("qemu-img")
            .args(["convert", "-O", "raw"])
            .args([image, &raw]),
    )
    .ok();
    // The root file system begins at 1 MiB.
    let disk = format!("{}?offset=1048576", raw.display());
    let dump = format!("rdump /boot {}", folder.display());
    Run::of(Command::new("debugfs").args(["-R", &dump, &disk])).ok();
    fs::remove_file(raw).unwrap();
    let named = |start: &str| {
        let mut found = fs::read_dir(folder.join("boot"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(start);
        found.find(name).unwrap()
    };
    (named("vmlinuz-"), named("initrd.img-"))
}

/// systemd takes the key of root from the SMBIOS table; cloud-init finds nothing and does not run.
#[test]
fn a_debian_guest_takes_its_credentials_without_an_agent() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let image = guests::debian();
    let folder = tempfile::tempdir().unwrap();
    let (kernel, initrd) = kernel_of(&image, folder.path());
    let tell = "root=/dev/vda1 console=ttyS0,115200 \
                systemd.run=\"/bin/sh -c 'cat /root/.ssh/authorized_keys >/dev/ttyS0; ls -ln /root/.ssh/authorized_keys >/dev/ttyS0'\"";
    let [image, kernel, initrd] = [&image, &kernel, &initrd].map(|path| path.to_string_lossy().into_owned());
    lab.seedbed(&[
        "image",
        "add",
        "bare",
        &image,
        "--kernel",
        &kernel,
        "--initrd",
        &initrd,
        "--cmdline",
        tell,
        "--view",
        "credentials",
    ])
    .ok();
    lab.seedbed(&["launch", "web1", "--image", "bare", "--key", guests::KEY])
        .ok();
    // Having run it, systemd powers off.
    lab.seedbed(&["wait", "web1", "--for", "stopped", "--timeout", "600s"])
        .ok();
    let console = lab.seedbed(&["log", "web1"]).ok();
    assert!(
        console.contains(guests::KEY) && console.contains("-rw------- 1 0 0 "),
        "{console}"
    );
    assert!(!lab.daemon_log().contains("reached metadata"));
}
