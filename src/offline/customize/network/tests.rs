//! Trees in the shape of what distributions install, each with what the machine it was made on left in it.

use super::super::tests::{Tree, is_root, plan_of, tree};
use super::super::{CustomizeError, Done, apply, preview};

/// What every system has that accounts can be made in.
const ACCOUNTS: [(&str, &str); 4] = [
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
    ("/etc/shadow", "root:*:19000:0:99999:7:::\n"),
    ("/etc/group", "root:x:0:\nadm:x:4:\n"),
    ("/etc/ssh/sshd_config", "UsePAM yes\n"),
];
const BASES_MAC: &str = "52:54:00:00:be:ef";
const MAC: &str = "52:54:ce:9b:49:d4";

fn system(files: &[(&str, &str)]) -> Tree {
    tree(&[&ACCOUNTS, files].concat())
}

/// A system becomes the VM, once: the second time there is nothing to do.
fn customized(system: &Tree) {
    let (root, plan) = (system.root(), plan_of("web1", "root"));
    let planned = preview(&root, &plan).unwrap();
    assert_eq!(apply(&root, &plan).unwrap(), planned);
    let again = apply(&root, &plan).unwrap();
    let changes: Vec<_> = again
        .iter()
        .filter(|done| !matches!(done, Done::Note(_)))
        .collect();
    assert!(changes.is_empty(), "{changes:?}");
}

