//! Downloads from servers that cut, lie, change their mind, or say no.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::client::Patience;
use super::*;

const FILE: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// What a server does with its so many-th request, from 0: the bytes it sends before it closes the connection, or none, to
/// keep silent.
type Script = dyn Fn(usize, &str) -> Option<Vec<u8>> + Send + Sync;

struct Lab {
    cache: TempDir,
    url: Url,
    heads: Arc<Mutex<Vec<String>>>,
}

/// What came of a download.
struct Outcome {
    result: Result<Vec<u8>, DownloadError>,
    events: Vec<Event>,
}

impl Lab {
    async fn new(script: impl Fn(usize, &str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        drop(tokio::spawn(serve(
            listener,
            Arc::new(script),
            Arc::clone(&heads),
        )));
        Self {
            cache: tempfile::tempdir().unwrap(),
            url: format!("http://127.0.0.1:{port}/pub/x.raw?token=secret")
                .parse()
                .unwrap(),
            heads,
        }
    }

    async fn download(&self) -> Outcome {
        self.download_as(true).await
    }

    async fn download_as(&self, checked: bool) -> Outcome {
        let patience = Patience {
            silence: Duration::from_millis(300),
            pause: Duration::from_millis(1),
            tries: 3,
            ..Patience::USUAL
        };
        let entry = Entry::open(self.cache.path(), self.url.as_str(), "x.raw").unwrap();
        let mut events = Vec::new();
        let download = Download {
            url: &self.url,
            entry: &entry,
            client: &Client::new(true, patience).unwrap(),
            checked,
        };
        let result = download.run(&mut |event| events.push(event)).await;
        Outcome {
            result: result.map(|()| fs::read(entry.kept()).unwrap()),
            events,
        }
    }

    fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for entry in fs::read_dir(self.cache.path().join("downloads"))
            .into_iter()
            .flatten()
        {
            left.extend(names(&entry.unwrap().path()));
        }
        left
    }
}

impl Outcome {
    fn error(self) -> String {
        self.result.unwrap_err().to_string()
    }

    fn anews(&self) -> usize {
        self.events.iter().filter(|event| **event == Event::Anew).count()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn serve(listener: TcpListener, script: Arc<Script>, heads: Arc<Mutex<Vec<String>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { break };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let number = {
            let mut heads = heads.lock().unwrap();
            heads.push(head.clone());
            heads.len() - 1
        };
        match script(number, &head) {
            Some(bytes) => drop(stream.write_all(&bytes).await),
            None => drop(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                drop(stream);
            })),
        }
    }
}

/// The position that a request wants to go on from.
fn wanted(head: &str) -> Option<usize> {
    let (_, rest) = head.split_once("range: bytes=")?;
    rest.split_once('-')?.0.parse().ok()
}

#[expect(clippy::unnecessary_wraps, reason = "a script may also say nothing")]
fn reply(status: &str, headers: &str, body: &[u8]) -> Option<Vec<u8>> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    Some([head.as_bytes(), body].concat())
}

/// The whole of `file` with a tag, of which only the first `most` bytes are sent.
fn whole(file: &[u8], tag: &str, most: usize) -> Option<Vec<u8>> {
    let headers = format!("Content-Length: {}\r\nETag: {tag}\r\n", file.len());
    reply("200 OK", &headers, &file[..most.min(file.len())])
}

/// What a good server sends: the rest, if its tag is the one that is asked for, else all; at most so many bytes of it.
fn good(file: &[u8], tag: &str, head: &str, most: usize) -> Option<Vec<u8>> {
    let Some(first) = wanted(head).filter(|_| head.contains(&format!("if-range: {tag}\r\n"))) else {
        return whole(file, tag, most);
    };
    let total = file.len();
    if first >= total {
        return reply(
            "416 Range Not Satisfiable",
            &format!("Content-Range: bytes */{total}\r\n"),
            b"",
        );
    }
    let headers = format!(
        "Content-Range: bytes {first}-{}/{total}\r\nContent-Length: {}\r\nETag: {tag}\r\n",
        total - 1,
        total - first
    );
    reply(
        "206 Partial Content",
        &headers,
        &file[first..(first + most).min(total)],
    )
}

#[tokio::test]
async fn a_server_that_cuts_the_connection_is_asked_for_the_rest() {
    let lab = Lab::new(|_, head| good(FILE, "\"1\"", head, 10)).await;
    let outcome = lab.download().await;
    assert_eq!(outcome.anews(), 0, "{:?}", outcome.events);
    assert_eq!(outcome.result.unwrap(), FILE);
    assert_eq!(lab.requests(), 4);
    assert_eq!(lab.left(), ["x.raw"]);
}

