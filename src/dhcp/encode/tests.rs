//! How a reply is laid out, as a foreign decoder reads it.

use super::super::sample::{Packet, Server, network, web1};
use super::super::wire::tests::{Decoded, decode, parts};
use super::*;
use crate::dhcp::value::Value;
use crate::model::Network;

/// A server whose network has an option 224 of so many octets.
fn serving(octets: usize) -> Network {
    let mut network = network();
    let digits = "ab".repeat(octets);
    network.dhcp.settings.options = vec![format!("224: hex {digits}").parse().unwrap()];
    network
}

fn told(octets: usize, packet: Packet) -> (Decoded, usize) {
    let mut server = Server::of(serving(octets));
    let answer = server.ask(packet);
    (answer.reply.unwrap(), server.out.len())
}

fn large() -> Packet {
    Packet::new(1).option(57, &1500u16.to_be_bytes())
}

#[test]
fn a_long_option_is_split_and_read_as_one() {
    let mut server = Server::of(serving(600));
    let reply = server.ask(large().option(55, &[224])).reply.unwrap();
    assert_eq!(reply.options[&224], [0xab; 600]);
    // RFC 3396 §5: parts one after the other, all but the last full.
    assert_eq!(parts(&server.out, 224), [255, 255, 90]);
}

#[test]
fn what_does_not_fit_is_left_out_and_the_rest_is_whole() {
    let (reply, _) = told(400, Packet::new(1).option(55, &[3, 224, 6]));
    assert_eq!(reply.order, [53, 54, 51, 1, 3, 6]);
}

#[test]
fn a_full_reply_is_as_long_as_the_client_takes_and_no_longer() {
    // Of 548: 240 fixed, 3 for the type, 18 for server, lease and mask, 1 for the end: 286 remain.
    for (length, kept) in [(255, true), (282, true), (283, false)] {
        let (reply, packet) = told(length, Packet::new(1).option(55, &[224]));
        assert_eq!(reply.options.contains_key(&224), kept, "{length}");
        assert!(packet <= 576, "{packet}");
    }
}

#[test]
fn what_a_small_client_would_go_without_goes_into_the_fields_it_does_not_need() {
    // RFC 2132 §9.3.
    let (reply, packet) = told(276, Packet::new(1).option(55, &[224, 3, 6, 119, 121]));
    assert_eq!(reply.options[&52], [1]);
    assert_eq!(reply.order[..5], [53, 52, 54, 51, 1]);
    for code in [3, 6, 119, 121, 224] {
        assert!(reply.options.contains_key(&code), "option {code} was lost");
    }
    assert!(packet <= 576, "{packet}");
    let (enough, _) = told(276, large().option(55, &[224, 3, 6, 119, 121]));
    assert!(!enough.options.contains_key(&52));
}

#[test]
fn firmware_takes_the_file_field_for_a_files_name_so_it_holds_no_options() {
    let packet = Packet::new(1)
        .option(55, &[224, 3, 6, 119, 121])
        .option(60, b"PXEClient:Arch:00000");
    let (reply, _) = told(276, packet);
    assert!(!reply.options.contains_key(&52));
    assert!(reply.file.is_empty());
}

#[test]
fn a_reply_is_at_least_300_octets_and_says_who_it_is_for() {
    // RFC 1542 §2.1; RFC 2131 table 3.
    let (reply, packet) = told(1, Packet::new(1).xid(77).flags(0x8001).option(55, &[1]));
    assert_eq!(packet, 328);
    assert_eq!((reply.xid, reply.flags, reply.mac), (77, 0x8001, web1().mac));
}

#[test]
fn an_option_of_each_length_is_read_back() {
    let octets = [7; 1020];
    for length in [1, 254, 255, 256, 509, 510, 511, 1020] {
        let mut out = vec![0; 240];
        out[..4].copy_from_slice(&[2, 1, 6, 0]);
        out[236..].copy_from_slice(&MAGIC);
        let option = |code, length: usize| DhcpOption {
            code,
            value: Value::Octets(&octets[..length]),
        };
        out.extend([53, 1, 5]);
        assert!(put(&mut out, &option(43, length), 1400));
        assert!(put(&mut out, &option(3, 0), 1400));
        out.push(END);
        assert_eq!(decode(&out).options[&43].len(), length);
        assert!(!decode(&out).options.contains_key(&3));
    }
}
