//! Sizes as people type them: `512M`, `2G`, `10GiB`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes. Suffixes are powers of 1,024, as `qemu-img` and Multipass read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

/// A text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("size `{0}` is not a number with a unit, such as 512M, 2G or 1T")]
pub struct SizeError(String);

impl Bytes {
    /// So many mebibytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// So many gibibytes.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// Whole mebibytes, rounded down.
    pub const fn as_mib(self) -> u64 {
        self.0 >> 20
    }
}

impl FromStr for Bytes {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let error = || SizeError(text.escape_debug().take(40).collect());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let shift = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(error()),
        };
        let number: u64 = number.parse().map_err(|_| error())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(error)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        // 1536MiB says more than 1.5GiB; 437056KiB says less than 426.8MiB.
        let short = |shift: u32| (1..10_000).contains(&(self.0 >> shift));
        let exact = UNITS
            .into_iter()
            .find(|(shift, _)| short(*shift) && self.0.trailing_zeros() >= *shift);
        let text = match exact.or_else(|| UNITS.into_iter().find(|(shift, _)| self.0 >> shift > 0)) {
            Some((shift, unit)) if exact.is_some() => format!("{}{unit}", self.0 >> shift),
            Some((shift, unit)) => {
                let tenths = (u128::from(self.0) * 10) >> shift;
                format!("{}.{}{unit}", tenths / 10, tenths % 10)
            }
            None => format!("{}B", self.0),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("512M", 512 << 20),
            ("2G", 2 << 30),
            ("2GiB", 2 << 30),
            ("10gb", 10 << 30),
            ("4096", 4096),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for bad in ["", "M", "-1M", "1.5G", "2 G", "2X", "99999999999T", "१M"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn a_size_is_shown_in_the_largest_unit_that_says_it() {
        for (bytes, text) in [
            (Bytes::gib(2), "2GiB"),
            (Bytes::mib(1536), "1536MiB"),
            (Bytes(0), "0B"),
            (Bytes(437_056 << 10), "426.8MiB"),
            (Bytes(1_500_000), "1.4MiB"),
        ] {
            assert_eq!(bytes.to_string(), text);
        }
    }
}
