//! L11: a QEMU that its guest took over says anything, in any rhythm. Whatever it does, who asks it is done in time.

use super::tests::me;
use super::*;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;
use tokio::time::{Instant, sleep};

/// What the tests wait for an answer instead of [`PATIENCE`].
const SHORT: Duration = Duration::from_millis(300);
/// What must have happened by then: the connection and its first command, each within `SHORT`, on a busy machine.
const LATE: Duration = Duration::from_secs(5);
const HELLO: &[u8] = b"{\"QMP\":{}}\n{\"return\":{},\"id\":1}\n";

/// A hostile QEMU: what it does with whoever connects.
async fn against<F>(act: impl FnOnce(UnixStream) -> F) -> QmpError
where
    F: Future<Output = ()> + Send + 'static,
{
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("qmp");
    let listener = UnixListener::bind(&path).unwrap();
    let begun = Instant::now();
    let asked = tokio::spawn(async move {
        let mut qmp = Qmp::connect_within(&path, me(), SHORT).await?;
        qmp.execute("query-status").await
    });
    let (stream, _) = listener.accept().await.unwrap();
    let acting = tokio::spawn(act(stream));
    let error = asked.await.unwrap().unwrap_err();
    acting.abort();
    assert!(begun.elapsed() < LATE, "{error} came after {:?}", begun.elapsed());
    // It is told in few words, and none of them moves a terminal.
    let text = error.to_string();
    assert!(text.len() < 400 && !text.chars().any(char::is_control), "{text}");
    error
}

async fn say(stream: &mut UnixStream, bytes: &[u8]) {
    // Who is not listened to any more has failed, and that is what is wanted of it.
    stream.write_all(bytes).await.ok();
}

/// Says `first`, and then the same over and over.
async fn flood(mut stream: UnixStream, first: &[u8], then: &[u8]) {
    say(&mut stream, first).await;
    let much = then.repeat(1000);
    while stream.write_all(&much).await.is_ok() {}
}

#[tokio::test]
async fn l11_no_greeting_and_no_answer_end_at_the_deadline() {
    let silent = against(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    assert!(matches!(silent.await, QmpError::Silent("connect")));
    let hangs = against(|mut stream| async move {
        say(&mut stream, HELLO).await;
        std::future::pending::<()>().await;
    });
    assert!(matches!(hangs.await, QmpError::Silent("query-status")));
}

#[tokio::test]
async fn l11_a_line_of_100_megabytes_is_not_read_to_its_end() {
    for first in [&b""[..], HELLO] {
        let error = against(move |stream| flood(stream, first, b"[[[[[[[[")).await;
        assert!(matches!(error, QmpError::Endless), "{error}");
    }
}

#[tokio::test]
async fn l11_garbage_and_deep_nesting_are_refused() {
    let deep = format!(
        "{{\"return\":{}{},\"id\":2}}\n",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    for nonsense in [
        b"\x1b[2J\x00\xff\n".to_vec(),
        b"\n".to_vec(),
        b"null\n".to_vec(),
        b"{\"return\":{}}\n".to_vec(),
        deep.into_bytes(),
    ] {
        let error = against(|mut stream| async move {
            say(&mut stream, HELLO).await;
            say(&mut stream, &nonsense).await;
            std::future::pending::<()>().await;
        });
        let error = error.await;
        assert!(matches!(error, QmpError::Garbled(_)), "{error}");
    }
}

#[tokio::test]
async fn l11_answers_to_other_commands_are_no_answer() {
    let error = against(|mut stream| async move {
        say(&mut stream, HELLO).await;
        for id in [9, 1, 0, 3] {
            say(
                &mut stream,
                format!("{{\"return\":{{}},\"id\":{id}}}\n").as_bytes(),
            )
            .await;
        }
        std::future::pending::<()>().await;
    });
    assert!(matches!(error.await, QmpError::Silent("query-status")));
}

#[tokio::test]
async fn l11_an_end_in_the_middle_of_an_object_is_an_end() {
    for first in [&b""[..], HELLO] {
        let error = against(move |mut stream| async move {
            say(&mut stream, first).await;
            say(&mut stream, b"{\"return\":{\"sta").await;
        });
        let error = error.await;
        assert!(matches!(error, QmpError::Socket { .. }), "{error}");
    }
}

#[tokio::test]
async fn l11_a_flood_of_events_is_cut_off_and_not_kept() {
    for first in [&b""[..], HELLO] {
        let error = against(move |stream| flood(stream, first, b"{\"event\":\"RTC_CHANGE\"}\n")).await;
        assert!(matches!(error, QmpError::Flooded(_)), "{error}");
    }
}

#[tokio::test]
async fn l11_a_trickle_that_never_ends_has_the_same_deadline() {
    for first in [&b""[..], HELLO] {
        let error = against(move |mut stream| async move {
            say(&mut stream, first).await;
            // Each line is there soon, and none of them is the one that is waited for.
            while stream.write_all(b"{\"event\":\"STOP\"}\n").await.is_ok() {
                sleep(SHORT / 10).await;
            }
        });
        assert!(matches!(error.await, QmpError::Silent(_)));
    }
}

#[tokio::test]
async fn l11_one_that_reads_nothing_and_closes_is_no_deadlock() {
    let error = against(|mut stream| async move {
        say(&mut stream, HELLO).await;
        let mut asked = [0; 20];
        stream.read_exact(&mut asked).await.unwrap();
        drop(stream);
    });
    assert!(matches!(error.await, QmpError::Socket { .. }));
}
