//! VMs that are deleted so that it can be undone: what is free at once, what is kept, and how they come back.

use std::sync::Arc;

use super::super::refusal::Refusal;
use super::rules::{after, effect, refusal};
use super::*;
use crate::model::{Deleted, DeletedId, FirstBoot, Revision, Vm};
use crate::registry::{NewNic, Undelete, apply};

fn set_aside(names: &[&str]) -> Change {
    Change::SetAside {
        names: names.iter().copied().map(name).collect(),
    }
}

fn undelete(id: &DeletedId) -> Undelete {
    Undelete {
        id: id.clone(),
        name: None,
        anew: false,
    }
}

/// The directory after this change, in the revision after its own.
fn then(directory: &Directory, change: Change) -> Directory {
    let mut next = effect(directory, change).batch.on(directory);
    next.set_revision(Revision(directory.revision().0 + 1));
    next
}

/// Two VMs, of which `a` was launched from an image and phoned home, with an alias of its own.
fn directory() -> Directory {
    let mut a = managed("a", "base");
    a.custom.aliases = vec![name("www")];
    after([
        put_image(image("base")),
        register([a, new("nas")]),
        Change::Launched { name: name("a") },
        Change::FirstBoot {
            name: name("a"),
            first_boot: FirstBoot {
                at: Timestamp(NOW.0 + 90),
                host_keys: vec![KEY.parse().unwrap()].into(),
            },
        },
    ])
}

fn vm<'a>(directory: &'a Directory, text: &str) -> &'a Arc<Vm> {
    directory.vm(&name(text)).unwrap()
}

fn kept<'a>(directory: &'a Directory, text: &str) -> &'a Arc<Deleted> {
    let name = name(text);
    directory
        .site()
        .deleted
        .values()
        .rfind(|deleted| deleted.id.name == name)
        .unwrap()
}

#[test]
fn a_deleted_vm_is_nowhere_but_where_it_is_kept() {
    let before = directory();
    let after = then(&before, set_aside(&["a", "nas"]));
    let a = vm(&before, "a");
    assert_eq!(after.vm_count(), 0);
    assert!(after.vm_at(a.address).is_none() && after.vm_by_mac(a.mac).is_none());
    assert!(after.vm_aliased(&name("www")).is_none());
    assert_eq!((&kept(&after, "a").vm, kept(&after, "a").at), (a, NOW));
    // Others may have all of it.
    let mut other = at("b", &a.address.to_string());
    other.mac = Some(a.mac);
    other.custom.aliases = vec![name("www")];
    effect(&after, register([other, new("a")]));
    refusal(&after, set_aside(&["a"]));
}

#[test]
fn undone_it_is_as_it_was() {
    let before = directory();
    let gone = then(&before, set_aside(&["a", "nas"]));
    let nas = then(&gone, Change::Undelete(undelete(&kept(&gone, "nas").id)));
    assert_eq!(vm(&nas, "nas"), vm(&before, "nas"));
    let id = kept(&gone, "a").id.clone();
    let coming = then(&nas, Change::Undelete(undelete(&id)));
    assert_eq!(coming.site().deleted.len(), 1);
    assert_eq!(vm(&coming, "a").machine().unwrap().phase, Phase::Launching);
    // While its disks are moved back it is neither given up nor brought back a second time.
    assert!(matches!(
        refusal(&coming, Change::ForgetDeleted(vec![id.clone()])),
        Refusal::Returning { .. }
    ));
    assert!(matches!(
        refusal(&coming, Change::Undelete(undelete(&id))),
        Refusal::Returning { .. }
    ));
    let sent_back = then(&coming, Change::SendBack(id.clone()));
    assert_eq!(kept(&sent_back, "a"), kept(&gone, "a"));
    assert!(sent_back.vm(&name("a")).is_none());
    let back = then(&coming, Change::Undeleted(id.clone()));
    assert_eq!(vm(&back, "a"), vm(&before, "a"));
    assert!(back.site().deleted.is_empty());
    assert!(matches!(
        refusal(&back, Change::Undeleted(id)),
        Refusal::UnknownDeleted { .. }
    ));
}

#[test]
fn what_is_taken_is_named_all_of_it_and_chosen_anew_where_that_is_wanted() {
    let before = directory();
    let gone = then(&before, set_aside(&["a"]));
    let old = Arc::clone(vm(&before, "a"));
    let mut thief = at("b", &old.address.to_string());
    thief.mac = Some(old.mac);
    thief.custom.aliases = vec![name("www")];
    let stolen = then(&gone, register([thief]));
    let id = kept(&gone, "a").id.clone();
    let text = refusal(&stolen, Change::Undelete(undelete(&id))).to_string();
    for part in [
        "a can not come back as it was",
        "MAC address",
        "address 10.77.0.10 is b's",
        "www",
        "--anew",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("UUID"), "{text}");
    let anew = Undelete {
        anew: true,
        ..undelete(&id)
    };
    let back = then(&stolen, Change::Undelete(anew));
    let new = vm(&back, "a");
    assert_ne!((new.address, new.mac), (old.address, old.mac));
    assert_eq!((new.uuid, new.aliases()), (old.uuid, &[][..]));
    assert_eq!(new.host_keys(), old.host_keys());
}

