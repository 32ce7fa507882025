//! Roots of guests, clean and not.

use std::fs;
use std::path::Path;

use super::{Report, lint};
use crate::offline::root::Root;
use crate::offline::seal::seal;

/// A guest of these files; a text that begins with `-> ` is a link.
fn guest(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            None => fs::write(path, text).unwrap(),
        }
    }
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

const DPKG: &str = "Package: cloud-init\nStatus: install ok installed\nVersion: 22.4.2-1+deb12u4\n\n\
                    Package: systemd\nStatus: install ok installed\nVersion: 252.38-1~deb12u1\n";

/// What `image build` makes, as far as the rules look.
const CLEAN: [(&str, &str); 9] = [
    (
        "etc/os-release",
        "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
    ),
    ("etc/machine-id", ""),
    ("etc/fstab", "UUID=1 / ext4 defaults 0 1\n"),
    ("var/lib/dpkg/status", DPKG),
    ("usr/lib/systemd/system/serial-getty@.service", "[Unit]\n"),
    ("boot/grub/grub.cfg", "linux /vmlinuz root=UUID=1 console=ttyS0\n"),
    ("etc/cloud/cloud.cfg", "datasource_list: [NoCloud, OpenStack]\n"),
    ("etc/ssh/sshd_config", "UsePAM yes\n"),
    (
        "etc/systemd/network/50-all.network",
        "[Match]\nName=en*\n\n[Network]\nDHCP=ipv4\n",
    ),
];

fn with(more: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let files: Vec<_> = CLEAN
        .iter()
        .filter(|(path, _)| more.iter().all(|(other, _)| other != path))
        .chain(more)
        .copied()
        .collect();
    guest(&files)
}

fn rules(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| &*finding.rule).collect()
}

/// The guest has this finding alone; once sealed, none.
#[track_caller]
fn cured(more: &[(&str, &str)], rule: &str) -> tempfile::TempDir {
    let (dir, root) = with(more);
    let report = lint(&root);
    assert_eq!(rules(&report), [rule]);
    let finding = &report.findings[0];
    assert!(finding.sealed && finding.cure.is_some(), "{finding:?}");
    assert!(
        !finding.what.is_empty()
            && !finding.why.is_empty()
            && !finding.seal.is_empty()
            && !finding.paths.is_empty(),
        "{finding:?}"
    );
    let done = seal(&root).unwrap();
    assert_eq!(rules(&done), [rule]);
    assert_eq!(rules(&lint(&root)), [""; 0], "it is still there");
    assert!(
        seal(&root).unwrap().findings.is_empty(),
        "a second time changes nothing"
    );
    dir
}

/// The guest has this finding alone, and sealing leaves it to the user.
#[track_caller]
fn left(more: &[(&str, &str)], rule: &str) {
    let (_dir, root) = with(more);
    let report = lint(&root);
    assert_eq!(rules(&report), [rule]);
    assert!(!report.findings[0].sealed && report.findings[0].seal.starts_with("nothing: "));
    assert_eq!(seal(&root).unwrap(), report);
}

fn text(dir: &tempfile::TempDir, path: &str) -> String {
    fs::read_to_string(dir.path().join(path)).unwrap()
}

fn exists(dir: &tempfile::TempDir, path: &str) -> bool {
    Path::symlink_metadata(&dir.path().join(path)).is_ok()
}

#[test]
fn a_clean_image_is_clean_and_its_facts_are_known() {
    let (_dir, root) = with(&[]);
    let report = lint(&root);
    assert_eq!(rules(&report), [""; 0]);
    let facts = report.facts;
    assert_eq!(
        facts.distribution.as_deref(),
        Some("Debian GNU/Linux 12 (bookworm)")
    );
    assert_eq!(facts.cloud_init.as_deref(), Some("22.4.2-1+deb12u4"));
    assert_eq!(facts.systemd.as_deref(), Some("252.38-1~deb12u1"));
    assert_eq!(facts.boot_loader.as_deref(), Some("GRUB"));
    assert_eq!(facts.views, ["auto", "openstack", "nocloud", "ec2", "cidata"]);
    assert_eq!(facts.release().unwrap().to_string(), "22.4");
}

