//! `image add` of URLs and of packed files: what it fetches, what it says, and what it leaves.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use seedbed::control::{Answer, ImageRequest, Request};
use sha2::{Digest as _, Sha256, Sha512};

use crate::fake::{Fake, Run, image, seedbed};

/// A server on the loopback with one file, which tells what it was asked for.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// It sends the first `most` bytes of the first reply, and then nothing, without an end.
    fn new(file: Vec<u8>, most: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let first = seen.lock().unwrap().is_empty();
                held.push(answer(
                    stream.unwrap(),
                    &file,
                    if first { most } else { usize::MAX },
                    &seen,
                ));
            }
        });
        Self { port, asked }
    }

    fn of(file: Vec<u8>) -> Self {
        Self::new(file, usize::MAX)
    }

    fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/pub/{name}", self.port)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, file: &[u8], most: usize, seen: &Mutex<Vec<String>>) -> TcpStream {
    let mut head = String::new();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    while lines.read_line(&mut head).unwrap() > 2 {}
    let first: usize = head
        .split_once("range: bytes=")
        .and_then(|(_, rest)| rest.split_once('-')?.0.parse().ok())
        .unwrap_or(0);
    seen.lock().unwrap().push(head);
    let (total, rest) = (file.len(), &file[first..]);
    let mut text = String::from(if first > 0 {
        "HTTP/1.1 206 Partial Content\r\n"
    } else {
        "HTTP/1.1 200 OK\r\n"
    });
    if first > 0 {
        write!(text, "Content-Range: bytes {first}-{}/{total}\r\n", total - 1).unwrap();
    }
    write!(text, "ETag: \"1\"\r\nContent-Length: {}\r\n\r\n", rest.len()).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.write_all(&rest[..most.min(rest.len())]).ok();
    stream
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A daemon that keeps a copy of the disk file it is given.
fn daemon() -> (Fake, Arc<Mutex<Vec<Vec<u8>>>>) {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let copies = Arc::clone(&taken);
    let fake = Fake::new(move |request, _| {
        match request {
            Request::Image(ImageRequest::Add(add)) => {
                copies.lock().unwrap().push(std::fs::read(&add.file).unwrap());
            }
            _ => return Ok(Answer::Images(vec![image("debian-12")])),
        }
        Ok(Answer::Images(vec![image("tiny")]))
    });
    (fake, taken)
}

fn add(fake: &Fake, source: &str, options: &[&str]) -> Command {
    let mut command = fake.command(&["image", "add", "tiny", source]);
    command
        .arg("--cache")
        .arg(fake.directory().join("cache"))
        .args(options);
    command
}

