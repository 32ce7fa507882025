//! The Range header (RFC 9110 §14): one part of a file, for clients that fetch it in pieces or go on where they were cut.

/// What a request asks for of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The octets from the first to the last, both included.
    Range {
        /// The first octet's position.
        first: u64,
        /// The last octet's position; inside the file.
        last: u64,
    },
    /// Nothing that is in it.
    Unsatisfiable,
}

impl Part {
    /// Reads a Range header for a file of that many octets.
    ///
    /// "A server MAY ignore the Range header field" (RFC 9110 §14.2): one that is malformed, is in another unit, or asks for
    /// several parts gets the whole file, as from a server that knows no ranges.
    pub fn of(header: &str, len: u64) -> Self {
        let Some(set) = header.trim().strip_prefix("bytes=") else {
            return Self::Whole;
        };
        let Some((first, last)) = set.trim().split_once('-') else {
            return Self::Whole;
        };
        match (number(first), number(last)) {
            // "bytes=-500": the last 500 (§14.1.2); of none there are none.
            (None, Some(count)) if first.is_empty() => match len.min(count) {
                0 => Self::Unsatisfiable,
                count => Self::within(len - count, len - 1, len),
            },
            (Some(first), None) if last.is_empty() => Self::within(first, u64::MAX, len),
            // "An int-range is invalid if the last-pos value is present and less than first-pos" (§14.1.2).
            (Some(first), Some(last)) if first <= last => Self::within(first, last, len),
            _ => Self::Whole,
        }
    }

    fn within(first: u64, last: u64, len: u64) -> Self {
        if first >= len {
            return Self::Unsatisfiable;
        }
        Self::Range {
            first,
            last: last.min(len - 1),
        }
    }
}

/// Digits only: `parse` would take a sign too.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_part_is_found_and_cut_to_the_file() {
        let range = |first, last| Part::Range { first, last };
        for (header, part) in [
            ("bytes=0-499", range(0, 499)),
            ("bytes=500-", range(500, 999)),
            ("bytes=-1", range(999, 999)),
            ("bytes=-5000", range(0, 999)),
            ("bytes=990-2000", range(990, 999)),
            ("bytes=0-99999999999999999999999", range(0, 999)),
            ("bytes=1000-", Part::Unsatisfiable),
            ("bytes=1000-1001", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
        ] {
            assert_eq!(Part::of(header, 1000), part, "{header}");
        }
        assert_eq!(Part::of("bytes=0-", 0), Part::Unsatisfiable);
        assert_eq!(Part::of("bytes=-5", 0), Part::Unsatisfiable);
    }

    #[test]
    fn what_is_no_single_range_gets_the_whole_file() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "bytes=a-b",
            "lines=0-1",
            "bytes=1-2-3",
        ] {
            assert_eq!(Part::of(header, 1000), Part::Whole, "{header}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_always_inside_the_file(header in r"bytes=[0-9]{0,22}-[0-9]{0,22}|\PC{0,30}", len: u64) {
            if let Part::Range { first, last } = Part::of(&header, len) {
                prop_assert!(first <= last && last < len);
            }
        }
    }
}
