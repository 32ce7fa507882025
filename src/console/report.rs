//! What a terminal says by itself when a guest asks it something: where its cursor is, how large it is, what it is.
//!
//! A guest's question goes to all viewers, and each one's terminal answers. The guest is handed one answer; the others
//! would be typed into whatever it runs.

/// Whether this is nothing but answers of a terminal (ECMA-48 and xterm's control sequences: CPR, DSR, DA, and reports of the
/// window).
pub(super) fn is_report(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix(b"\x1b[") else {
            return false;
        };
        let is_parameter = |byte: &u8| (0x30..=0x3f).contains(byte);
        let end = after.iter().position(|byte| !is_parameter(byte));
        let Some((parameters, [last, tail @ ..])) = end.and_then(|end| after.split_at_checked(end)) else {
            return false;
        };
        if parameters.is_empty() || !is_answer(parameters, *last) {
            return false;
        }
        rest = tail;
    }
    !bytes.is_empty()
}

fn is_answer(parameters: &[u8], last: u8) -> bool {
    match last {
        // F3 with Shift, Alt or Control is `CSI 1;2R`, as a cursor in the first line would be.
        b'R' => parameters.contains(&b';') && !parameters.starts_with(b"1;"),
        b'n' | b'c' | b't' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_of_a_terminal_are_told_from_keys() {
        for answer in [
            &b"\x1b[24;80R"[..],
            b"\x1b[0n",
            b"\x1b[?62;22c",
            b"\x1b[>0;276;0c",
            b"\x1b[8;40;120t",
            b"\x1b[24;80R\x1b[?1;2c",
        ] {
            assert!(is_report(answer), "{}", answer.escape_ascii());
        }
        for key in [
            &b""[..],
            b"a",
            b"\x1b",
            b"\x1b[",
            b"\x1b[A",
            b"\x1b[1;5C",
            b"\x1b[3~",
            b"\x1b[1;2R",
            b"\x1b[R",
            b"\x1b[24;80",
            b"\x1b[24;80Rx",
            b"\x1bOR",
            b"\x1b[200~\x1b[24;80R\x1b[201~",
        ] {
            assert!(!is_report(key), "{}", key.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn plain_text_is_never_an_answer(text in "[^\\x1b]*") {
            prop_assert!(!is_report(text.as_bytes()));
        }

        #[test]
        fn any_octets_can_be_asked_about(bytes in any::<Vec<u8>>()) {
            let mut answer = b"\x1b[".to_vec();
            answer.extend(&bytes);
            let (_, _) = (is_report(&bytes), is_report(&answer));
        }
    }
}
