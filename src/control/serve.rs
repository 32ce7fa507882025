//! The daemon's end of the admin API: hyper on a Unix socket, one `POST /v1` per request, frames streamed as they come.
//!
//! The work of a request runs in a task of its own: a client that goes away does not stop it half-way. Only waiting,
//! which changes nothing, ends with the client. Nothing that is posted can end the server.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use super::socket::{BindError, bind};
use super::{Answer, Fault, Frame, ImageRequest, ProgressLine, Refusal, Request};

/// The most bytes one request may have: an import of 50,000 machines has about five million.
const BODY_LIMIT: usize = 64 << 20;
/// How long a client may take to send a request.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests under way may go on after the stop signal.
const DRAIN: Duration = Duration::from_secs(2);
/// Frames kept for a client that reads slowly; beyond that its progress lines are dropped, never its answer.
const QUEUE: usize = 4_096;

/// Carries out requests; the daemon implements it.
#[async_trait]
pub trait Handle: Send + Sync + 'static {
    /// Carries out one request, telling `progress` how far it is.
    async fn handle(&self, request: Request, progress: ProgressSink) -> Result<Answer, Refusal>;
}

/// Where a handler says how far it is.
#[derive(Debug, Clone)]
pub struct ProgressSink {
    frames: mpsc::Sender<Frame>,
    stop: CancellationToken,
}

impl ProgressSink {
    /// A sink and the frames that come out of it.
    pub fn channel(stop: CancellationToken) -> (Self, mpsc::Receiver<Frame>) {
        let (frames, receiver) = mpsc::channel(QUEUE);
        (Self { frames, stop }, receiver)
    }

    /// Says that `subject` is at `stage`. Never waits: a line nobody has room for is dropped.
    pub fn line(&self, subject: impl Into<String>, stage: impl Into<String>) {
        let line = ProgressLine {
            subject: subject.into(),
            stage: stage.into(),
        };
        // A full queue or a client that left: progress is a courtesy, the work goes on.
        drop(self.frames.try_send(Frame::Progress(line)));
    }

    /// Takes per cent, and says at each tenth that `subject` is that far with `what`.
    pub fn tenths(&self, subject: &str, what: &str) -> impl FnMut(u32) {
        let mut told = 0;
        move |percent| {
            if percent / 10 != told {
                told = percent / 10;
                self.line(subject, format!("{what}, {} %", told * 10));
            }
        }
    }

    /// Resolves when there is no use in waiting on: the client has gone, or the daemon stops.
    pub async fn gone(&self) {
        tokio::select! {
            () = self.frames.closed() => (),
            () = self.stop.cancelled() => (),
        }
    }
}

