//! What is written is read back by another implementation.

use hickory_proto::op::Message;
use hickory_proto::rr::Record;
use proptest::prelude::*;

use super::*;

/// The record that hickory reads out of what was written for `data`.
fn read_back(data: &Data) -> Record {
    let mut room = [0; 4_096];
    let mut writer = Writer::new(&mut room);
    writer.u16s(&[7, 0x8400, 1, 1, 0, 0]);
    writer.name(Name::Whole("lab"));
    writer.u16s(&[255, 1]);
    writer.data(Name::Below("a.b", QUESTION_NAME), 5, data);
    let length = writer.finish().unwrap();
    Message::from_vec(&room[..length]).unwrap().answers.remove(0)
}

#[test]
fn every_kind_of_data_is_what_it_says() {
    let soa = Soa {
        server: "ns.lab".to_owned(),
        mailbox: "hostmaster.lab".to_owned(),
        serial: 7,
        minimum: 5,
    };
    let host = || "host.example".to_owned();
    for (data, says) in [
        (Data::A(Ipv4Addr::new(10, 77, 0, 1)), "A 10.77.0.1"),
        (Data::Aaaa("2001:db8::1".parse().unwrap()), "AAAA 2001:db8::1"),
        (Data::Ptr(host()), "PTR host.example."),
        (Data::Ns(host()), "NS host.example."),
        (Data::Cname(host()), "CNAME host.example."),
        (Data::Soa(soa), "SOA ns.lab. hostmaster.lab. 7 3600 600 86400 5"),
        (
            Data::Mx {
                preference: 10,
                exchange: host(),
            },
            "MX 10 host.example.",
        ),
        (
            Data::Srv {
                priority: 1,
                weight: 2,
                port: 3,
                target: host(),
            },
            "SRV 1 2 3 host.example.",
        ),
        (Data::Minimal, "HINFO RFC8482 "),
    ] {
        let record = read_back(&data);
        assert_eq!(record.name.to_ascii(), "a.b.lab.");
        assert_eq!(record.ttl, 5);
        assert_eq!(format!("{} {}", record.record_type(), record.data), says);
    }
}

proptest! {
    #[test]
    fn a_text_of_any_octets_is_itself(strings in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..=255), 1..5)) {
        let data = Data::Txt(strings.iter().map(|text| text.as_slice().into()).collect());
        let record = read_back(&data);
        let hickory_proto::rr::RData::TXT(text) = &record.data else { panic!("{record}") };
        let read: Vec<_> = text.txt_data.iter().map(|text| text.to_vec()).collect();
        prop_assert_eq!(read, strings);
    }

    #[test]
    fn what_does_not_fit_is_told_and_can_be_taken_back(length in 0_usize..60) {
        let mut room = vec![0; length];
        let mut writer = Writer::new(&mut room);
        writer.bytes(&[1]);
        let before = writer.end();
        writer.data(Name::Whole("host.example"), 5, &Data::Ptr("other.example".to_owned()));
        prop_assert_eq!(writer.fits(), length >= 1 + 14 + 10 + 15);
        writer.rewind(before);
        prop_assert_eq!(writer.finish(), Some(before));
    }
}
