//! The service on a real loopback socket: what guests get, and what they can not do to each other.

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use super::*;
use crate::metadata::Neighbour;
use crate::metadata::socket::bind_at;
use crate::model::image::Boot;
use crate::model::vm::Custom;
use crate::model::{BridgeName, Directory, Image, MacAddress, examples};
use crate::seed::Templates;
use crate::seed::tests::{network, vm};

pub(super) const WEB1: &str = "127.0.0.2";
pub(super) const WEB2: &str = "127.0.0.3";
const STRANGER: &str = "127.0.0.9";
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A neighbour table that was written down.
struct Written(Vec<(Ipv4Addr, MacAddress)>);

#[async_trait]
impl Neighbours for Written {
    async fn entry_of(&self, _: &BridgeName, address: Ipv4Addr) -> Option<Neighbour> {
        let found = self.0.iter().find(|(known, _)| *known == address);
        found.map(|(_, mac)| Neighbour {
            mac: *mac,
            permanent: true,
        })
    }
}

pub(super) struct Running {
    pub(super) address: SocketAddrV4,
    pub(super) directory: Arc<Published>,
    events: mpsc::Receiver<Event>,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<io::Result<()>>,
}

/// A server on loopback, where every 127/8 address can be a guest's.
pub(super) fn running(limits: Limits, events: usize) -> Running {
    booting(limits, events, std::path::Path::new("/nonexistent"))
}

/// The same; both VMs boot from the network what lies in a state directory.
pub(super) fn booting(limits: Limits, events: usize, state: &std::path::Path) -> Running {
    let network = network("127.0.0.1/8");
    let mut server = Server::on(bind_at(&network, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), None).unwrap());
    server.limits = limits;
    let (mut web1, mut web2) = (vm("web1", WEB1), vm("web2", WEB2));
    for vm in [&mut web1, &mut web2] {
        let boot = Some("debian-12".parse().unwrap());
        vm.custom = Custom {
            boot,
            ..Custom::default()
        }
        .boxed();
    }
    web1.user_data = Some(Arc::from(vec![b'#'; 1 << 20]));
    let neighbours = Written([&web1, &web2].map(|vm| (vm.address, vm.mac)).to_vec());
    let mut directory = Directory::of([network]);
    directory.put_vm(Arc::new(web1));
    directory.put_vm(Arc::new(web2));
    directory.put_image(Arc::new(Image {
        boot: Boot::Kernel {
            initrd: true,
            cmdline: String::new(),
        },
        ..examples::image()
    }));
    let (events, seen) = mpsc::channel(events);
    let directory = Arc::new(Published::from_pointee(directory));
    let backing = Backing {
        directory: Arc::clone(&directory),
        templates: Arc::new(Library::from_pointee(Templates::load(None).unwrap())),
        neighbours: Arc::new(neighbours),
        events,
        places: Places::new(state, "/nonexistent"),
        tokens: Tokens::under([7; 32]),
        clock: Clock,
        marks: false,
    };
    let (address, stop) = (server.address(), CancellationToken::new());
    Running {
        address,
        directory,
        events: seen,
        ended: tokio::spawn(server.serve(backing, stop.clone())),
        stop,
    }
}

pub(super) async fn connected(server: &Running, source: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8_192).unwrap();
    socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    socket.connect(server.address.into()).await.unwrap()
}

pub(super) async fn to_the_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A server that cuts a connection with bytes unread resets it; what came before that counts.
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _cut_or_closed = read.expect("the server keeps the connection open");
    bytes
}

pub(super) async fn asked(server: &Running, source: &str, request: &[u8]) -> String {
    let mut stream = connected(server, source).await;
    stream.write_all(request).await.unwrap();
    String::from_utf8_lossy(&to_the_end(stream).await).into_owned()
}

pub(super) async fn get(server: &Running, source: &str, path: &str) -> String {
    asked(
        server,
        source,
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").as_bytes(),
    )
    .await
}

#[tokio::test]
async fn a_guest_reads_its_own_documents_and_is_seen_doing_so() {
    let mut server = running(LIMITS, 8);
    let response = get(&server, WEB2, "/nocloud/meta-data").await;
    assert!(
        response.starts_with("HTTP/1.1 200 OK\r\n") && response.contains("\"web2.lab\""),
        "{response}"
    );
    for header in [
        "content-type: text/plain",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
    ] {
        assert!(response.contains(header), "{header}: {response}");
    }
    let event = server.events.recv().await.unwrap();
    assert_eq!(event.vm.as_str(), "web2");
    assert_eq!(
        event.kind,
        EventKind::Fetched {
            document: "meta-data",
            withheld: false,
        }
    );
}

