//! `delete`, `undelete` and `list --deleted`: what reaches the daemon, and how deleted VMs look.

use std::net::Ipv4Addr;

use seedbed::control::{Answer, DeleteVms, DeletedInfo, ImageRequest, Request, Select, UndeleteVms};

use crate::fake::{Fake, image};

fn deleted() -> DeletedInfo {
    DeletedInfo {
        name: "web1".to_owned(),
        ip: Ipv4Addr::new(10, 77, 0, 11),
        mac: "52:54:00:00:00:0b".to_owned(),
        image: Some("debian-12@3".to_owned()),
        deleted: "2026-01-02T03:04:05Z".to_owned(),
        age_seconds: 7_300,
        until: "2026-01-03T03:04:05Z".to_owned(),
        left_seconds: 79_100,
    }
}

#[test]
fn how_a_vm_is_deleted_reaches_the_daemon() {
    let select = || Select {
        names: vec!["web1".to_owned()],
        all: false,
    };
    for (words, now, deleted) in [
        (&["delete", "web1"][..], false, false),
        (&["delete", "--now", "web1"], true, false),
        (&["delete", "--deleted", "web1"], false, true),
    ] {
        let fake = Fake::new(|_, _| Ok(Answer::Done("done".to_owned())));
        assert_eq!(fake.run(words).answer(), "done\n");
        let request = DeleteVms {
            select: select(),
            force: false,
            now,
            deleted,
        };
        assert_eq!(fake.request(), Request::Delete(request));
    }
    let fake = Fake::new(|_, _| Ok(Answer::Done(String::new())));
    assert_eq!(fake.run(&["delete", "--now", "--deleted", "web1"]).code, 2);
}

#[test]
fn what_can_be_undone_is_listed() {
    let mut external = deleted();
    external.name = "nas".to_owned();
    external.image = None;
    let fake = Fake::new(move |_, _| Ok(Answer::Deleted(vec![deleted(), external.clone()])));
    assert_eq!(
        fake.run(&["list", "--deleted"]).answer(),
        "NAME   DELETED   LEFT   IP           MAC                 IMAGE\n\
         web1   2h        21h    10.77.0.11   52:54:00:00:00:0b   debian-12@3\n\
         nas    2h        21h    10.77.0.11   52:54:00:00:00:0b   -\n"
    );
    let json = fake
        .run(&["list", "--deleted", "web1", "--format", "json"])
        .answer();
    let read: Vec<DeletedInfo> = serde_json::from_str(&json).unwrap();
    assert_eq!(read[0], deleted());
    let names = vec!["web1".to_owned()];
    assert_eq!(fake.requests()[1], Request::Deleted { names });
}

#[test]
fn how_a_vm_comes_back_reaches_the_daemon() {
    let fake = Fake::new(|_, _| Ok(Answer::Done("web1 is back".to_owned())));
    fake.run(&["undelete", "web1", "--as", "old", "--anew"]).answer();
    let request = UndeleteVms {
        names: vec!["web1".to_owned()],
        new_name: Some("old".to_owned()),
        anew: true,
    };
    assert_eq!(fake.request(), Request::Undelete(request));
    assert_eq!(fake.run(&["undelete"]).code, 2);
}

#[test]
fn a_collection_says_what_is_kept_only_for_an_undo() {
    let fake = Fake::new(|request, _| {
        let mut kept = image("debian-12");
        kept.current = false;
        kept.used_by.clear();
        kept.kept_for = vec!["web1".to_owned()];
        Ok(Answer::Images(match request {
            Request::Image(ImageRequest::List { .. }) => vec![image("other"), kept],
            _ => Vec::new(),
        }))
    });
    let run = fake.run(&["image", "gc"]);
    assert_eq!(
        run.stderr,
        "debian-12@1 is kept for deleted VMs that can be undone (web1); to give them up: \
         seedbed delete --deleted web1\n"
    );
    // A program reads who is kept for whom in the list.
    assert_eq!(fake.run(&["image", "gc", "--format", "json"]).stderr, "");
}
