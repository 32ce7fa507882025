//! Where a disk file comes from: this host or a URL, packed or not; and how it is known to be the right one.

use std::path::{Path, PathBuf};

use super::meter::Meter;
use super::{Context, Failure, Terminal, refusals};
use crate::fetch::Url;
use crate::fetch::checksum::Checksum;
use crate::fetch::client::{Client, Patience};
use crate::fetch::compression::Compression;
use crate::fetch::download::{Download, Event};
use crate::fetch::store::{self, Entry, Unpacked};
use crate::fetch::sums;

/// The longest list of checksums that is read, in bytes: a mirror of a whole distribution has 2 MiB.
const LONGEST_LIST: u64 = 16 << 20;

/// Where downloads are kept, and what a file has to be.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options on downloads and compressed files")]
pub(super) struct Origin {
    /// The SHA-256 of the file as it is published, that is before it is unpacked
    #[arg(long, value_name = "HEX", display_order = 80, group = "checksum")]
    sha256: Option<String>,
    /// The same by SHA-512
    #[arg(long, value_name = "HEX", display_order = 81, group = "checksum")]
    sha512: Option<String>,
    /// A list that has its checksum, as distributions publish it: SHA256SUMS, SHA512SUMS, CHECKSUM
    #[arg(long, value_name = "URL|FILE", display_order = 82, group = "checksum")]
    checksum_file: Option<PathBuf>,
    /// Take what comes over http without a checksum, or with a list that comes over http too: anyone on the way can change it
    #[arg(long, display_order = 83)]
    insecure_http: bool,
    /// Where downloads are kept and files are unpacked
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/cache/seedbed",
        display_order = 84
    )]
    cache: PathBuf,
}

/// A file as it is published.
#[derive(Debug)]
pub(super) enum Source {
    Url(Url),
    File(PathBuf),
}

/// A disk file that is ready to be added; what was unpacked for it goes when this does.
#[derive(Debug)]
pub(super) struct Disk {
    /// Where it is, from / on.
    pub(super) path: PathBuf,
    _unpacked: Option<Unpacked>,
    /// The lock on the download.
    _entry: Option<Entry>,
}

impl Source {
    /// What someone typed: a URL, or a file.
    pub(super) fn of(text: &Path) -> Result<Self, Failure> {
        let url = text.to_str().filter(|text| text.contains("://"));
        let Some(url) = url else {
            return Ok(Self::File(text.to_owned()));
        };
        let parsed: Url = url
            .parse()
            .map_err(|error| Failure::usage(format!("`{}` is not a URL: {error}", url.escape_debug())))?;
        match parsed.scheme() {
            "http" | "https" => Ok(Self::Url(parsed)),
            other => Err(Failure::usage(format!("nothing is fetched by {other}"))
                .hint("give an https URL, or fetch it yourself and give the file")),
        }
    }

    /// The name of the file, without its folder.
    pub(super) fn name(&self) -> String {
        let name = match self {
            Self::Url(url) => {
                let last = url.path_segments().and_then(|mut parts| parts.next_back());
                let last = percent_encoding::percent_decode_str(last.unwrap_or_default());
                last.decode_utf8_lossy().into_owned()
            }
            Self::File(path) => {
                let name = path.file_name().unwrap_or_default();
                name.to_string_lossy().into_owned()
            }
        };
        // It is said to a terminal.
        name.replace(char::is_control, "_")
    }

    /// What is in it, by its name: the name of the disk file, and what that is packed in.
    pub(super) fn inner(&self) -> (String, Option<Compression>) {
        let name = self.name();
        let (inner, compression) = Compression::split(&name);
        (inner.to_owned(), compression)
    }

