//! Tests of `serve.rs`: a real broker in a thread, with a stream in the place of QEMU's.

use super::*;
use crate::console::client::{AttachError, Line};
use crate::model::{Places, VmName};
use std::path::PathBuf;
use std::thread::JoinHandle;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

struct World {
    directory: TempDir,
    places: Places,
    name: VmName,
    guest: Option<UnixStream>,
    broker: Option<JoinHandle<io::Result<()>>>,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::new(directory.path(), directory.path());
        let name: VmName = "web1".parse().unwrap();
        std::fs::create_dir_all(places.vm(&name)).unwrap();
        let mut world = Self {
            directory,
            places,
            name,
            guest: None,
            broker: None,
        };
        world.begin();
        world
    }

    /// A broker for a new connection to the guest.
    fn begin(&mut self) {
        let (guest, link) = UnixStream::pair().unwrap();
        guest.set_read_timeout(Some(SOON)).unwrap();
        guest.set_write_timeout(Some(SOON)).unwrap();
        std::fs::remove_file(self.door()).ok();
        let parts = Parts {
            guest: link,
            door: UnixListener::bind(self.door()).unwrap(),
            log: Files::open(&self.places, &self.name).unwrap(),
        };
        self.guest = Some(guest);
        self.broker = Some(std::thread::spawn(move || Broker::new(parts)?.run()));
    }

    fn door(&self) -> PathBuf {
        self.directory.path().join("console")
    }

    fn says(&mut self, bytes: &[u8]) {
        self.guest.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn hears(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.guest.as_mut().unwrap().read_exact(&mut bytes).unwrap();
        bytes
    }

    async fn viewer(&self, attach: Attach) -> Line {
        Line::attach(&self.door(), attach).await.unwrap()
    }

    /// The guest ends; its broker has to.
    fn ends(&mut self) {
        drop(self.guest.take());
        self.broker.take().unwrap().join().unwrap().unwrap();
    }
}

const TYPES: Attach = Attach {
    version: VERSION,
    read_only: false,
    past: true,
    size: None,
};
const WATCHES: Attach = Attach {
    read_only: true,
    ..TYPES
};

const fn with_size(attach: Attach, rows: u16, columns: u16) -> Attach {
    Attach {
        size: Some(Size { rows, columns }),
        ..attach
    }
}

async fn next(line: &mut Line) -> Option<ToViewer> {
    timeout(SOON, line.next()).await.expect("told in time").unwrap()
}

/// What a viewer is shown until that ends so.
async fn shown(line: &mut Line, end: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while !all.ends_with(end) {
        match next(line).await {
            Some(ToViewer::Past(bytes) | ToViewer::Output(bytes)) => all.extend(bytes),
            Some(ToViewer::Resized(_)) => {}
            other => panic!("{other:?} after {}", all.escape_ascii()),
        }
    }
    all
}

async fn types(line: &mut Line, bytes: &[u8]) {
    line.send(&FromViewer::Keys(bytes.to_vec()));
    line.flush().await.unwrap();
}

#[tokio::test]
async fn viewers_see_the_same_at_once_and_who_may_types() {
    let mut world = World::new();
    let (mut one, mut other) = (world.viewer(TYPES).await, world.viewer(TYPES).await);
    assert_eq!((one.welcome.others, other.welcome.others), (0, 1));
    world.says(b"login: ");
    assert_eq!(shown(&mut one, b"login: ").await, b"login: ");
    assert_eq!(shown(&mut other, b"login: ").await, b"login: ");
    types(&mut one, b"ro").await;
    assert_eq!(world.hears(2), b"ro");
    types(&mut other, b"ot").await;
    assert_eq!(world.hears(2), b"ot");
    world.ends();
    assert_eq!(next(&mut one).await, Some(ToViewer::End(End::Vm)));
    assert_eq!(next(&mut one).await, None);
    assert_eq!(next(&mut other).await, Some(ToViewer::End(End::Vm)));
}

#[tokio::test]
async fn nothing_that_who_only_watches_sends_reaches_the_guest() {
    let mut world = World::new();
    let mut watching = world.viewer(WATCHES).await;
    types(&mut watching, b"rm -rf /\n").await;
    // Not even one who attaches a second time, as somebody who types.
    watching.send(&FromViewer::Attach(TYPES));
    types(&mut watching, b"rm -rf /\n").await;
    let mut typing = world.viewer(TYPES).await;
    // The broker has heard the one before it came to this one.
    world.says(b"#");
    shown(&mut watching, b"#").await;
    types(&mut typing, b"ls").await;
    assert_eq!(world.hears(2), b"ls");
    world.ends();
}