/// Debian 8 as its installer left it on another machine.
fn debian_8() -> Tree {
    let rules = format!("SUBSYSTEM==\"net\", ATTR{{address}}==\"{BASES_MAC}\", NAME=\"eth0\"\n");
    system(&[
        (
            "/etc/os-release",
            "PRETTY_NAME=\"Debian GNU/Linux 8 (jessie)\"\nID=debian\n",
        ),
        ("/lib/systemd/systemd", ""),
        ("/sbin/ifup", ""),
        (
            "/etc/network/interfaces",
            "# This file describes the network interfaces available on your system\nsource /etc/network/interfaces.d/*\n\n\
             # The loopback network interface\nauto lo\niface lo inet loopback\n\n\
             # The primary network interface\nallow-hotplug eth0\niface eth0 inet static\n\taddress 192.0.2.7\n\tnetmask 255.255.255.0\n",
        ),
        (
            "/etc/network/interfaces.d/backup",
            "auto eth1\niface eth1 inet dhcp\n",
        ),
        ("/etc/udev/rules.d/70-persistent-net.rules", &rules),
        ("/etc/hostname", "base\n"),
        (
            "/etc/hosts",
            "127.0.0.1\tlocalhost\n127.0.1.1\tbase.example base\n\n::1     localhost\n",
        ),
        ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("/var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("/var/lib/dhcp/dhclient.eth0.leases", "lease {}\n"),
        ("/var/lib/systemd/random-seed", "seed"),
        ("/etc/ssh/ssh_host_rsa_key", "the base's"),
        ("/etc/ssh/ssh_host_rsa_key.pub", "the base's"),
    ])
}

#[test]
fn debian_8_with_ifupdown_asks_dhcp_by_any_name() {
    if !is_root() {
        return;
    }
    let system = debian_8();
    customized(&system);
    let main = system.read("/etc/network/interfaces");
    assert!(
        main.contains("iface lo inet loopback") && !main.contains("eth0"),
        "{main}"
    );
    let ours = system.read("/etc/network/interfaces.d/seedbed");
    for name in ["eth0", "enp0s2", "ens2"] {
        let stanza = format!("allow-hotplug {name}\niface {name} inet dhcp\n");
        assert!(ours.contains(&stanza), "{ours}");
    }
    assert_eq!(system.read("/etc/network/interfaces.d/backup"), "");
}

#[test]
fn debian_8_forgets_the_machine_it_was_made_on() {
    if !is_root() {
        return;
    }
    let system = debian_8();
    customized(&system);
    for gone in [
        "/etc/udev/rules.d/70-persistent-net.rules",
        "/var/lib/dhcp/dhclient.eth0.leases",
        "/var/lib/systemd/random-seed",
        "/etc/ssh/ssh_host_rsa_key",
        "/etc/ssh/ssh_host_rsa_key.pub",
    ] {
        assert!(!system.has(gone), "{gone}");
    }
    for id in ["/etc/machine-id", "/var/lib/dbus/machine-id"] {
        assert_eq!(system.read(id), "7573fe52e13e82a6a9ae40fb6a351c25\n", "{id}");
    }
}

#[test]
fn debian_8_is_the_vm_with_its_name_its_host_key_its_swap_and_who_may_enter() {
    if !is_root() {
        return;
    }
    let system = debian_8();
    customized(&system);
    assert_eq!(system.read("/etc/hostname"), "web1\n");
    assert_eq!(
        system.read("/etc/hosts"),
        "127.0.0.1\tlocalhost\n127.0.1.1\tweb1.lab web1\n\n::1     localhost\n"
    );
    let has = |path: &str, text: &str| assert!(system.read(path).contains(text), "{path}");
    has("/etc/fstab", "/dev/disk/by-id/virtio-swap none swap");
    has("/etc/ssh/ssh_host_ed25519_key", "OPENSSH PRIVATE KEY");
    has("/root/.ssh/authorized_keys", "ops@lab");
    assert_eq!(system.mode("/etc/ssh/ssh_host_ed25519_key"), 0o600);
}

#[test]
fn debian_7_has_one_file_of_interfaces_and_it_stays_one() {
    if !is_root() {
        return;
    }
    let system = system(&[
        ("/etc/debian_version", "7.11\n"),
        ("/sbin/ifup", ""),
        (
            "/etc/network/interfaces",
            "allow-hotplug eth0\niface eth0 inet dhcp",
        ),
    ]);
    customized(&system);
    let text = system.read("/etc/network/interfaces");
    assert!(text.starts_with("auto lo\niface lo inet loopback\n"), "{text}");
    assert_eq!(text.matches("iface eth0 inet dhcp").count(), 1, "{text}");
    assert!(text.contains("iface ens2 inet dhcp") && !system.has("/etc/network/interfaces.d"));
    // Without systemd there was no machine-id, and there is none now.
    assert!(!system.has("/etc/machine-id"));
}

#[test]
fn debian_12_with_networkd_is_matched_by_its_hardware_address() {
    if !is_root() {
        return;
    }
    let tied = format!("[Match]\nMACAddress={BASES_MAC}\n[Network]\nAddress=192.0.2.7/24\n");
    let link = format!(
        "[Match]\nPermanentMACAddress={}\n[Link]\nName=lan0\n",
        BASES_MAC.to_uppercase()
    );
    let system = system(&[
        ("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
        ("/usr/lib/systemd/systemd", ""),
        (
            "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
            "->/lib/systemd/system/systemd-networkd.service",
        ),
        ("/etc/systemd/network/10-lan.network", &tied),
        ("/etc/systemd/network/10-lan.link", &link),
        (
            "/etc/systemd/network/20-wired.network",
            "[Match]\nName=en*\n[Network]\nDHCP=no\n",
        ),
        ("/sbin/ifup", ""),
        (
            "/etc/network/interfaces",
            "auto lo ens3\niface lo inet loopback\niface ens3 inet dhcp\n",
        ),
    ]);
    customized(&system);
    let ours = system.read("/etc/systemd/network/00-0-seedbed.network");
    assert!(
        ours.contains(&format!("[Match]\nMACAddress={MAC}\n")) && ours.contains("DHCP=ipv4\nDomains=lab"),
        "{ours}"
    );
    assert!(
        !system.has("/etc/systemd/network/10-lan.network") && !system.has("/etc/systemd/network/10-lan.link")
    );
    assert!(system.has("/etc/systemd/network/20-wired.network"));
    // Or two programs would ask DHCP.
    assert_eq!(
        system.read("/etc/network/interfaces"),
        "auto lo\niface lo inet loopback\n"
    );
}

#[test]
fn ubuntu_with_netplan_has_one_file_that_names_interfaces() {
    if !is_root() {
        return;
    }
    let system = system(&[
        (
            "/etc/os-release",
            "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\n",
        ),
        ("/usr/lib/systemd/systemd", ""),
        ("/usr/sbin/netplan", ""),
        (
            "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
            "->/lib/systemd/system/systemd-networkd.service",
        ),
        (
            "/etc/netplan/00-installer-config.yaml",
            "# This is the network config written by 'subiquity'\nnetwork:\n  ethernets:\n    enp1s0:\n      dhcp4: true\n  version: 2\n",
        ),
        (
            "/etc/netplan/01-renderer.yaml",
            "network:\n  renderer: networkd\n",
        ),
        ("/etc/cloud/cloud.cfg", "users: [default]\n"),
    ]);
    customized(&system);
    assert!(!system.has("/etc/netplan/00-installer-config.yaml"));
    assert!(system.has("/etc/netplan/01-renderer.yaml"));
    let ours = system.read("/etc/netplan/90-seedbed.yaml");
    let read: serde_yaml::Value = serde_yaml::from_str(&ours).unwrap();
    let nic = &read["network"]["ethernets"]["seedbed"];
    assert_eq!(nic["match"]["macaddress"], serde_yaml::Value::from(MAC));
    assert_eq!(nic["dhcp4"], serde_yaml::Value::from(true));
    assert_eq!(system.mode("/etc/netplan/90-seedbed.yaml"), 0o600);
    assert!(!system.has("/etc/systemd/network/00-0-seedbed.network"));
    assert!(system.has("/etc/cloud/cloud-init.disabled"));
}

#[test]
fn rhel_9_with_keyfiles_has_one_connection_and_labels_its_files() {
    if !is_root() {
        return;
    }
    let system = system(&[
        (
            "/etc/os-release",
            "NAME=\"AlmaLinux\"\nID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\n",
        ),
        ("/usr/lib/systemd/systemd", ""),
        (
            "/etc/systemd/system/multi-user.target.wants/NetworkManager.service",
            "->/usr/lib/systemd/system/NetworkManager.service",
        ),
        (
            "/etc/NetworkManager/system-connections/enp1s0.nmconnection",
            "[connection]\nid=enp1s0\ntype=ethernet\ninterface-name=enp1s0\n[ipv4]\nmethod=auto\n",
        ),
        (
            "/etc/NetworkManager/system-connections/office.nmconnection",
            "[connection]\nid=office\ntype=vpn\n",
        ),
        (
            "/etc/sysconfig/network-scripts/readme-ifcfg-rh.txt",
            "NetworkManager stores new profiles in keyfile format",
        ),
        (
            "/etc/selinux/config",
            "# comment\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
        ),
        (
            "/etc/hosts",
            "127.0.0.1   localhost localhost.localdomain\n::1         localhost\n",
        ),
    ]);
    customized(&system);
    let folder = "/etc/NetworkManager/system-connections";
    assert!(
        !system.has(&format!("{folder}/enp1s0.nmconnection"))
            && system.has(&format!("{folder}/office.nmconnection"))
    );
    let ours = system.read(&format!("{folder}/seedbed.nmconnection"));
    assert!(
        ours.contains(&format!("mac-address={}\n", MAC.to_uppercase())),
        "{ours}"
    );
    assert_eq!(system.mode(&format!("{folder}/seedbed.nmconnection")), 0o600);
    assert!(system.has("/.autorelabel"));
    assert!(!system.read("/etc/hosts").contains("127.0.1.1"));
}

#[test]
fn centos_7_with_ifcfg_files_is_matched_by_its_hardware_address() {
    if !is_root() {
        return;
    }
    let base = format!(
        "DEVICE=eth0\nHWADDR={}\nONBOOT=yes\nBOOTPROTO=static\nIPADDR=192.0.2.7\n",
        BASES_MAC.to_uppercase()
    );
    let system = system(&[
        (
            "/etc/os-release",
            "ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\n",
        ),
        ("/usr/lib/systemd/systemd", ""),
        ("/usr/lib/udev/rename_device", ""),
        (
            "/etc/systemd/system/multi-user.target.wants/NetworkManager.service",
            "->/usr/lib/systemd/system/NetworkManager.service",
        ),
        ("/etc/sysconfig/network-scripts/ifcfg-eth0", &base),
        (
            "/etc/sysconfig/network-scripts/ifcfg-uplink",
            "NAME=uplink\nTYPE=Ethernet\nONBOOT=yes\n",
        ),
        ("/etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\n"),
        (
            "/etc/sysconfig/network-scripts/ifcfg-br0",
            "DEVICE=br0\nTYPE=Bridge\n",
        ),
    ]);
    customized(&system);
    let folder = "/etc/sysconfig/network-scripts";
    assert_eq!(
        system.read(&format!("{folder}/ifcfg-eth0")),
        format!(
            "# Written by seedbed.\nDEVICE=eth0\nHWADDR={}\nTYPE=Ethernet\nBOOTPROTO=dhcp\nONBOOT=yes\n",
            MAC.to_uppercase()
        )
    );
    assert!(!system.has(&format!("{folder}/ifcfg-uplink")));
    assert!(system.has(&format!("{folder}/ifcfg-lo")) && system.has(&format!("{folder}/ifcfg-br0")));
    assert!(!system.has("/etc/NetworkManager/system-connections/seedbed.nmconnection"));
}

#[test]
fn centos_6_has_its_name_where_its_scripts_look_for_it() {
    if !is_root() {
        return;
    }
    let system = system(&[
        ("/etc/redhat-release", "CentOS release 6.10 (Final)\n"),
        ("/etc/rc.d/rc3.d/S10network", "->../init.d/network"),
        ("/lib/udev/rename_device", ""),
        (
            "/etc/sysconfig/network",
            "NETWORKING=yes\nHOSTNAME=base.example\n",
        ),
    ]);
    customized(&system);
    assert_eq!(
        system.read("/etc/sysconfig/network"),
        "NETWORKING=yes\nHOSTNAME=web1.lab\n"
    );
    assert!(
        system
            .read("/etc/sysconfig/network-scripts/ifcfg-eth0")
            .contains("BOOTPROTO=dhcp")
    );
}

#[test]
fn opensuse_with_wicked_does_not_wait_for_names_that_are_not_there() {
    if !is_root() {
        return;
    }
    let system = system(&[
        (
            "/etc/os-release",
            "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
        ),
        ("/usr/lib/systemd/systemd", ""),
        ("/etc/sysconfig/network/ifcfg-lo", "STARTMODE='nfsroot'\n"),
        (
            "/etc/sysconfig/network/ifcfg-eth1",
            "STARTMODE='auto'\nBOOTPROTO='static'\nIPADDR='192.0.2.7/24'\n",
        ),
    ]);
    customized(&system);
    for name in ["eth0", "enp0s2", "ens2"] {
        let text = system.read(&format!("/etc/sysconfig/network/ifcfg-{name}"));
        assert!(text.contains("BOOTPROTO='dhcp'\nSTARTMODE='hotplug'\n"), "{text}");
    }
    assert!(
        !system.has("/etc/sysconfig/network/ifcfg-eth1") && system.has("/etc/sysconfig/network/ifcfg-lo")
    );
}

#[test]
fn alpine_has_one_interface_that_is_called_eth0() {
    if !is_root() {
        return;
    }
    let system = system(&[
        ("/etc/os-release", "ID=alpine\n"),
        ("/sbin/ifup", ""),
        (
            "/etc/network/interfaces",
            "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n",
        ),
        ("/etc/fstab", "/dev/vda3 / ext4 rw,relatime 0 1\n"),
    ]);
    customized(&system);
    let text = system.read("/etc/network/interfaces");
    assert!(
        text.contains("auto eth0\niface eth0 inet dhcp\n") && !text.contains("allow-hotplug"),
        "{text}"
    );
    assert!(system.read("/etc/fstab").contains("LABEL=swap none swap"));
}

#[test]
fn a_system_whose_network_nobody_configures_is_refused_and_left_as_it_is() {
    let system = system(&[("/etc/os-release", "ID=void\n"), ("/etc/hostname", "base\n")]);
    let refused = apply(&system.root(), &plan_of("web1", "root"));
    assert!(matches!(refused, Err(CustomizeError::NoNetwork)), "{refused:?}");
    assert_eq!(system.read("/etc/hostname"), "base\n");
    assert!(!system.has("/root/.ssh"));
}