/// The files in the cache.
fn cached(fake: &Fake) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![fake.directory().join("cache")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                names.push(entry.file_name().into_string().unwrap());
            }
        }
    }
    names.sort();
    names
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(content).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_packed_url_is_fetched_checked_unpacked_and_kept() {
    let (fake, taken) = daemon();
    let disk = vec![7; 300_000];
    let packed = gzip(&disk);
    let server = Server::of(packed.clone());
    let (url, sum) = (server.url("disk.raw.gz"), sha256(&packed));
    let run = Run::of(add(&fake, &url, &["--sha256", &sum]));
    assert_eq!(run.code, 0, "{run:#?}");
    for stage in [
        "tiny: downloading, 100 %",
        "tiny: checking, 100 %",
        "tiny: unpacking, 100 %",
    ] {
        assert!(run.stderr.contains(stage), "{run:#?}");
    }
    assert_eq!(*taken.lock().unwrap(), std::slice::from_ref(&disk));
    assert_eq!(cached(&fake), ["disk.raw.gz"]);

    let again = Run::of(add(&fake, &url, &["--sha256", &sum]));
    assert!(
        again.stderr.contains("tiny: using the download of before\n"),
        "{again:#?}"
    );
    assert_eq!(server.asked().len(), 1);
    assert_eq!(*taken.lock().unwrap(), [disk.clone(), disk]);
    match fake.requests().last() {
        Some(Request::Image(ImageRequest::Add(add))) => assert_eq!(add.format, "raw"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn lists_of_checksums_are_understood() {
    let (fake, taken) = daemon();
    let disk = vec![7; 1_000];
    let server = Server::of(disk.clone());
    let list = fake.directory().join("CHECKSUM");
    for text in [
        format!("{}  other.raw\n{}  disk.raw\n", sha256(b"x"), sha256(&disk)),
        format!("# signed\nSHA512 (disk.raw) = {}\n", hex(&Sha512::digest(&disk))),
    ] {
        std::fs::write(&list, text).unwrap();
        Run::of(add(
            &fake,
            &server.url("disk.raw"),
            &["--checksum-file", list.to_str().unwrap()],
        ))
        .answer();
    }
    assert_eq!(taken.lock().unwrap().len(), 2);
    let other = Run::of(add(
        &fake,
        &server.url("new.raw"),
        &["--checksum-file", list.to_str().unwrap()],
    ));
    assert_eq!(
        (other.code, other.stderr),
        (
            1,
            format!(
                "error: {} does not say what is right: it does not name new.raw\n",
                list.display()
            )
        )
    );
}

#[test]
fn a_list_comes_by_url_too() {
    let (fake, taken) = daemon();
    let disk = vec![7; 1_000];
    let list = Server::of(format!("{} *disk.raw\n", sha256(&disk)).into_bytes());
    let server = Server::of(disk);
    let options = ["--insecure-http", "--checksum-file", &list.url("SHA256SUMS")];
    Run::of(add(&fake, &server.url("disk.raw"), &options)).answer();
    assert_eq!(taken.lock().unwrap().len(), 1);
}

#[test]
fn a_wrong_file_is_removed_and_both_checksums_are_told() {
    let (fake, taken) = daemon();
    let disk = vec![7; 1_000];
    let server = Server::of(disk.clone());
    let (url, wrong) = (server.url("disk.raw"), "0".repeat(64));
    let run = Run::of(add(&fake, &url, &["--sha256", &wrong, "--quiet"]));
    assert_eq!(run.code, 1);
    assert_eq!(
        run.stderr,
        format!(
            "error: {url} is not the file that was meant: its SHA-256 is another\n  \
             it should be {wrong}\n  \
             it is        {}\n\
             hint: it is removed. It was changed on the way or on its server, or the checksum is that of another release: \
             compare it with the published one, and run the command again\n",
            sha256(&disk)
        )
    );
    assert_eq!(cached(&fake), [""; 0]);
    assert!(taken.lock().unwrap().is_empty());

    // A file of the user's own stays.
    let own = fake.directory().join("own.raw");
    std::fs::write(&own, &disk).unwrap();
    let run = Run::of(add(&fake, own.to_str().unwrap(), &["--sha256", &wrong]));
    assert!(run.code == 1 && run.stderr.contains(&wrong), "{run:#?}");
    assert!(own.exists());
}

#[test]
fn a_command_that_is_killed_half_way_leaves_a_part_that_the_next_one_goes_on_with() {
    let (fake, taken) = daemon();
    let disk: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let server = Server::new(disk.clone(), 500_000);
    let (url, sum) = (server.url("disk.raw"), sha256(&disk));
    let mut killed = add(&fake, &url, &["--sha256", &sum])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Told after the bytes are in the file.
    let mut said = BufReader::new(killed.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(said.any(|line| line.starts_with("tiny: downloading, 60 %")));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(cached(&fake), ["part", "part.json"]);
    assert!(taken.lock().unwrap().is_empty());

    let run = Run::of(add(&fake, &url, &["--sha256", &sum]));
    assert_eq!(run.code, 0, "{run:#?}");
    let last = server.asked().pop().unwrap();
    assert!(
        last.contains("range: bytes=500000-\r\n") && last.contains("if-range: \"1\"\r\n"),
        "{last}"
    );
    assert!(!run.stderr.contains("from the start"), "{run:#?}");
    assert_eq!(*taken.lock().unwrap(), [disk]);
    assert_eq!(cached(&fake), ["disk.raw"]);
}

#[test]
fn a_packed_file_of_this_host_is_unpacked_and_nothing_is_kept() {
    let (fake, taken) = daemon();
    let packed = fake.directory().join("disk.img.gz");
    std::fs::write(&packed, gzip(b"sectors")).unwrap();
    let path = packed.to_str().unwrap();
    let undeclared = Run::of(add(&fake, path, &[]));
    assert!(
        undeclared.code == 2
            && undeclared
                .stderr
                .contains("the name of disk.img does not say its format"),
        "{undeclared:#?}"
    );
    Run::of(add(&fake, path, &["--disk-format", "raw"])).answer();
    assert_eq!(*taken.lock().unwrap(), [b"sectors"]);
    assert_eq!(cached(&fake), [""; 0]);

    std::fs::write(&packed, "no gzip at all").unwrap();
    let broken = Run::of(add(&fake, path, &["--disk-format", "raw"]));
    assert_eq!(broken.code, 1);
    assert!(
        broken.stderr.contains("can not be unpacked, as gzip by its name"),
        "{broken:#?}"
    );
    assert_eq!((taken.lock().unwrap().len(), cached(&fake)), (1, Vec::new()));
}

#[test]
fn what_nothing_vouches_for_is_not_taken_over_http() {
    let (fake, taken) = daemon();
    let server = Server::of(b"sectors".to_vec());
    let url = server.url("disk.raw");
    let refused = Run::of(add(&fake, &url, &[]));
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (
            1,
            "error: anyone on the way could change disk.raw: it comes over http, and without a checksum\n\
             hint: give --sha256, or --checksum-file with the list that is published beside it; or use https. \
             --insecure-http takes it as it comes\n"
        )
    );
    let list = Run::of(add(&fake, &url, &["--checksum-file", &server.url("SHA256SUMS")]));
    assert!(
        list.code == 1 && list.stderr.contains("list of checksums: it comes over http"),
        "{list:#?}"
    );
    assert_eq!(server.asked(), [""; 0]);
    let taken_anyway = Run::of(add(&fake, &url, &["--insecure-http"]));
    assert_eq!(taken_anyway.code, 0, "{taken_anyway:#?}");
    assert!(
        taken_anyway
            .stderr
            .starts_with("warning: nothing but its server says that disk.raw is the right file"),
        "{taken_anyway:#?}"
    );
    assert_eq!(taken.lock().unwrap().len(), 1);
}

#[test]
fn a_command_line_that_makes_no_sense_fetches_nothing() {
    let (fake, _) = daemon();
    for (source, options, says) in [
        ("ftp://127.0.0.1/disk.raw", &[][..], "nothing is fetched by ftp"),
        ("https://127.0.0.1:x/disk.raw", &[], "is not a URL"),
        ("https://127.0.0.1:9/disk.img", &[], "does not say its format"),
        ("https://127.0.0.1:9/disk.tar.xz", &[], "disk.tar is an archive"),
        ("https://127.0.0.1:9/disk.ova", &[], "disk.ova is an archive"),
        (
            "https://127.0.0.1:9/disk.raw",
            &["--sha256", "abc"],
            "--sha256 is no checksum",
        ),
        (
            "https://127.0.0.1:9/disk.raw",
            &["--sha256", "", "--checksum-file", "x"],
            "cannot be used with",
        ),
    ] {
        let run = Run::of(add(&fake, source, options));
        assert!(
            run.code == 2 && run.stderr.contains(says),
            "{source} {options:?}: {run:#?}"
        );
    }
    assert_eq!(cached(&fake), [""; 0]);
}

#[test]
fn nothing_is_fetched_for_a_name_that_is_taken() {
    let (fake, taken) = daemon();
    let server = Server::of(b"sectors".to_vec());
    let (url, sum) = (server.url("disk.raw"), sha256(b"sectors"));
    let run = |more: &[&str]| {
        let mut command = fake.command(&["image", "add", "debian-12", &url, "--sha256", &sum, "--cache"]);
        command.arg(fake.directory().join("cache")).args(more);
        Run::of(command)
    };
    let refused = run(&[]);
    assert!(
        refused.code == 1 && refused.stderr.contains("--next"),
        "{refused:#?}"
    );
    assert_eq!(server.asked(), [""; 0]);
    run(&["--next"]).answer();
    assert_eq!(taken.lock().unwrap().len(), 1);
}

#[test]
fn nothing_is_fetched_for_a_daemon_that_is_not_there() {
    let server = Server::of(b"sectors".to_vec());
    let directory = tempfile::tempdir().unwrap();
    let (url, sum) = (server.url("disk.raw"), sha256(b"sectors"));
    let run = Run::of(seedbed(
        directory.path(),
        &["image", "add", "x", &url, "--sha256", &sum],
    ));
    assert_eq!(run.code, 75, "{run:#?}");
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn a_host_that_is_not_there_and_a_file_that_is_not_there_are_told() {
    let (fake, _) = daemon();
    let sum = sha256(b"");
    let gone = Run::of(add(&fake, "http://127.0.0.1:9/disk.raw", &["--sha256", &sum]));
    assert_eq!(gone.code, 1);
    assert!(
        gone.stderr
            .starts_with("error: can not download http://127.0.0.1:9/disk.raw: ")
            && gone.stderr.contains("https_proxy"),
        "{gone:#?}"
    );
    let missing = Run::of(add(&fake, "/nowhere/disk.raw.xz", &[]));
    assert!(
        missing.code == 3 && missing.stderr.contains("can not find /nowhere/disk.raw.xz"),
        "{missing:#?}"
    );
}

#[test]
fn a_proxy_of_the_environment_is_asked() {
    let (fake, _) = daemon();
    let disk = b"sectors".to_vec();
    let sum = sha256(&disk);
    let proxy = Server::of(disk);
    let mut command = add(&fake, "http://images.example/disk.raw", &["--sha256", &sum]);
    command.env("http_proxy", format!("http://127.0.0.1:{}", proxy.port));
    Run::of(command).answer();
    let asked = proxy.asked();
    assert!(
        asked[0].starts_with("GET http://images.example/disk.raw HTTP/1.1\r\n"),
        "{asked:?}"
    );
    // And not where it is not to be.
    let mut command = add(&fake, "http://127.0.0.1:9/disk.raw", &["--sha256", &sum]);
    command
        .env("http_proxy", format!("http://127.0.0.1:{}", proxy.port))
        .env("no_proxy", "127.0.0.1");
    assert_eq!(Run::of(command).code, 1);
    assert_eq!(proxy.asked().len(), 1);
}
