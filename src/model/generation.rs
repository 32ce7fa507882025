//! Generations: the numbered states of one base image, each read-only for ever.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use super::name::{ImageName, NameError};

/// The number of a generation, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(NonZeroU32);

impl Generation {
    /// What an image begins with.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The generation of that number; there is none of number 0.
    pub const fn numbered(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0.get()
    }

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One generation of an image: `debian-12@3`. A word, because each VM holds one; clones of it share the rest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(Arc<(ImageName, Generation)>);

impl ImageId {
    /// That generation of that image.
    pub fn new(name: ImageName, generation: Generation) -> Self {
        Self(Arc::new((name, generation)))
    }

    /// The image.
    pub fn name(&self) -> &ImageName {
        &self.0.0
    }

    /// Which of its generations.
    pub fn generation(&self) -> Generation {
        self.0.1
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}@{}", self.name(), self.generation()))
    }
}

impl FromStr for ImageId {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        let ImageRef { name, generation } = text.parse()?;
        let generation = generation.ok_or_else(|| ImageRefError::Generation(text.to_owned()))?;
        Ok(Self::new(name, generation))
    }
}

/// How a person names an image: `debian-12`, which is its current generation, or `debian-12@3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// The image.
    pub name: ImageName,
    /// Which of its generations; the current one when none is given.
    pub generation: Option<Generation>,
}

impl ImageRef {
    /// Whatever generation of that image is the current one.
    pub fn current(name: &ImageName) -> Self {
        Self {
            name: name.clone(),
            generation: None,
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            Some(generation) => write!(f, "{}@{generation}", self.name),
            None => self.name.fmt(f),
        }
    }
}

impl From<&ImageId> for ImageRef {
    fn from(id: &ImageId) -> Self {
        Self {
            name: id.name().clone(),
            generation: Some(id.generation()),
        }
    }
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefError {
    /// The part before the `@` is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no number behind the `@`.
    #[error("image `{}` names no generation: write NAME@NUMBER, counted from 1, such as debian-12@3", .0.escape_debug())]
    Generation(String),
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        let Some((name, number)) = text.split_once('@') else {
            return Ok(Self {
                name: text.parse()?,
                generation: None,
            });
        };
        let name = name.parse()?;
        // One way to write each: a file's name and a record's key are made of it.
        let plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        let number = plain.then(|| number.parse().ok()).flatten();
        let generation = number.ok_or_else(|| ImageRefError::Generation(text.to_owned()))?;
        Ok(Self {
            name,
            generation: Some(Generation(generation)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_written_in_one_way() {
        let id: ImageId = "debian-12@3".parse().unwrap();
        assert_eq!(
            (id.name().as_str(), id.to_string().as_str()),
            ("debian-12", "debian-12@3")
        );
        assert_eq!(format!("{id:>13}"), "  debian-12@3");
        assert_eq!(id.generation(), Generation::FIRST.next().next());
        assert_eq!("debian-12".parse::<ImageRef>().unwrap().generation, None);
        for wrong in [
            "debian-12@",
            "debian-12@0",
            "debian-12@03",
            "debian-12@+3",
            "a@b",
            "a@1@2",
            "a@4294967296",
            "@1",
            "A@1",
        ] {
            assert!(wrong.parse::<ImageRef>().is_err(), "{wrong}");
        }
        "debian-12".parse::<ImageId>().unwrap_err();
    }

    #[test]
    fn generations_are_ordered_by_number() {
        let ids = ["a@10", "a@2", "b@1"].map(|text| text.parse::<ImageId>().unwrap());
        assert!(ids[1] < ids[0] && ids[0] < ids[2]);
    }
}