#[test]
fn versions_are_found_without_a_database_that_can_be_read() {
    let none = ("var/lib/dpkg/status", "");
    let egg = "usr/lib/python3.9/site-packages/cloud_init-23.4-py3.9.egg-info/PKG-INFO";
    let (_dir, root) = with(&[
        none,
        (egg, ""),
        ("usr/lib/systemd/libsystemd-shared-252-46.el9.so", ""),
    ]);
    let facts = lint(&root).facts;
    assert_eq!(
        (facts.cloud_init.as_deref(), facts.systemd.as_deref()),
        (Some("23.4"), Some("252-46.el9"))
    );
    assert_eq!(facts.views, ["cidata", "openstack"]);

    let apk = "P:cloud-init\nV:24.4-r0\n\nP:busybox\nV:1.37.0\n";
    let (_dir, root) = guest(&[("lib/apk/db/installed", apk)]);
    assert_eq!(lint(&root).facts.cloud_init.as_deref(), Some("24.4-r0"));

    let removed = DPKG.replacen("install ok installed", "deinstall ok config-files", 1);
    let (_dir, root) = with(&[("var/lib/dpkg/status", &removed)]);
    assert_eq!(lint(&root).facts.views, ["credentials", "offline"]);
}

#[test]
fn an_older_agent_has_fewer_views() {
    let old = DPKG.replace("22.4.2-1+deb12u4", "20.4.1-2");
    let (_dir, root) = with(&[("var/lib/dpkg/status", &old)]);
    assert_eq!(lint(&root).facts.views, ["nocloud", "cidata", "ec2"]);
}

#[test]
fn machine_ids_are_emptied() {
    let dir = cured(
        &[("etc/machine-id", "0123456789abcdef0123456789abcdef\n")],
        "machine-id",
    );
    assert_eq!(text(&dir, "etc/machine-id"), "");
    let dir = cured(&[("var/lib/dbus/machine-id", "0123\n")], "dbus-machine-id");
    let target = fs::read_link(dir.path().join("var/lib/dbus/machine-id")).unwrap();
    assert_eq!(target, Path::new("/etc/machine-id"));
}

#[test]
fn keys_seeds_and_leases_are_removed() {
    for (path, rule) in [
        ("etc/ssh/ssh_host_ed25519_key", "host-keys"),
        ("etc/dropbear/dropbear_rsa_host_key", "host-keys"),
        ("root/.ssh/authorized_keys", "authorized-keys"),
        ("home/ann/.ssh/authorized_keys", "authorized-keys"),
        ("var/lib/systemd/random-seed", "random-seed"),
        ("var/lib/dhcp/dhclient.eth0.leases", "leases"),
        ("var/lib/NetworkManager/internal-0a-eth0.lease", "leases"),
        ("var/lib/dhcpcd/duid", "leases"),
    ] {
        let dir = cured(&[(path, "of the old machine\n")], rule);
        assert!(!exists(&dir, path), "{path}");
        assert!(exists(&dir, "etc/ssh/sshd_config"));
    }
}

