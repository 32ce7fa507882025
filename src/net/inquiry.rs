//! Many questions over one socket at once; those that stay unanswered are asked again, a bounded time long.

use std::io;
use std::time::Duration;

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use super::batch::{Address, Datagram, Inbox, MOST, Outbox, Wait};

/// How long answers are waited for after each time of asking. What was lost once in a full queue is asked again; what is
/// silent then stays so.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_millis(500),
    Duration::from_millis(700),
];
/// How long others are still listened to when everyone has answered: who takes an address of somebody else's answers too.
const AFTER: Duration = Duration::from_millis(60);
/// The longest datagram that is asked or answered here.
const LONGEST: usize = 1_500;

/// A question and whom it is for.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Whom it is for.
    pub to: Address,
    /// What is asked.
    pub bytes: Vec<u8>,
}

/// Asks all of it. `hear` looks at everything that arrives, and says which letter it answers.
///
/// Returns when all is answered, or nothing more is to be expected; within 1.6 s.
pub async fn ask(
    socket: Socket,
    letters: &[Letter],
    mut hear: impl FnMut(Datagram<'_>) -> Option<usize>,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    // The replacement that tokio recommends is `unsafe` for the sake of types that may close their descriptor behind its back.
    #[expect(deprecated, reason = "sound for a socket, and the replacement is unsafe")]
    let socket = AsyncFd::new(socket)?;
    let mut silent = vec![true; letters.len()];
    let mut inbox = Inbox::new(MOST, LONGEST);
    for pause in PAUSES {
        let unanswered = letters.iter().zip(&silent).filter(|(_, silent)| **silent);
        send(&socket, unanswered.map(|(letter, _)| letter)).await?;
        let mut until = Instant::now() + pause;
        loop {
            let received = socket.async_io(Interest::READABLE, |socket| inbox.receive(socket, Wait::Never));
            match timeout_at(until, received).await {
                Err(_) => break,
                // An answer of ICMP to an earlier question: nobody listens there.
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Ok(received) => drop(received?),
            }
            for number in inbox.datagrams().filter_map(&mut hear) {
                if let Some(silent) = silent.get_mut(number) {
                    *silent = false;
                }
            }
            if !silent.contains(&true) {
                until = until.min(Instant::now() + AFTER);
            }
        }
        if !silent.contains(&true) {
            break;
        }
    }
    Ok(())
}

async fn send<'a>(socket: &AsyncFd<Socket>, letters: impl Iterator<Item = &'a Letter>) -> io::Result<()> {
    let mut outbox = Outbox::new(MOST, LONGEST);
    for letter in letters {
        if outbox.is_full() {
            flush(socket, &mut outbox).await?;
        }
        outbox.put(&letter.to, &letter.bytes);
    }
    flush(socket, &mut outbox).await
}

/// One that can not be delivered does not keep the others: it stays unanswered.
async fn flush(socket: &AsyncFd<Socket>, outbox: &mut Outbox) -> io::Result<()> {
    while !outbox.is_empty() {
        let sent = socket.async_io(Interest::WRITABLE, |socket| match outbox.send(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        });
        sent.await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use super::*;

    fn udp(address: &str) -> UdpSocket {
        UdpSocket::bind(address).unwrap()
    }

    fn letter(to: SocketAddr, text: &str) -> Letter {
        Letter {
            to: to.into(),
            bytes: text.as_bytes().to_vec(),
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_asked_again_and_the_others_are_not() {
        let (deaf, quick) = (udp("127.0.0.1:0"), udp("127.0.0.1:0"));
        let letters = [
            letter(deaf.local_addr().unwrap(), "0"),
            letter(quick.local_addr().unwrap(), "1"),
        ];
        let asked = std::thread::spawn(move || {
            let mut buffer = [0; 9];
            let (length, from) = quick.recv_from(&mut buffer).unwrap();
            quick.send_to(&buffer[..length], from).unwrap();
            // The first of three times of asking is not heard.
            for _ in 0..2 {
                deaf.recv_from(&mut buffer).unwrap();
            }
            deaf.send_to(b"0", from).unwrap();
            quick.set_nonblocking(true).unwrap();
            quick.recv_from(&mut buffer).is_err()
        });
        let mut heard = Vec::new();
        ask(udp("127.0.0.1:0").into(), &letters, |datagram| {
            let number = std::str::from_utf8(datagram.bytes).unwrap().parse().unwrap();
            heard.push(number);
            Some(number)
        })
        .await
        .unwrap();
        assert_eq!(heard, [1, 0]);
        assert!(asked.join().unwrap(), "who had answered was asked again");
    }

    #[tokio::test]
    async fn silence_ends_it_within_its_time() {
        let nobody = udp("127.0.0.1:0");
        let letters = vec![letter(nobody.local_addr().unwrap(), "x"); 300];
        let start = Instant::now();
        ask(udp("127.0.0.1:0").into(), &letters, |_| None).await.unwrap();
        assert!(start.elapsed() >= PAUSES.iter().sum() && start.elapsed() < Duration::from_secs(5));
    }
}
