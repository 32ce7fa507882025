//! The last octets a guest said, and where in all it ever said they stand.

use std::collections::VecDeque;

/// The end of a stream.
#[derive(Debug)]
pub(super) struct Scrollback {
    bytes: VecDeque<u8>,
    end: u64,
    most: usize,
}

impl Scrollback {
    /// Holds the last `most` octets.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            end: 0,
            most,
        }
    }

    /// Adds what came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        let kept = bytes
            .get(bytes.len().saturating_sub(self.most)..)
            .unwrap_or_default();
        let over = (self.bytes.len() + kept.len()).saturating_sub(self.most);
        self.bytes.drain(..over);
        self.bytes.extend(kept);
    }

    /// Where it begins.
    pub(super) fn start(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }

    /// Where it ends: what comes next stands there.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// What stands at `from` and after it, up to `to` and `most` octets; nothing where it does not reach back so far.
    pub(super) fn read(&self, from: u64, to: u64, most: usize) -> Vec<u8> {
        let place = |position: u64| usize::try_from(position.checked_sub(self.start())?).ok();
        let (Some(from), Some(to)) = (place(from), place(to.min(self.end))) else {
            return Vec::new();
        };
        let to = to.min(from.saturating_add(most));
        if from >= to {
            return Vec::new();
        }
        self.bytes.range(from..to).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_the_last_octets_and_knows_where_they_stand(
            parts in vec(vec(any::<u8>(), 0..40), 0..20), most in 1_usize..64, cut in 1_usize..20,
        ) {
            let mut scrollback = Scrollback::new(most);
            let mut all: Vec<u8> = Vec::new();
            for part in &parts {
                scrollback.push(part);
                all.extend(part);
                let start = all.len().saturating_sub(most);
                prop_assert_eq!(scrollback.start(), start as u64);
                prop_assert_eq!(scrollback.end(), all.len() as u64);
                // Read in pieces, it is what was said last.
                let mut read = Vec::new();
                loop {
                    let piece = scrollback.read(scrollback.start() + read.len() as u64, u64::MAX, cut);
                    prop_assert!(piece.len() <= cut);
                    if piece.is_empty() {
                        break;
                    }
                    read.extend(piece);
                }
                prop_assert_eq!(&read[..], &all[start..]);
            }
        }

        #[test]
        fn what_it_does_not_have_is_nothing(from in any::<u64>(), to in any::<u64>()) {
            let mut scrollback = Scrollback::new(4);
            scrollback.push(b"0123456789");
            let read = scrollback.read(from, to, 100);
            if (6..10).contains(&from) && from < to {
                let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to.min(10)).unwrap());
                prop_assert_eq!(&read[..], &b"0123456789"[from..to]);
            } else {
                prop_assert!(read.is_empty());
            }
        }
    }
}
