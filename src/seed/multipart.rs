//! Several documents as one: a MIME message whose parts cloud-init takes as if each had come alone, in their order.
//!
//! Every document stays octet for octet what it is, an archive with all its parts too. cloud-init tells a part by its first line where
//! its type says nothing (`text/plain`; cloud-init's `user_data.py`), unpacks what is typed as gzip, and walks through a message within
//! the message.

use base64ct::{Base64, Encoding as _};

use super::parts::{GZIP, is_mime};

/// The length of a line of base64 (RFC 2045 section 6.8).
const LINE: usize = 76;

/// One document of all of them.
pub(super) fn joined(documents: &[&[u8]]) -> Vec<u8> {
    let boundary = boundary(documents);
    let mut message =
        format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n").into_bytes();
    for document in documents {
        message.extend_from_slice(format!("--{boundary}\n").as_bytes());
        add(&mut message, document);
        // This line end belongs to the boundary, not to the part (RFC 2046 section 5.1.1).
        message.push(b'\n');
    }
    message.extend_from_slice(format!("--{boundary}--\n").as_bytes());
    message
}

/// A line that is in none of the documents.
fn boundary(documents: &[&[u8]]) -> String {
    let is_free = |boundary: &String| {
        let line = format!("--{boundary}");
        !documents
            .iter()
            .any(|document| document.windows(line.len()).any(|part| part == line.as_bytes()))
    };
    let mut candidates = (0_u64..).map(|number| format!("seedbed-{number}"));
    candidates.find(is_free).unwrap_or_default()
}

fn add(message: &mut Vec<u8>, document: &[u8]) {
    if is_mime(document) {
        // Its own header is that of the part.
        message.extend_from_slice(document);
        return;
    }
    let kind = if document.starts_with(&GZIP) {
        "application/gzip"
    } else {
        "text/plain"
    };
    message.extend_from_slice(format!("Content-Type: {kind}\n").as_bytes());
    if is_plain(document) {
        message.push(b'\n');
        message.extend_from_slice(document);
        return;
    }
    message.extend_from_slice(b"Content-Transfer-Encoding: base64\n\n");
    for line in Base64::encode_string(document).as_bytes().chunks(LINE) {
        message.extend_from_slice(line);
        message.push(b'\n');
    }
}

/// Whether a document survives without an encoding: Python's reader of messages takes octets above 127 for Latin-1, and other line
/// ends for line ends.
fn is_plain(document: &[u8]) -> bool {
    document
        .iter()
        .all(|byte| matches!(byte, b'\t' | b'\n' | b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;
    use proptest::prelude::*;

    #[test]
    fn plain_documents_can_be_read_as_they_are() {
        let joined = joined(&[b"#cloud-config\na: b\n", b"#!/bin/sh\necho"]);
        assert_eq!(
            String::from_utf8(joined).unwrap(),
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"seedbed-0\"\n\n\
             --seedbed-0\nContent-Type: text/plain\n\n#cloud-config\na: b\n\n\
             --seedbed-0\nContent-Type: text/plain\n\n#!/bin/sh\necho\n--seedbed-0--\n"
        );
    }

    #[test]
    fn a_message_keeps_its_header_and_compressed_octets_are_called_so() {
        let inner = b"Content-Type: text/x-shellscript\nMIME-Version: 1.0\n\n#!/bin/sh\n";
        let joined = joined(&[inner, &[0x1f, 0x8b, 8, 0, 0xff]]);
        let text = String::from_utf8(joined).unwrap();
        assert!(
            text.contains("--seedbed-0\nContent-Type: text/x-shellscript\nMIME"),
            "{text}"
        );
        assert!(
            text.contains("application/gzip\nContent-Transfer-Encoding: base64\n\nH4sIAP8=\n"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn another_reader_finds_every_octet(
            documents in proptest::collection::vec(
                prop_oneof!["[ -~\n]{0,80}".prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..200),
                    Just(b"x\n--seedbed-0\n--seedbed-1--\n".to_vec())],
                1..4,
            )
        ) {
            prop_assume!(!documents.iter().any(|document| is_mime(document)));
            let parts: Vec<&[u8]> = documents.iter().map(Vec::as_slice).collect();
            let message = joined(&parts);
            let read = MessageParser::default().parse(&message).unwrap();
            let leaves = read.parts.iter().skip(1);
            prop_assert_eq!(leaves.clone().count(), documents.len());
            for (leaf, document) in leaves.zip(&documents) {
                let body = &message[leaf.offset_body as usize..leaf.offset_end as usize];
                let plain = is_plain(document) && !document.starts_with(&GZIP);
                let found = if plain {
                    body.to_vec()
                } else {
                    let text: String = String::from_utf8_lossy(body).split_whitespace().collect();
                    Base64::decode_vec(&text).unwrap()
                };
                prop_assert_eq!(&found, document);
            }
        }
    }
}
