//! What a value of a document is to cloud-init, whose reader (`PyYAML`) follows YAML 1.1: `yes` is a truth value, `0644` a
//! number in octal, `12:30` a number to the base of sixty, `2026-01-02` a date.

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::seed) enum Kind {
    /// A text: quoted, a block, or nothing else.
    Text,
    /// A whole number.
    Whole,
    /// Any other number.
    Number,
    /// A truth value.
    Bool,
    /// A date, or a date and a time.
    Date,
    /// Nothing.
    Null,
    /// A list.
    List,
    /// A mapping.
    Map,
    /// What can not be followed.
    Unknown,
}

impl Kind {
    /// What a plain scalar is (`PyYAML`'s resolver.py).
    pub(in crate::seed) fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "true" | "True" | "TRUE" | "false" | "False"
            | "FALSE" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => Self::Bool,
            ".nan" | ".NaN" | ".NAN" => Self::Number,
            _ if is_whole(text) => Self::Whole,
            _ if is_float(text) => Self::Number,
            _ if is_date(text) => Self::Date,
            _ => Self::Text,
        }
    }

    /// What a tag of YAML's own makes of a scalar: `!!str`.
    pub(in crate::seed) fn of_tag(suffix: &str) -> Self {
        match suffix {
            "str" | "binary" => Self::Text,
            "int" => Self::Whole,
            "float" => Self::Number,
            "bool" => Self::Bool,
            "null" => Self::Null,
            "timestamp" => Self::Date,
            _ => Self::Unknown,
        }
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn all(text: &str, wanted: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(|byte| wanted(byte) || byte == b'_')
}

fn decimal(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && all(text, |byte| byte.is_ascii_digit())
}

/// Whether it is a number of several places to the base of sixty: what an unquoted time, and some MAC addresses, are.
pub(in crate::seed) fn is_sexagesimal(text: &str) -> bool {
    let Some((first, rest)) = unsigned(text).split_once(':') else {
        return false;
    };
    !first.starts_with('0') && decimal(first) && rest.split(':').all(is_place)
}

/// One place to the base of sixty.
fn is_place(digits: &str) -> bool {
    matches!(digits.len(), 1 | 2) && digits.parse::<u8>().is_ok_and(|value| value < 60)
}

fn is_whole(text: &str) -> bool {
    let digits = unsigned(text);
    if let Some(binary) = digits.strip_prefix("0b") {
        return all(binary, |byte| matches!(byte, b'0' | b'1'));
    }
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        return all(hexadecimal, |byte| byte.is_ascii_hexdigit());
    }
    match digits.strip_prefix('0') {
        Some("") => true,
        Some(octal) => all(octal, |byte| matches!(byte, b'0'..=b'7')),
        None => decimal(digits) || is_sexagesimal(text),
    }
}

fn is_float(text: &str) -> bool {
    let digits = unsigned(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let (mantissa, exponent) = digits
        .split_once(['e', 'E'])
        .map_or((digits, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let signed = |text: &str| {
        text.strip_prefix(['-', '+'])
            .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty())
    };
    if exponent.is_some_and(|exponent| !signed(exponent)) {
        return false;
    }
    let Some((whole, fraction)) = mantissa.split_once('.') else {
        return false;
    };
    let fraction_is_good = fraction.is_empty() || all(fraction, |byte| byte.is_ascii_digit());
    match whole {
        // No sign before a leading dot, and a digit after it.
        "" => text.starts_with('.') && decimal(fraction),
        _ => fraction_is_good && (decimal(whole) || exponent.is_none() && is_sexagesimal(whole)),
    }
}

fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let digits = |text: &str, least: usize, most: usize| {
        (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(year, 4, 4) {
        return false;
    }
    match rest.find(['T', 't', ' ', '\t']) {
        None => digits(month, 2, 2) && digits(rest, 2, 2),
        Some(end) => {
            let (day, time) = rest.split_at(end);
            digits(month, 1, 2) && digits(day, 1, 2) && is_time(time)
        }
    }
}

/// Whether it is a time of the day behind a date; that its numbers are possible is not asked.
fn is_time(text: &str) -> bool {
    let time = text.trim_start_matches(['T', 't', ' ', '\t']);
    let mut places = time.splitn(3, ':');
    let (Some(hour), Some(minute), Some(second)) = (places.next(), places.next(), places.next()) else {
        return false;
    };
    let number = |text: &str| text.len() <= 2 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let starts = second.get(..2).is_some_and(number);
    number(hour) && number(minute) && starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn are(kind: Kind, texts: &[&str]) {
        for text in texts {
            assert_eq!(Kind::of_plain(text), kind, "{text:?}");
        }
    }

    #[test]
    fn plain_scalars_are_what_pyyaml_makes_of_them() {
        are(Kind::Null, &["", "~", "null", "NULL"]);
        are(Kind::Bool, &["yes", "No", "ON", "off", "true", "FALSE"]);
        are(Kind::Whole, &["0", "-1", "+12", "0644", "0b101", "0xfF", "1_000"]);
        are(Kind::Whole, &["12:30", "52:54:00:12:34:56", "190:20:30"]);
        are(Kind::Number, &["1.5", "1.", ".5", "-1.5e+3", "6.8523015e+5"]);
        are(Kind::Number, &["190:20:30.15", ".inf", "-.INF", ".nan"]);
        are(
            Kind::Date,
            &["2026-01-02", "2026-1-2 3:04:05", "2026-01-02T03:04:05Z"],
        );
        are(
            Kind::Text,
            &["nO", "y", "n", "0o644", "0899", "12:60", "1e3", "1.5e3", "-.5"],
        );
        are(
            Kind::Text,
            &["00:16:3e:00:00:01", "52:54:00:aa:bb:cc", "-", "+", "0x", "0b2"],
        );
        are(
            Kind::Text,
            &[
                "1.2.3",
                "22.04.1",
                "2026-1-2",
                "2026-01",
                "10.77.0.1",
                "_1",
                "hello",
            ],
        );
    }

    #[test]
    fn only_places_to_the_base_of_sixty_are_sexagesimal() {
        assert!(is_sexagesimal("12:30") && is_sexagesimal("-1:2:3"));
        assert!(!is_sexagesimal("12") && !is_sexagesimal("08:30") && !is_sexagesimal("12:3x"));
    }
}
