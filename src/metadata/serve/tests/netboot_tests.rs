//! The files of network boots on a real loopback socket.

use super::*;

/// A state directory with a kernel of `len` octets, each other than its neighbours, and a loader.
fn state(len: usize) -> (tempfile::TempDir, Vec<u8>) {
    let state = tempfile::tempdir().unwrap();
    let places = Places::new(state.path(), "/nonexistent");
    let image = examples::image().id;
    std::fs::create_dir_all(places.image(&image)).unwrap();
    std::fs::create_dir_all(places.boot_files()).unwrap();
    let kernel: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
    std::fs::write(places.image_kernel(&image), &kernel).unwrap();
    std::fs::write(places.boot_files().join("ipxe.efi"), b"MZ loader").unwrap();
    (state, kernel)
}

/// Status line and headers, and the body as it came.
async fn fetched(server: &Running, method: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = connected(server, WEB2).await;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let bytes = to_the_end(stream).await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    (
        String::from_utf8(bytes[..end].to_vec()).unwrap(),
        bytes[end..].to_vec(),
    )
}

#[tokio::test]
async fn a_boot_file_is_sent_whole_in_part_or_by_its_length() {
    let (state, kernel) = state(3_000_001);
    let mut server = booting(LIMITS, 8, state.path());
    let (head, body) = fetched(&server, "GET", "/boot/kernel", "").await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("content-length: 3000001\r\n"),
        "{head}"
    );
    assert!(body == kernel, "{} octets came", body.len());
    let event = server.events.recv().await.unwrap();
    assert_eq!(event.kind, EventKind::BootFetched { part: "kernel" });

    let (head, body) = fetched(&server, "HEAD", "/boot/kernel", "Range: bytes=0-1\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("content-length: 3000001\r\n"),
        "{head}"
    );
    assert!(
        head.contains("accept-ranges: bytes\r\n") && body.is_empty(),
        "{head}"
    );

    for (range, first, last) in [
        ("bytes=5-70000", 5, 70_000),
        ("bytes=2999990-", 2_999_990, 3_000_000),
        ("bytes=-1", 3_000_000, 3_000_000),
    ] {
        let (head, body) = fetched(&server, "GET", "/boot/kernel", &format!("Range: {range}\r\n")).await;
        assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
        assert!(
            head.contains(&format!("content-range: bytes {first}-{last}/3000001\r\n")),
            "{head}"
        );
        assert_eq!(body, kernel[first..=last], "{range}");
    }
    let (head, body) = fetched(&server, "GET", "/boot/kernel", "Range: bytes=3000001-\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 416 ") && head.contains("content-range: bytes */3000001\r\n"),
        "{head}"
    );
    assert!(body.is_empty());
    let (head, body) = fetched(
        &server,
        "GET",
        "/boot/kernel",
        "Range: bytes=0-1\r\nIf-Range: \"v1\"\r\n",
    )
    .await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body.len() == kernel.len(),
        "{head}"
    );
    // Parts, lengths and refusals are no fetches; the last one was whole.
    assert!(matches!(
        server.events.recv().await.unwrap().kind,
        EventKind::BootFetched { .. }
    ));
    server.events.try_recv().unwrap_err();
}

#[tokio::test]
async fn a_boot_file_that_is_missing_or_leads_elsewhere_is_404() {
    let (state, _) = state(1);
    let boot = Places::new(state.path(), "/nonexistent").boot_files();
    std::os::unix::fs::symlink("/etc/passwd", boot.join("link.efi")).unwrap();
    std::fs::create_dir(boot.join("folder")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        boot.join("fifo"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let server = booting(LIMITS, 8, state.path());
    let (head, body) = fetched(&server, "GET", "/boot/ipxe.efi", "").await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body == b"MZ loader",
        "{head}"
    );
    for path in [
        "/boot/initrd",
        "/boot/none.efi",
        "/boot/link.efi",
        "/boot/folder",
        "/boot/fifo",
        "/boot/..%2fregistry.redb",
    ] {
        let (head, body) = fetched(&server, "GET", path, "").await;
        assert!(
            head.starts_with("HTTP/1.1 404 ") || head.starts_with("HTTP/1.1 400 "),
            "{path}: {head}"
        );
        assert!(!body.starts_with(b"root:"), "{path}");
    }
    let stranger = get(&server, STRANGER, "/boot/kernel").await;
    assert!(stranger.starts_with("HTTP/1.1 404"), "{stranger}");
}

#[tokio::test]
async fn a_guest_that_stops_reading_a_file_is_cut_and_a_slow_one_is_not() {
    let (state, kernel) = state(5 << 20);
    let limits = Limits {
        header: PATIENCE,
        request: PATIENCE,
        connection: Duration::from_millis(700),
        ..LIMITS
    };
    let server = booting(limits, 8, state.path());
    let request = b"GET /boot/kernel HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let mut stalled = connected(&server, WEB1).await;
    stalled.write_all(request).await.unwrap();
    // It takes several times the limit in all, and never as long between two pieces.
    let mut slow = connected(&server, WEB2).await;
    slow.write_all(request).await.unwrap();
    let (mut taken, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        let count = timeout(PATIENCE, slow.read(&mut buffer)).await.unwrap().unwrap();
        if count == 0 {
            break;
        }
        taken += count;
        sleep(Duration::from_millis(2)).await;
    }
    assert!(taken > kernel.len(), "{taken}");
    assert!(to_the_end(stalled).await.len() < kernel.len());
}

#[tokio::test]
async fn one_guest_is_sent_few_files_at_a_time_and_the_others_are_sent_theirs() {
    let (state, kernel) = state(12 << 20);
    let server = booting(LIMITS, 8, state.path());
    let request = b"GET /boot/kernel HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = connected(&server, WEB1).await;
        stream.write_all(request).await.unwrap();
        // Its answer has begun, so it has its place.
        stream.read_exact(&mut [0; 12]).await.unwrap();
        held.push(stream);
    }
    let fifth = asked(&server, WEB1, request).await;
    assert!(
        fifth.starts_with("HTTP/1.1 503") && fifth.contains("retry-after"),
        "{fifth}"
    );
    let (head, body) = fetched(&server, "GET", "/boot/kernel", "").await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body.len() == kernel.len(),
        "{head}"
    );
}
