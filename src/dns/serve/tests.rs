//! The real server on loopback, with real clients and upstream servers.

use std::net::Ipv4Addr;

use super::*;
use crate::dns::fixture::{lab, network};
use arc_swap::ArcSwap;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType, rdata::A};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server that runs until this is dropped.
struct Running {
    address: SocketAddr,
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
        let stopped = stop.clone();
        let serving = async move {
            server
                .serve_with(directory, stopped, Path::new("/dev/null"))
                .await;
        };
        let task = tokio::spawn(serving);
        Self { address, stop, task }
    }

    async fn ask(&self, name: &str) -> Message {
        let udp = UdpSocket::bind(LOOPBACK).await.unwrap();
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
    let udp = UdpSocket::bind(LOOPBACK).await.unwrap();
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
    let udp = UdpSocket::bind(LOOPBACK).await.unwrap();
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
        if name.to_ascii().starts_with("none") {
            message.metadata.response_code = ResponseCode::NXDomain;
        } else if !name.to_ascii().starts_with("empty") {
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
async fn what_upstream_cuts_off_is_fetched_by_tcp() {
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
    assert_eq!(asked.recv().await.unwrap(), "example.com.");
}

#[tokio::test]
async fn a_silent_upstream_fails_in_time_and_holds_up_no_name_of_ours() {
    let silent = UdpSocket::bind(LOOPBACK).await.unwrap();
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
async fn a_server_that_is_its_own_upstream_is_not_asked() {
    let network = network("br0", "10.77.0.1/24", "lab");
    let own = "127.0.0.1:5300".parse().unwrap();
    let mut looped = network;
    looped.dns.upstreams = vec![own, "10.78.0.1:5300".parse().unwrap()];
    let upstream = Upstream::of(&looped, Path::new("/dev/null"));
    let question = Query::query(Name::from_ascii("example.com.").unwrap(), RecordType::A);
    let started = tokio::time::Instant::now();
    assert!(matches!(
        upstream.ask(&question, &lab(), own).await,
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
    let upstream = Upstream::of(&network("br0", "10.77.0.1/24", "lab"), &file);
    let question = Query::query(Name::from_ascii("example.com.").unwrap(), RecordType::A);
    let own = "127.0.0.1:5300".parse().unwrap();
    let said = upstream.ask(&question, &lab(), own).await;
    assert_eq!(
        upstream.known().await,
        ["127.0.0.1:53".parse().unwrap()],
        "{said:?}"
    );
}