#[tokio::test]
async fn an_address_that_is_not_registered_is_told_so() {
    let response = get(&running(LIMITS, 8), STRANGER, "/nocloud/user-data").await;
    assert!(
        response.starts_with("HTTP/1.1 404") && response.contains("127.0.0.9 is not"),
        "{response}"
    );
}

#[tokio::test]
async fn h06_an_old_client_without_a_host_is_served() {
    let response = asked(
        &running(LIMITS, 8),
        WEB2,
        b"GET //nocloud/user-data HTTP/1.0\r\n\r\n",
    )
    .await;
    assert!(
        response.starts_with("HTTP/1.0 200") && response.contains("content-length: 0"),
        "{response}"
    );
}

fn phone_home(body: &str) -> Vec<u8> {
    format!("POST /phone-home HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

#[tokio::test]
async fn a_phone_home_that_nobody_can_take_now_is_asked_for_again() {
    let mut server = running(LIMITS, 1);
    let first = asked(&server, WEB2, &phone_home("hostname=web2")).await;
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    let second = asked(&server, WEB2, &phone_home("hostname=web2")).await;
    assert!(
        second.starts_with("HTTP/1.1 503") && second.contains("retry-after"),
        "{second}"
    );
    assert!(matches!(
        server.events.recv().await.unwrap().kind,
        EventKind::PhonedHome { .. }
    ));
    let third = asked(&server, WEB2, &phone_home("hostname=web2")).await;
    assert!(third.starts_with("HTTP/1.1 200"), "{third}");
}

#[tokio::test]
async fn h11_a_body_over_the_limit_is_413_and_not_read() {
    let server = running(LIMITS, 8);
    let head = "POST /phone-home HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    let claimed = format!("{head}Content-Length: {}\r\n\r\nx", MAX_BODY + 1);
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(3));
    for request in [claimed, chunked] {
        let response = asked(&server, WEB2, request.as_bytes()).await;
        assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    }
}

/// Limits that a test can wait for.
pub(super) fn short() -> Limits {
    Limits {
        header: Duration::from_millis(100),
        request: Duration::from_millis(100),
        connection: Duration::from_millis(300),
        ..LIMITS
    }
}

#[tokio::test]
async fn h01_a_header_that_never_ends_is_cut() {
    let server = running(short(), 8);
    for start in ["", "G", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"] {
        let response = asked(&server, WEB2, start.as_bytes()).await;
        assert!(!response.contains("200"), "{response}");
    }
}

#[tokio::test]
async fn h11_a_body_that_never_ends_is_cut() {
    let request = "POST /phone-home HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nx";
    let response = asked(&running(short(), 8), WEB2, request.as_bytes()).await;
    assert!(response.starts_with("HTTP/1.1 503"), "{response}");
}

#[tokio::test]
async fn h12_a_guest_that_does_not_read_its_answers_is_cut() {
    let server = running(
        Limits {
            header: PATIENCE,
            ..short()
        },
        8,
    );
    let mut stream = connected(&server, WEB1).await;
    let request = "GET /nocloud/user-data HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(64);
    stream.write_all(request.as_bytes()).await.unwrap();
    // Nothing is read until the limit has passed twice, as two silent connections after this one show.
    for _ in 0..2 {
        let silent = connected(&server, WEB2).await;
        assert!(to_the_end(silent).await.is_empty());
    }
    assert!(to_the_end(stream).await.len() < 64 << 20);
}

#[tokio::test]
async fn h13_one_guest_can_not_take_the_places_of_the_others() {
    let server = running(
        Limits {
            per_source: 4,
            ..LIMITS
        },
        8,
    );
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = connected(&server, WEB1).await;
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        held.push(stream);
    }
    let fifth = to_the_end(connected(&server, WEB1).await).await;
    assert!(fifth.is_empty());
    assert!(get(&server, WEB2, "/nocloud/meta-data").await.contains("200 OK"));
}

#[tokio::test]
async fn a_stopped_server_ends_although_a_guest_holds_on() {
    let server = running(LIMITS, 8);
    let mut stream = connected(&server, WEB2).await;
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert!(get(&server, WEB1, "/nocloud/").await.contains("200 OK"));
    server.stop.cancel();
    timeout(PATIENCE, server.ended).await.unwrap().unwrap().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_never_end_the_server(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        start in prop_oneof![Just(""), Just("GET /"), Just("POST /phone-home HTTP/1.1\r\nContent-Length: 9\r\n\r\n")],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = running(short(), 8);
            let mut stream = connected(&server, WEB1).await;
            let _cut_or_written = stream.write_all(&[start.as_bytes(), &bytes].concat()).await;
            let _cut_or_closed = stream.shutdown().await;
            to_the_end(stream).await;
            assert!(get(&server, WEB2, "/nocloud/meta-data").await.contains("200 OK"));
        });
    }
}

mod netboot_tests;
