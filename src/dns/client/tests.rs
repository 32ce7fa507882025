//! N10 to N15 and N20 of the reliability plan: upstream servers that are slow, broken, hostile, or ourselves.

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::{A, CNAME, NS};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::dns::fixture::{lab, network};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 99));
const GOOD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const FORGED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);

fn upstream_of(servers: &[SocketAddr]) -> Upstream {
    let mut network = network("br0", "10.77.0.1/24", "lab");
    network.dns.upstreams = servers.to_vec();
    Upstream::of(
        Arc::new(network),
        "10.77.0.1:53".parse().unwrap(),
        Path::new("/dev/null"),
    )
}

fn query(name: &str) -> Query {
    Query::query(Name::from_ascii(name).unwrap(), RecordType::A)
}

fn address(owner: &Name, address: Ipv4Addr) -> Record {
    Record::from_rdata(owner.clone(), 60, RData::A(A(address)))
}

/// The addresses that were found; `None` when nothing was.
async fn ask(upstream: &Upstream, name: &str) -> Option<Vec<Ipv4Addr>> {
    match upstream.ask(&query(name), GUEST, &lab()).await {
        Forwarded::Found(records) => {
            let addresses = records.iter().filter_map(|record| match record.data {
                RData::A(A(address)) => Some(address),
                _ => None,
            });
            Some(addresses.collect())
        }
        _ => None,
    }
}

/// The question as a reply to it, empty so far.
fn reply_to(bytes: &[u8]) -> Message {
    let mut message = Message::from_vec(bytes).unwrap();
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    message
}

/// A server that sends what `say` makes of each question, after `delay`; and how many questions came.
async fn server(
    delay: Duration,
    say: impl Fn(Message) -> Vec<Vec<u8>> + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let udp = Arc::new(UdpSocket::bind(LOOPBACK).await.unwrap());
    let (place, count) = (udp.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let (counted, say) = (Arc::clone(&count), Arc::new(say));
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            counted.fetch_add(1, Ordering::Relaxed);
            let (udp, say, bytes) = (Arc::clone(&udp), Arc::clone(&say), buffer[..length].to_vec());
            tokio::spawn(async move {
                sleep(delay).await;
                for reply in say(reply_to(&bytes)) {
                    udp.send_to(&reply, from).await.unwrap();
                }
            });
        }
    });
    (place, count)
}

/// A server that says `GOOD` to everything.
async fn good(delay: Duration) -> (SocketAddr, Arc<AtomicUsize>) {
    server(delay, |mut message| {
        let owner = message.queries[0].name().clone();
        message.add_answer(address(&owner, GOOD));
        vec![message.to_vec().unwrap()]
    })
    .await
}

