//! Trees in the shape of real systems, and what a plan makes of them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::model::{Access, Custom, HostKey, Hosting, Image, PasswordHash, SiteSecret, User, Vm, examples};

pub(super) const HASH: &str = "$6$saltsaltsaltsalt$HYRyw4Of/jYLZbv36GVJlJxhVvg8r4C5NfnkJ1dV0M7gFfNpbPTQfC6VwMyhlkxvG9QDKzD4cHVDzJkyYSfmJ0";

/// A root directory somewhere on this machine.
pub(super) struct Tree {
    folder: TempDir,
}

/// A tree of these files; one whose text begins with `->` is a link to what follows.
pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    let tree = Tree {
        folder: tempfile::tempdir().unwrap(),
    };
    for (path, text) in files {
        match text.strip_prefix("->") {
            Some(target) => {
                fs::create_dir_all(tree.path(path).parent().unwrap()).unwrap();
                symlink(target, tree.path(path)).unwrap();
            }
            None => tree.write_bytes(path, text.as_bytes()),
        }
    }
    tree
}

impl Tree {
    pub(super) fn root(&self) -> Root {
        Root::open(self.folder.path()).unwrap()
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    pub(super) fn write_bytes(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(super) fn read_bytes(&self, path: &str) -> Vec<u8> {
        fs::read(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(super) fn read(&self, path: &str) -> String {
        String::from_utf8(self.read_bytes(path)).unwrap()
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    pub(super) fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.path(path)).unwrap().permissions().mode() & 0o7777
    }

    pub(super) fn owner(&self, path: &str) -> (u32, u32) {
        let status = fs::symlink_metadata(self.path(path)).unwrap();
        (status.uid(), status.gid())
    }
}

/// A VM of an image without an agent, with an account beside the image's own.
pub(super) fn vm(name: &str) -> Vm {
    let base = examples::vm(name, "10.77.0.5");
    Vm {
        keys: vec![examples::KEY.parse().unwrap()].into(),
        hosting: Hosting::from(examples::machine()),
        custom: Custom {
            access: Access {
                users: vec![User {
                    sudo: true,
                    groups: vec!["docker".parse().unwrap(), "adm".parse().unwrap()],
                    password: Some(HASH.parse::<PasswordHash>().unwrap()),
                    ..User::named("ann".parse().unwrap())
                }],
                host_key: Some(HostKey::derive(&SiteSecret::of([7; 32]), base.uuid)),
                ..Access::default()
            },
            offline: true,
            ..Custom::default()
        }
        .boxed(),
        ..base
    }
}

pub(super) fn plan_of(name: &str, default_user: &str) -> Plan {
    let image = Image {
        default_user: default_user.to_owned(),
        ..examples::image()
    };
    Plan::of(&vm(name), &examples::network("lab", "10.77.0.1/24"), &image)
}

/// Whether files can be given to other users here.
pub(super) fn is_root() -> bool {
    let is = rustix::process::geteuid().is_root();
    if !is {
        println!("skipped: needs root, to give files to another user");
    }
    is
}

#[test]
fn a_plan_follows_from_the_record_and_shows_no_secret() {
    let plan = plan_of("web1", "root");
    assert_eq!((plan.hostname.as_str(), plan.domain.as_str()), ("web1", "lab"));
    assert_eq!(plan.machine_id(), "7573fe52e13e82a6a9ae40fb6a351c25");
    let names: Vec<_> = plan
        .accounts
        .iter()
        .map(|account| account.name.as_str())
        .collect();
    assert_eq!(names, ["root", "ann"]);
    // Who has no keys of his own has those of the VM.
    assert_eq!(plan.accounts[0].keys, plan.accounts[1].keys);
    let shown = format!("{plan:?}");
    assert!(
        !shown.contains("PRIVATE KEY") && !shown.contains("$6$"),
        "{shown}"
    );
    let back: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(back, plan);
}

#[test]
fn an_account_of_the_record_may_be_the_images_own() {
    let plan = plan_of("web1", "ann");
    assert_eq!(plan.accounts.len(), 1);
    assert!(plan.accounts[0].password.is_some() && plan.accounts[0].sudo == Some(true));
}

#[test]
fn another_record_has_another_digest() {
    let plan = plan_of("web1", "root");
    assert_eq!(plan.digest(), plan_of("web1", "root").digest());
    assert_ne!(plan.digest(), plan_of("web2", "root").digest());
    let without_swap = Plan {
        swap: !plan.swap,
        ..plan.clone()
    };
    assert_ne!(plan.digest(), without_swap.digest());
}
