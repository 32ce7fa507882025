//! From an answer to the message that hyper sends.

use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};

use super::answer::{Body, Response};
use super::files::{FileBody, Sending};

/// The body of an answer: made before, or a file.
pub(super) type Sent = Either<Full<Bytes>, FileBody>;

/// The message for an answer; `sending` is what of a file goes with it.
pub(super) fn sent(response: Response, sending: Option<Sending>) -> hyper::Response<Sent> {
    let mut status = response.status;
    let mut sent = hyper::Response::new(match response.body {
        Body::Bytes(bytes) => Either::Left(Full::new(Bytes::from_owner(bytes))),
        Body::File(_) => Either::Left(Full::default()),
    });
    let headers = sent.headers_mut();
    if let Some(sending) = sending {
        status = sending.status;
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(sending.len));
        if let Some(range) = sending.content_range.and_then(|range| range.try_into().ok()) {
            headers.insert(header::CONTENT_RANGE, range);
        }
        if let Some(body) = sending.body {
            *sent.body_mut() = Either::Right(body);
        }
    }
    *sent.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = sent.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(response.content_type),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Some((name, value)) = response.header {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    sent
}