#[tokio::test]
async fn a_viewer_begins_with_what_was_said_before_also_to_an_earlier_broker() {
    let mut world = World::new();
    world.says(b"booted\n");
    let mut one = world.viewer(TYPES).await;
    assert_eq!(next(&mut one).await, Some(ToViewer::Past(b"booted\n".to_vec())));
    world.ends();
    world.begin();
    let mut two = world.viewer(TYPES).await;
    let mut new = world.viewer(Attach { past: false, ..TYPES }).await;
    world.says(b"more\n");
    assert_eq!(shown(&mut two, b"more\n").await, b"booted\nmore\n");
    assert_eq!(shown(&mut new, b"more\n").await, b"more\n");
    let log = std::fs::read(world.places.console_log(&world.name)).unwrap();
    assert_eq!(log, b"booted\nmore\n");
    world.ends();
}

#[tokio::test]
async fn a_viewer_that_does_not_read_holds_up_nobody_and_is_told_what_it_missed() {
    const LINES: usize = 50_000;
    let mut world = World::new();
    let mut slow = world.viewer(WATCHES).await;
    let mut fast = world.viewer(WATCHES).await;
    let reader = tokio::spawn(async move { shown(&mut fast, b"\nthe end\n").await });
    let text: Vec<u8> = (0..LINES)
        .flat_map(|line| format!("line {line} of what is said\n").into_bytes())
        .chain(*b"\nthe end\n")
        .collect();
    // The one who reads has to keep up: it is not the guest that is slow here.
    let said = text.clone();
    let mut guest = world.guest.as_ref().unwrap().try_clone().unwrap();
    let writer = tokio::task::spawn_blocking(move || {
        for part in said.chunks(64 << 10) {
            guest.write_all(part).unwrap();
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    timeout(SOON, writer).await.expect("nobody is held up").unwrap();
    assert!(timeout(SOON, reader).await.unwrap().unwrap() == text);
    let (mut missed, mut seen, mut last) = (0, 0, Vec::new());
    while !last.ends_with(b"\nthe end\n") {
        match next(&mut slow).await {
            Some(ToViewer::Skipped(count)) => missed += count,
            Some(ToViewer::Output(bytes)) => {
                seen += bytes.len() as u64;
                last = bytes;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0);
    assert_eq!(missed + seen, text.len() as u64);
    world.ends();
}

#[tokio::test]
async fn a_guest_that_does_not_listen_gets_all_that_was_typed_once_it_does() {
    let mut world = World::new();
    let mut typing = world.viewer(TYPES).await;
    let paste: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    typing.send(&FromViewer::Keys(paste.clone()));
    // Meanwhile what it says is shown, to the one who types too.
    let mut watching = world.viewer(WATCHES).await;
    world.says(b"busy\n");
    assert_eq!(shown(&mut watching, b"busy\n").await, b"busy\n");
    assert_eq!(shown(&mut typing, b"busy\n").await, b"busy\n");
    assert!(typing.unsent() > 0, "it is held up, and nothing is lost");
    let mut guest = world.guest.take().unwrap();
    let count = paste.len();
    let listening = tokio::task::spawn_blocking(move || {
        let mut heard = vec![0; count];
        guest.read_exact(&mut heard).unwrap();
        (guest, heard)
    });
    timeout(SOON, typing.flush()).await.unwrap().unwrap();
    let (guest, heard) = timeout(SOON, listening).await.unwrap().unwrap();
    assert!(heard == paste);
    world.guest = Some(guest);
    world.ends();
}

#[tokio::test]
async fn one_more_than_it_takes_is_told_so_and_comes_in_when_another_one_leaves() {
    let mut world = World::new();
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        viewers.push(world.viewer(WATCHES).await);
    }
    let refused = Line::attach(&world.door(), WATCHES).await;
    assert!(matches!(refused, Err(AttachError::Full)), "{refused:?}");
    viewers.pop();
    let again = timeout(SOON, async {
        loop {
            if let Ok(line) = Line::attach(&world.door(), WATCHES).await {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(usize::from(again.await.unwrap().welcome.others), VIEWERS - 1);
    world.ends();
}

#[tokio::test]
async fn whatever_octets_viewers_send_the_others_are_served() {
    let mut world = World::new();
    let mut hostile = Vec::new();
    for number in 0..6_u32 {
        let mut stream = tokio::net::UnixStream::connect(world.door()).await.unwrap();
        let noise: Vec<u8> = (0..20_000_u32)
            .map(|at| u8::try_from((at * 31 + at / 7 * number) % 256).unwrap())
            .collect();
        // One that is cut off in the middle of a frame, and others that stay.
        stream.write_all(&noise).await.ok();
        if number % 2 == 0 {
            hostile.push(stream);
        }
    }
    let mut viewer = world.viewer(Attach { past: false, ..TYPES }).await;
    world.says(b"alive");
    shown(&mut viewer, b"alive").await;
    world.ends();
}

#[tokio::test]
async fn only_the_terminal_that_is_typed_on_answers_the_guest() {
    let mut world = World::new();
    let mut one = world.viewer(with_size(TYPES, 24, 80)).await;
    let mut other = world.viewer(with_size(TYPES, 40, 120)).await;
    assert_eq!(
        other.welcome.size,
        Some(Size {
            rows: 24,
            columns: 80
        })
    );
    types(&mut one, b"ls\n").await;
    assert_eq!(world.hears(3), b"ls\n");
    world.says(b"\x1b[6n");
    shown(&mut one, b"\x1b[6n").await;
    shown(&mut other, b"\x1b[6n").await;
    types(&mut other, b"\x1b[40;120R").await;
    world.says(b"!");
    shown(&mut other, b"!").await;
    types(&mut one, b"\x1b[24;80R").await;
    assert_eq!(world.hears(8), b"\x1b[24;80R");
    // Keys are no answers, whoever presses them; from then on the other terminal is the one.
    types(&mut other, b"\x1b[A").await;
    types(&mut other, b"\x1b[40;120R").await;
    assert_eq!(world.hears(12), b"\x1b[A\x1b[40;120R");
    world.ends();
}

#[tokio::test]
async fn others_are_told_the_size_of_the_terminal_that_is_typed_on() {
    let mut world = World::new();
    let mut watching = world.viewer(with_size(WATCHES, 24, 80)).await;
    let mut typing = world.viewer(with_size(TYPES, 40, 120)).await;
    let told = |rows, columns| Some(ToViewer::Resized(Size { rows, columns }));
    assert_eq!(next(&mut watching).await, told(40, 120));
    typing.send(&FromViewer::Resized(Size {
        rows: 50,
        columns: 132,
    }));
    typing.flush().await.unwrap();
    assert_eq!(next(&mut watching).await, told(50, 132));
    // The size of one who watches is nobody's business.
    let mut third = world.viewer(with_size(WATCHES, 10, 10)).await;
    assert_eq!(
        third.welcome.size,
        Some(Size {
            rows: 50,
            columns: 132
        })
    );
    world.says(b"x");
    assert_eq!(next(&mut watching).await, Some(ToViewer::Output(b"x".to_vec())));
    assert_eq!(next(&mut third).await, Some(ToViewer::Output(b"x".to_vec())));
    world.ends();
}

#[tokio::test]
async fn a_later_client_is_served_by_this_broker() {
    let mut world = World::new();
    let later = Attach {
        version: 200,
        ..TYPES
    };
    let mut line = world.viewer(later).await;
    assert_eq!(line.welcome.version, VERSION);
    world.says(b"hello");
    assert_eq!(shown(&mut line, b"hello").await, b"hello");
    world.ends();
}

/// L18: written to the end, at any length, and never more than both files may have.
#[test]
fn l18_a_gibibyte_that_a_guest_says_is_two_bounded_files() {
    let mut world = World::new();
    let part = b"spew spew spew spew spew spew spew spew spew spew spew spew end\n".repeat(1 << 10);
    for _ in 0..(1 << 30) / part.len() {
        world.says(&part);
    }
    world.says(b"that was a gibibyte\n");
    world.ends();
    let folder = world.places.vm(&world.name);
    let [now, before] =
        ["console.log", "console.log.1"].map(|file| std::fs::read(folder.join(file)).unwrap());
    assert_eq!(before.len() as u64, LONGEST);
    assert!(now.len() as u64 <= LONGEST, "{}", now.len());
    assert!([before, now].concat().ends_with(b"end\nthat was a gibibyte\n"));
}
