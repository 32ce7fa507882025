//! Time as a value: rules take `now` as an argument, and only [`Clock`] reads the machine's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in wall time, in whole seconds since the Unix epoch. For records and display, never for deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// How long ago `self` was at `now`; zero when the clock went backwards.
    pub fn age(self, now: Self) -> Duration {
        Duration::from_secs(now.0.saturating_sub(self.0))
    }
}

/// Where the shells get `now` from; the one place that reads a clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// Wall time now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    pub fn now(self) -> Timestamp {
        Timestamp(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |age| age.as_secs()),
        )
    }
}

/// A span as tables show it: the largest unit, rounded down (`45s`, `3m`, `2h`, `5d`).
pub fn short(span: Duration) -> String {
    match span.as_secs() {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m", s / 60),
        s @ 3_600..86_400 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// A span as configuration and flags write it: `90`, `90s`, `5m`, `12h`, `1d`.
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let error = || SpanError(text.escape_debug().take(40).collect());
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| error())?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(error()),
    };
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(error)
}

/// A text that is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("time span `{0}` is not a number with a unit, such as 90s, 5m, 12h or 1d")]
pub struct SpanError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_never_underflows() {
        assert_eq!(Timestamp(10).age(Timestamp(4)), Duration::ZERO);
        assert_eq!(Timestamp(4).age(Timestamp(10)), Duration::from_secs(6));
    }

    #[test]
    fn spans_are_read_and_shown() {
        assert_eq!(parse_span("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(short(Duration::from_secs(7_300)), "2h");
        for bad in ["", "m", "1w", "-1s"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
