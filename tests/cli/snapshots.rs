//! `snapshot`: what reaches the daemon, and how snapshots look.

use seedbed::control::{Answer, Request, SnapshotInfo, SnapshotRequest};

use crate::fake::Fake;

#[test]
fn what_is_asked_of_snapshots_reaches_the_daemon() {
    let (web1, named) = (|| "web1".to_owned(), || "good".to_owned());
    for (words, request) in [
        (
            &["create", "web1"][..],
            SnapshotRequest::Create {
                vm: web1(),
                name: None,
            },
        ),
        (
            &["create", "web1", "good"],
            SnapshotRequest::Create {
                vm: web1(),
                name: Some(named()),
            },
        ),
        (
            &["restore", "web1", "good", "-f", "--start"],
            SnapshotRequest::Restore {
                vm: web1(),
                name: named(),
                force: true,
                start: true,
            },
        ),
        (
            &["rm", "web1", "good"],
            SnapshotRequest::Delete {
                vm: web1(),
                name: named(),
            },
        ),
    ] {
        let fake = Fake::new(|_, _| Ok(Answer::Done("done".to_owned())));
        assert_eq!(fake.run(&[&["snapshot"], words].concat()).answer(), "done\n");
        assert_eq!(fake.request(), Request::Snapshot(request), "{words:?}");
    }
}

#[test]
fn snapshots_are_listed() {
    let one = SnapshotInfo {
        name: "before-upgrade".to_owned(),
        taken: "2026-01-02T03:04:05Z".to_owned(),
        age_seconds: 7_300,
        live: true,
        image: "debian-12@3".to_owned(),
        disk: 10 << 30,
    };
    let fake = Fake::new(move |_, _| Ok(Answer::Snapshots(vec![one.clone()])));
    assert_eq!(
        fake.run(&["snapshot", "list", "web1"]).answer(),
        "NAME             AGE   TAKEN     DISK    IMAGE\n\
         before-upgrade   2h    running   10GiB   debian-12@3\n"
    );
}