    /// Where it comes from, for whoever reads that of the image.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Url(url) => refusals::shown(url),
            Self::File(_) => format!("the file {}", self.name()),
        }
    }

    /// By what lists of checksums and directories of the cache know it.
    fn place(&self) -> String {
        match self {
            Self::Url(url) => percent_encoding::percent_decode_str(url.path())
                .decode_utf8_lossy()
                .into_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// The file itself, on this host, checked and unpacked. `name` is that of the image, for the progress display.
pub(super) fn obtain(
    source: &Source,
    origin: &Origin,
    name: &str,
    context: &Context,
    terminal: &mut Terminal,
) -> Result<Disk, Failure> {
    let expected = expected(source, origin, context)?;
    if expected.is_none() && matches!(source, Source::Url(_)) {
        terminal.say(&format!(
            "warning: nothing but its server says that {} is the right file: --sha256 or --checksum-file would",
            source.name()
        ));
    }
    let mut meter = Meter::new(terminal.progress(&[name.to_owned()]), name);
    let disk = bring(source, origin, expected.as_ref(), context, &mut meter);
    meter.end();
    disk
}

fn bring(
    source: &Source,
    origin: &Origin,
    expected: Option<&Checksum>,
    context: &Context,
    meter: &mut Meter,
) -> Result<Disk, Failure> {
    let (path, mut entry) = match source {
        Source::Url(url) => {
            let entry = entry(origin, url.as_str(), &source.name())?;
            download(url, (&entry, origin), expected, context, meter)?;
            (entry.kept(), Some(entry))
        }
        Source::File(path) => {
            let path = super::absolute(path)?;
            if let Some(expected) = expected {
                right(&path, expected, meter)?.map_err(|found| refusals::wrong(&path, &found, expected))?;
            }
            (path, None)
        }
    };
    let Some(compression) = source.inner().1 else {
        return Ok(Disk {
            path,
            _unpacked: None,
            _entry: entry,
        });
    };
    let entry = match entry.take() {
        Some(entry) => entry,
        None => self::entry(origin, &path.to_string_lossy(), "")?,
    };
    let unpacked = unpack(&path, compression, &entry, meter)?;
    Ok(Disk {
        path: unpacked.path().to_owned(),
        _unpacked: Some(unpacked),
        _entry: Some(entry),
    })
}

/// The checksum that the file must have, when one is given.
fn expected(source: &Source, origin: &Origin, context: &Context) -> Result<Option<Checksum>, Failure> {
    let open = |source: &Source| matches!(source, Source::Url(url) if url.scheme() == "http");
    for (option, hex) in [("--sha256", &origin.sha256), ("--sha512", &origin.sha512)] {
        if let Some(hex) = hex {
            return refusals::digits(option, hex).map(Some);
        }
    }
    let Some(list) = &origin.checksum_file else {
        if open(source) && !origin.insecure_http {
            return Err(refusals::unchecked_http(&source.name()));
        }
        return Ok(None);
    };
    let list = Source::of(list)?;
    if open(&list) && !origin.insecure_http {
        return Err(refusals::http_list());
    }
    let text = match &list {
        Source::Url(url) => context
            .block_on(client(origin.insecure_http)?.text(url, LONGEST_LIST))
            .map_err(|why| Failure::refused(format!("can not read {}: {why}", refusals::shown(url))))?,
        Source::File(path) => super::super::input::text(path)?,
    };
    let found = sums::find(&text, &source.place());
    found.map(Some).map_err(|error| {
        Failure::refused(format!(
            "{} does not say what is right: {error}",
            refusals::source(&list)
        ))
    })
}

/// Brings the file into its directory of the cache, unless it is there and the right one.
fn download(
    url: &Url,
    (entry, origin): (&Entry, &Origin),
    expected: Option<&Checksum>,
    context: &Context,
    meter: &mut Meter,
) -> Result<(), Failure> {
    let kept = entry.kept();
    if let Some(expected) = expected.filter(|_| kept.is_file())
        && right(&kept, expected, meter)?.is_ok()
    {
        meter.say("using the download of before");
        return Ok(());
    }
    entry.discard().map_err(refusals::file)?;
    let download = Download {
        url,
        entry,
        client: &client(expected.is_some() || origin.insecure_http)?,
        checked: expected.is_some(),
    };
    let mut on_event = |event| match event {
        Event::Have(have, total) => meter.at("downloading", have, total),
        Event::Anew => meter.say("downloading it from the start, because it has changed"),
        Event::Pause(why, pause) => {
            meter.say(&format!("{why}; asking again in {} s", pause.as_secs()));
        }
    };
    let done = context.block_on(download.run(&mut on_event));
    done.map_err(|error| refusals::download(url, error))?;
    let Some(expected) = expected else { return Ok(()) };
    if let Err(found) = right(&kept, expected, meter)? {
        entry.discard().map_err(refusals::file)?;
        return Err(refusals::wrong_download(url, &found, expected));
    }
    Ok(())
}

/// Whether a file has the checksum it should have; the one it has, otherwise.
fn right(path: &Path, expected: &Checksum, meter: &mut Meter) -> Result<Result<(), Checksum>, Failure> {
    let total = path.metadata().map(|metadata| metadata.len()).ok();
    let mut done = 0_u64;
    let found = store::checksum(path, expected, |count| {
        done = done.saturating_add(count);
        meter.at("checking", done, total);
    });
    let found = found.map_err(refusals::file)?;
    Ok(if found == *expected { Ok(()) } else { Err(found) })
}

fn unpack(
    packed: &Path,
    compression: Compression,
    entry: &Entry,
    meter: &mut Meter,
) -> Result<Unpacked, Failure> {
    let total = packed.metadata().map(|metadata| metadata.len()).ok();
    entry
        .unpack(packed, compression, |done| meter.at("unpacking", done, total))
        .map_err(|error| refusals::unpack(packed, compression, error))
}

fn entry(origin: &Origin, place: &str, name: &str) -> Result<Entry, Failure> {
    let cache = std::path::absolute(&origin.cache)
        .map_err(|error| Failure::io(format!("can not use {}", origin.cache.display()), &error))?;
    Entry::open(&cache, place, name).map_err(refusals::entry)
}

fn client(anywhere: bool) -> Result<Client, Failure> {
    Client::new(anywhere, Patience::USUAL).map_err(|error| Failure::refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(Path::new(text)).unwrap()
    }

    #[test]
    fn the_name_of_a_url_is_the_end_of_its_path() {
        for (text, name) in [
            ("https://a/b/disk.qcow2.xz", "disk.qcow2.xz"),
            ("HTTPS://a/b/disk.raw?x=/y.img#z", "disk.raw"),
            ("https://a/b/disk%20one.raw", "disk one.raw"),
            ("https://a", ""),
            ("https://a/x%1b[2J.raw", "x_[2J.raw"),
            ("/srv/disk.raw", "disk.raw"),
            ("disk.raw.gz", "disk.raw.gz"),
        ] {
            assert_eq!(source(text).name(), name, "{text}");
        }
    }

    #[test]
    fn only_http_and_https_are_fetched() {
        for text in ["ftp://a/x.raw", "file:///x.raw", "http://", "https://a b/"] {
            assert_eq!(
                Source::of(Path::new(text)).unwrap_err().exit,
                Failure::usage("").exit,
                "{text}"
            );
        }
        assert!(matches!(source("http:/x.raw"), Source::File(_)));
    }
}
