//! When VMs are started: nobody waits for itself, or for somebody who was never there.

use proptest::prelude::*;

use super::rules::{after, effect, refusal};
use super::*;
use crate::model::policy::{Dependency, Restart};
use crate::registry::{Edit, PolicyEdit, Refusal};

fn dependencies(text: &str) -> Box<[Dependency]> {
    text.split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect()
}

/// A VM that starts after these.
fn following(text: &str, others: &str) -> NewVm {
    let mut new = managed(text, "debian-12");
    if let Hosting::Managed(machine) = &mut new.hosting {
        machine.policy.after = dependencies(others);
    }
    new
}

fn set(names: &[&str], policy: PolicyEdit) -> Change {
    Change::Update {
        names: names.iter().map(|text| name(text)).collect(),
        edit: Edit {
            policy,
            ..Edit::default()
        },
    }
}

fn set_after(text: &str, others: &str) -> Change {
    let policy = PolicyEdit {
        after: Some(dependencies(others)),
        ..PolicyEdit::default()
    };
    set(&[text], policy)
}

fn of<'a>(directory: &'a Directory, text: &str) -> &'a Policy {
    &directory.vm(&name(text)).unwrap().machine().unwrap().policy
}

fn with(vms: impl IntoIterator<Item = NewVm>) -> Directory {
    after([put_image(image("debian-12")), register(vms)])
}

#[test]
fn a_policy_is_changed_in_parts_and_stored() {
    let directory = with([following("db1", ""), following("web1", "db1:ready")]);
    let edit = PolicyEdit {
        restart: Some(Restart::OnFailure),
        autostart: Some(true),
        after: None,
    };
    let directory = effect(&directory, set(&["web1", "db1"], edit))
        .batch
        .on(&directory);
    let policy = of(&directory, "web1");
    assert_eq!((policy.restart, policy.autostart), (Restart::OnFailure, true));
    assert_eq!(policy.after, dependencies("db1:ready"));
    assert_eq!(of(&directory, "db1").after, dependencies(""));
    let text = dumped(&directory);
    assert!(
        text.contains(r#""policy":{"restart":"on-failure","autostart":true,"after":["db1:ready"]}"#),
        "{text}"
    );
    let external = after([register([new("nas")])]);
    let edit = PolicyEdit {
        autostart: Some(true),
        ..PolicyEdit::default()
    };
    assert!(matches!(
        refusal(&external, set(&["nas"], edit)),
        Refusal::External { .. }
    ));
}

#[tokio::test]
async fn a_policy_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let policy = {
        let registry = opened(&path, vec![lab()]);
        registry.commit(put_image(image("debian-12"))).await.unwrap();
        let vms = register([following("db1", ""), following("web1", "db1:metadata")]);
        registry.commit(vms).await.unwrap();
        let edit = PolicyEdit {
            restart: Some(Restart::Always),
            autostart: Some(true),
            after: None,
        };
        registry.commit(set(&["web1"], edit)).await.unwrap();
        of(&registry.read(), "web1").clone()
    };
    assert_eq!(of(&opened(&path, vec![lab()]).read(), "web1"), &policy);
}

#[test]
fn nobody_starts_after_itself_by_however_many_others() {
    let refused = |directory: &Directory, change: Change| refusal(directory, change).to_string();
    let none = with([]);
    let itself = refused(&none, register([following("web1", "web1:ready")]));
    assert_eq!(
        itself,
        "web1 would start after itself, by way of web1: none of them could ever start"
    );
    let pair = register([following("a", "b"), following("b", "a:ip")]);
    assert!(refused(&none, pair).contains("a would start after itself"));
    let chain = with([following("a", ""), following("b", "a"), following("c", "b:ready")]);
    let circle = refused(&chain, set_after("a", "c"));
    assert!(
        circle.starts_with("a would start after itself, by way of c"),
        "{circle}"
    );
    // Two ways to the same VM are no circle.
    effect(&chain, set_after("c", "a b"));
}

#[test]
fn who_was_never_there_is_not_waited_for_and_who_was_deleted_is_missed_later() {
    let directory = with([following("db1", "")]);
    let unknown = refusal(&directory, register([following("web1", "db2:ready")]));
    assert_eq!(
        unknown.to_string(),
        "web1 can not start after db2: there is no VM db2"
    );
    let directory = with([following("db1", ""), following("web1", "db1")]);
    let delete = Change::Delete {
        names: vec![name("db1")],
    };
    let directory = effect(&directory, delete).batch.on(&directory);
    // Whatever else is changed of it, what it waits for stays as it was.
    let edit = PolicyEdit {
        autostart: Some(true),
        ..PolicyEdit::default()
    };
    let directory = effect(&directory, set(&["web1"], edit)).batch.on(&directory);
    assert_eq!(of(&directory, "web1").after, dependencies("db1"));
    // It comes back, and would wait for the one that waits for it.
    let back = refusal(&directory, register([following("db1", "web1")]));
    assert!(matches!(back, Refusal::Circle { .. }), "{back}");
}

proptest! {
    /// Whatever is accepted, in whatever order: everybody could be started, one after the other.
    #[test]
    fn what_is_accepted_can_be_started(wishes in prop::collection::vec((0..6_u8, prop::collection::vec(0..6_u8, 0..3)), 0..20)) {
        let names = ["a", "b", "c", "d", "e", "f"];
        let mut directory = with(names.map(|text| following(text, "")));
        for (who, others) in wishes {
            let others: Vec<_> = others.iter().map(|other| names[usize::from(*other)]).collect();
            let change = set_after(names[usize::from(who)], &others.join(" "));
            if let Ok(effect) = crate::registry::apply(&directory, change, NOW) {
                directory = effect.batch.on(&directory);
            }
        }
        let mut started: Vec<&str> = Vec::new();
        for _ in names {
            let ready = |text: &&str| of(&directory, text).after.iter().all(|other| started.contains(&other.vm.as_str()));
            let next: Vec<_> = names.into_iter().filter(|text| !started.contains(text)).filter(ready).collect();
            started.extend(next);
        }
        prop_assert_eq!(started.len(), names.len());
    }
}