#[test]
fn what_binds_to_a_hardware_address_is_unbound() {
    let rules = "SUBSYSTEM==\"net\", ATTR{address}==\"52:54:00:12:34:56\", NAME=\"eth0\"\n";
    let dir = cured(
        &[("etc/udev/rules.d/70-persistent-net.rules", rules)],
        "persistent-net",
    );
    assert!(!exists(&dir, "etc/udev/rules.d/70-persistent-net.rules"));

    let netplan =
        "network:\n  ethernets:\n    eth0:\n      match:\n        macaddress: \"52:54:00:12:34:56\"\n";
    let dir = cured(&[("etc/netplan/01-all.yaml", netplan)], "mac-bound");
    assert!(text(&dir, "etc/netplan/01-all.yaml").contains("dhcp4: true"));
    let by_agent = format!("# This file is generated by cloud-init\n{netplan}");
    let dir = cured(&[("etc/netplan/50-cloud-init.yaml", &by_agent)], "mac-bound");
    assert!(!exists(&dir, "etc/netplan/50-cloud-init.yaml"));

    let network = "[Match]\nMACAddress=52:54:00:12:34:56\n[Network]\nDHCP=yes\n";
    let dir = cured(&[("etc/systemd/network/10-eth.network", network)], "mac-bound");
    let expected = "[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n";
    assert_eq!(text(&dir, "etc/systemd/network/10-eth.network"), expected);

    let link = "[Match]\nMACAddress=52:54:00:12:34:56\n[Link]\nName=lan0\n";
    let dir = cured(&[("etc/systemd/network/10-lan.link", link)], "mac-bound");
    assert!(!exists(&dir, "etc/systemd/network/10-lan.link"));

    let ifcfg = "DEVICE=eth0\nHWADDR=52:54:00:12:34:56\nBOOTPROTO=dhcp\n";
    let dir = cured(
        &[("etc/sysconfig/network-scripts/ifcfg-eth0", ifcfg)],
        "mac-bound",
    );
    assert_eq!(
        text(&dir, "etc/sysconfig/network-scripts/ifcfg-eth0"),
        "DEVICE=eth0\nBOOTPROTO=dhcp\n"
    );

    let connection =
        "[connection]\nid=eth0\n[ethernet]\nmac-address=52:54:00:12:34:56\n[ipv4]\nmethod=auto\n";
    let path = "etc/NetworkManager/system-connections/eth0.nmconnection";
    let dir = cured(&[(path, connection)], "mac-bound");
    assert!(!text(&dir, path).contains("mac-address") && text(&dir, path).contains("method=auto"));

    let interfaces = "auto eth0\niface eth0 inet dhcp\n  hwaddress ether 52:54:00:12:34:56\n";
    let dir = cured(&[("etc/network/interfaces", interfaces)], "mac-bound");
    assert_eq!(
        text(&dir, "etc/network/interfaces"),
        "auto eth0\niface eth0 inet dhcp\n"
    );
}

#[test]
fn addresses_that_are_written_down_are_left_to_the_user() {
    for (path, fixed) in [
        (
            "etc/network/interfaces",
            "iface eth0 inet static\n  address 10.0.0.5\n",
        ),
        (
            "etc/netplan/01.yaml",
            "network:\n  ethernets:\n    eth0:\n      addresses: [10.0.0.5/24]\n",
        ),
        (
            "etc/systemd/network/20.network",
            "[Match]\nName=en*\n[Network]\nAddress=10.0.0.5/24\n",
        ),
        (
            "etc/sysconfig/network-scripts/ifcfg-eth0",
            "DEVICE=eth0\nIPADDR=10.0.0.5\n",
        ),
    ] {
        left(&[(path, fixed)], "static-address");
    }
}

#[test]
fn somebody_has_to_ask_dhcp() {
    let no_agent = (
        "var/lib/dpkg/status",
        "Package: systemd\nStatus: install ok installed\nVersion: 252\n",
    );
    let nothing = ("etc/systemd/network/50-all.network", "[Match]\nName=en*\n");
    let enabled = (
        "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
        "-> /lib/systemd/system/systemd-networkd.service",
    );
    let dir = cured(&[no_agent, nothing, enabled], "no-dhcp");
    assert!(text(&dir, "etc/systemd/network/80-dhcp.network").contains("DHCP=yes"));
    left(&[no_agent, nothing], "no-dhcp");
    // With cloud-init, it is cloud-init that does.
    let (_dir, root) = with(&[nothing]);
    assert_eq!(rules(&lint(&root)), [""; 0]);
}

