//! The key ring, made host keys, accounts, and identities that are given up.

use std::sync::Arc;

use super::super::change::{AccessEdit, CustomEdit, Edit, SiteBatch};
use super::super::refusal::Refusal;
use super::super::{Committed, apply};
use super::*;
use crate::model::{
    Access, HostKey, HostKeyPolicy, PasswordHash, RingKey, Secret, SiteSecret, User, Vm, identity,
};

const HASH: &str = "$6$rounds=1000$saltsaltsaltsalt$HYRyw4Of/jYLZbv36GVJlJxhVvg8r4C5NfnkJ1dV0M7gF";

fn generating() -> Network {
    Network {
        host_keys: HostKeyPolicy::Generated,
        ..lab()
    }
}

fn ring_key(name: &str, owner: Option<&str>) -> RingKey {
    RingKey {
        name: name.parse().unwrap(),
        owner: owner.map(|owner| owner.parse().unwrap()),
        keys: vec![OTHER_KEY.parse().unwrap()].into(),
        source: "gh:ann".into(),
        added: NOW,
    }
}

fn add_key(name: &str, owner: Option<&str>) -> Change {
    Change::AddKey {
        key: ring_key(name, owner),
        replace: false,
    }
}

fn with(access: Access) -> Custom {
    Custom {
        access,
        ..Custom::default()
    }
}

fn host_key(vm: &Vm) -> HostKey {
    vm.access().unwrap().host_key.clone().unwrap()
}

async fn registered(registry: &Registry, vm: NewVm) -> Arc<Vm> {
    let Committed { mut vms, .. } = registry.commit(register([vm])).await.unwrap();
    vms.remove(0)
}

async fn deleted(registry: &Registry, text: &str) {
    let names = vec![name(text)];
    registry.commit(Change::Delete { names }).await.unwrap();
}

#[tokio::test]
async fn a_vm_that_is_registered_again_under_its_name_keeps_uuid_and_host_key_until_they_are_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let registry = opened(&path, vec![generating()]);
    let first = registered(&registry, new("web1")).await;
    assert_eq!(first.uuid, identity::uuid(&name("web1")));
    deleted(&registry, "web1").await;
    drop(registry);
    // Nothing of it is in memory any more.
    let registry = opened(&path, vec![generating()]);
    let second = registered(&registry, new("web1")).await;
    assert_eq!((second.uuid, host_key(&second)), (first.uuid, host_key(&first)));

    deleted(&registry, "web1").await;
    let renewed = NewVm {
        new_identity: true,
        ..new("web1")
    };
    let third = registered(&registry, renewed).await;
    assert!(third.uuid != first.uuid && host_key(&third) != host_key(&first));
    assert_eq!((third.mac, &third.tap), (first.mac, &first.tap));
    deleted(&registry, "web1").await;
    drop(registry);
    let registry = opened(&path, vec![generating()]);
    let fourth = registered(&registry, new("web1")).await;
    assert_eq!(
        (fourth.uuid, host_key(&fourth)),
        (third.uuid, host_key(&third)),
        "the new identity is kept too"
    );
}

#[tokio::test]
async fn vms_have_different_host_keys_and_those_of_other_networks_none() {
    let folder = tempfile::tempdir().unwrap();
    let registry = opened(&folder.path().join("registry.redb"), vec![generating()]);
    let (one, two) = (
        registered(&registry, new("web1")).await,
        registered(&registry, new("web2")).await,
    );
    assert_ne!(host_key(&one), host_key(&two));
    let folder = tempfile::tempdir().unwrap();
    let registry = opened(&folder.path().join("registry.redb"), vec![lab()]);
    assert_eq!(registered(&registry, new("web1")).await.custom, None);
    assert_eq!(registry.read().site().secret, None);
}

#[tokio::test]
async fn two_sites_make_different_host_keys_for_one_name() {
    let mut keys = Vec::new();
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let registry = opened(&folder.path().join("registry.redb"), vec![generating()]);
        let vm = registered(&registry, new("web1")).await;
        keys.push(host_key(&vm));
    }
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn all_of_it_comes_back_from_disk_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let registry = opened(&path, vec![generating()]);
    registry.commit(add_key("ann", Some("ann"))).await.unwrap();
    registry.commit(add_key("ops", None)).await.unwrap();
    let ann = User {
        sudo: true,
        groups: vec!["docker".parse().unwrap()],
        shell: Some("/bin/zsh".parse().unwrap()),
        password: Some(HASH.parse::<PasswordHash>().unwrap()),
        keys: vec![KEY.parse().unwrap()].into(),
        ..User::named("ann".parse().unwrap())
    };
    let access = Access {
        owner: Some("ann".parse().unwrap()),
        ring: vec!["ops".parse().unwrap()],
        users: vec![ann, User::named("ben".parse().unwrap())],
        host_key: None,
    };
    let vm = NewVm {
        custom: with(access),
        new_identity: true,
        ..new("web1")
    };
    registered(&registry, vm).await;
    let before = registry.read();
    drop(registry);
    let after = opened(&path, vec![generating()]).read();
    assert!(before.vms().eq(after.vms()) && before.vm_count() == 1);
    assert_eq!(
        (before.site(), before.site().ring.iter().len()),
        (after.site(), 2)
    );
    assert_eq!(after.site().renewals_of(&name("web1")), 1);
}

