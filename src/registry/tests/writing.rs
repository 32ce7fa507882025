//! Commits through the handle: order, publication, failure, size.

use std::sync::Arc;
use std::time::{Duration, Instant};

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
    registry.commit(put_image(image("base"))).await.unwrap();
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

/// How long it takes to register that many VMs and to open the registry again, and how long one of a thousand look-ups
/// takes at most, but for the slowest ten.
#[expect(clippy::disallowed_methods, reason = "this measures")]
async fn load_of(count: u32) -> [Duration; 3] {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let wide = || vec![network("lab", "10.64.0.1/12", None)];
    let registry = opened(&path, wide());
    let rows: Vec<_> = (0..count).map(|index| new(&format!("vm{index}"))).collect();
    let start = Instant::now();
    registry.commit(register(rows)).await.unwrap();
    let committed = start.elapsed();
    drop(registry);
    let start = Instant::now();
    let directory = opened(&path, wide()).read();
    let opened = start.elapsed();
    assert_eq!(directory.vm_count(), usize::try_from(count).unwrap());
    let mut each: Vec<_> = (0..1_000)
        .map(|index| {
            let name = format!("vm{}", index * (count / 1_000));
            let start = Instant::now();
            let vm = directory.vm_named(&name).unwrap();
            let found = directory.vm_by_mac(vm.mac).zip(directory.vm_at(vm.address));
            let took = start.elapsed();
            assert!(found.is_some_and(|(one, other)| one.name == other.name && one.name.as_str() == name));
            took
        })
        .collect();
    each.sort_unstable();
    let octets = std::fs::metadata(&path).unwrap().len();
    println!(
        "{count} VMs: committed in {committed:?}, opened in {opened:?}, p99 {:?}, {octets} octets",
        each[989]
    );
    assert!(octets < 200 << 20, "{octets} octets");
    [committed, opened, each[989]]
}

#[tokio::test]
async fn r14_a_hundred_thousand_vms_are_found_at_once_and_cost_ten_times_ten_thousand() {
    let (few, many) = (load_of(10_000).await, load_of(100_000).await);
    assert!(many[2] < Duration::from_millis(1), "a look-up took {:?}", many[2]);
    // Two seconds are for what ships; an unoptimised build has to be in proportion, and far from a square.
    for (few, many) in [(few[0], many[0]), (few[1], many[1])] {
        assert!(many < few * 30, "{few:?} became {many:?}");
    }
    if !cfg!(debug_assertions) {
        assert!(many[1] < Duration::from_secs(2), "{:?}", many[1]);
    }
}