#[test]
fn what_keeps_cloud_init_from_starting_anew_is_removed() {
    for (path, rule) in [
        ("etc/cloud/cloud-init.disabled", "cloud-init-disabled"),
        ("var/lib/cloud/instances/i-1/obj.pkl", "instance"),
        ("var/lib/cloud/data/instance-id", "instance"),
        ("var/lib/cloud/seed/nocloud/meta-data", "baked-seed"),
        ("etc/cloud/cloud.cfg.d/99-installer.cfg", "installer"),
        (
            "etc/cloud/cloud.cfg.d/subiquity-disable-cloudinit-networking.cfg",
            "installer",
        ),
    ] {
        let dir = cured(&[(path, "instance-id: old\n")], rule);
        assert!(!exists(&dir, path), "{path}");
    }
}

#[test]
fn a_datasource_list_has_to_have_ours() {
    let dir = cured(
        &[(
            "etc/cloud/cloud.cfg.d/90_dpkg.cfg",
            "datasource_list: [ Azure ]\n",
        )],
        "datasources",
    );
    let ours = text(&dir, "etc/cloud/cloud.cfg.d/99_zz_datasources.cfg");
    let ours: serde_yaml::Value = serde_yaml::from_str(&ours).unwrap();
    assert_eq!(ours["datasource_list"][0], "NoCloud");
    // The last file counts.
    let (_dir, root) = with(&[
        ("etc/cloud/cloud.cfg.d/10.cfg", "datasource_list: [ Azure ]\n"),
        (
            "etc/cloud/cloud.cfg.d/20.cfg",
            "datasource_list:\n  - OpenStack\n",
        ),
    ]);
    assert_eq!(rules(&lint(&root)), [""; 0]);
}

#[test]
fn a_clone_has_to_boot_and_to_be_seen() {
    let quiet = ("boot/grub/grub.cfg", "linux /vmlinuz root=UUID=1 quiet\n");
    let (dir, root) = with(&[quiet]);
    assert_eq!(rules(&lint(&root)), ["serial-console", "serial-getty"]);
    assert_eq!(rules(&seal(&root).unwrap()), ["serial-getty", "serial-console"]);
    assert!(exists(
        &dir,
        "etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service"
    ));
    assert_eq!(rules(&lint(&root)), ["serial-console"]);
    left(
        &[(
            "boot/grub/grub.cfg",
            "linux /vmlinuz root=/dev/sda1 console=ttyS0\n",
        )],
        "disk-names",
    );
    left(&[("etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n")], "disk-names");
    let (dir, root) = with(&[]);
    fs::remove_file(dir.path().join("boot/grub/grub.cfg")).unwrap();
    assert!(rules(&lint(&root)).contains(&"boot-loader"));
}

#[test]
fn a_system_without_systemd_has_its_getty_in_inittab() {
    let bare = [
        ("var/lib/dpkg/status", ""),
        ("sbin/getty", ""),
        ("usr/lib/systemd/system/serial-getty@.service", ""),
    ];
    for (inittab, line) in [
        (
            "tty1::respawn:/sbin/getty 38400 tty1\n",
            "ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n",
        ),
        (
            "1:2345:respawn:/sbin/getty 38400 tty1\n",
            "T0:23:respawn:/sbin/getty -L 115200 ttyS0 vt100\n",
        ),
    ] {
        let (dir, root) = with(&[&bare[..], &[("etc/inittab", inittab)]].concat());
        assert!(rules(&lint(&root)).contains(&"serial-getty"));
        seal(&root).unwrap();
        assert_eq!(text(&dir, "etc/inittab"), inittab.to_owned() + line);
    }
}

#[test]
fn what_can_not_be_read_is_a_finding_and_not_the_end() {
    let (dir, root) = with(&[]);
    fs::remove_file(dir.path().join("etc/machine-id")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(dir.path().join("etc/machine-id"))
        .status();
    assert!(made.unwrap().success());
    let report = lint(&root);
    assert_eq!(rules(&report), ["unreadable"]);
    assert_eq!(report.findings[0].paths, ["/etc/machine-id"]);
    let (_dir, root) = with(&[("etc/cloud/cloud.cfg.d/00.cfg", "datasource_list: {a: [\n")]);
    assert_eq!(rules(&lint(&root)), [""; 0]);
}
