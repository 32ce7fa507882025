//! Whatever is posted to the control socket, the daemon lives and answers the next one.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use proptest::prelude::*;
use seedbed::control::Answer;
use serde_json::{Value, json};

use crate::fake::Fake;

fn fake() -> Fake {
    Fake::new(|_, progress| {
        progress.line("web1", "dhcp");
        Ok(Answer::Hello {
            version: "1".to_owned(),
            pid: 7,
        })
    })
}

/// Sends bytes and returns all that comes back until the daemon closes; too late is a failure.
fn exchange(fake: &Fake, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(fake.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The daemon may close before it has read all of what makes no sense.
    drop(stream.write_all(bytes));
    drop(stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer and no end"),
        _ => String::from_utf8_lossy(&answer).into_owned(),
    }
}

fn post(fake: &Fake, body: &[u8]) -> String {
    let mut bytes = format!(
        "POST /v1 HTTP/1.1\r\nhost: seedbed\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    // Not half-closed: the daemon takes that for a client that left.
    let mut stream = UnixStream::connect(fake.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn assert_alive(fake: &Fake) {
    let answer = post(fake, br#"{"verb":"hello"}"#);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(
        answer.contains(r#"{"progress":{"subject":"web1","stage":"dhcp"}}"#),
        "{answer}"
    );
    assert!(
        answer.contains(r#"{"answer":{"hello":{"version":"1","pid":7}}}"#),
        "{answer}"
    );
}

#[test]
fn what_is_no_request_is_refused_with_its_status() {
    let fake = fake();
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#"{"verb":"fly"}"#,
        r#"{"verb":"stop"}"#,
        &"[".repeat(100_000),
    ] {
        let answer = post(&fake, body.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:.20}: {answer}");
        assert!(
            answer.contains(r#"{"refusal":{"fault":"request","message":"#),
            "{body:.20}: {answer}"
        );
    }
    let other = |head: &str| {
        let mut stream = UnixStream::connect(fake.socket()).unwrap();
        let head = format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(other("GET /v1").starts_with("HTTP/1.1 405 "));
    assert!(other("POST /v2").starts_with("HTTP/1.1 404 "));
    assert_alive(&fake);
}

#[test]
fn a_request_larger_than_an_import_may_be_is_refused() {
    let fake = fake();
    let answer = post(&fake, &vec![b' '; (64 << 20) + 1]);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:.200}");
    assert_alive(&fake);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{0,8}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn verb() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "hello",
        "launch",
        "add",
        "import",
        "set",
        "list",
        "start",
        "stop",
        "restart",
        "delete",
        "wait",
        "render",
        "volume",
        "hosts",
        "image-add",
        "image-list",
        "image-delete",
    ])
}

#[test]
fn any_bytes_never_end_it() {
    let fake = fake();
    proptest!(ProptestConfig::with_cases(200), |(bytes in prop::collection::vec(any::<u8>(), 0..600))| {
        exchange(&fake, &bytes);
        exchange(&fake, &[&b"POST /v1 HTTP/1.1\r\n"[..], &bytes].concat());
        let answer = post(&fake, &bytes);
        prop_assert!(answer.starts_with("HTTP/1.1 400 "), "{}", answer);
    });
    assert_alive(&fake);
}

#[test]
fn any_json_never_ends_it() {
    let fake = fake();
    proptest!(ProptestConfig::with_cases(200), |(verb in verb(), field in any_json(), names in any_json())| {
        let mut request = json!({ "verb": verb, "names": names, "rows": field.clone(), "force": true });
        if let (Value::Object(request), Value::Object(more)) = (&mut request, &field) {
            request.extend(more.clone());
        }
        for body in [&request, &field] {
            let answer = post(&fake, body.to_string().as_bytes());
            prop_assert!(
                answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 400 "),
                "{}", answer
            );
        }
    });
    assert_alive(&fake);
}
