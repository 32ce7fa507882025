//! Releases of cloud-init, as far as what they know of depends on them.

use std::fmt;
use std::str::FromStr;

/// A release of cloud-init: `22.4`. What comes behind is not told apart: releases of one name know the same keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    year: u16,
    number: u16,
}

impl Release {
    /// The release of that number in that year.
    pub const fn new(year: u16, number: u16) -> Self {
        Self { year, number }
    }
}

/// It is no release of cloud-init.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no release of cloud-init, such as 22.4")]
pub struct NotARelease(String);

impl FromStr for Release {
    type Err = NotARelease;

    /// Reads a release, or a version of a package of it: `22.4.2-1+deb12u4`, `25.1.4`.
    fn from_str(text: &str) -> Result<Self, NotARelease> {
        let refused = || NotARelease(text.chars().take(40).flat_map(char::escape_debug).collect());
        let (year, rest) = text.split_once('.').ok_or_else(refused)?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest.get(..digits).unwrap_or_default();
        match (year.parse(), number.parse()) {
            (Ok(year), Ok(number)) if year < 1_000 => Ok(Self { year, number }),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.year, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> Release {
        text.parse().unwrap()
    }

    #[test]
    fn releases_are_read_from_versions_and_ordered() {
        assert_eq!(release("22.4.2-1+deb12u4"), release("22.4"));
        assert_eq!(release("25.1.4").to_string(), "25.1");
        assert!(release("22.4") < release("23.1") && release("23.1") < release("23.10"));
        for bad in ["", "22", "22.", "x.1", "1:22.4", "-1.2", "2026.1"] {
            assert!(bad.parse::<Release>().is_err(), "{bad}");
        }
    }
}
