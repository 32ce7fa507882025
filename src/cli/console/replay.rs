//! What was said before is shown again, but for what would make the terminal answer: an answer would be typed into the VM,
//! which asked for it long ago, if ever.
//!
//! Sequences are those of ECMA-48, section 5.3 ff., and of xterm's `ctlseqs`.

/// The longest control sequence that is taken for one.
const LONGEST: usize = 128;
const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;
/// "Who are you?", of teletypes.
const ENQUIRY: u8 = 0x05;

/// Takes questions out of a stream.
#[derive(Debug, Default)]
pub(super) struct Replay {
    state: State,
    /// The sequence that has begun.
    begun: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After `ESC [`.
    Control,
    /// After `ESC ]`, to BEL or `ESC \`: a command to the terminal's system.
    Command,
    /// After `ESC P`, `ESC _`, `ESC ^` or `ESC X`, to `ESC \`: nothing of it is shown.
    Hidden,
}

impl Replay {
    /// The same, without questions to the terminal.
    pub(super) fn clean(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.take(*byte, &mut out);
        }
        out
    }

    /// The beginning of a sequence whose end is still to come.
    pub(super) fn rest(self) -> Vec<u8> {
        match self.state {
            State::Text | State::Hidden => Vec::new(),
            State::Escape | State::Control | State::Command => self.begun,
        }
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.state, byte) {
            (State::Text, ENQUIRY) => {}
            // A sequence within a sequence is one of its own.
            (State::Text | State::Control, ESCAPE) => self.begin(),
            (State::Text, _) => out.push(byte),
            (State::Escape, _) => self.escape(byte, out),
            (State::Control, 0x20..=0x3f) => self.grow(byte),
            (State::Control, _) => {
                self.begun.push(byte);
                self.end(!asks(&self.begun), out);
            }
            (State::Command | State::Hidden, BELL) => {
                self.grow(byte);
                self.end(self.state == State::Command && !is_asked(&self.begun), out);
            }
            (State::Command | State::Hidden, b'\\') if self.begun.last() == Some(&ESCAPE) => {
                self.grow(byte);
                self.end(self.state == State::Command && !is_asked(&self.begun), out);
            }
            (State::Command, _) => self.grow(byte),
            // Only its end is looked for.
            (State::Hidden, _) => self.begun = vec![byte],
        }
    }

    fn begin(&mut self) {
        self.state = State::Escape;
        self.begun = vec![ESCAPE];
    }

    fn end(&mut self, shown: bool, out: &mut Vec<u8>) {
        if shown {
            out.append(&mut self.begun);
        }
        self.state = State::Text;
        self.begun.clear();
    }

    /// One that is too long is none.
    fn grow(&mut self, byte: u8) {
        self.begun.push(byte);
        if self.begun.len() > LONGEST {
            self.begun = vec![byte];
            self.state = match self.state {
                State::Command | State::Hidden => State::Hidden,
                State::Text | State::Escape | State::Control => State::Text,
            };
        }
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            ESCAPE => self.begin(),
            // More of the same sequence follows.
            0x20..=0x2f => self.grow(byte),
            b'[' if self.begun.len() == 1 => self.go_on(byte, State::Control),
            b']' if self.begun.len() == 1 => self.go_on(byte, State::Command),
            b'P' | b'_' | b'^' | b'X' if self.begun.len() == 1 => self.go_on(byte, State::Hidden),
            _ => {
                self.begun.push(byte);
                // DECID.
                self.end(byte != b'Z', out);
            }
        }
    }

    fn go_on(&mut self, byte: u8, state: State) {
        self.begun.push(byte);
        self.state = state;
    }
}

/// Whether the terminal answers this control sequence: DSR, DA, DECREQTPARM, reports of the window, of modes, of its version, of
/// keyboards, of graphics, of checksums, of tab stops.
fn asks(sequence: &[u8]) -> bool {
    let has = |mark: u8| sequence.contains(&mark);
    match sequence.last() {
        Some(b'n' | b'c' | b'x' | b't') => true,
        Some(b'p' | b'w') => has(b'$'),
        Some(b'q') => has(b'>'),
        Some(b'u' | b'S' | b'm') => has(b'?'),
        Some(b'y') => has(b'*'),
        _ => false,
    }
}

/// Whether a command to the terminal's system asks it something, or is about the clipboard.
fn is_asked(command: &[u8]) -> bool {
    command.contains(&b'?') || command.starts_with(b"\x1b]52")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn clean(bytes: &[u8]) -> Vec<u8> {
        let mut replay = Replay::default();
        let mut out = replay.clean(bytes);
        out.extend(replay.rest());
        out
    }

    #[test]
    fn questions_are_taken_out_and_all_else_stays() {
        for question in [
            &b"\x1b[6n"[..],
            b"\x1b[c",
            b"\x1b[>c",
            b"\x1b[0x",
            b"\x1b[18t",
            b"\x1b[?2026$p",
            b"\x1b[>q",
            b"\x1b[?u",
            b"\x1bZ",
            b"\x05",
            b"\x1b]10;?\x07",
            b"\x1b]11;?\x1b\\",
            b"\x1b]52;c;aGk=\x07",
            b"\x1bP$qm\x1b\\",
            b"\x1bP+q544e\x1b\\",
            b"\x1b_Gi=1,a=q\x1b\\",
        ] {
            let said = [b"a", question, b"b"].concat();
            assert_eq!(clean(&said), b"ab", "{}", question.escape_ascii());
        }
        for shown in [
            &b"plain \xc3\xbc\r\n"[..],
            b"\x1b[1;31mred\x1b[0m",
            b"\x1b7\x1b[r\x1b[999;999H\x1b8",
            b"\x1b]0;title\x07",
            b"\x1b]8;;http://a/\x1b\\link\x1b]8;;\x1b\\",
            b"\x1b(B\x1b)0",
            b"\x1b[?25h\x1b[?1049l",
            b"\x1b[!p",
        ] {
            assert_eq!(clean(shown), shown, "{}", shown.escape_ascii());
        }
    }

    #[test]
    fn a_sequence_that_goes_on_live_is_whole_there() {
        let mut replay = Replay::default();
        assert_eq!(replay.clean(b"a\x1b[1;3"), b"a");
        assert_eq!(replay.rest(), b"\x1b[1;3");
    }

    proptest! {
        #[test]
        fn parts_of_any_size_come_to_the_same(bytes in vec(prop_oneof![
            Just(ESCAPE), Just(b'['), Just(b']'), Just(b'P'), Just(b'\\'), Just(BELL), Just(b'n'), any::<u8>(),
        ], 0..400), part in 1_usize..20) {
            let mut replay = Replay::default();
            let mut out: Vec<u8> = bytes.chunks(part).flat_map(|part| replay.clean(part)).collect();
            prop_assert!(replay.begun.len() <= LONGEST + 1);
            out.extend(replay.rest());
            prop_assert_eq!(out, clean(&bytes));
        }

        #[test]
        fn plain_text_is_left_as_it_is(text in "[^\\x1b\\x05]*") {
            prop_assert_eq!(clean(text.as_bytes()), text.as_bytes());
        }
    }
}