#[tokio::test]
async fn a_key_of_the_ring_is_served_from_the_revision_on_that_adds_it_and_not_from_the_one_that_deletes_it()
{
    let folder = tempfile::tempdir().unwrap();
    let registry = opened(&folder.path().join("registry.redb"), vec![lab()]);
    let access = Access {
        owner: Some("ann".parse().unwrap()),
        ..Access::default()
    };
    let vm = NewVm {
        custom: with(access),
        ..new("web1")
    };
    registered(&registry, vm).await;
    let served = || {
        let directory = registry.read();
        let vm = directory.served(directory.vm(&name("web1")).unwrap());
        vm.keys.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(served(), [KEY]);
    registry.commit(add_key("ann", Some("ann"))).await.unwrap();
    assert_eq!(served(), [KEY, OTHER_KEY]);
    let names = vec!["ann".parse().unwrap()];
    registry.commit(Change::RemoveKeys { names }).await.unwrap();
    assert_eq!(served(), [KEY]);
}

#[tokio::test]
async fn a_deleted_key_is_forgotten_by_the_vms_that_named_it() {
    let folder = tempfile::tempdir().unwrap();
    let registry = opened(&folder.path().join("registry.redb"), vec![lab()]);
    for key in ["ops", "dev"] {
        registry.commit(add_key(key, None)).await.unwrap();
    }
    let access = Access {
        ring: vec!["ops".parse().unwrap(), "dev".parse().unwrap()],
        ..Access::default()
    };
    let vm = NewVm {
        custom: with(access),
        ..new("web1")
    };
    registered(&registry, vm).await;
    let names = vec!["ops".parse().unwrap()];
    registry.commit(Change::RemoveKeys { names }).await.unwrap();
    // Somebody else's key of that name.
    registry.commit(add_key("ops", None)).await.unwrap();
    let directory = registry.read();
    let named = &directory.vm(&name("web1")).unwrap().access().unwrap().ring;
    assert_eq!(named.iter().map(ToString::to_string).collect::<Vec<_>>(), ["dev"]);
}

#[test]
fn what_names_no_key_of_the_ring_or_an_account_twice_is_refused() {
    let directory = Directory::of([lab()]);
    let vm = |access| {
        apply(
            &directory,
            register([NewVm {
                custom: with(access),
                ..new("web1")
            }]),
            NOW,
        )
        .unwrap_err()
    };
    let unknown = vm(Access {
        ring: vec!["ops".parse().unwrap()],
        ..Access::default()
    });
    assert!(unknown.is_not_found(), "{unknown}");
    let twice = vm(Access {
        users: vec![User::named("ann".parse().unwrap()); 2],
        ..Access::default()
    });
    assert!(matches!(twice, Refusal::UserTwice { .. }), "{twice}");
    let names = vec!["ops".parse().unwrap()];
    apply(&directory, Change::RemoveKeys { names }, NOW).unwrap_err();
}

#[test]
fn an_image_that_nobody_tells_of_accounts_gets_neither_those_nor_host_keys_of_ours() {
    let mut directory = Directory::of([generating()]);
    directory.site_mut().secret = Some(SiteSecret::of([7; 32]));
    for view in View::ALL {
        directory.put_image(Arc::new(Image {
            view,
            ..image("base")
        }));
        let vm = |users| {
            let access = Access {
                users,
                ..Access::default()
            };
            let vm = NewVm {
                custom: with(access),
                ..managed("web1", "base")
            };
            apply(&directory, register([vm]), NOW)
        };
        let plain = vm(Vec::new()).unwrap();
        assert_eq!(plain.vms[0].has_made_host_key(), view.has_accounts(), "{view:?}");
        let with_account = vm(vec![User::named("ann".parse().unwrap())]);
        match with_account {
            Ok(_) => assert!(view.has_accounts(), "{view:?}"),
            Err(refusal) => assert!(
                !view.has_accounts() && matches!(refusal, Refusal::NoAccounts { .. }),
                "{refusal}"
            ),
        }
    }
}

#[test]
fn a_vm_that_is_written_to_has_a_host_key_of_ours_on_every_network() {
    let mut directory = Directory::of([lab()]);
    directory.site_mut().secret = Some(SiteSecret::of([7; 32]));
    directory.put_image(Arc::new(image("base")));
    let launched = |offline| {
        let mut vm = managed("web1", "base");
        vm.custom.offline = offline;
        apply(&directory, register([vm]), NOW).unwrap()
    };
    assert!(!launched(false).vms[0].has_made_host_key());
    let offline = launched(true);
    assert!(offline.vms[0].has_made_host_key());

    // One that came to such an image later is given it before its next start, once.
    let mut later = Vm::clone(&offline.vms[0]);
    let key = later.custom.as_mut().unwrap().access.host_key.take();
    let mut directory = offline.batch.on(&directory);
    directory.put_vm(Arc::new(later));
    let change = || Change::Released {
        name: "web1".parse().unwrap(),
    };
    let given = apply(&directory, change(), NOW).unwrap();
    assert_eq!(given.vms[0].access().unwrap().host_key, key);
    assert!(apply(&given.batch.on(&directory), change(), NOW).unwrap().vms[0].has_made_host_key());
}

#[test]
fn secrets_by_name_are_for_guests_that_read_a_template() {
    let mut directory = Directory::of([lab()]);
    directory.put_image(Arc::new(image("base")));
    let mut vm = managed("web1", "base");
    vm.custom.offline = true;
    let value = Some(Secret::new("hunter2".to_owned()));
    vm.custom.secrets.named.insert("db".parse().unwrap(), value);
    let refused = apply(&directory, register([vm]), NOW).unwrap_err();
    assert!(refused.to_string().contains("offline"), "{refused}");
}

#[test]
fn a_name_of_the_ring_is_taken_unless_it_is_to_be_replaced() {
    let mut directory = Directory::of([lab()]);
    directory
        .site_mut()
        .ring
        .put(Arc::new(ring_key("ann", Some("ann"))));
    let add = |replace| {
        let key = ring_key("ann", None);
        apply(&directory, Change::AddKey { key, replace }, NOW)
    };
    assert!(matches!(add(false), Err(Refusal::KeyTaken { .. })));
    let replaced = add(true).unwrap().batch.on(&directory);
    assert_eq!(replaced.site().ring.iter().next().unwrap().owner, None);
}

#[test]
fn an_edit_leaves_the_host_key_alone() {
    let mut directory = Directory::of([generating()]);
    directory.site_mut().secret = Some(SiteSecret::of([7; 32]));
    let registered = apply(&directory, register([new("web1")]), NOW).unwrap();
    let directory = registered.batch.on(&directory);
    let edit = Edit {
        custom: CustomEdit {
            access: Box::new(AccessEdit {
                owner: Some(Some("ann".parse().unwrap())),
                users: Some(vec![User::named("ann".parse().unwrap())]),
                ..AccessEdit::default()
            }),
            ..CustomEdit::default()
        },
        ..Edit::default()
    };
    let names = vec![name("web1")];
    let edited = apply(
        &directory,
        Change::Update {
            names,
            edit: Box::new(edit),
        },
        NOW,
    )
    .unwrap();
    assert_eq!(host_key(&edited.vms[0]), host_key(&registered.vms[0]));
    assert_eq!(edited.vms[0].users().len(), 1);
}

#[test]
fn no_secret_is_in_the_debug_output_of_what_the_registry_handles() {
    let mut directory = Directory::of([generating()]);
    let secret = SiteSecret::of(*b"0123456789abcdef0123456789abcdef");
    let user = User {
        password: Some(HASH.parse().unwrap()),
        ..User::named("ann".parse().unwrap())
    };
    directory.site_mut().secret = Some(secret.clone());
    let access = Access {
        users: vec![user],
        ..Access::default()
    };
    let effect = apply(
        &directory,
        register([NewVm {
            custom: with(access),
            ..new("web1")
        }]),
        NOW,
    )
    .unwrap();
    let site = SiteBatch {
        secret: Some(secret),
        ..SiteBatch::default()
    };
    let stored = serde_json::to_string(&super::super::record::VmV1::from(&*effect.vms[0])).unwrap();
    let seed = host_key(&effect.vms[0])
        .expose_seed()
        .map(|octet| format!("{octet:02x}"));
    assert!(
        stored.contains(HASH) && stored.contains(&seed.concat()),
        "{stored}"
    );
    let read: super::super::record::VmV1<'_> = serde_json::from_str(&stored).unwrap();
    let shown = format!("{effect:?} {site:?} {:?} {read:?}", effect.batch.on(&directory));
    for hidden in [HASH, &seed.concat(), "0123456789abcdef", "48, 49, 50"] {
        assert!(!shown.contains(hidden), "{hidden} is in {shown}");
    }
}
