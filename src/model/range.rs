//! Several names written as one: `web[1-20]`, `vps[01-20]`, `db[1,3,7]`.

use super::name::{NameError, VmName};

/// The most names one pattern may stand for.
pub const MAX_NAMES: usize = 10_000;

/// Why a pattern does not stand for names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The brackets do not match, or hold no numbers.
    #[error("`{0}` is not a range: write web[1-20], vps[01-20] or db[1,3,7]")]
    Malformed(String),
    /// The range ends before it starts.
    #[error("range `{0}` ends before it starts")]
    Backwards(String),
    /// More than [`MAX_NAMES`].
    #[error("range `{0}` stands for more than {MAX_NAMES} names")]
    TooMany(String),
    /// One of the names is not one.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// The names a pattern stands for, in order; a pattern without brackets stands for itself.
///
/// A leading zero in the range's first number fixes the width: `vps[01-20]` is `vps01` to `vps20`.
pub fn expand(pattern: &str) -> Result<Vec<VmName>, RangeError> {
    let shown = || pattern.escape_debug().take(80).collect::<String>();
    let malformed = || RangeError::Malformed(shown());
    let Some((before, rest)) = pattern.split_once('[') else {
        return Ok(vec![pattern.parse()?]);
    };
    let (inside, after) = rest.split_once(']').ok_or_else(malformed)?;
    if after.contains(['[', ']']) || inside.contains('[') {
        return Err(malformed());
    }
    let mut names = Vec::new();
    for part in inside.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| text.parse::<u32>().ok())
                .flatten()
        };
        let (first, last) = (
            number(from).ok_or_else(malformed)?,
            number(to).ok_or_else(malformed)?,
        );
        if last < first {
            return Err(RangeError::Backwards(shown()));
        }
        if (last - first) as usize >= MAX_NAMES.saturating_sub(names.len()) {
            return Err(RangeError::TooMany(shown()));
        }
        let width = if from.starts_with('0') { from.len() } else { 0 };
        for index in first..=last {
            names.push(format!("{before}{index:0width$}{after}").parse()?);
        }
    }
    Ok(names)
}

/// The names several patterns stand for, each once, in the order they were written.
pub fn expand_all<S: AsRef<str>>(patterns: &[S]) -> Result<Vec<VmName>, RangeError> {
    let mut seen = std::collections::HashSet::new();
    let mut names = Vec::new();
    for pattern in patterns {
        names.extend(
            expand(pattern.as_ref())?
                .into_iter()
                .filter(|name| seen.insert(name.clone())),
        );
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pattern: &str) -> Vec<String> {
        expand(pattern).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_range_stands_for_its_names_in_order() {
        assert_eq!(texts("web1"), ["web1"]);
        assert_eq!(texts("web[9-11]"), ["web9", "web10", "web11"]);
        assert_eq!(texts("vps[09-11]x"), ["vps09x", "vps10x", "vps11x"]);
        assert_eq!(texts("db[1,3-4]"), ["db1", "db3", "db4"]);
    }

    #[test]
    fn what_is_no_range_is_refused_in_words() {
        for bad in [
            "web[",
            "web]1[",
            "web[a-b]",
            "web[1-]",
            "web[]",
            "web[2-1]",
            "web[1-2][3-4]",
            "Web[1-2]",
            "w[0-99999]",
        ] {
            assert!(expand(bad).is_err(), "{bad} was accepted");
        }
    }
}
