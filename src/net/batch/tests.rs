//! The rules of the batches, on real sockets of the loopback interface.

use super::*;
use proptest::prelude::*;
use std::net::UdpSocket;
use std::sync::mpsc;
use std::time::Duration;

fn pair() -> (UdpSocket, UdpSocket) {
    let [one, other] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    (one, other)
}

fn address(socket: &UdpSocket) -> Address {
    socket.local_addr().unwrap().into()
}

#[test]
fn a_batch_arrives_whole_in_order_and_from_whom_it_came() {
    let (server, client) = pair();
    let mut outbox = Outbox::new(10, 32);
    for number in 0..10_u8 {
        assert!(outbox.put(&address(&server), &vec![number; usize::from(number)]));
    }
    assert!(outbox.is_full() && !outbox.put(&address(&server), b"one more"));
    outbox.send(&client).unwrap();
    assert!(outbox.is_empty());

    let mut inbox = Inbox::new(64, 32);
    assert_eq!(inbox.receive(&server, Wait::ForOne).unwrap(), 10);
    for (number, datagram) in inbox.datagrams().enumerate() {
        assert_eq!(datagram.bytes, vec![u8::try_from(number).unwrap(); number]);
        assert_eq!(datagram.source, &address(&client));
        assert!(!datagram.truncated);
    }
}

#[test]
fn what_does_not_fit_one_call_is_there_for_the_next() {
    let (server, client) = pair();
    for number in 0..5_u8 {
        client.send_to(&[number], server.local_addr().unwrap()).unwrap();
    }
    let mut inbox = Inbox::new(4, 8);
    assert_eq!(inbox.receive(&server, Wait::ForOne).unwrap(), 4);
    assert_eq!(inbox.receive(&server, Wait::ForOne).unwrap(), 1);
    assert_eq!(inbox.datagrams().next().unwrap().bytes, [4]);
}

#[test]
fn what_is_longer_than_its_room_is_cut_and_marked() {
    let (server, client) = pair();
    client.send_to(&[7; 9], server.local_addr().unwrap()).unwrap();
    let mut inbox = Inbox::new(2, 8);
    inbox.receive(&server, Wait::ForOne).unwrap();
    let datagram = inbox.datagrams().next().unwrap();
    assert!(datagram.truncated);
    assert_eq!(datagram.bytes, [7; 8]);
}

#[test]
fn without_waiting_an_empty_socket_is_an_error_and_no_old_datagram_stays() {
    let (server, client) = pair();
    client.send_to(b"x", server.local_addr().unwrap()).unwrap();
    let mut inbox = Inbox::new(2, 8);
    inbox.receive(&server, Wait::ForOne).unwrap();
    let error = inbox.receive(&server, Wait::Never).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(inbox.datagrams().len(), 0);
}

#[test]
fn who_waits_is_woken_when_the_socket_is_shut_down() {
    let (server, _client) = pair();
    let also = server.try_clone().unwrap();
    let (done, told) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let mut inbox = Inbox::new(2, 8);
        inbox.receive(&also, Wait::ForOne).unwrap();
        done.send(()).unwrap();
        inbox
    });
    // Again and again, since it may not wait yet. The kernel says "not connected", and wakes the reader all the same.
    let woken = (0..5_000).any(|_| {
        rustix::net::shutdown(&server, rustix::net::Shutdown::Read).unwrap_err();
        told.recv_timeout(Duration::from_millis(1)).is_ok()
    });
    assert!(woken, "it still waits");
    let inbox = waiting.join().unwrap();
    for datagram in inbox.datagrams() {
        assert_eq!((datagram.bytes, datagram.source.as_bytes()), (&b""[..], &b""[..]));
    }
}

#[test]
fn a_refused_datagram_is_told_and_does_not_hold_up_the_others() {
    let (server, client) = pair();
    let nowhere = Address::from("[::1]:9".parse::<SocketAddr>().unwrap());
    let mut outbox = Outbox::new(4, 8);
    for to in [address(&server), nowhere, address(&server)] {
        outbox.put(&to, b"x");
    }
    let error = outbox.send(&client).unwrap_err();
    assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
    assert!(outbox.is_empty());
    let mut inbox = Inbox::new(4, 8);
    assert_eq!(inbox.receive(&server, Wait::ForOne).unwrap(), 2);
}

#[test]
fn room_is_written_in_place_and_forgotten_when_cleared() {
    let (server, client) = pair();
    let mut outbox = Outbox::new(1, 4);
    outbox.room().unwrap().copy_from_slice(b"abcd");
    outbox.push(&address(&server), 5);
    assert!(outbox.is_empty(), "longer than the room");
    outbox.push(&address(&server), 2);
    assert!(outbox.room().is_none());
    assert_eq!(outbox.clear(), 1);
    outbox.push(&address(&server), 3);
    outbox.send(&client).unwrap();
    let mut inbox = Inbox::new(1, 8);
    inbox.receive(&server, Wait::ForOne).unwrap();
    assert_eq!(inbox.datagrams().next().unwrap().bytes, b"abc");
}

#[test]
fn an_address_of_another_family_is_kept_and_is_none_of_the_internet() {
    let link = Address::from_bytes(&[17, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]).unwrap();
    assert_eq!(link.as_bytes().len(), 20);
    assert_eq!(link.internet(), None);
    assert_eq!(Address::from_bytes(&[0; 29]), None);
}

proptest! {
    #[test]
    fn an_internet_address_survives_the_kernels_form(address: SocketAddr) {
        let back = Address::from(address).internet().unwrap();
        prop_assert_eq!((back.ip(), back.port()), (address.ip(), address.port()));
    }

    #[test]
    fn any_octets_are_an_address_or_none(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Some(address) = Address::from_bytes(&octets) {
            prop_assert_eq!(address.as_bytes(), &octets[..]);
            let shown = format!("{address:?}");
            prop_assert!(!shown.is_empty());
        }
    }
}