#[tokio::test]
async fn n11_a_dead_silent_or_slow_server_fails_in_time_and_leaves_nothing_behind() {
    let refusing = UdpSocket::bind(LOOPBACK).await.unwrap().local_addr().unwrap();
    let silent = UdpSocket::bind(LOOPBACK).await.unwrap();
    let (slow, _) = good(Duration::from_secs(5)).await;
    for servers in [
        vec![refusing],
        vec![silent.local_addr().unwrap()],
        vec![slow],
        vec![refusing, silent.local_addr().unwrap(), slow],
    ] {
        let upstream = upstream_of(&servers);
        let started = Instant::now();
        assert_eq!(ask(&upstream, "www.example.com.").await, None, "{servers:?}");
        assert!(
            started.elapsed() < Duration::from_millis(2_200),
            "{:?}",
            started.elapsed()
        );
        assert!(upstream.asking.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn n11_questions_beyond_the_bound_fail_at_once() {
    let silent = UdpSocket::bind(LOOPBACK).await.unwrap();
    let upstream = Arc::new(upstream_of(&[silent.local_addr().unwrap()]));
    for number in 0..MAX_QUESTIONS {
        let upstream = Arc::clone(&upstream);
        tokio::spawn(async move { ask(&upstream, &format!("n{number}.example.com.")).await });
    }
    while upstream.asking.lock().unwrap().len() < MAX_QUESTIONS {
        tokio::task::yield_now().await;
    }
    let started = Instant::now();
    assert_eq!(ask(&upstream, "one-more.example.com.").await, None);
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn n11_the_next_server_is_asked_after_a_failure_or_half_a_second_and_preferred_from_then_on() {
    let silent = UdpSocket::bind(LOOPBACK).await.unwrap();
    let (failing, _) = server(Duration::ZERO, |mut message| {
        message.metadata.response_code = ResponseCode::ServFail;
        vec![message.to_vec().unwrap()]
    })
    .await;
    let (good, _) = good(Duration::ZERO).await;
    for first in [silent.local_addr().unwrap(), failing] {
        let upstream = upstream_of(&[first, good]);
        let started = Instant::now();
        assert_eq!(ask(&upstream, "a.example.com.").await, Some(vec![GOOD]));
        assert!(
            started.elapsed() < PATIENCE + Duration::from_millis(400),
            "{:?}",
            started.elapsed()
        );
        let again = Instant::now();
        assert_eq!(ask(&upstream, "b.example.com.").await, Some(vec![GOOD]));
        assert!(
            again.elapsed() < PATIENCE,
            "the server that answered is asked first"
        );
    }
}

#[tokio::test]
async fn n12_an_answer_to_another_question_number_or_case_is_never_taken_or_kept() {
    let (hostile, _) = server(Duration::ZERO, |message| {
        let owner = message.queries[0].name().clone();
        let forged = |change: &dyn Fn(&mut Message)| {
            let mut message = message.clone();
            message.add_answer(address(&owner, FORGED));
            change(&mut message);
            message.to_vec().unwrap()
        };
        let other = Name::from_ascii("bank.example.com.").unwrap();
        let mut good = message.clone();
        good.add_answer(address(&owner, GOOD));
        vec![
            forged(&|message| message.metadata.id ^= 1),
            forged(&|message| message.queries = vec![Query::query(other.clone(), RecordType::A)]),
            forged(&|message| message.queries = vec![Query::query(owner.clone(), RecordType::AAAA)]),
            vec![0; 11],
            good.to_vec().unwrap(),
            // Late: the question is answered already.
            forged(&|_| {}),
        ]
    })
    .await;
    let upstream = upstream_of(&[hostile]);
    for _ in 0..3 {
        assert_eq!(ask(&upstream, "www.example.com.").await, Some(vec![GOOD]));
    }
}

#[tokio::test]
async fn n12_an_answer_from_elsewhere_is_not_heard() {
    let other = UdpSocket::bind(LOOPBACK).await.unwrap();
    let udp = UdpSocket::bind(LOOPBACK).await.unwrap();
    let place = udp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let mut forged = reply_to(&buffer[..length]);
            let owner = forged.queries[0].name().clone();
            forged.add_answer(address(&owner, FORGED));
            other.send_to(&forged.to_vec().unwrap(), from).await.unwrap();
        }
    });
    assert_eq!(ask(&upstream_of(&[place]), "www.example.com.").await, None);
}

#[tokio::test]
async fn n12_not_even_65_536_guesses_from_the_right_place_are_believed() {
    // The guesser knows everything but the number and the letter case: those it tries in vain. TCP has the truth.
    let udp = UdpSocket::bind(LOOPBACK).await.unwrap();
    let place = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(place).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let mut forged = reply_to(&buffer[..length]);
            let lower = Name::from_ascii("the-bank-of-a-certain-country.example.com.").unwrap();
            forged.queries = vec![Query::query(lower.clone(), RecordType::A)];
            forged.add_answer(address(&lower, FORGED));
            for id in 0..=u16::MAX {
                forged.metadata.id = id;
                udp.send_to(&forged.to_vec().unwrap(), from).await.unwrap();
                if id % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = tcp.accept().await {
            let length = stream.read_u16().await.unwrap();
            let mut bytes = vec![0; length.into()];
            stream.read_exact(&mut bytes).await.unwrap();
            let mut reply = reply_to(&bytes);
            let owner = reply.queries[0].name().clone();
            reply.add_answer(address(&owner, GOOD));
            let reply = reply.to_vec().unwrap();
            stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        }
    });
    let upstream = upstream_of(&[place]);
    for _ in 0..2 {
        let found = ask(&upstream, "the-bank-of-a-certain-country.example.com.").await;
        // Under the flood there may be no answer in time; a forged one there never is.
        assert_ne!(found, Some(vec![FORGED]));
    }
}

