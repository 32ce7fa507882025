//! The real server on loopback, with real clients and upstream servers.

use std::net::Ipv4Addr;

use super::*;
use crate::dns::fixture::{lab, network};
use arc_swap::ArcSwap;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType, rdata::A};

const GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 99));
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server that runs until this is dropped.
struct Running {
    address: SocketAddr,
    directory: Arc<Published>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn with(upstreams: Vec<SocketAddr>) -> Self {
        let mut network = network("br0", "10.77.0.1/24", "lab");
        network.dns.upstreams = upstreams;
        let server = bound(&network).await;
        let (address, stop) = (server.address(), CancellationToken::new());
        let directory: Arc<Published> = Arc::new(ArcSwap::from_pointee(lab()));
        let (stopped, served) = (stop.clone(), Arc::clone(&directory));
        let serving = async move {
            server.serve_with(served, stopped, Path::new("/dev/null")).await;
        };
        let task = tokio::spawn(serving);
        Self {
            address,
            directory,
            stop,
            task,
        }
    }

    async fn ask(&self, name: &str) -> Message {
        let udp = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
        udp.send_to(&query(name), self.address).await.unwrap();
        let mut buffer = [0; 1_500];
        let received = timeout(Duration::from_secs(10), udp.recv_from(&mut buffer)).await;
        let (length, _) = received.expect("an answer").unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }
}

/// Another process may take the UDP half of a free TCP port at any time.
async fn bound(network: &Network) -> Server {
    loop {
        match bind_at(network, LOOPBACK).await {
            Ok(server) => return server,
            Err(BindError::Taken {
                protocol: Protocol::Udp,
                ..
            }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn query(name: &str) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

/// An upstream server that answers every question as `say` does.
async fn upstream(say: impl Fn(&mut Message) + Send + 'static) -> SocketAddr {
    let udp = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let address = udp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let mut message = Message::from_vec(&buffer[..length]).unwrap();
            message.metadata.message_type = MessageType::Response;
            message.metadata.recursion_available = true;
            say(&mut message);
            udp.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

async fn by_tcp(stream: &mut TcpStream, question: &[u8]) -> io::Result<Message> {
    write(stream, question).await?;
    Ok(Message::from_vec(&message(stream).await?).unwrap())
}

#[tokio::test]
async fn garbage_on_both_sockets_ends_nothing() {
    let server = Running::with(Vec::new()).await;
    let udp = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    for length in [0, 1, 11, 12, 13, 511, 9_000] {
        for fill in [0x00, 0x01, 0x40, 0xc0, 0xff] {
            udp.send_to(&vec![fill; length], server.address).await.unwrap();
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(&vec![fill; length]).await.unwrap();
        }
    }
    assert_eq!(
        server.ask("web1.lab.").await.answers[0].data,
        RData::A(A::new(10, 77, 0, 10))
    );
}

#[tokio::test]
async fn one_connection_carries_several_questions() {
    let server = Running::with(Vec::new()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        let reply = by_tcp(&mut stream, &query("web1.lab.")).await.unwrap();
        assert_eq!(reply.answers.len(), 1);
    }
}

#[tokio::test]
async fn one_address_has_a_bounded_number_of_connections() {
    let server = Running::with(Vec::new()).await;
    let mut held = Vec::new();
    for _ in 0..MAX_CONNECTIONS_EACH {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        by_tcp(&mut stream, &query("web1.lab.")).await.unwrap();
        held.push(stream);
    }
    let mut one_more = TcpStream::connect(server.address).await.unwrap();
    by_tcp(&mut one_more, &query("web1.lab.")).await.unwrap_err();
    // The place of a connection that ends is free again: the server is asked until it has noticed.
    drop(held.pop());
    let again = async {
        loop {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            if let Ok(reply) = by_tcp(&mut stream, &query("web1.lab.")).await {
                return reply;
            }
        }
    };
    assert_eq!(
        timeout(Duration::from_secs(5), again)
            .await
            .unwrap()
            .answers
            .len(),
        1
    );
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let network = network("br0", "10.77.0.1/24", "lab");
    let first = bound(&network).await;
    let error = bind_at(&network, first.address()).await.unwrap_err();
    assert!(matches!(error, BindError::Taken { address, .. } if address == first.address()));
    let text = error.to_string();
    assert!(
        text.contains("TCP") && text.contains(&first.address().to_string()),
        "{text}"
    );

    let nowhere = bind_at(&network, "192.0.2.1:5353".parse().unwrap())
        .await
        .unwrap_err();
    assert!(matches!(nowhere, BindError::NoAddress(_)), "{nowhere}");
}

#[tokio::test]
async fn a_stopped_server_leaves_its_address_free() {
    let server = Running::with(Vec::new()).await;
    server.ask("web1.lab.").await;
    server.stop.cancel();
    server.task.await.unwrap();
    let network = network("br0", "10.77.0.1/24", "lab");
    bind_at(&network, server.address).await.unwrap();
}

#[tokio::test]
async fn other_names_are_asked_upstream_and_denials_passed_on() {
    let address = upstream(|message| {
        let name = message.queries[0].name().clone();
        let text = name.to_ascii().to_lowercase();
        if text.starts_with("none") {
            message.metadata.response_code = ResponseCode::NXDomain;
        } else if !text.starts_with("empty") {
            message.add_answer(Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, 7))));
        }
    })
    .await;
    let server = Running::with(vec![address]).await;
    let reply = server.ask("wWw.example.com.").await;
    assert_eq!(reply.answers[0].data, RData::A(A::new(192, 0, 2, 7)));
    assert!(!reply.metadata.authoritative);
    assert!(
        reply.queries[0]
            .name()
            .eq_case(&Name::from_ascii("wWw.example.com.").unwrap())
    );
    assert_eq!(
        server.ask("none.example.com.").await.metadata.response_code,
        ResponseCode::NXDomain
    );
    let empty = server.ask("empty.example.com.").await;
    assert_eq!(
        (empty.metadata.response_code, empty.answers.len()),
        (ResponseCode::NoError, 0)
    );
}

#[tokio::test]
async fn n10_what_upstream_cuts_off_is_fetched_by_tcp() {
    let address = upstream(|message| message.metadata.truncation = true).await;
    let tcp = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = tcp.accept().await.unwrap();
        let mut reply = Message::from_vec(&message(&mut stream).await.unwrap()).unwrap();
        reply.metadata.message_type = MessageType::Response;
        let name = reply.queries[0].name().clone();
        reply.add_answer(Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, 8))));
        write(&mut stream, &reply.to_vec().unwrap()).await.unwrap();
        // Held open until the server closes it.
        drop(message(&mut stream).await);
    });
    let server = Running::with(vec![address]).await;
    let reply = server.ask("long.example.com.").await;
    assert_eq!(reply.answers[0].data, RData::A(A::new(192, 0, 2, 8)));
}

