//! One GET of a file, or of the rest of one.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Response, Url, redirect};

use super::reply::{ContentRange, Reply, Version};

/// The most redirects that are followed: browsers and curl stop at 20 and 50, mirror networks need two or three.
const REDIRECTS: usize = 10;

/// How long a server may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// To take a connection.
    pub connect: Duration,
    /// To say anything more, once it is connected.
    pub silence: Duration,
    /// The first pause before it is asked again; each is twice the one before.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How often it is asked again without a byte more.
    pub tries: u32,
}

impl Patience {
    /// For downloads of any size.
    pub const USUAL: Self = Self {
        connect: Duration::from_secs(30),
        silence: Duration::from_secs(60),
        pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(30),
        tries: 5,
    };
}

/// Why there was no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Silence {
    /// It may be better later.
    Later(String),
    /// The host can not be reached at all, or not yet.
    Unreachable(String),
    /// Its certificate is none that this host trusts.
    Distrusted(String),
    /// It will not be better: redirects without an end, or to where nothing is fetched from.
    Final(String),
}

/// A client of HTTP/1.1 that takes proxies from the environment (`https_proxy` and the like), and trusts the certificates that the
/// host trusts (or `SSL_CERT_FILE`).
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    pub(super) patience: Patience,
}

/// A client could not be made: no certificates, or a proxy that is no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("HTTP can not be used on this host: {0}")]
pub struct NoClient(String);

/// Why there is no text at a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// No answer, or not all of one.
    #[error("{0}")]
    Silent(String),
    /// Another answer than 200.
    #[error("the server answers {0}")]
    Status(u16),
    /// More bytes than it may have.
    #[error("it is longer than {0} bytes")]
    Long(u64),
    /// Not UTF-8.
    #[error("it is no text")]
    NoText,
}

impl Client {
    /// A client that follows a redirect from https to http only if `anywhere`: when a checksum says what is right.
    pub fn new(anywhere: bool, patience: Patience) -> Result<Self, NoClient> {
        // It is an error that there is one already, which is then as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
            .user_agent(concat!("seedbed/", env!("CARGO_PKG_VERSION")))
            .redirect(redirects(anywhere))
            .referer(false)
            .connect_timeout(patience.connect)
            .read_timeout(patience.silence)
            .build()
            .map_err(|error| NoClient(causes(&error)))?;
        Ok(Self { http, patience })
    }

    /// Asks for a file, or with `from` for what is behind so many bytes of the version that the text names.
    pub(super) async fn get(&self, url: &Url, from: Option<(u64, &str)>) -> Result<Response, Silence> {
        let mut request = self.http.get(url.clone()).header(header::ACCEPT, "*/*");
        if let Some((first, version)) = from {
            request = request
                .header(header::RANGE, format!("bytes={first}-"))
                .header(header::IF_RANGE, version);
        }
        request.send().await.map_err(|error| silence(&error))
    }

    /// A small text, at most `most` bytes of it.
    pub async fn text(&self, url: &Url, most: u64) -> Result<String, TextError> {
        let mut response = self.get(url, None).await.map_err(|silence| match silence {
            Silence::Later(why)
            | Silence::Unreachable(why)
            | Silence::Distrusted(why)
            | Silence::Final(why) => TextError::Silent(why),
        })?;
        if response.status() != 200 {
            return Err(TextError::Status(response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(more) = response
            .chunk()
            .await
            .map_err(|error| TextError::Silent(causes(&error)))?
        {
            bytes.extend_from_slice(&more);
            if bytes.len() as u64 > most {
                return Err(TextError::Long(most));
            }
        }
        String::from_utf8(bytes).map_err(|_| TextError::NoText)
    }
}

fn redirects(anywhere: bool) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        let open = attempt.url().scheme() == "http";
        let from_https = attempt.previous().iter().any(|url| url.scheme() == "https");
        if attempt.previous().len() > REDIRECTS {
            attempt.error(format!("more than {REDIRECTS} redirects"))
        } else if open && from_https && !anywhere {
            attempt.error("a redirect from https to http")
        } else {
            attempt.follow()
        }
    })
}

fn silence(error: &reqwest::Error) -> Silence {
    let why = causes(error);
    if is_of_tls(error) {
        Silence::Distrusted(why)
    } else if error.is_redirect() || error.is_builder() {
        Silence::Final(why)
    } else if error.is_connect() {
        Silence::Unreachable(why)
    } else {
        Silence::Later(why)
    }
}

/// Whether TLS found fault with the server, as it would again. Its error is wrapped in others of I/O, which are no sources of each
/// other.
fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| {
        let mut inner = Some(error);
        while let Some(error) = inner {
            if error.is::<rustls::Error>() {
                return true;
            }
            let io = error.downcast_ref::<std::io::Error>();
            inner = io.and_then(std::io::Error::get_ref).map(|inner| inner as _);
        }
        false
    })
}

/// Why, without the URL, which may have a password in it: the innermost cause, and what timed out.
pub(super) fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the server says nothing any more".to_owned();
    }
    let innermost = chain(error).last().map(ToString::to_string);
    // Parts of it may be the server's words, and it is said to a terminal.
    let harmless = innermost.unwrap_or_default().replace(char::is_control, "");
    harmless.chars().take(300).collect()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The head of a response.
pub(super) fn reply(response: &Response) -> Reply {
    let headers = response.headers();
    Reply {
        status: response.status().as_u16(),
        version: Version {
            etag: text(headers, &header::ETAG),
            last_modified: text(headers, &header::LAST_MODIFIED),
        },
        length: text(headers, &header::CONTENT_LENGTH).and_then(|text| text.parse().ok()),
        chunked: headers.contains_key(header::TRANSFER_ENCODING),
        range: text(headers, &header::CONTENT_RANGE).and_then(|text| ContentRange::parse(&text)),
        retry_after: text(headers, &header::RETRY_AFTER)
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