#[tokio::test]
async fn n12_what_a_server_says_beside_its_answer_is_not_kept() {
    let bank = || Name::from_ascii("bank.example.com.").unwrap();
    let (hostile, count) = server(Duration::ZERO, move |mut message| {
        let owner = message.queries[0].name().clone();
        message.add_answer(address(&owner, GOOD));
        if owner != bank() {
            message.add_answer(address(&bank(), FORGED));
            message.add_additional(address(&bank(), FORGED));
            message.add_authority(Record::from_rdata(bank(), 60, RData::NS(NS(owner))));
        }
        vec![message.to_vec().unwrap()]
    })
    .await;
    let upstream = upstream_of(&[hostile]);
    assert_eq!(ask(&upstream, "www.example.com.").await, Some(vec![GOOD]));
    assert_eq!(ask(&upstream, "bank.example.com.").await, Some(vec![GOOD]));
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn n13_a_thousand_who_ask_the_same_at_once_are_one_question() {
    let (slow, count) = good(Duration::from_millis(100)).await;
    let upstream = Arc::new(upstream_of(&[slow]));
    let askers: Vec<_> = (0..1_000)
        .map(|number| {
            let upstream = Arc::clone(&upstream);
            let name = if number % 2 == 0 {
                "www.example.com."
            } else {
                "WWW.Example.com."
            };
            tokio::spawn(async move { ask(&upstream, name).await })
        })
        .collect();
    for asker in askers {
        assert_eq!(asker.await.unwrap(), Some(vec![GOOD]));
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
    assert_eq!(
        ask(&upstream, "www.example.com.").await,
        Some(vec![GOOD]),
        "from the cache"
    );
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn n14_a_private_address_from_a_server_becomes_an_empty_answer() {
    let (rebinding, _) = server(Duration::ZERO, |mut message| {
        let owner = message.queries[0].name().clone();
        message.add_answer(address(&owner, Ipv4Addr::new(10, 77, 0, 10)));
        vec![message.to_vec().unwrap()]
    })
    .await;
    let upstream = upstream_of(&[rebinding]);
    let said = upstream.ask(&query("www.example.com."), GUEST, &lab()).await;
    assert!(matches!(said, Forwarded::NoData(None)), "{said:?}");
}

#[tokio::test]
async fn n15_a_server_whose_aliases_never_end_is_asked_a_bounded_number_of_times() {
    let (endless, count) = server(Duration::ZERO, |mut message| {
        let owner = message.queries[0].name().clone();
        let next = Name::from_ascii("x.").unwrap().append_domain(&owner).unwrap();
        message.add_answer(Record::from_rdata(owner, 60, RData::CNAME(CNAME(next))));
        vec![message.to_vec().unwrap()]
    })
    .await;
    assert_eq!(ask(&upstream_of(&[endless]), "www.example.com.").await, None);
    let asked = count.load(Ordering::Relaxed);
    assert!(asked <= 10, "{asked} questions");
}

#[tokio::test]
async fn n20_a_circle_is_closed_by_its_own_name_and_left_out_for_a_while() {
    let servers: Vec<SocketAddr> = vec!["127.0.0.53:53".parse().unwrap(), "192.0.2.53:53".parse().unwrap()];
    let mut circles = Circles::default();
    let started = Instant::now();
    let below = Name::from_ascii("example.com.").unwrap();
    let probes = circles.probes(&below, &servers, started);
    assert_eq!(probes.len(), 2);
    assert_ne!(probes[0], probes[1]);
    assert_eq!(
        circles.probes(&below, &servers, started),
        Vec::<Name>::new(),
        "one search at a time"
    );
    assert_eq!(circles.closed_by(&below, started), None);
    assert_eq!(circles.closed_by(&probes[0], started), Some(servers[0]));
    assert_eq!(circles.left_out(started + LEFT_OUT / 2), [servers[0]]);
    assert_eq!(circles.left_out(started + LEFT_OUT), Vec::<SocketAddr>::new());
    assert_eq!(
        circles.closed_by(&probes[1], started + LEFT_OUT),
        None,
        "no longer watched for"
    );
}
