//! One viewer: what it is owed, and how far it has come. It waits for nobody, and nobody waits for it.
//!
//! A viewer has no queue of its own but one frame: it reads from the scrollback, and what that no longer holds when the
//! viewer comes to it is left out.

use std::io::{self, ErrorKind, Read, Write};

use super::frame::{Attach, Decoder, End, FromViewer, Size, ToViewer};
use super::scrollback::Scrollback;

/// The most octets of the guest's in one frame.
const PIECE: usize = 8 << 10;

/// Somebody at the other end of a stream that does not block.
#[derive(Debug)]
pub(super) struct Viewer<S> {
    stream: S,
    decoder: Decoder,
    attach: Option<Attach>,
    /// Where in all that the guest said it is.
    position: u64,
    /// Where what is new to everybody begins.
    live: u64,
    resized: Option<Size>,
    ending: Option<End>,
    out: Vec<u8>,
    written: usize,
}

/// What a viewer said, and whether it is still there.
pub(super) struct Heard {
    pub(super) said: Vec<FromViewer>,
    pub(super) there: bool,
}

impl<S: Read + Write> Viewer<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            attach: None,
            position: 0,
            live: 0,
            resized: None,
            ending: None,
            out: Vec::new(),
            written: 0,
        }
    }

    pub(super) const fn stream(&self) -> &S {
        &self.stream
    }

    /// How it is attached, once it is.
    pub(super) const fn attached(&self) -> Option<Attach> {
        self.attach
    }

    /// Whether what it types reaches the guest.
    pub(super) fn types(&self) -> bool {
        self.attach.is_some_and(|attach| !attach.read_only)
    }

    /// Lets it in; what it is told first.
    pub(super) fn let_in(&mut self, attach: Attach, past: &Scrollback, first: &ToViewer) {
        self.attach = Some(attach);
        self.live = past.end();
        self.position = if attach.past { past.start() } else { self.live };
        first.encode(&mut self.out);
    }

    /// Its terminal has another size.
    pub(super) const fn has_size(&mut self, size: Size) {
        if let Some(attach) = &mut self.attach {
            attach.size = Some(size);
        }
    }

    /// It is to be told that the guest is used on a terminal of this size.
    pub(super) const fn tell_size(&mut self, size: Size) {
        self.resized = Some(size);
    }

    /// It is to be told, after all it is owed, that nothing follows.
    pub(super) const fn end(&mut self, end: End) {
        self.ending = Some(end);
    }

    /// Whether something is to be sent.
    pub(super) fn is_owed(&self, past: &Scrollback) -> bool {
        let news = self.attach.is_some() && (self.position < past.end() || self.resized.is_some());
        self.written < self.out.len() || news || self.ending.is_some()
    }

    /// Takes what it said since, as far as one reading gets.
    pub(super) fn hear(&mut self) -> Heard {
        let mut part = [0; 4 << 10];
        let there = match self.stream.read(&mut part) {
            Ok(0) => false,
            Ok(count) => {
                self.decoder.push(part.get(..count).unwrap_or_default());
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        let frames = std::iter::from_fn(|| self.decoder.take());
        let said = frames.filter_map(|frame| FromViewer::decode(&frame)).collect();
        Heard { said, there }
    }

    /// Sends what it is owed, as far as it takes it. An error is its end.
    pub(super) fn pump(&mut self, past: &Scrollback) -> io::Result<()> {
        loop {
            let rest = self.out.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                self.out.clear();
                self.written = 0;
                let Some(next) = self.next(past) else {
                    return Ok(());
                };
                next.encode(&mut self.out);
                continue;
            }
            match self.stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn next(&mut self, past: &Scrollback) -> Option<ToViewer> {
        if self.attach.is_some() {
            if let Some(size) = self.resized.take() {
                return Some(ToViewer::Resized(size));
            }
            let missed = past.start().saturating_sub(self.position);
            if missed > 0 {
                self.position = past.start();
                return Some(ToViewer::Skipped(missed));
            }
            if self.position < past.end() {
                return Some(self.piece(past));
            }
        }
        self.ending.take().map(ToViewer::End)
    }

    fn piece(&mut self, past: &Scrollback) -> ToViewer {
        let old = self.position < self.live;
        let to = if old { self.live } else { past.end() };
        let bytes = past.read(self.position, to, PIECE);
        self.position += bytes.len() as u64;
        if old {
            ToViewer::Past(bytes)
        } else {
            ToViewer::Output(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// A stream that takes only so many octets before it would block, and hands out nothing.
    #[derive(Default)]
    struct Pipe {
        taken: Vec<u8>,
        room: usize,
    }

    impl Read for Pipe {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.taken.extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const ATTACH: Attach = Attach {
        version: 1,
        read_only: false,
        past: true,
        size: None,
    };

    fn told(viewer: &Viewer<Pipe>) -> Vec<ToViewer> {
        let mut decoder = Decoder::default();
        decoder.push(&viewer.stream.taken);
        std::iter::from_fn(|| decoder.take())
            .filter_map(|frame| ToViewer::decode(&frame))
            .collect()
    }

    fn first() -> ToViewer {
        ToViewer::Skipped(0)
    }

    proptest! {
        #[test]
        fn a_viewer_of_any_pace_gets_all_in_order_or_is_told_how_much_it_missed(
            steps in vec((vec(any::<u8>(), 0..50), 0_usize..120), 1..30), before in vec(any::<u8>(), 0..100),
        ) {
            let mut past = Scrollback::new(64);
            past.push(&before);
            let mut all: Vec<u8> = before;
            let mut viewer = Viewer::new(Pipe::default());
            let start = past.start();
            viewer.let_in(ATTACH, &past, &first());
            for (said, room) in &steps {
                past.push(said);
                all.extend(said);
                viewer.stream.room = *room;
                viewer.pump(&past).unwrap();
            }
            viewer.end(End::Vm);
            viewer.stream.room = usize::MAX;
            viewer.pump(&past).unwrap();
            prop_assert!(!viewer.is_owed(&past));
            let mut position = usize::try_from(start).unwrap();
            let told = told(&viewer);
            prop_assert_eq!(told.last(), Some(&ToViewer::End(End::Vm)));
            for told in &told {
                match told {
                    ToViewer::Past(bytes) | ToViewer::Output(bytes) => {
                        prop_assert_eq!(&bytes[..], &all[position..position + bytes.len()]);
                        position += bytes.len();
                    }
                    ToViewer::Skipped(count) => position += usize::try_from(*count).unwrap(),
                    _ => {}
                }
            }
            prop_assert_eq!(position, all.len());
        }
    }

    #[test]
    fn what_was_said_before_is_marked_as_past_and_left_out_for_who_does_not_want_it() {
        let mut past = Scrollback::new(64);
        past.push(b"old");
        for wanted in [true, false] {
            let mut viewer = Viewer::new(Pipe {
                room: 1000,
                ..Pipe::default()
            });
            let attach = Attach {
                past: wanted,
                ..ATTACH
            };
            viewer.let_in(attach, &past, &first());
            past.push(b"new");
            viewer.pump(&past).unwrap();
            let told = told(&viewer);
            let old = told.contains(&ToViewer::Past(b"old".to_vec()));
            assert_eq!(old, wanted, "{told:?}");
            assert_eq!(told.last(), Some(&ToViewer::Output(b"new".to_vec())));
            past = Scrollback::new(64);
            past.push(b"old");
        }
    }

    #[test]
    fn who_is_not_let_in_yet_is_told_nothing() {
        let mut past = Scrollback::new(64);
        past.push(b"secret");
        let mut viewer = Viewer::new(Pipe {
            room: 1000,
            ..Pipe::default()
        });
        viewer.pump(&past).unwrap();
        assert!(!viewer.is_owed(&past) && viewer.stream.taken.is_empty());
        assert!(!viewer.types());
    }
}
