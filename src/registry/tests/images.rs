//! Generations: which is current, and which may go.

use super::rules::{after, effect, refusal};
use super::*;
use crate::registry::refusal::Refusal;

fn generation(id: &str) -> Image {
    Image {
        id: id.parse().unwrap(),
        sha256: id.to_owned(),
        promoted: 77,
        ..image("base")
    }
}

fn put(id: &str, promote: bool) -> Change {
    Change::PutImage {
        image: generation(id),
        promote,
    }
}

fn promoted(id: &str) -> Change {
    Change::Promote(id.parse().unwrap())
}

fn current(directory: &Directory) -> String {
    directory
        .current(&"base".parse().unwrap())
        .unwrap()
        .id
        .to_string()
}

#[test]
fn the_first_generation_is_current_and_later_ones_where_it_is_said() {
    let mut changes = vec![put("base@1", false), put("base@2", false), put("other@1", true)];
    let directory = after(changes.clone());
    assert_eq!(current(&directory), "base@1");
    assert_eq!(directory.next_generation(&"base".parse().unwrap()).number(), 3);
    assert_eq!(directory.next_generation(&"new".parse().unwrap()).number(), 1);
    for (change, now) in [
        (put("base@3", true), "base@3"),
        (promoted("base@2"), "base@2"),
        (promoted("base@1"), "base@1"),
        // A new stamp of the same file changes no decision.
        (put("base@3", false), "base@1"),
        (put("base@1", false), "base@1"),
        (promoted("base@3"), "base@3"),
    ] {
        changes.push(change);
        assert_eq!(current(&after(changes.clone())), now);
    }
    let directory = after(changes);
    assert!(effect(&directory, promoted("base@3")).batch.is_empty());
    assert!(refusal(&directory, promoted("base@9")).is_not_found());
    let named = |text: &str| {
        let found = directory.image_named(&text.parse().unwrap());
        found.map(|image| image.id.to_string())
    };
    assert_eq!(named("base").as_deref(), Some("base@3"));
    assert_eq!(named("base@2").as_deref(), Some("base@2"));
    assert_eq!((named("base@9"), named("none")), (None, None));
}

#[test]
fn a_generation_goes_only_when_nobody_needs_it_and_never_the_current_one_alone() {
    let directory = after([
        put("base@1", true),
        put("base@2", true),
        put("base@10", true),
        register([on("v0", "base@2")]),
    ]);
    let refused = |ids: &[&str]| {
        let ids = ids.iter().map(|id| id.parse().unwrap()).collect();
        refusal(&directory, Change::RemoveImages(ids))
    };
    assert!(matches!(refused(&["base@10"]), Refusal::CurrentGeneration { .. }));
    let text = refused(&["base@1", "base@2", "base@10"]).to_string();
    assert!(text.contains("image base@2 is in use: v0"), "{text}");
    assert!(refused(&["base@1", "base@4"]).is_not_found());
    let gone = effect(&directory, remove_image("base@1")).batch.on(&directory);
    let left: Vec<_> = gone.images().map(|image| image.id.to_string()).collect();
    assert_eq!(left, ["base@2", "base@10"]);
}

fn on(name: &str, id: &str) -> NewVm {
    let mut vm = managed(name, "base");
    if let Hosting::Managed(machine) = &mut vm.hosting {
        machine.image = id.parse().unwrap();
    }
    vm
}
