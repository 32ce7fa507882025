//! What a server's reply to a request for a file, or for the rest of one, means (RFC 9110).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// By what a server tells one version of a file from the next (section 8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

impl Version {
    /// What makes a server send the rest of this version only, and all of any other (section 13.1.5): never a weak tag, which
    /// files share that are merely alike.
    pub(super) fn if_range(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|tag| tag.starts_with('"'));
        strong.or(self.last_modified.as_deref())
    }

    /// Whether `other` is surely another version.
    fn differs(&self, other: &Self) -> bool {
        let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        differ(&self.etag, &other.etag) || differ(&self.last_modified, &other.last_modified)
    }
}

/// The part of a file that follows (section 14.4); positions are bytes from the start of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentRange {
    /// `bytes FIRST-LAST/TOTAL`.
    Part { first: u64, total: Option<u64> },
    /// `bytes */TOTAL`: nothing of it, because what was asked for is behind its end.
    Unsatisfied { total: u64 },
}

impl ContentRange {
    /// Reads the header; nothing when it makes no sense.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let total = match total {
            "*" => None,
            digits => Some(digits.parse::<u64>().ok()?),
        };
        if range == "*" {
            return total.map(|total| Self::Unsatisfied { total });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        // Only a part that is the whole rest is one that was asked for.
        let whole_rest = total.is_none_or(|total| last.checked_add(1) == Some(total));
        (first <= last && whole_rest).then_some(Self::Part { first, total })
    }
}

/// The head of a reply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) version: Version,
    /// Of what follows, in bytes.
    pub(super) length: Option<u64>,
    /// Whether the end of what follows is marked, though its length is not known.
    pub(super) chunked: bool,
    pub(super) range: Option<ContentRange>,
    pub(super) retry_after: Option<Duration>,
}

/// What it means to who has the first bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The whole file follows; its length in bytes, when it is known.
    Whole(Option<u64>),
    /// The rest of it follows; the length of the whole file.
    Rest(Option<u64>),
    /// Nothing is missing.
    Complete,
    /// What is here is of another file.
    Changed,
    /// It may be better later.
    Later,
    /// No.
    Refused,
}

impl Reply {
    /// What it means to who has `have` bytes of the version `known`, and asked for the rest if that is more than none.
    pub(super) fn meaning(&self, have: u64, known: &Version) -> Meaning {
        let same = !self.version.differs(known);
        match (self.status, self.range) {
            (200, _) => Meaning::Whole(self.length),
            (206, Some(ContentRange::Part { first, total })) if first == have && have > 0 && same => {
                Meaning::Rest(total.or_else(|| self.length.and_then(|length| have.checked_add(length))))
            }
            (416, Some(ContentRange::Unsatisfied { total })) if total == have && have > 0 && same => {
                Meaning::Complete
            }
            (206 | 416, _) if have > 0 => Meaning::Changed,
            (408 | 425 | 429 | 500 | 502 | 503 | 504, _) => Meaning::Later,
            _ => Meaning::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(etag: &str) -> Version {
        Version {
            etag: Some(etag.to_owned()),
            last_modified: None,
        }
    }

    fn reply(status: u16, range: Option<&str>) -> Reply {
        Reply {
            status,
            length: Some(60),
            range: range.and_then(ContentRange::parse),
            ..Reply::default()
        }
    }

    #[test]
    fn a_weak_tag_asks_for_no_rest() {
        assert_eq!(version("\"a\"").if_range(), Some("\"a\""));
        assert_eq!(version("W/\"a\"").if_range(), None);
        let dated = Version {
            last_modified: Some("Sat, 01 Aug 2026 10:00:00 GMT".to_owned()),
            ..version("W/\"a\"")
        };
        assert_eq!(dated.if_range(), dated.last_modified.as_deref());
    }

    #[test]
    fn a_rest_counts_only_if_it_is_the_one_that_was_asked_for() {
        let none = Version::default();
        let meaning = |range| reply(206, Some(range)).meaning(40, &none);
        assert_eq!(meaning("bytes 40-99/100"), Meaning::Rest(Some(100)));
        assert_eq!(meaning("bytes 40-99/*"), Meaning::Rest(Some(100)));
        for other in [
            "bytes 41-99/100",
            "bytes 40-50/100",
            "bytes 40-30/*",
            "items 40-99/100",
            "bytes 40-99",
        ] {
            assert_eq!(meaning(other), Meaning::Changed, "{other}");
        }
        assert_eq!(reply(206, None).meaning(40, &none), Meaning::Changed);
        assert_eq!(
            reply(206, Some("bytes 0-59/60")).meaning(0, &none),
            Meaning::Refused
        );
    }

    #[test]
    fn a_rest_of_another_version_is_none() {
        let rest = Reply {
            version: version("\"b\""),
            ..reply(206, Some("bytes 40-99/100"))
        };
        assert_eq!(rest.meaning(40, &version("\"a\"")), Meaning::Changed);
        assert_eq!(rest.meaning(40, &version("\"b\"")), Meaning::Rest(Some(100)));
    }

    #[test]
    fn nothing_is_missing_when_the_server_says_so() {
        let none = Version::default();
        assert_eq!(
            reply(416, Some("bytes */40")).meaning(40, &none),
            Meaning::Complete
        );
        assert_eq!(
            reply(416, Some("bytes */30")).meaning(40, &none),
            Meaning::Changed
        );
        assert_eq!(reply(416, None).meaning(40, &none), Meaning::Changed);
        assert_eq!(reply(416, None).meaning(0, &none), Meaning::Refused);
    }

    #[test]
    fn a_server_in_trouble_is_asked_again_and_one_that_says_no_is_not() {
        for (status, meaning) in [
            (200, Meaning::Whole(Some(60))),
            (503, Meaning::Later),
            (429, Meaning::Later),
            (404, Meaning::Refused),
            (403, Meaning::Refused),
            (204, Meaning::Refused),
            (304, Meaning::Refused),
        ] {
            assert_eq!(
                reply(status, None).meaning(0, &Version::default()),
                meaning,
                "{status}"
            );
            assert_eq!(
                reply(status, None).meaning(9, &Version::default()),
                meaning,
                "{status}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_range_panics_and_a_good_one_is_read(text in "(bytes )?[0-9*/ -]{0,60}", first: u64, rest in 1..u64::MAX) {
            let _ = ContentRange::parse(&text);
            if let Some(total) = first.checked_add(rest) {
                let text = format!("bytes {first}-{}/{total}", total - 1);
                prop_assert_eq!(ContentRange::parse(&text), Some(ContentRange::Part { first, total: Some(total) }));
            }
        }
    }
}