/// Answers requests until `stop`, then lets those under way end, for two seconds at most.
pub async fn serve(listener: UnixListener, handler: Arc<impl Handle>, stop: CancellationToken) {
    let service = Service {
        handler,
        tasks: TaskTracker::new(),
        stop,
    };
    loop {
        tokio::select! {
            () = service.stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(service.tasks.spawn(service.clone().connection(stream))),
                Err(error) => {
                    tracing::warn!(%error, "the admin socket can not accept a connection");
                    // Out of file descriptors, most likely: trying again at once would only spin.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    service.tasks.close();
    if tokio::time::timeout(DRAIN, service.tasks.wait()).await.is_err() {
        tracing::warn!("stopping although admin requests are still under way");
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What every connection needs.
struct Service<H> {
    handler: Arc<H>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl<H> Clone for Service<H> {
    fn clone(&self) -> Self {
        Self {
            handler: Arc::clone(&self.handler),
            tasks: self.tasks.clone(),
            stop: self.stop.clone(),
        }
    }
}

impl<H: Handle> Service<H> {
    async fn connection(self, stream: UnixStream) {
        let answer = |request| {
            let service = self.clone();
            async move { Ok::<_, Infallible>(service.respond(request).await) }
        };
        // Without a timer hyper's time-outs are silently off.
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(READ_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an admin connection ended early");
        }
    }

    async fn respond(&self, request: hyper::Request<Incoming>) -> Response<Body> {
        match parse(request).await {
            Ok(request) => reply(StatusCode::OK, frames(self.start(request))),
            Err((status, refusal)) => {
                let mut response = reply(status, Full::from(line(&Frame::Refusal(refusal))).boxed_unsync());
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    response
                        .headers_mut()
                        .insert(ALLOW, HeaderValue::from_static("POST"));
                }
                response
            }
        }
    }

    /// Starts the work in a task of its own and returns the frames that come out of it.
    fn start(&self, request: Request) -> mpsc::Receiver<Frame> {
        let (sink, receiver) = ProgressSink::channel(self.stop.clone());
        let handler = Arc::clone(&self.handler);
        let ends_with_client = matches!(
            request,
            Request::Wait(_) | Request::Image(ImageRequest::Await { .. })
        );
        let progress = sink.clone();
        let work = self
            .tasks
            .spawn(async move { handler.handle(request, progress).await });
        self.tasks.spawn(async move {
            let abort = work.abort_handle();
            let outcome = tokio::select! {
                outcome = work => outcome.unwrap_or_else(|error| Err(internal(&error))),
                () = sink.gone(), if ends_with_client => {
                    abort.abort();
                    Err(Refusal::host("the daemon stops").hint("ask again when it is back"))
                }
            };
            let last = outcome.map_or_else(Frame::Refusal, Frame::Answer);
            // Fails only when the client has gone; what was done stays done.
            drop(sink.frames.send(last).await);
        });
        receiver
    }
}

fn internal(error: &tokio::task::JoinError) -> Refusal {
    tracing::error!(%error, "an admin request ended in a bug");
    Refusal {
        fault: Fault::Internal,
        message: "the daemon hit a bug while it carried out the request".to_owned(),
        hint: Some("its log says where: journalctl -u seedbed".to_owned()),
    }
}

/// Reads a request, or says with which status and words it is refused.
async fn parse(request: hyper::Request<Incoming>) -> Result<Request, (StatusCode, Refusal)> {
    if request.uri().path() != "/v1" {
        let refusal = Refusal::request("the admin API is `POST /v1`; there is nothing else");
        return Err((StatusCode::NOT_FOUND, refusal));
    }
    if request.method() != Method::POST {
        let refusal = Refusal::request("the admin API is `POST /v1`; no other method is understood");
        return Err((StatusCode::METHOD_NOT_ALLOWED, refusal));
    }
    let body = tokio::time::timeout(
        READ_TIMEOUT,
        Limited::new(request.into_body(), BODY_LIMIT).collect(),
    )
    .await
    .map_err(|_| {
        let refusal = Refusal::request("the request did not arrive in time");
        (StatusCode::REQUEST_TIMEOUT, refusal)
    })?
    .map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            let refusal = Refusal::request(format!("the request has more than {} MiB", BODY_LIMIT >> 20))
                .hint("split the import into several files");
            return (StatusCode::PAYLOAD_TOO_LARGE, refusal);
        }
        let refusal = Refusal::request(format!("the request was cut off: {error}"));
        (StatusCode::BAD_REQUEST, refusal)
    })?
    .to_bytes();
    // Parsing a large import takes long enough to keep a DHCP answer waiting on the same thread.
    let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&body)).await;
    match parsed {
        Ok(Ok(request)) => Ok(request),
        Ok(Err(error)) => {
            let refusal = Refusal::request(format!("the daemon does not understand the request: {error}"))
                .hint("the seedbed command and the daemon are of different versions? Restart the daemon");
            Err((StatusCode::BAD_REQUEST, refusal))
        }
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, internal(&error))),
    }
}

fn reply(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

/// The frames as a body that ends after the answer or refusal, whoever still holds a sink.
fn frames(receiver: mpsc::Receiver<Frame>) -> Body {
    let stream = stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        let frame = receiver.recv().await?;
        let more = matches!(frame, Frame::Progress(_)).then_some(receiver);
        Some((Ok(hyper::body::Frame::data(line(&frame))), more))
    });
    StreamBody::new(stream).boxed_unsync()
}

/// One frame as one line of JSON.
fn line(frame: &Frame) -> Bytes {
    let mut text = serde_json::to_vec(frame).unwrap_or_else(|error| {
        tracing::error!(%error, "a frame can not be written as JSON");
        br#"{"refusal":{"fault":"internal","message":"the answer can not be written as JSON","hint":null}}"#
            .to_vec()
    });
    text.push(b'\n');
    Bytes::from(text)
}

#[cfg(test)]
mod tests;
