//! Lists of checksums, as distributions publish them beside their images (`SHA256SUMS`, `SHA512SUMS`, `CHECKSUM`, `x.sha256`).
//!
//! Three forms are read: `sha256sum`'s and `sha512sum`'s (`HEX  NAME`, `HEX *NAME`), BSD's and OpenSSL's with the algorithm in
//! front (`SHA256 (NAME) = HEX`), and a file with nothing but one checksum. Other lines, such as those of a signature, are skipped.

use super::checksum::{BadChecksum, Checksum};

/// Why a list does not tell the checksum of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumsError {
    /// It has no line about the file.
    #[error("it does not name {0}")]
    NotListed(String),
    /// It has the file, with other algorithms alone: MD5 and SHA-1, with which files can be made at will, or one nobody uses.
    #[error("it has neither a SHA-256 nor a SHA-512 of {0}")]
    Weak(String),
    /// It has several files of that name.
    #[error("it has several files named {0}, with different checksums")]
    Ambiguous(String),
    /// It has not one checksum.
    #[error("it has no checksums in it")]
    None,
}

/// One line: a file and its checksum; none when that is a weak one.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    /// As it is listed; empty in a line that is nothing but a checksum.
    path: &'a str,
    sum: Option<Checksum>,
}

/// The strongest checksum that a list has for the file at `path`, which is that of its URL, or its place on disk.
///
/// A file is found by its name. Where several have that name (`netboot/mini.iso`, `netboot/gtk/mini.iso`), it is the one whose
/// whole path in the list is the end of `path`.
pub fn find(list: &str, path: &str) -> Result<Checksum, SumsError> {
    let entries: Vec<_> = list.lines().filter_map(entry).collect();
    if entries.is_empty() {
        return Err(SumsError::None);
    }
    let name = last_part(path);
    let mut about: Vec<&Entry> = entries
        .iter()
        .filter(|entry| last_part(entry.path) == name)
        .collect();
    if let Some(longest) = about
        .iter()
        .filter_map(|entry| common_end(entry.path, path))
        .max()
    {
        about.retain(|entry| common_end(entry.path, path) == Some(longest));
    }
    if let ([only], true) = (entries.as_slice(), about.is_empty())
        && only.path.is_empty()
    {
        about.push(only);
    }
    strongest(&about, name)
}

fn strongest(about: &[&Entry], name: &str) -> Result<Checksum, SumsError> {
    if about.is_empty() {
        return Err(SumsError::NotListed(name.to_owned()));
    }
    let sums = || about.iter().filter_map(|entry| entry.sum);
    let strongest = sums().max().ok_or_else(|| SumsError::Weak(name.to_owned()))?;
    let another = |sum: Checksum| sum.algorithm() == strongest.algorithm() && sum != strongest;
    if sums().any(another) {
        return Err(SumsError::Ambiguous(name.to_owned()));
    }
    Ok(strongest)
}

fn entry(line: &str) -> Option<Entry<'_>> {
    let line = line.trim();
    with_algorithm(line).or_else(|| with_digits_first(line))
}

/// `SHA256 (NAME) = HEX`, and `SHA2-256(NAME)= HEX` as OpenSSL 3 writes it.
fn with_algorithm(line: &str) -> Option<Entry<'_>> {
    let (algorithm, rest) = line.split_once('(')?;
    // A name may have brackets itself; what follows it has none.
    let (path, digits) = rest.rsplit_once(')')?;
    let digits = digits.trim_start().strip_prefix('=')?.trim();
    let sum = sum(digits).ok()?;
    let named = match algorithm.trim().to_ascii_uppercase().as_str() {
        "SHA256" | "SHA2-256" => Some("SHA-256"),
        "SHA512" | "SHA2-512" => Some("SHA-512"),
        _ => None,
    };
    // BLAKE2 and SHA-3 have the same lengths, and say something else.
    let sum = sum.filter(|sum| named == Some(sum.algorithm()));
    Some(Entry { path, sum })
}

/// `HEX  NAME`, or `HEX` alone.
fn with_digits_first(line: &str) -> Option<Entry<'_>> {
    let (digits, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let sum = sum(digits).ok()?;
    let rest = rest.trim_start();
    Some(Entry {
        path: rest.strip_prefix('*').unwrap_or(rest),
        sum,
    })
}

/// What digits are: a checksum, or a weak one, which is none; an error, when they are something else.
fn sum(digits: &str) -> Result<Option<Checksum>, BadChecksum> {
    match digits.parse() {
        Err(BadChecksum::Weak(_)) => Ok(None),
        result => result.map(Some),
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// How many parts `listed` has, when all of them are the last ones of `path`.
fn common_end(listed: &str, path: &str) -> Option<usize> {
    let parts = |path: &'_ str| -> Vec<String> {
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
        parts.map(str::to_owned).collect()
    };
    let (listed, path) = (parts(listed), parts(path));
    (!listed.is_empty() && path.ends_with(&listed)).then_some(listed.len())
}

#[cfg(test)]
mod tests;
