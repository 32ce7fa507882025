//! Asks DNS for the address and the name of every host, and compares what comes with what was registered.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd as _;
use std::time::Duration;

use serde::Serialize;
use socket2::Socket;

use crate::batch::Batch;
use crate::canned::{A, PTR, labels, question, reverse};
use crate::hosts::Host;
use crate::{clock, port};

/// How many questions are on their way at once.
const BATCH: usize = 32;
/// How long an answer may take, in nanoseconds.
const PATIENCE: u64 = 1_000_000_000;

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Checked {
    /// Questions whose answer is the registered one.
    right: u64,
    /// Questions with another answer, or none in it.
    wrong: u64,
    /// Questions that nobody answered in time.
    lost: u64,
}

/// A question, and the data of the record that answers it.
struct Asked {
    question: Vec<u8>,
    kind: u16,
    data: Vec<u8>,
}

/// Asks A and PTR for each host.
pub(crate) fn check(server: Ipv4Addr, domain: &str, hosts: &[Host]) -> io::Result<Checked> {
    let socket = port::connected(SocketAddrV4::new(server, 53))?;
    let (mut inbox, mut outbox) = (Batch::new(BATCH, false), Batch::new(BATCH, false));
    let mut checked = Checked::default();
    for some in hosts.chunks(BATCH / 2) {
        let asked: Vec<Asked> = some.iter().flat_map(|host| both(host, domain)).collect();
        for (id, asked) in asked.iter().enumerate() {
            let room = outbox.room(id);
            let end = 12 + asked.question.len();
            room[..12].copy_from_slice(&[0, u8::try_from(id).unwrap_or(0), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            room[12..end].copy_from_slice(&asked.question);
            outbox.set_length(id, end);
        }
        outbox.send(socket.as_fd(), asked.len())?;
        answers(&socket, &mut inbox, &asked, &mut checked)?;
    }
    Ok(checked)
}

fn both(host: &Host, domain: &str) -> [Asked; 2] {
    let name = format!("{}.{domain}", host.name);
    let asked = |owner: &str, kind, data| Asked {
        question: question(owner, kind),
        kind,
        data,
    };
    [
        asked(&name, A, host.ip.octets().to_vec()),
        asked(&reverse(host.ip), PTR, labels(&name)),
    ]
}

/// Takes the answers to these questions until all are there, or the time is up.
fn answers(socket: &Socket, inbox: &mut Batch, asked: &[Asked], checked: &mut Checked) -> io::Result<()> {
    let end = clock::now() + PATIENCE;
    let mut open = vec![true; asked.len()];
    let mut left = asked.len();
    while left > 0 && clock::now() < end {
        port::wait_one(socket, Duration::from_nanos(end.saturating_sub(clock::now())))?;
        for index in 0..inbox.receive(socket.as_fd())? {
            let message = inbox.message(index);
            // The low octet of the identifier is the position; one that came twice, or late, counts once or never.
            let position = message.get(1).map_or(usize::MAX, |id| usize::from(*id));
            let Some(asked) = asked.get(position).filter(|asked| is_answer_to(message, asked)) else {
                continue;
            };
            if std::mem::take(&mut open[position]) {
                left -= 1;
                let right = data(message, asked).is_some_and(|data| data.eq_ignore_ascii_case(&asked.data));
                *(if right {
                    &mut checked.right
                } else {
                    &mut checked.wrong
                }) += 1;
            }
        }
    }
    checked.lost += u64::try_from(left).unwrap_or(0);
    Ok(())
}

/// RFC 1035 section 4.1.2: an answer repeats its question.
fn is_answer_to(message: &[u8], asked: &Asked) -> bool {
    message
        .get(12..12 + asked.question.len())
        .is_some_and(|question| question.eq_ignore_ascii_case(&asked.question))
}

/// The data of the first answer, when it is of the kind that was asked for.
fn data<'a>(message: &'a [u8], asked: &Asked) -> Option<&'a [u8]> {
    let no_error = message.get(3)? % 16 == 0;
    let count = u16::from_be_bytes(*message.get(6..)?.first_chunk()?);
    let mut rest = message.get(12 + asked.question.len()..)?;
    // The owner: labels, ended by the root or by a pointer.
    loop {
        match rest {
            [0, after @ ..] => break rest = after,
            [high, _, after @ ..] if *high >= 0xc0 => break rest = after,
            [length, after @ ..] => rest = after.get(usize::from(*length)..)?,
            [] => return None,
        }
    }
    let (fixed, rest) = rest.split_first_chunk::<10>()?;
    let [kind_high, kind_low, .., length_high, length_low] = *fixed;
    let is_kind = u16::from_be_bytes([kind_high, kind_low]) == asked.kind;
    let length = u16::from_be_bytes([length_high, length_low]);
    (no_error && count > 0 && is_kind).then_some(())?;
    rest.get(..usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(owner: &[u8], rdata: &[u8]) -> Vec<u8> {
        let fixed = [0, 1, 0, 1, 0, 0, 0, 5, 0, u8::try_from(rdata.len()).unwrap()];
        [
            &[0, 0, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0],
            question("h1.lab", A).as_slice(),
            owner,
            &fixed,
            rdata,
        ]
        .concat()
    }

    #[test]
    fn the_data_is_found_behind_a_pointer_and_behind_labels() {
        let asked = Asked {
            question: question("h1.lab", A),
            kind: A,
            data: vec![10, 64, 1, 0],
        };
        for owner in [&[0xc0, 12][..], &labels("H1.lab")] {
            let message = answer(owner, &[10, 64, 1, 0]);
            assert!(is_answer_to(&message, &asked));
            assert_eq!(data(&message, &asked), Some(&[10, 64, 1, 0][..]));
        }
    }

    #[test]
    fn an_empty_answer_or_an_error_has_no_data() {
        let asked = Asked {
            question: question("h1.lab", A),
            kind: A,
            data: vec![10, 64, 1, 0],
        };
        let mut message = answer(&[0xc0, 12], &[10, 64, 1, 0]);
        message[7] = 0;
        assert_eq!(data(&message, &asked), None);
        message[7] = 1;
        message[3] = 3;
        assert_eq!(data(&message, &asked), None);
    }
}
