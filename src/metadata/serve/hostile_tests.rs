//! The rows H01 to H20 of the project's list of hostile inputs, as far as they are about one socket: what is refused, what is
//! cut, and what nobody else notices. Those about the wire are in the system tests.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::tests::{PATIENCE, Running, WEB1, WEB2, asked, connected, get, running, short, to_the_end};
use super::*;
use crate::model::{Directory, Vm};
use crate::seed::tests::vm;

/// The status of the first answer; `None` when the connection was closed without one.
fn status(response: &str) -> Option<u16> {
    let (_, rest) = response.split_once(' ')?;
    rest.get(..3)?.parse().ok()
}

async fn sent(server: &Running, request: &str) -> Option<u16> {
    status(&asked(server, WEB2, request.as_bytes()).await)
}

/// A request that is honest but for the lines that are put in.
fn with(lines: &str) -> String {
    format!("GET /nocloud/meta-data HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}Connection: close\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h01_a_slowloris_is_cut_at_the_header_deadline_and_others_are_served_meanwhile() {
    let server = running(short(), 8);
    let mut slow = Vec::new();
    for _ in 0..60 {
        let mut stream = connected(&server, WEB1).await;
        stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        slow.push(stream);
    }
    assert!(get(&server, WEB2, "/nocloud/meta-data").await.contains("200 OK"));
    for mut stream in slow {
        // One byte more is no progress.
        stream.write_all(b"y").await.ok();
        assert!(!String::from_utf8_lossy(&to_the_end(stream).await).contains("200"));
    }
}

#[tokio::test]
async fn h02_headers_that_are_too_many_or_too_long_are_431() {
    let server = running(LIMITS, 8);
    for lines in [
        format!("x: {}\r\n", "y".repeat(64 << 10)),
        "x: y\r\n".repeat(10_000),
        format!("x: {}\r\n", "y".repeat(1 << 20)),
    ] {
        let answer = sent(&server, &with(&lines)).await;
        assert!(matches!(answer, Some(431) | None), "{answer:?}");
    }
    assert_eq!(sent(&server, &with("x: y\r\n")).await, Some(200));
}

#[tokio::test]
async fn h03_a_request_line_or_header_that_can_not_be_read_is_refused() {
    let server = running(LIMITS, 8);
    let long = "x".repeat(8 << 10);
    for request in [
        &format!("GET /{long} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        "GET /nocloud/meta\0data HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET /nocloud/meta-data\rHTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET\t/nocloud/meta-data\tHTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        &with("x: y\r\n folded: z\r\n"),
        &with("x\0: y\r\n"),
        &with("x : y\r\n"),
    ] {
        let answer = sent(&server, request).await;
        assert!(
            matches!(answer, Some(400 | 414 | 431) | None),
            "{request:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn h04_only_exact_routes_are_there_and_no_file_is_behind_them() {
    let server = running(LIMITS, 8);
    for path in [
        "/nocloud/../nocloud/meta-data",
        "/nocloud/%2e%2e%2fmeta-data",
        "/nocloud/%252e%252e/meta-data",
        "/nocloud\\meta-data",
        "/nocloud/%c0%ae%c0%ae/meta-data",
        "/nocloud/meta-data;v=1",
        "/etc/passwd",
        "//etc/passwd",
        "/nocloud/meta-data/more",
        "http://127.0.0.1/etc/passwd",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let answer = sent(&server, &request).await;
        assert!(matches!(answer, Some(400 | 404)), "{path}: {answer:?}");
    }
    // As real clients write them.
    for path in [
        "//nocloud//meta-data",
        "/nocloud/meta-data/",
        "http://127.0.0.1/nocloud/meta-data",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        assert_eq!(sent(&server, &request).await, Some(200), "{path}");
    }
}

#[tokio::test]
async fn h05_a_thousand_pipelined_requests_are_answered_in_order_up_to_the_bad_one() {
    let server = running(LIMITS, 4_096);
    let get = |name: &str| format!("GET /nocloud/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let pair = get("meta-data") + &get("");
    let request = pair.repeat(500) + "BAD\0\r\n\r\n" + &pair;
    let mut stream = connected(&server, WEB2).await;
    let (mut reading, mut writing) = stream.split();
    let mut response = Vec::new();
    let (_written, read) = tokio::join!(
        writing.write_all(request.as_bytes()),
        timeout(PATIENCE, reading.read_to_end(&mut response))
    );
    drop(read.expect("the server keeps the connection open"));
    let text = String::from_utf8_lossy(&response);
    let answers: Vec<_> = text.split("HTTP/1.1 ").skip(1).collect();
    assert_eq!(answers.len(), 1_001, "{}", answers.len());
    for (index, answer) in answers.iter().enumerate() {
        let expected = match index {
            1_000 => answer.starts_with("400"),
            even if even % 2 == 0 => answer.starts_with("200") && answer.contains("instance-id"),
            _ => answer.starts_with("200") && answer.contains("network-config"),
        };
        assert!(expected, "{index}: {answer}");
    }
}

#[tokio::test]
async fn h06_other_protocols_are_refused() {
    let server = running(LIMITS, 8);
    for bytes in [
        &b"GET /nocloud/meta-data\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\xff\xfe\xfd\xfc\r\n\r\n",
    ] {
        let answer = status(&asked(&server, WEB2, bytes).await);
        assert!(matches!(answer, Some(400 | 505) | None), "{bytes:?}: {answer:?}");
    }
}

#[tokio::test]
async fn h07_a_request_for_another_host_is_refused() {
    let server = running(LIMITS, 8);
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "[::1]",
        "",
        "127.0.0.1:80:80",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(sent(&server, &request).await, Some(403), "{host}");
    }
    assert_eq!(
        sent(&server, &with("Host: 127.0.0.1\r\n")).await,
        Some(403),
        "two of them"
    );
    let absolute = "GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    assert_eq!(sent(&server, absolute).await, Some(403));
    for host in ["127.0.0.1", "127.0.0.1:80", "169.254.169.254"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(sent(&server, &request).await, Some(200), "{host}");
    }
}

#[tokio::test]
async fn h08_h09_what_proxies_and_browsers_send_is_refused() {
    let server = running(LIMITS, 8);
    for header in [
        "X-Forwarded-For",
        "FORWARDED",
        "via",
        "x-ReAl-iP",
        "Origin",
        "Sec-Fetch-Site",
        "sec-fetch-mode",
    ] {
        assert_eq!(
            sent(&server, &with(&format!("{header}: x\r\n"))).await,
            Some(403),
            "{header}"
        );
    }
}

#[tokio::test]
async fn h10_bodies_whose_length_can_be_read_in_two_ways_are_refused() {
    let server = running(LIMITS, 8);
    for lines in [
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: 1x\r\n",
    ] {
        let request = format!(
            "POST /phone-home HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\nGET /nocloud/ HTTP/1.1\r\n\r\n"
        );
        let response = asked(&server, WEB2, request.as_bytes()).await;
        assert!(
            matches!(status(&response), Some(400 | 413) | None),
            "{lines}: {response}"
        );
        assert_eq!(
            response.matches("HTTP/1.1 ").count().max(1),
            1,
            "a second request was read: {response}"
        );
    }
    // Both: the chunks count (RFC 9112 section 6.3), the connection is closed, and nothing after them is a request.
    let both = "POST /phone-home HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
                0\r\n\r\nGET /nocloud/user-data HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let response = asked(&server, WEB2, both.as_bytes()).await;
    assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{response}");
    assert!(response.contains("connection: close"), "{response}");
}

#[tokio::test]
async fn h12_a_half_closed_connection_gets_its_whole_answer_and_a_reset_one_is_freed() {
    let server = running(LIMITS, 8);
    let mut stream = connected(&server, WEB1).await;
    let request = "GET /nocloud/user-data HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let whole = to_the_end(stream).await;
    assert!(whole.len() > 1 << 20, "{}", whole.len());
    for _ in 0..200 {
        let mut stream = connected(&server, WEB1).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.set_zero_linger().unwrap();
    }
    assert!(get(&server, WEB1, "/nocloud/meta-data").await.contains("200 OK"));
}

/// Puts another VM at an address.
fn replace(server: &Running, name: &str, address: &str) {
    let before = server.directory.load_full();
    let old = before.vm_at(address.parse().unwrap()).unwrap();
    let mut next = Directory::clone(&before);
    let mac = old.mac;
    next.remove_vm(&old.name.clone());
    next.put_vm(Arc::new(Vm {
        mac,
        ..vm(name, address)
    }));
    server.directory.store(Arc::new(next));
}

#[tokio::test]
async fn h16_a_connection_that_another_vm_opened_is_not_the_new_ones() {
    let server = running(LIMITS, 8);
    let mut stream = connected(&server, WEB2).await;
    let request = b"GET /nocloud/meta-data HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut first = vec![0; 4_096];
    let length = stream.read(&mut first).await.unwrap();
    assert!(String::from_utf8_lossy(&first[..length]).contains("web2.lab"));
    replace(&server, "web3", WEB2);
    stream.write_all(request).await.unwrap();
    let second = to_the_end(stream).await;
    let second = String::from_utf8_lossy(&second);
    assert!(
        second.starts_with("HTTP/1.1 403") && !second.contains("lab"),
        "{second}"
    );
    assert!(
        get(&server, WEB2, "/nocloud/meta-data")
            .await
            .contains("web3.lab")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h17_a_record_that_changes_while_it_is_read_is_the_old_or_the_new_one() {
    let server = running(LIMITS, 4_096);
    let (directory, stop) = (Arc::clone(&server.directory), CancellationToken::new());
    let stopped = stop.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let mut letter = b'a';
        while !stopped.is_cancelled() {
            let before = directory.load_full();
            let web1 = before.vm_named("web1").unwrap();
            let mut next = Directory::clone(&before);
            next.put_vm(Arc::new(Vm {
                user_data: Some(Arc::from(vec![letter; 1 << 19])),
                ..Vm::clone(web1)
            }));
            directory.store(Arc::new(next));
            letter = if letter == b'z' { b'a' } else { letter + 1 };
        }
    });
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let response = get(&server, WEB1, "/nocloud/user-data").await;
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        let first = body.as_bytes()[0];
        assert!(body.bytes().all(|byte| byte == first), "a mixture");
        seen.insert(first);
    }
    stop.cancel();
    writing.await.unwrap();
    assert!(seen.len() > 2, "{seen:?}");
}

#[tokio::test]
async fn h18_user_data_is_sent_octet_by_octet_with_its_length() {
    let server = running(LIMITS, 8);
    let gzip = [&[0x1f, 0x8b, 8, 0][..], &[0xff; 1_000]].concat();
    for body in [
        Vec::new(),
        vec![b'x'; 16 << 10],
        (0..1 << 20)
            .map(|index: u32| index.to_le_bytes()[0] ^ index.to_le_bytes()[1])
            .collect(),
        gzip,
        b"#!/bin/sh\r\necho 1\r\n".to_vec(),
    ] {
        let before = server.directory.load_full();
        let web1 = before.vm_named("web1").unwrap();
        let mut next = Directory::clone(&before);
        let user_data = Some(Arc::from(body.clone()));
        next.put_vm(Arc::new(Vm {
            user_data,
            ..Vm::clone(web1)
        }));
        server.directory.store(Arc::new(next));
        for path in [
            "/nocloud/user-data",
            "/openstack/latest/user_data",
            "/latest/user-data",
        ] {
            let mut stream = connected(&server, WEB1).await;
            let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let response = to_the_end(stream).await;
            let end = response.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            assert_eq!(&response[end + 4..], body, "{path}");
            let head = String::from_utf8_lossy(&response[..end]).into_owned();
            assert!(
                head.contains(&format!("content-length: {}", body.len())),
                "{head}"
            );
        }
    }
}

/// The ways to ask that name somebody else.
fn swaps() -> impl Strategy<Value = String> {
    let paths = prop_oneof![
        Just("/nocloud/meta-data"),
        Just("/nocloud/user-data"),
        Just("/openstack/latest/meta_data.json"),
        Just("/latest/meta-data/hostname"),
        Just("/nocloud/web2/meta-data"),
        Just("/web2/nocloud/meta-data"),
        Just("/nocloud/meta-data?vm=web2&ip=127.0.0.3"),
        Just("/nocloud/127.0.0.3/meta-data"),
    ];
    let headers = prop_oneof![
        Just(""),
        Just("X-Client-IP: 127.0.0.3\r\n"),
        Just("X-Instance-ID: web2\r\n"),
        Just("X-aws-ec2-metadata-token: 00\r\n"),
        Just("Forwarded-For: 127.0.0.3\r\n"),
        Just("True-Client-IP: 127.0.0.3\r\n"),
        Just("Cookie: vm=web2\r\n"),
        Just("Authorization: Basic d2ViMjo=\r\n"),
    ];
    let hosts = prop_oneof![
        Just("127.0.0.1"),
        Just("169.254.169.254"),
        Just("127.0.0.3"),
        Just("web2.lab")
    ];
    (paths, headers, hosts).prop_map(|(path, header, host)| {
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{header}Connection: close\r\n\r\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn h20_nothing_in_a_request_makes_one_vm_read_another(request in swaps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = running(LIMITS, 64);
            let (one, two) = tokio::join!(
                asked(&server, WEB1, request.as_bytes()),
                asked(&server, WEB2, request.as_bytes())
            );
            let two_says_one = two.contains("web1") || two.contains("####");
            assert!(!one.contains("web2") && !two_says_one, "{request}");
        });
    }
}