#[tokio::test]
async fn our_own_names_are_never_asked_upstream() {
    let (told, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let address = upstream(move |message| told.send(message.queries[0].name().to_ascii()).unwrap()).await;
    let server = Running::with(vec![address]).await;
    for name in [
        "none.lab.",
        "1.0.77.10.in-addr.arpa.",
        "mx.dmz.lab.",
        "printer.local.",
        "localhost.",
    ] {
        server.ask(name).await;
    }
    server.ask("example.com.").await;
    assert_eq!(asked.recv().await.unwrap().to_lowercase(), "example.com.");
}

#[tokio::test]
async fn n11_a_silent_upstream_fails_in_time_and_holds_up_no_name_of_ours() {
    let silent = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let server = Running::with(vec![silent.local_addr().unwrap()]).await;
    let asked = tokio::time::Instant::now();
    let mut outside = std::pin::pin!(server.ask("example.com."));
    tokio::select! {
        biased;
        _ = &mut outside => panic!("the silent server answered"),
        reply = server.ask("web1.lab.") => assert_eq!(reply.answers.len(), 1),
    }
    assert_eq!(outside.await.metadata.response_code, ResponseCode::ServFail);
    assert!(
        asked.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn without_an_upstream_other_names_fail_at_once() {
    let server = Running::with(Vec::new()).await;
    assert_eq!(
        server.ask("example.com.").await.metadata.response_code,
        ResponseCode::ServFail
    );
}

#[tokio::test]
async fn n20_a_server_that_is_its_own_upstream_is_not_asked() {
    let own = "127.0.0.1:5300".parse().unwrap();
    let mut looped = network("br0", "10.77.0.1/24", "lab");
    looped.dns.upstreams = vec![own, "10.78.0.1:5300".parse().unwrap()];
    let upstream = Upstream::of(Arc::new(looped), own, Path::new("/dev/null"));
    let question = Query::query(Name::from_ascii("example.com.").unwrap(), RecordType::A);
    let started = tokio::time::Instant::now();
    assert!(matches!(
        upstream.ask(&question, GUEST, &lab()).await,
        Forwarded::Failed
    ));
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "it was asked: {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn the_hosts_resolvers_are_used_when_none_are_configured() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    // Port 53 of an address where nobody listens: what counts is that it was read and asked, and failed.
    std::fs::write(&file, "nameserver 127.0.0.1\n").unwrap();
    let network = Arc::new(network("br0", "10.77.0.1/24", "lab"));
    let upstream = Upstream::of(network, "127.0.0.1:5300".parse().unwrap(), &file);
    let question = Query::query(Name::from_ascii("example.com.").unwrap(), RecordType::A);
    let said = upstream.ask(&question, GUEST, &lab()).await;
    assert_eq!(
        upstream.known().await,
        ["127.0.0.1:53".parse().unwrap()],
        "{said:?}"
    );
}

/// The answer's octets, or nothing when the server closes the connection.
async fn answer_to(stream: &mut TcpStream, octets: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(octets).await.ok()?;
    timeout(Duration::from_secs(8), message(stream))
        .await
        .expect("neither an answer nor an end")
        .ok()
}

#[tokio::test]
async fn n09_a_message_of_no_length_or_without_an_end_ends_its_connection_in_time() {
    let server = Running::with(Vec::new()).await;
    for octets in [&[0, 0][..], &[0, 1, 0], &[0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(answer_to(&mut stream, octets).await, None, "{octets:?}");
    }
    // The largest message there is, of which all but the header is noise, and one that never comes.
    let mut whole = TcpStream::connect(server.address).await.unwrap();
    let mut octets = [&[0xff, 0xff][..], &query("web1.lab.")].concat();
    octets.resize(2 + 65_535, 0);
    let reply = answer_to(&mut whole, &octets).await.unwrap();
    let reply = Message::from_vec(&reply).unwrap();
    assert_eq!(reply.answers.len(), 1, "what follows a question is not looked at");
    let mut announced = TcpStream::connect(server.address).await.unwrap();
    let started = tokio::time::Instant::now();
    assert_eq!(answer_to(&mut announced, &[0xff, 0xff]).await, None);
    assert!(started.elapsed() < IDLE + Duration::from_secs(1));
}

#[tokio::test]
async fn n09_an_octet_a_second_and_a_thousand_idle_connections_take_no_place_for_long() {
    let server = Running::with(Vec::new()).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let question = query("web1.lab.");
    let dripping = tokio::spawn(async move {
        for octet in [&[0, 26][..], &question].concat() {
            if slow.write_all(&[octet]).await.is_err() {
                return true;
            }
            sleep(Duration::from_millis(500)).await;
        }
        false
    });
    // From many addresses, so that no bound for one of them helps.
    let mut idle = Vec::new();
    for number in 0..1_000_u16 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        let [high, low] = number.to_be_bytes();
        socket.bind(SocketAddr::from(([127, 1, high, low], 0))).unwrap();
        idle.push(socket.connect(server.address).await.unwrap());
    }
    assert_eq!(
        server.ask("web1.lab.").await.answers.len(),
        1,
        "datagrams do not mind"
    );
    assert!(dripping.await.unwrap(), "it was read to its end");
    // All are idle for too long by now: there is room again.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(
        by_tcp(&mut stream, &query("web1.lab."))
            .await
            .unwrap()
            .answers
            .len(),
        1
    );
}

#[tokio::test]
async fn n09_what_takes_long_does_not_hold_up_what_was_asked_after_it() {
    let silent = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let server = Running::with(vec![silent.local_addr().unwrap()]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    write(&mut stream, &query("www.example.com.")).await.unwrap();
    for _ in 0..100 {
        write(&mut stream, &query("web1.lab.")).await.unwrap();
    }
    for _ in 0..100 {
        let reply = Message::from_vec(&message(&mut stream).await.unwrap()).unwrap();
        assert_eq!(reply.queries[0].name().to_ascii(), "web1.lab.");
    }
    let last = Message::from_vec(&message(&mut stream).await.unwrap()).unwrap();
    assert_eq!(last.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn n17_a_zone_is_never_a_mixture_of_two_revisions() {
    let server = Running::with(Vec::new()).await;
    let directory = Arc::clone(&server.directory);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let mut revision = 8;
        while !stopped.is_cancelled() {
            let mut next = lab();
            next.set_revision(crate::model::Revision(revision));
            // Two VMs that have the revision in their addresses.
            let octet = revision % 100 + 20;
            next.put_vm(crate::dns::fixture::vm("one", "br0", &format!("10.77.0.{octet}")));
            next.put_vm(crate::dns::fixture::vm(
                "other",
                "br0",
                &format!("10.77.0.{}", octet + 100),
            ));
            directory.store(Arc::new(next));
            revision += 1;
        }
        revision
    });
    let mut transfer = Message::new(7, MessageType::Query, OpCode::Query);
    transfer.add_query(Query::query(Name::from_ascii("lab.").unwrap(), RecordType::AXFR));
    let transfer = transfer.to_vec().unwrap();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut seen = 0;
    while seen < 500 {
        let reply = by_tcp(&mut stream, &transfer).await.unwrap();
        let address = |name: &str| {
            let owner = Name::from_ascii(name).unwrap();
            reply.answers.iter().find_map(|record| match &record.data {
                RData::A(A(address)) if record.name == owner => Some(u32::from(address.octets()[3])),
                _ => None,
            })
        };
        let RData::SOA(soa) = &reply.answers[0].data else {
            panic!("{reply:?}")
        };
        if soa.serial > 7 {
            let octet = soa.serial % 100 + 20;
            assert_eq!(
                (address("one.lab."), address("other.lab.")),
                (Some(octet), Some(octet + 100))
            );
            seen += 1;
        }
        assert_eq!(reply.answers.first(), reply.answers.last());
        assert_eq!(server.ask("web1.lab.").await.answers.len(), 1);
    }
    stop.cancel();
    assert!(writing.await.unwrap() > 8);
}

/// A forwarder that sends every question on to where it is told, and the answers back.
async fn forwarder() -> (
    SocketAddr,
    tokio::sync::watch::Sender<SocketAddr>,
    Arc<std::sync::atomic::AtomicUsize>,
) {
    let udp = Arc::new(tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap());
    let place = udp.local_addr().unwrap();
    let (target, told) = tokio::sync::watch::channel(place);
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let (udp, bytes, target) = (Arc::clone(&udp), buffer[..length].to_vec(), *told.borrow());
            tokio::spawn(async move {
                let onward = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
                onward.send_to(&bytes, target).await.unwrap();
                let mut buffer = [0; 1_500];
                if let Ok(Ok(length)) = timeout(Duration::from_secs(4), onward.recv(&mut buffer)).await {
                    udp.send_to(&buffer[..length], from).await.unwrap();
                }
            });
        }
    });
    (place, target, count)
}

#[tokio::test]
async fn n20_a_forwarder_that_asks_us_what_we_ask_it_is_found_and_left_out() {
    let (place, target, count) = forwarder().await;
    let server = Running::with(vec![place]).await;
    target.send(server.address).unwrap();
    let first = server.ask("www.example.com.").await;
    assert_eq!(first.metadata.response_code, ResponseCode::ServFail);
    // Left out from now on: the next question fails at once, and the forwarder is not asked again.
    let asked = count.load(std::sync::atomic::Ordering::Relaxed);
    let started = tokio::time::Instant::now();
    let next = server.ask("www.example.org.").await;
    assert_eq!(next.metadata.response_code, ResponseCode::ServFail);
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), asked);
    assert!(asked < 12, "{asked} questions went round");
}
