//! Commits through the handle: order, publication, failure, size.

use std::sync::Arc;

use super::super::embedded::Embedded;
use super::super::{CommitError, Committed};
use super::disk::Disk;
use super::*;
use crate::model::Revision;

fn on_disk(disk: &Disk) -> Registry {
    let store = Embedded::initialise(disk.database()).unwrap();
    Registry::on(
        Box::new(store),
        disk.reopen(),
        Path::new("/state/registry.redb"),
        vec![lab()],
        Clock,
    )
    .unwrap()
}

#[tokio::test]
async fn a_commit_is_published_when_it_returns_and_watchers_learn_its_revision() {
    let registry = on_disk(&Disk::default());
    let published = registry.published();
    let mut watch = registry.watch();
    assert_eq!(*watch.borrow_and_update(), Revision(0));
    let Committed { revision, vms } = registry.commit(register([new("web1")])).await.unwrap();
    assert_eq!(
        (revision, published.load().revision()),
        (Revision(1), Revision(1))
    );
    assert_eq!(published.load().vm(&name("web1")), vms.first());
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow_and_update(), Revision(1));
}

#[tokio::test]
async fn a_refused_or_empty_change_makes_no_revision() {
    let registry = on_disk(&Disk::default());
    registry.commit(register([new("web1")])).await.unwrap();
    let refused = registry.commit(register([new("web2"), new("web1")])).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))));
    let nothing = registry.commit(register([])).await.unwrap();
    assert_eq!(nothing.revision, Revision(1));
    assert_eq!(registry.read().vms().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_get_different_addresses_and_revisions() {
    let registry = on_disk(&Disk::default());
    let calls: Vec<_> = (0..10)
        .map(|index| {
            let registry = registry.clone();
            tokio::spawn(async move {
                registry
                    .commit(register([new(&format!("v{index}"))]))
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for call in calls {
        revisions.push(call.await.unwrap().revision.0);
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=10).collect::<Vec<_>>());
    assert_eq!(registry.read().vms().len(), 10);
}

#[tokio::test]
async fn a_caller_that_stops_waiting_does_not_tear_the_change() {
    let registry = on_disk(&Disk::default());
    let mut watch = registry.watch();
    let started = Arc::new(tokio::sync::Notify::new());
    let (inner, signal) = (registry.clone(), Arc::clone(&started));
    let call = tokio::spawn(async move {
        let mut commit = std::pin::pin!(inner.commit(register([new("web1")])));
        // Polled once: the write is on its way, or was so fast that it is done.
        drop(futures_util::FutureExt::now_or_never(&mut commit));
        signal.notify_one();
    });
    started.notified().await;
    call.await.unwrap();
    watch.changed().await.unwrap();
    assert_eq!(registry.read().vms().len(), 1);
    assert_eq!(
        registry.commit(register([new("web2")])).await.unwrap().revision,
        Revision(2)
    );
}

#[tokio::test]
async fn a_dump_is_one_json_line_a_record_in_the_order_of_names() {
    let registry = on_disk(&Disk::default());
    registry.commit(Change::PutImage(image("base"))).await.unwrap();
    registry
        .commit(register([new("b"), managed("a", "base")]))
        .await
        .unwrap();
    let text = dumped(&registry.read());
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines[0],
        serde_json::json!({"seedbed": {"schema": 3, "revision": 2}})
    );
    assert_eq!(lines[1]["image"]["name"], "base");
    assert_eq!(
        (&lines[2]["vm"]["name"], &lines[3]["vm"]["name"]),
        (&"a".into(), &"b".into())
    );
    assert_eq!(lines.len(), 4);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "this test measures")]
async fn fifty_thousand_rows_are_one_commit_of_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let wide = || vec![network("lab", "10.64.0.1/12", None)];
    let registry = opened(&path, wide());
    let rows: Vec<_> = (0..50_000).map(|index| new(&format!("vm{index}"))).collect();
    let start = std::time::Instant::now();
    registry.commit(register(rows)).await.unwrap();
    let took = start.elapsed();
    let start = std::time::Instant::now();
    registry.commit(register([new("one-more")])).await.unwrap();
    let one = start.elapsed();
    drop(registry);
    let start = std::time::Instant::now();
    assert_eq!(opened(&path, wide()).read().vms().len(), 50_001);
    let reopened = start.elapsed();
    println!("50,000 rows: committed in {took:?}, one more in {one:?}, opened again in {reopened:?}");
    assert!(took.as_secs() < 20, "{took:?}");
}
