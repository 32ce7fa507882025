//! Guests that read a document over HTTP: each request on a connection of its own, as cloud-init does, or many on one.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use serde::Serialize;

use crate::{clock, port};

/// How long a connection and each of its answers may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What came of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    /// Whole answers with the status 200.
    served: u64,
    /// All else.
    failed: u64,
    seconds: f64,
    per_second: f64,
    driver_cpu_us: f64,
}

/// What is asked, and how.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) server: SocketAddrV4,
    pub(crate) path: String,
    /// Whether a connection is used again.
    pub(crate) keep_alive: bool,
    /// How many ask at once.
    pub(crate) guests: usize,
    pub(crate) nanoseconds: u64,
}

/// Asks until the time is up.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn run(plan: &Plan) -> Outcome {
    let (began, cpu) = (clock::now(), clock::cpu());
    let end = began + plan.nanoseconds;
    let (served, failed) = std::thread::scope(|scope| {
        let guests: Vec<_> = (0..plan.guests.max(1))
            .map(|_| scope.spawn(|| guest(plan, end)))
            .collect();
        // One that panicked has served nobody.
        let counts = guests.into_iter().map(|guest| guest.join().unwrap_or((0, 1)));
        counts.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    });
    let seconds = (clock::now() - began) as f64 / 1e9;
    Outcome {
        served,
        failed,
        seconds,
        per_second: served as f64 / seconds,
        driver_cpu_us: (clock::cpu() - cpu) as f64 / 1e3 / served.max(1) as f64,
    }
}

fn guest(plan: &Plan, end: u64) -> (u64, u64) {
    let (mut served, mut failed) = (0, 0);
    let mut kept = None;
    while clock::now() < end {
        let asked = kept.take().map_or_else(|| connect(plan.server), Ok);
        match asked.and_then(|mut stream| ask(&mut stream, plan).map(|()| stream)) {
            Ok(stream) => {
                served += 1;
                kept = plan.keep_alive.then_some(stream);
            }
            Err(_) => failed += 1,
        }
    }
    (served, failed)
}

fn connect(server: SocketAddrV4) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::V4(server), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request, and the whole answer to it.
fn ask(stream: &mut TcpStream, plan: &Plan) -> io::Result<()> {
    let connection = if plan.keep_alive { "keep-alive" } else { "close" };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Cloud-Init/22.4.2\r\nAccept: */*\r\nConnection: {connection}\r\n\r\n",
        plan.path,
        plan.server.ip()
    );
    stream.write_all(request.as_bytes())?;
    let (mut bytes, mut filled) = ([0; 8 << 10], 0);
    loop {
        let read = stream.read(&mut bytes[filled..])?;
        filled += read;
        match whole(&bytes[..filled]) {
            Some(true) => return Ok(()),
            None if read > 0 => {}
            _ => return Err(io::Error::other("no whole answer with the status 200")),
        }
    }
}

/// Whether this is a whole answer, and a good one; `None` while more is to come.
fn whole(bytes: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let good = head.split(' ').nth(1) == Some("200");
    match length {
        Some(length) if body.len() < length => None,
        Some(_) => Some(good),
        None => Some(false),
    }
}

/// When the first right answer came.
pub(crate) fn until_answered(server: SocketAddrV4, path: &str, at_most: Duration) -> io::Result<u64> {
    let plan = Plan {
        server,
        path: path.to_owned(),
        keep_alive: false,
        guests: 1,
        nanoseconds: 0,
    };
    let began = clock::now();
    while u128::from(clock::now() - began) < at_most.as_nanos() {
        if connect(server)
            .and_then(|mut stream| ask(&mut stream, &plan))
            .is_ok()
        {
            return Ok(clock::now());
        }
        port::wait(&[], Duration::from_millis(1))?;
    }
    Err(io::Error::other(format!("no answer within {at_most:?}")))
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn an_answer_is_whole_when_its_length_is_there() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(whole(head.trim_end().as_bytes()), None);
        assert_eq!(whole(format!("{head}four").as_bytes()), None);
        assert_eq!(whole(format!("{head}fiver").as_bytes()), Some(true));
        assert_eq!(
            whole(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
            Some(false)
        );
    }
}