#[test]
fn by_another_name_it_is_another_instance() {
    let gone = then(&directory(), set_aside(&["a"]));
    let taken = then(&gone, register([managed("a", "base")]));
    let id = kept(&gone, "a").id.clone();
    let text = refusal(&taken, Change::Undelete(undelete(&id))).to_string();
    assert!(text.contains("a VM named a is registered already"), "{text}");
    assert!(text.contains("--as NEWNAME"), "{text}");
    let by = |text: &str| {
        Change::Undelete(Undelete {
            name: Some(name(text)),
            ..undelete(&id)
        })
    };
    assert!(refusal(&taken, by("nas")).to_string().contains("nas"));
    let back = then(&taken, by("old"));
    let (old, new) = (vm(&back, "old"), vm(&back, "a"));
    assert_ne!(old.uuid, new.uuid);
    assert_ne!(old.tap, new.tap);
    assert_eq!((old.first_boot.as_ref(), old.succeeded()), (None, None));
    assert_eq!(kept(&back, "a").returning, Some(name("old")));
    let done = then(&back, Change::Undeleted(id));
    assert_eq!(vm(&done, "old").machine().unwrap().phase, Phase::Launched);
}

#[test]
fn of_what_was_never_launched_nothing_is_kept() {
    let directory = after([put_image(image("base")), register([managed("a", "base")])]);
    let gone = then(&directory, set_aside(&["a"]));
    assert!(gone.site().deleted.is_empty() && gone.vm_count() == 0);
}

#[test]
fn an_image_that_a_deleted_vm_needs_stays() {
    let gone = then(&directory(), set_aside(&["a"]));
    let refused = refusal(&gone, remove_image("base@1"));
    assert!(matches!(refused, Refusal::ImageKept { .. }));
    assert!(
        refused.to_string().contains("seedbed delete --deleted"),
        "{refused}"
    );
    let other = Image {
        sha256: "cd".repeat(32),
        ..image("base")
    };
    assert!(matches!(
        refusal(&gone, put_image(other)),
        Refusal::ImageKept { .. }
    ));
    let given_up = then(&gone, Change::ForgetDeleted(vec![kept(&gone, "a").id.clone()]));
    effect(&given_up, remove_image("base@1"));
}

#[test]
fn a_network_that_is_gone_is_named() {
    let gone = then(&directory(), set_aside(&["a"]));
    let mut elsewhere = Directory::of([network("office", "10.88.0.1/24", None)]);
    *elsewhere.site_mut() = gone.site().clone();
    let id = kept(&gone, "a").id.clone();
    assert!(matches!(
        apply(&elsewhere, Change::Undelete(undelete(&id)), NOW).unwrap_err(),
        Refusal::UnknownNetwork { .. }
    ));
}

#[tokio::test]
async fn what_is_kept_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let registry = opened(&path, vec![lab()]);
    for change in [
        put_image(image("base")),
        register([managed("a", "base"), new("b"), new("c")]),
        Change::Launched { name: name("a") },
        set_aside(&["a", "b"]),
        set_aside(&["c"]),
    ] {
        registry.commit(change).await.unwrap();
    }
    let id = kept(&registry.read(), "a").id.clone();
    assert_eq!(id.to_string(), "a-4");
    registry.commit(Change::Undelete(undelete(&id))).await.unwrap();
    let forgotten = Change::ForgetDeleted(vec![kept(&registry.read(), "c").id.clone()]);
    registry.commit(forgotten).await.unwrap();
    let (site, dump) = (registry.read().site().clone(), dumped(&registry.read()));
    assert_eq!(site.deleted.len(), 2);
    assert!(dump.contains("{\"deleted\":{\"number\":4,"), "{dump}");
    drop(registry);
    let registry = opened(&path, vec![lab()]);
    assert_eq!(*registry.read().site(), site);
    assert_eq!(dumped(&registry.read()), dump);
}

#[test]
fn a_further_nic_that_others_have_is_taken_too() {
    let networks = [
        lab(),
        network("back", "10.78.0.1/24", Some("10.78.0.10-10.78.0.19")),
    ];
    let nic = |address: Option<&str>| NewNic {
        network: "back".parse().unwrap(),
        mac: None,
        address: address.map(ip),
    };
    let with = |text: &str, address: Option<&str>| NewVm {
        network: Some("lab".parse().unwrap()),
        nics: vec![nic(address)],
        ..new(text)
    };
    let start = Directory::of(networks);
    let there = then(&start, register([with("a", None)]));
    let old = Arc::clone(vm(&there, "a"));
    let gone = then(&there, set_aside(&["a"]));
    let id = kept(&gone, "a").id.clone();
    assert_eq!(vm(&then(&gone, Change::Undelete(undelete(&id))), "a"), &old);
    // Another VM's further NIC has its address on the other network.
    let stolen = then(&gone, register([with("b", Some("10.78.0.10"))]));
    let text = refusal(&stolen, Change::Undelete(undelete(&id))).to_string();
    assert!(text.contains("10.78.0.10 is b's"), "{text}");
    let anew = Undelete {
        anew: true,
        ..undelete(&id)
    };
    let back = then(&stolen, Change::Undelete(anew));
    let addresses = |text: &str| -> Vec<_> { vm(&back, text).nics().map(|nic| nic.address).collect() };
    // Its first address was free again, and the next in line.
    assert_eq!(addresses("a"), [ip("10.77.0.11"), ip("10.78.0.11")]);
    assert_eq!(addresses("b"), [ip("10.77.0.10"), ip("10.78.0.10")]);
}
