//! A file by HTTP, as a part that grows until it is whole: gone on with after each cut, also by the next command.

use std::time::Duration;

use reqwest::Url;

use super::client::{Client, Silence, causes, reply};
use super::reply::{Meaning, Reply};
use super::store::{Entry, FileError, LARGEST, Part};
use crate::model::Bytes;

/// The most requests for one file, however often a server cuts the connection.
const REQUESTS: u32 = 100;

/// What is to be downloaded.
#[derive(Debug)]
pub struct Download<'a> {
    /// From where.
    pub url: &'a Url,
    /// To where.
    pub entry: &'a Entry,
    /// By whom.
    pub client: &'a Client,
    /// Whether a checksum will tell if it is whole.
    pub checked: bool,
}

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// So many bytes are here, of so many if that is known.
    Have(u64, Option<u64>),
    /// What was here is of another version of the file, or can not be gone on with.
    Anew,
    /// The server is asked again after a pause: why, and how long it is.
    Pause(String, Duration),
}

/// Why a file was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The part could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The host can not be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The server is not the one that it says it is, for all that this host knows.
    #[error("{0}")]
    Distrusted(String),
    /// The server said no.
    #[error("the server answers {0}")]
    Status(StatusLine),
    /// Asked again, the server did no better.
    #[error("{why}, {tries} times; {} of it is kept", Bytes(*.have))]
    GivenUp {
        /// What happened the last time.
        why: String,
        /// How often.
        tries: u32,
        /// How much is there.
        have: u64,
    },
    /// What follows makes no sense, or can not be trusted.
    #[error("{0}")]
    Nonsense(String),
    /// It does not fit.
    #[error("it has {}, and there is no room for {} of it", Bytes(*.length), Bytes(*.missing))]
    NoRoom {
        /// Of the whole file, in bytes.
        length: u64,
        /// What is missing, in bytes.
        missing: u64,
    },
}

/// The code of an answer and its usual words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusLine(pub u16);

impl std::fmt::Display for StatusLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = reqwest::StatusCode::from_u16(self.0).ok();
        let words = words.and_then(|code| code.canonical_reason()).unwrap_or("");
        write!(f, "{} {words}", self.0)
    }
}

/// How one request ended that did not bring the rest of the file.
enum End {
    Final(DownloadError),
    Later(String, Option<Duration>),
    Anew,
}

impl From<DownloadError> for End {
    fn from(error: DownloadError) -> Self {
        Self::Final(error)
    }
}

impl From<FileError> for End {
    fn from(error: FileError) -> Self {
        Self::Final(error.into())
    }
}

