//! Why a file was not brought, in words, with what to do next.

use std::path::Path;

use super::Failure;
use super::source::Source;
use crate::fetch::Url;
use crate::fetch::checksum::Checksum;
use crate::fetch::compression::Compression;
use crate::fetch::download::DownloadError;
use crate::fetch::store::{EntryError, FileError, UnpackError};

const MAKE_ROOM: &str = "make room, or choose another place: --cache DIR";

/// A URL without what may be secret in it: a password, a token behind the question mark.
pub(super) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// A source as it is shown.
pub(super) fn source(source: &Source) -> String {
    match source {
        Source::Url(url) => shown(url),
        Source::File(path) => path.display().to_string(),
    }
}

/// A checksum on the command line.
pub(super) fn digits(option: &str, hex: &str) -> Result<Checksum, Failure> {
    let wrong = |why: String| Failure::usage(format!("{option} is no checksum: {why}"));
    let sum: Checksum = hex.trim().parse().map_err(|error| wrong(format!("{error}")))?;
    let (named, is) = (option.trim_start_matches("--sha"), sum.algorithm());
    if !is.ends_with(named) {
        return Err(wrong(format!("so many digits are a {is}")));
    }
    Ok(sum)
}

pub(super) fn unchecked_http(name: &str) -> Failure {
    Failure::refused(format!(
        "anyone on the way could change {name}: it comes over http, and without a checksum"
    ))
    .hint(
        "give --sha256, or --checksum-file with the list that is published beside it; or use https. \
             --insecure-http takes it as it comes",
    )
}

pub(super) fn http_list() -> Failure {
    Failure::refused("anyone on the way could change the list of checksums: it comes over http").hint(
        "give its https URL, or the file, after you have checked its signature. --insecure-http takes it as it comes",
    )
}

/// A file on this host with another checksum than the one that was given.
pub(super) fn wrong(path: &Path, found: &Checksum, expected: &Checksum) -> Failure {
    differ(&path.display().to_string(), found, expected)
        .hint("it was changed or cut short, or the checksum is that of another file")
}

/// The same of a download, which is removed.
pub(super) fn wrong_download(url: &Url, found: &Checksum, expected: &Checksum) -> Failure {
    differ(&shown(url), found, expected).hint(
        "it is removed. It was changed on the way or on its server, or the checksum is that of another release: compare it \
         with the published one, and run the command again",
    )
}

fn differ(what: &str, found: &Checksum, expected: &Checksum) -> Failure {
    let algorithm = found.algorithm();
    Failure::refused(format!(
        "{what} is not the file that was meant: its {algorithm} is another"
    ))
    .causes([
        format!("it should be {expected}"),
        format!("it is        {found}"),
    ])
}

pub(super) fn file(error: FileError) -> Failure {
    let FileError { action, path, source } = error;
    let failure = Failure::io(format!("{action} {}", path.display()), &source);
    match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => failure.hint(MAKE_ROOM),
        _ => failure,
    }
}

pub(super) fn entry(error: EntryError) -> Failure {
    match error {
        EntryError::File(error) => file(error),
        error @ EntryError::Busy => Failure::refused(error.to_string()).hint("wait for it"),
    }
}

pub(super) fn unpack(packed: &Path, compression: Compression, error: UnpackError) -> Failure {
    match error {
        UnpackError::File(error) => file(error),
        UnpackError::Packed(error) => Failure::refused(format!(
            "{} can not be unpacked, as {} by its name: {error}",
            packed.display(),
            compression.as_str()
        ))
        .hint("it is cut short, damaged, or something else than its name says"),
        error @ UnpackError::Bomb(_) => {
            Failure::refused(format!("{} is not unpacked: {error}", packed.display()))
                .hint("if it is meant so, unpack it yourself and give the file")
        }
    }
}

pub(super) fn download(url: &Url, error: DownloadError) -> Failure {
    let what = format!("can not download {}: {error}", shown(url));
    match error {
        DownloadError::File(error) => file(error),
        DownloadError::Unreachable(_) => Failure::refused(what).hint(
            "a proxy is named by https_proxy=http://HOST:PORT; or fetch it elsewhere, and give the file",
        ),
        DownloadError::Distrusted(_) => Failure::refused(what).hint(
            "a certificate that this host does not trust yet is named by SSL_CERT_FILE=FILE, or goes to /usr/local/share/ca-certificates",
        ),
        DownloadError::Status(line) if line.0 == 404 || line.0 == 410 => {
            Failure::not_found(what).hint("what is published moves with each release: look where it is now")
        }
        DownloadError::GivenUp { have, .. } if have > 0 => {
            Failure::refused(what).hint("run the same command again: it goes on with what is there")
        }
        DownloadError::NoRoom { .. } => {
            Failure::refused(what).hint(MAKE_ROOM)
        }
        DownloadError::Status(_) | DownloadError::GivenUp { .. } | DownloadError::Nonsense(_) => {
            Failure::refused(what).hint("try another mirror, or fetch it yourself and give the file")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let url: Url = "https://ann:hunter2@mirror.example:8443/pub/x.raw?token=secret#part"
            .parse()
            .unwrap();
        assert_eq!(shown(&url), "https://mirror.example:8443/pub/x.raw");
    }

    #[test]
    fn the_digits_of_one_algorithm_are_not_taken_for_the_other() {
        let failure = digits("--sha256", &"a".repeat(128)).unwrap_err();
        assert_eq!(
            failure.message,
            "--sha256 is no checksum: so many digits are a SHA-512"
        );
        digits("--sha256", &"a".repeat(64)).unwrap();
        digits("--sha512", &format!(" {}\n", "A".repeat(128))).unwrap();
    }
}