#[tokio::test]
async fn a_server_that_keeps_silent_half_way_is_asked_for_the_rest() {
    let lab = Lab::new(|number, head| match number {
        0 => whole(FILE, "\"1\"", 10),
        1 => None,
        _ => good(FILE, "\"1\"", head, 100),
    })
    .await;
    let outcome = lab.download().await;
    let silent = |event: &Event| matches!(event, Event::Pause(why, _) if why.contains("says nothing"));
    assert!(outcome.events.iter().any(silent), "{:?}", outcome.events);
    assert_eq!(outcome.result.unwrap(), FILE);
}

#[tokio::test]
async fn a_server_that_never_sends_more_is_given_up_and_the_part_is_kept_for_the_next_command() {
    let lab = Lab::new(|number, head| {
        good(
            FILE,
            "\"1\"",
            head,
            if number == 0 {
                7
            } else if number < 9 {
                0
            } else {
                99
            },
        )
    })
    .await;
    let error = lab.download().await.error();
    assert!(error.ends_with("4 times; 7B of it is kept"), "{error}");
    assert_eq!(lab.left(), ["part", "part.json"]);
    let outcome = loop {
        let outcome = lab.download().await;
        if outcome.result.is_ok() {
            break outcome;
        }
    };
    assert_eq!(outcome.events[0], Event::Have(7, Some(36)));
    assert_eq!(outcome.result.unwrap(), FILE);
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_begun_anew() {
    let other: &[u8] = b"another file altogether, and of another length";
    let lab = Lab::new(move |number, head| match number {
        0 => whole(FILE, "\"1\"", 10),
        _ => good(other, "\"2\"", head, 100),
    })
    .await;
    let outcome = lab.download().await;
    assert_eq!(outcome.anews(), 1);
    assert_eq!(outcome.result.unwrap(), other);
}

#[tokio::test]
async fn a_server_that_sends_another_rest_than_was_asked_for_is_asked_for_all() {
    for range in ["bytes 0-35/36", "bytes 11-35/36", "bytes 10-20/36", "bytes x"] {
        let lab = Lab::new(move |number, head| match (number, wanted(head)) {
            (0, _) => whole(FILE, "\"1\"", 10),
            (_, Some(_)) => reply(
                "206 Partial Content",
                &format!("Content-Range: {range}\r\nContent-Length: 26\r\nETag: \"1\"\r\n"),
                &FILE[10..],
            ),
            (_, None) => whole(FILE, "\"1\"", 100),
        })
        .await;
        let outcome = lab.download().await;
        assert_eq!(outcome.anews(), 1, "{range}");
        assert_eq!(outcome.result.unwrap(), FILE, "{range}");
    }
}

#[tokio::test]
async fn a_server_that_can_not_send_a_rest_is_asked_for_all_a_few_times() {
    // Without a tag or date nothing says that a rest is of the same file: it is not even asked for.
    let plain = |most: usize| reply("200 OK", "Content-Length: 36\r\n", &FILE[..most]);
    let lab = Lab::new(move |number, head| {
        assert_eq!(wanted(head), None);
        plain(if number < 2 { 10 } else { 36 })
    })
    .await;
    assert_eq!(lab.download().await.result.unwrap(), FILE);
    // One that ignores the range sends all.
    let lab = Lab::new(|number, _| whole(FILE, "\"1\"", if number < 2 { 10 } else { 36 })).await;
    assert_eq!(lab.download().await.result.unwrap(), FILE);
    let lab = Lab::new(move |_, _| plain(10)).await;
    let error = lab.download().await.error();
    assert!(error.contains("4 times"), "{error}");
    assert_eq!(lab.requests(), 4);
}

#[tokio::test]
async fn what_was_whole_before_a_kill_is_not_fetched_again() {
    let lab = Lab::new(|_, head| good(FILE, "\"1\"", head, 100)).await;
    let entry = Entry::open(lab.cache.path(), lab.url.as_str(), "x.raw").unwrap();
    let mut part = entry.part().unwrap();
    let version = super::super::reply::Version {
        etag: Some("\"1\"".to_owned()),
        last_modified: None,
    };
    part.begin(version).unwrap();
    part.append(FILE).unwrap();
    drop(part);
    drop(entry);
    let outcome = lab.download().await;
    assert_eq!((outcome.anews(), outcome.events.len()), (0, 0));
    assert_eq!(outcome.result.unwrap(), FILE);
}

#[tokio::test]
async fn a_no_is_final_and_leaves_nothing() {
    for (status, says) in [
        ("404 Not Found", "the server answers 404 Not Found"),
        ("403 Forbidden", "the server answers 403 Forbidden"),
        (
            "416 Range Not Satisfiable",
            "the server answers 416 Range Not Satisfiable",
        ),
        ("204 No Content", "the server answers 204 No Content"),
    ] {
        let lab = Lab::new(move |_, _| reply(status, "Content-Length: 0\r\n", b"")).await;
        assert_eq!(lab.download().await.error(), says);
        assert_eq!(lab.requests(), 1, "{status}");
        assert_eq!(lab.left(), [""; 0], "{status}");
    }
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_again() {
    let lab = Lab::new(|number, head| match number {
        0 | 1 => reply(
            "503 Service Unavailable",
            "Content-Length: 0\r\nRetry-After: 0\r\n",
            b"",
        ),
        _ => good(FILE, "\"1\"", head, 100),
    })
    .await;
    assert_eq!(lab.download().await.result.unwrap(), FILE);
    let lab = Lab::new(|_, _| reply("502 Bad Gateway", "Content-Length: 0\r\n", b"")).await;
    let error = lab.download().await.error();
    assert_eq!(
        error,
        "the server answers 502 Bad Gateway, 4 times; 0B of it is kept"
    );
}

#[tokio::test]
async fn lengths_that_lie_bring_no_wrong_file() {
    // Less than it sends: only so much is taken, and the checksum tells.
    let lab = Lab::new(|_, _| reply("200 OK", "Content-Length: 10\r\nETag: \"1\"\r\n", FILE)).await;
    assert_eq!(lab.download().await.result.unwrap(), &FILE[..10]);
    // More than fits.
    let lab = Lab::new(|_, _| reply("200 OK", "Content-Length: 9000000000000\r\n", FILE)).await;
    let error = lab.download().await.error();
    assert!(error.contains("there is no room for"), "{error}");
    assert_eq!(lab.left(), [""; 0]);
    // More than any disk.
    let lab = Lab::new(|_, _| reply("200 OK", "Content-Length: 900000000000000000\r\n", FILE)).await;
    assert!(lab.download().await.error().contains("64 TiB"));
    // In chunks, more than the rest that it announced.
    let lab = Lab::new(|number, head| match (number, wanted(head)) {
        (0, _) => whole(FILE, "\"1\"", 30),
        _ => reply(
            "206 Partial Content",
            "Content-Range: bytes 30-35/36\r\nTransfer-Encoding: chunked\r\n",
            b"a\r\n0123456789\r\n0\r\n\r\n",
        ),
    })
    .await;
    assert_eq!(lab.download().await.error(), "the server sends more than it said");
}

#[tokio::test]
async fn a_file_whose_end_nothing_marks_is_taken_with_a_checksum_only() {
    let lab = Lab::new(|_, _| reply("200 OK", "", FILE)).await;
    let error = lab.download_as(false).await.error();
    assert!(error.contains("does not say how long the file is"), "{error}");
    assert_eq!(lab.download_as(true).await.result.unwrap(), FILE);
    let chunked = |body: &'static [u8]| {
        move |_: usize, _: &str| reply("200 OK", "Transfer-Encoding: chunked\r\n", body)
    };
    let lab = Lab::new(chunked(b"3\r\nabc\r\n0\r\n\r\n")).await;
    assert_eq!(lab.download_as(false).await.result.unwrap(), b"abc");
    let lab = Lab::new(chunked(b"3\r\nabc\r\n")).await;
    let error = lab.download_as(false).await.error();
    assert!(error.contains("4 times"), "{error}");
    let lab = Lab::new(|_, _| reply("200 OK", "Content-Length: 0\r\n", b"")).await;
    assert_eq!(lab.download().await.error(), "the file is empty");
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    let lab = Lab::new(|number, head| {
        if number < 3 {
            return reply(
                "302 Found",
                &format!("Location: /{number}/x.raw\r\nContent-Length: 0\r\n"),
                b"",
            );
        }
        assert!(head.starts_with("GET /2/x.raw "), "{head}");
        good(FILE, "\"1\"", head, 100)
    })
    .await;
    assert_eq!(lab.download().await.result.unwrap(), FILE);
    let lab = Lab::new(|_, _| reply("302 Found", "Location: /again\r\nContent-Length: 0\r\n", b"")).await;
    assert_eq!(lab.download().await.error(), "more than 10 redirects");
    assert_eq!(lab.requests(), 11);
    let lab = Lab::new(|_, _| {
        reply(
            "302 Found",
            "Location: file:///etc/shadow\r\nContent-Length: 0\r\n",
            b"",
        )
    })
    .await;
    lab.download().await.error();
}

#[tokio::test]
async fn a_host_that_is_not_there_is_told_at_once_and_never_with_the_urls_secrets() {
    let mut lab = Lab::new(|_, _| None).await;
    // Port 9 (discard, RFC 863) of the loopback: nothing listens there.
    lab.url = "http://ann:hunter2@127.0.0.1:9/x.raw?token=secret"
        .parse()
        .unwrap();
    let outcome = lab.download().await;
    assert_eq!(outcome.events, []);
    let error = outcome.error();
    assert!(error.contains("refused"), "{error}");
    assert!(!error.contains("hunter2") && !error.contains("secret"), "{error}");
}
