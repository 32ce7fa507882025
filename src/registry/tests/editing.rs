//! The rules of changes to VMs that are registered.

use super::super::change::Edit;
use super::super::refusal::Refusal;
use super::rules::{after, effect, refusal};
use super::*;

fn edit(text: &str, edit: Edit) -> Change {
    Change::Update {
        names: vec![name(text)],
        edit: Box::new(edit),
    }
}

#[test]
fn an_edit_changes_what_it_names_and_nothing_else() {
    let directory = after([
        put_image(image("debian-12")),
        register([managed("a", "debian-12"), new("b")]),
    ]);
    let old = directory.vm(&name("a")).unwrap();
    let done = effect(
        &directory,
        edit(
            "a",
            Edit {
                address: Some(ip("10.77.0.50")),
                user_data: Some(Some(b"#cloud-config\n".as_slice().into())),
                cpus: Some(4),
                ..Edit::default()
            },
        ),
    );
    let (new, mut expected) = (&done.vms[0], (**old).clone());
    expected.address = ip("10.77.0.50");
    expected.user_data = Some(b"#cloud-config\n".as_slice().into());
    if let Hosting::Managed(machine) = &mut expected.hosting {
        machine.cpus = 4;
    }
    assert_eq!(**new, expected);
    let next = done.batch.on(&directory);
    assert!(next.vm_at(old.address).is_none() && next.vm_at(new.address).is_some());
    // Its own address and MAC are not taken; nothing to do is nothing to write.
    let same = Edit {
        address: Some(old.address),
        mac: Some(old.mac),
        ..Edit::default()
    };
    assert!(effect(&directory, edit("a", same)).batch.is_empty());
}

#[test]
fn an_edit_is_judged_like_a_registration() {
    let directory = after([
        put_image(image("debian-12")),
        register([managed("a", "debian-12"), new("b")]),
    ]);
    let b = directory.vm(&name("b")).unwrap();
    for (who, change, says) in [
        (
            "a",
            Edit {
                address: Some(b.address),
                ..Edit::default()
            },
            "is b's",
        ),
        (
            "a",
            Edit {
                mac: Some(b.mac),
                ..Edit::default()
            },
            "is b's",
        ),
        (
            "a",
            Edit {
                address: Some(ip("10.77.0.1")),
                ..Edit::default()
            },
            "gateway",
        ),
        (
            "a",
            Edit {
                cpus: Some(0),
                ..Edit::default()
            },
            "at least one virtual CPU",
        ),
        (
            "b",
            Edit {
                memory: Some(Bytes::gib(1)),
                ..Edit::default()
            },
            "external",
        ),
        ("x", Edit::default(), "no VM named x"),
    ] {
        let text = refusal(&directory, edit(who, change)).to_string();
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn several_vms_are_edited_all_or_none() {
    let directory = after([
        put_image(image("base")),
        register([managed("a", "base"), managed("b", "base"), new("c")]),
    ]);
    let update = |names: &[&str], edit| Change::Update {
        names: names.iter().copied().map(name).collect(),
        edit: Box::new(edit),
    };
    let four = || Edit {
        cpus: Some(4),
        ..Edit::default()
    };
    let done = effect(&directory, update(&["b", "a", "b"], four()));
    let names: Vec<_> = done.vms.iter().map(|vm| vm.name.as_str()).collect();
    assert_eq!((names, done.batch.put_vms.len()), (vec!["b", "a"], 2));
    assert!(
        done.vms
            .iter()
            .all(|vm| vm.machine().is_some_and(|it| it.cpus == 4))
    );
    assert!(matches!(
        refusal(&directory, update(&["a", "c"], four())),
        Refusal::External { .. }
    ));
    let unknown = refusal(&directory, update(&["x", "a", "y"], four())).to_string();
    assert_eq!(unknown, "no VM named x, y is registered");
    let one_address = Edit {
        address: Some(ip("10.77.0.50")),
        ..Edit::default()
    };
    assert!(matches!(
        refusal(&directory, update(&["a", "b"], one_address)),
        Refusal::AddressTaken { .. }
    ));
}