impl Download<'_> {
    /// Brings the whole file into the entry. Cut off anywhere, by the network or a kill, it leaves a part that the next one goes on
    /// with, if the server still has the same version of the file.
    pub async fn run(&self, on_event: &mut dyn FnMut(Event)) -> Result<(), DownloadError> {
        let mut part = self.entry.part()?;
        let (mut most, mut without_more, mut reached) = (part.length(), 0, false);
        for _ in 0..REQUESTS {
            let end = self.request(&mut part, &mut reached, on_event).await;
            without_more = if part.length() > most { 1 } else { without_more + 1 };
            most = most.max(part.length());
            match end {
                Ok(()) => return Ok(part.finish()?),
                Err(End::Final(error)) => return Err(error),
                Err(End::Later(why, asked)) => {
                    if without_more > self.client.patience.tries {
                        return Err(given_up(why, without_more, &part));
                    }
                    let pause = self.pause(without_more, asked);
                    on_event(Event::Pause(why, pause));
                    tokio::time::sleep(pause).await;
                }
                Err(End::Anew) => {
                    part.clear()?;
                    on_event(Event::Anew);
                }
            }
        }
        Err(given_up("the connection was cut".to_owned(), REQUESTS, &part))
    }

    fn pause(&self, without_more: u32, asked: Option<Duration>) -> Duration {
        let patience = &self.client.patience;
        let doubled = 1_u32
            .checked_shl(without_more.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let own = patience.pause.saturating_mul(doubled);
        own.max(asked.unwrap_or_default()).min(patience.longest_pause)
    }

    async fn request(
        &self,
        part: &mut Part<'_>,
        reached: &mut bool,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<(), End> {
        if part.length() > 0 && part.resumable().is_none() {
            // Nothing tells one version from the next.
            part.clear()?;
            on_event(Event::Anew);
        }
        let response = match self.client.get(self.url, part.resumable()).await {
            Ok(response) => response,
            Err(Silence::Unreachable(why)) if !*reached => {
                return Err(DownloadError::Unreachable(why).into());
            }
            Err(Silence::Distrusted(why)) => return Err(DownloadError::Distrusted(why).into()),
            Err(Silence::Final(why)) => return Err(DownloadError::Nonsense(why).into()),
            Err(Silence::Later(why) | Silence::Unreachable(why)) => return Err(End::Later(why, None)),
        };
        *reached = true;
        let head = reply(&response);
        let total = match head.meaning(part.length(), part.version()) {
            Meaning::Complete => return Ok(()),
            Meaning::Changed => return Err(End::Anew),
            Meaning::Refused => return Err(DownloadError::Status(StatusLine(head.status)).into()),
            Meaning::Later => {
                let why = format!("the server answers {}", StatusLine(head.status));
                return Err(End::Later(why, head.retry_after));
            }
            Meaning::Rest(total) => total,
            Meaning::Whole(total) => {
                self.has_an_end(&head)?;
                if part.length() > 0 {
                    on_event(Event::Anew);
                }
                part.begin(head.version)?;
                total
            }
        };
        self.fits(total, part.length())?;
        body(response, part, total, on_event).await
    }

    /// Without a length, only the connection's end is one, and a cut looks the same.
    fn has_an_end(&self, head: &Reply) -> Result<(), DownloadError> {
        if self.checked || head.chunked || head.length.is_some() {
            return Ok(());
        }
        Err(nonsense(
            "the server does not say how long the file is, and without a checksum nothing tells if all of it came",
        ))
    }

    fn fits(&self, total: Option<u64>, have: u64) -> Result<(), DownloadError> {
        let Some(length) = total else { return Ok(()) };
        if length > LARGEST {
            return Err(nonsense(TOO_LARGE));
        }
        self.entry
            .fits(length.saturating_sub(have))?
            .map_err(|missing| DownloadError::NoRoom { length, missing })
    }
}

const TOO_LARGE: &str = "it is larger than 64 TiB, and so than any disk here";

fn nonsense(what: &str) -> DownloadError {
    DownloadError::Nonsense(what.to_owned())
}

/// Adds what follows to the part, up to `total` bytes of the whole file.
async fn body(
    mut response: reqwest::Response,
    part: &mut Part<'_>,
    total: Option<u64>,
    on_event: &mut dyn FnMut(Event),
) -> Result<(), End> {
    on_event(Event::Have(part.length(), total));
    loop {
        let more = response.chunk().await;
        let Some(bytes) = more.map_err(|error| End::Later(causes(&error), None))? else {
            break;
        };
        let length = part.length().saturating_add(bytes.len() as u64);
        if length > total.unwrap_or(LARGEST) {
            let what = total.map_or(TOO_LARGE, |_| "the server sends more than it said");
            part.clear()?;
            return Err(nonsense(what).into());
        }
        part.append(&bytes)?;
        on_event(Event::Have(length, total));
    }
    match total {
        Some(total) if part.length() < total => Err(End::Later("the connection was cut".to_owned(), None)),
        _ if part.length() == 0 => Err(nonsense("the file is empty").into()),
        _ => Ok(()),
    }
}

fn given_up(why: String, tries: u32, part: &Part<'_>) -> DownloadError {
    DownloadError::GivenUp {
        why,
        tries,
        have: part.length(),
    }
}

#[cfg(test)]
mod tests;
