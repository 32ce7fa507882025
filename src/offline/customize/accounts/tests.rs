//! Accounts in trees: new ones, and ones that were there.

use super::super::tests::{HASH, Tree, is_root, plan_of, tree};
use super::super::{Done, apply};

const BASE: [(&str, &str); 10] = [
    ("/etc/os-release", "ID=debian\n"),
    ("/sbin/ifup", ""),
    ("/etc/network/interfaces", "auto lo\niface lo inet loopback\n"),
    (
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\ndebian:x:1000:1000:Debian:/home/debian:/bin/bash\n",
    ),
    (
        "/etc/shadow",
        "root:!:19000:0:99999:7:::\ndebian:$6$old:19000:0:99999:7:::\n",
    ),
    ("/etc/group", "root:x:0:\nadm:x:4:\ndebian:x:1000:\n"),
    ("/etc/gshadow", "root:*::\nadm:*::\ndebian:!::\n"),
    ("/etc/subuid", "debian:100000:65536\n"),
    ("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n"),
    ("/bin/bash", ""),
];

fn base(more: &[(&str, &str)]) -> Tree {
    tree(&[&BASE, more].concat())
}

fn with_skeleton() -> Tree {
    base(&[
        ("/etc/skel/.bashrc", "# rc\n"),
        ("/etc/skel/.config/tool/rc", "x\n"),
        ("/etc/skel/.profile", "->.bashrc"),
        ("/etc/login.defs", "UMASK\t\t022\nHOME_MODE\t0700\nUID_MIN 1000\n"),
    ])
}

fn applied(tree: &Tree, default_user: &str) -> Vec<Done> {
    apply(&tree.root(), &plan_of("web1", default_user)).unwrap()
}

#[test]
fn an_account_is_made_with_all_that_belongs_to_it() {
    if !is_root() {
        return;
    }
    let tree = with_skeleton();
    applied(&tree, "root");
    assert!(
        tree.read("/etc/passwd")
            .ends_with("ann:x:1001:1001::/home/ann:/bin/bash\n")
    );
    assert!(
        tree.read("/etc/shadow")
            .ends_with(&format!("ann:{HASH}::0:99999:7:::\n"))
    );
    let group = tree.read("/etc/group");
    assert!(
        group.contains("adm:x:4:ann\n") && group.contains("ann:x:1001:\n"),
        "{group}"
    );
    assert!(group.contains("docker:x:1002:ann\n"), "{group}");
    assert!(tree.read("/etc/gshadow").contains("docker:!::ann\n"));
    assert_eq!(
        tree.read("/etc/subuid"),
        "debian:100000:65536\nann:165536:65536\n"
    );
}

#[test]
fn a_new_home_is_made_of_the_skeleton_and_is_its_owners() {
    if !is_root() {
        return;
    }
    let tree = with_skeleton();
    applied(&tree, "root");
    for path in [
        "/home/ann",
        "/home/ann/.bashrc",
        "/home/ann/.profile",
        "/home/ann/.config/tool/rc",
        "/home/ann/.ssh",
        "/home/ann/.ssh/authorized_keys",
    ] {
        assert_eq!(tree.owner(path), (1001, 1001), "{path}");
    }
    assert_eq!(
        (tree.mode("/home/ann"), tree.mode("/home/ann/.ssh")),
        (0o700, 0o700)
    );
    assert_eq!(tree.mode("/home/ann/.ssh/authorized_keys"), 0o600);
}

#[test]
fn who_may_become_root_is_in_a_file_of_ours() {
    if !is_root() {
        return;
    }
    let tree = base(&[]);
    applied(&tree, "root");
    assert_eq!(
        tree.read("/etc/sudoers.d/90-seedbed"),
        "# Written by seedbed.\nann ALL=(ALL) NOPASSWD:ALL\n"
    );
    assert_eq!(tree.mode("/etc/sudoers.d/90-seedbed"), 0o440);
    assert!(
        tree.read("/etc/sudoers")
            .ends_with("#includedir /etc/sudoers.d\n")
    );
    assert_eq!(
        applied(&tree, "root"),
        [Done::Note(
            "it has no SSH server: nobody will log in to it by ssh".to_owned()
        )]
    );
}

#[test]
fn an_account_that_is_there_keeps_its_number_its_home_and_its_files() {
    if !is_root() {
        return;
    }
    let tree = base(&[
        ("/home/debian/.ssh/authorized_keys", "ssh-rsa AAAA theirs\n"),
        ("/home/debian/notes", "mine\n"),
    ]);
    applied(&tree, "debian");
    assert!(
        tree.read("/etc/passwd")
            .contains("debian:x:1000:1000:Debian:/home/debian:/bin/bash\n")
    );
    assert!(tree.read("/etc/shadow").contains("debian:$6$old:19000"));
    let keys = tree.read("/home/debian/.ssh/authorized_keys");
    assert!(
        keys.starts_with("ssh-rsa AAAA theirs\n# BEGIN seedbed\n") && keys.contains("ops@lab"),
        "{keys}"
    );
    assert_eq!(tree.owner("/home/debian/.ssh/authorized_keys"), (1000, 1000));
    assert_eq!(tree.read("/home/debian/notes"), "mine\n");
    // Whether it may become root is the image's own affair.
    assert!(!tree.read("/etc/sudoers.d/90-seedbed").contains("debian"));
}

#[test]
fn the_images_own_account_is_made_where_it_is_missing_and_may_become_root() {
    if !is_root() {
        return;
    }
    let tree = base(&[]);
    for _ in 0..2 {
        applied(&tree, "admin");
        let passwd = tree.read("/etc/passwd");
        assert!(
            passwd.contains("admin:x:1001:1001::/home/admin:/bin/bash\n"),
            "{passwd}"
        );
        assert!(tree.read("/etc/shadow").contains("admin:*::0:99999:7:::\n"));
        let sudoers = tree.read("/etc/sudoers.d/90-seedbed");
        assert!(sudoers.contains("admin ALL=(ALL) NOPASSWD:ALL\n"), "{sudoers}");
    }
}

#[test]
fn a_home_that_leads_out_of_the_guest_stays_in_it() {
    if !is_root() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let tree = base(&[("/home/debian", &format!("->{target}"))]);
    // The link leads to nothing in the guest.
    let refused = apply(&tree.root(), &plan_of("web1", "debian"));
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}
