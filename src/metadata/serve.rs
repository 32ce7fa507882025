//! The metadata service: hyper on port 80 of a bridge's own address, with a limit on everything a guest can stretch.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fmt, io};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::Neighbours;
use super::answer::{self, Body, Case, Response, Verdict};
use super::caller::{Caller, Port, identify};
use super::files::{NotSent, Outlet, Wanted};
use super::message::{Sent, sent};
use super::request::{Malformed, Method, Request, Session, check_headers, check_host};
use super::socket::Socket;
use super::token::Tokens;
use crate::model::directory::Published;
use crate::model::{Clock, Event, EventKind, Network, Places};
use crate::net::{Seat, Seats};
use crate::seed::Library;

/// The service of one network, not serving yet.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    limits: Limits,
}

/// What the service answers from, and who it tells what it saw.
#[derive(Clone)]
pub struct Backing {
    /// The records.
    pub directory: Arc<Published>,
    /// The templates, compiled; each answer is of those in force when it is made.
    pub templates: Arc<Library>,
    /// The kernel's neighbour table.
    pub neighbours: Arc<dyn Neighbours>,
    /// Takes what VMs were seen doing.
    pub events: mpsc::Sender<Event>,
    /// Where the files of network boots lie.
    pub places: Places,
    /// What makes session tokens and knows them again.
    pub tokens: Tokens,
    /// What tells how long they are good.
    pub clock: Clock,
    /// Whether an accepted socket has the mark of the tap it came in by.
    pub marks: bool,
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backing").finish_non_exhaustive()
    }
}

/// What one guest can take. A guest needs four connections of a few milliseconds.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// For all header lines of a request, from the first byte the connection waits for.
    header: Duration,
    /// For body, lookup and rendering.
    request: Duration,
    /// From the start of a request to the start of the next, or from one piece of a file to the next: a guest that does not
    /// read its answer is cut.
    connection: Duration,
    /// Connections in all.
    connections: usize,
    /// Connections from one address.
    per_source: usize,
}

const LIMITS: Limits = Limits {
    header: Duration::from_secs(5),
    request: Duration::from_secs(5),
    connection: Duration::from_secs(30),
    connections: 1_024,
    per_source: 64,
};
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;
/// What a connection holds for a guest that does not read; more makes nothing faster.
const MAX_BUFFER: usize = 32 << 10;
const MAX_BODY: usize = 64 << 10;
/// How long open connections may go on once the service is told to stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// What all connections of a server share.
struct Shared {
    network: Arc<Network>,
    backing: Backing,
    limits: Limits,
    outlet: Outlet,
}

impl Server {
    /// A service on this socket.
    pub const fn on(socket: Socket) -> Self {
        Self {
            socket,
            limits: LIMITS,
        }
    }

    /// Whose it is.
    pub fn network(&self) -> &Network {
        &self.socket.network
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddrV4 {
        self.socket.address
    }

    /// Serves until it is told to stop; then open requests are finished, within two seconds.
    pub async fn serve(self, backing: Backing, stop: CancellationToken) -> io::Result<()> {
        let Socket {
            network,
            listener,
            address,
        } = self.socket;
        let listener = TcpListener::from_std(listener)?;
        let seats = Seats::new(self.limits.connections, self.limits.per_source);
        let shared = Arc::new(Shared {
            network,
            outlet: Outlet::new(backing.places.clone()),
            backing,
            limits: self.limits,
        });
        info!(network = %shared.network.name, %address, "metadata service started");
        let tasks = TaskTracker::new();
        loop {
            let (stream, source) = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&listener) => accepted,
            };
            let Some(seat) = seats.take(source) else {
                debug!(ip = %source, "metadata connection closed: too many are open");
                continue;
            };
            tasks.spawn(connection(Arc::clone(&shared), stream, seat, stop.clone()));
        }
        tasks.close();
        tasks.wait().await;
        Ok(())
    }
}

/// The next connection. Errors (a full file table, a connection gone before it was accepted) are waited out.
async fn accept(listener: &TcpListener) -> (TcpStream, Ipv4Addr) {
    loop {
        match listener.accept().await {
            Ok((stream, SocketAddr::V4(peer))) => return (stream, *peer.ip()),
            Ok((_, SocketAddr::V6(_))) => {}
            Err(error) => {
                warn!(%error, "can not accept metadata connections for a moment");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Where a connection came from, and whose it is.
#[derive(Debug)]
struct Source {
    address: Ipv4Addr,
    port: Port,
    /// The VM that it was first answered as: an address can become another VM's while a connection from it stays open.
    vm: OnceLock<Uuid>,
}

impl Source {
    /// Whether a caller is who asked on this connection before.
    fn is_same(&self, caller: &Caller) -> bool {
        caller
            .vm
            .as_ref()
            .is_ok_and(|vm| *self.vm.get_or_init(|| vm.uuid) == vm.uuid)
    }
}

/// By which port it came in, as the kernel says. A socket that does not tell its mark is of no tap.
fn port(shared: &Shared, stream: &TcpStream) -> Port {
    if !shared.backing.marks {
        return Port::Unknown;
    }
    Port::Marked(socket2::SockRef::from(stream).mark().unwrap_or_default())
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, seat: Seat, stop: CancellationToken) {
    let source = Source {
        address: seat.source(),
        port: port(&shared, &stream),
        vm: OnceLock::new(),
    };
    let limits = shared.limits;
    let progress = Arc::new(Notify::new());
    let service = service_fn(|request| {
        progress.notify_one();
        respond(&shared, &source, request, &progress)
    });
    let mut http = http1::Builder::new();
    // Without a timer hyper leaves the header time limit out.
    http.timer(TokioTimer::new()).header_read_timeout(limits.header);
    http.max_headers(MAX_HEADERS).max_header_size(MAX_HEADER_BYTES);
    http.max_buf_size(MAX_BUFFER);
    // A client that has nothing more to say still hears its answer.
    http.half_close(true);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut deadline = pin!(sleep(limits.connection));
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    debug!(ip = %source.address, %error, "metadata connection ended early");
                }
                return;
            }
            () = deadline.as_mut() => return debug!(ip = %source.address, "metadata connection cut: too slow"),
            () = progress.notified(), if !stopping => deadline.as_mut().reset(Instant::now() + limits.connection),
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
                deadline.as_mut().reset(Instant::now() + FAREWELL);
            }
        }
    }
}

async fn respond(
    shared: &Shared,
    source: &Source,
    request: hyper::Request<Incoming>,
    progress: &Arc<Notify>,
) -> Result<hyper::Response<Sent>, Infallible> {
    let wanted = wanted(&request);
    let decided = timeout(shared.limits.request, decide(shared, source, request)).await;
    let mut response = decided.unwrap_or_else(|_| answer::to_retry("the request took too long"));
    let mut sending = None;
    if let Body::File(file) = &response.body {
        match shared.outlet.send(file, &wanted, source.address, progress).await {
            Ok(part) => {
                // The pieces of one file are one fetch.
                response.event = response.event.take().filter(|_| part.status == 200);
                sending = Some(part);
            }
            Err(NotSent::Busy) => response = answer::to_retry("too many boot files are sent at this moment"),
            Err(error @ NotSent::Open { .. }) => {
                warn!(network = %shared.network.name, ip = %source.address, "{error}");
                response = answer::to_missing(file);
            }
        }
    }
    if let Verdict::Stranger(stranger) = &response.verdict {
        response.event = stranger.event();
    }
    let response = tell(&shared.backing.events, response);
    trace(shared, source.address, &response);
    Ok(sent(response, sending))
}

/// A Range counts for a GET only (RFC 9110 §14.2), and not where it is only meant for a version of the file (§13.1.5): no
/// version has a name here.
fn wanted(request: &hyper::Request<Incoming>) -> Wanted {
    let headers = request.headers();
    let counts = request.method() == hyper::Method::GET && !headers.contains_key(header::IF_RANGE);
    let range = headers.get(header::RANGE).filter(|_| counts);
    Wanted {
        head: request.method() == hyper::Method::HEAD,
        range: range.and_then(|range| range.to_str().ok()).map(str::to_owned),
    }
}

async fn decide(shared: &Shared, source: &Source, request: hyper::Request<Incoming>) -> Response {
    let mut asked = match checked(&request, shared.network.subnet.gateway()) {
        Ok(asked) => asked,
        Err(malformed) => return answer::to_malformed(malformed),
    };
    let backing = &shared.backing;
    let neighbour = backing
        .neighbours
        .entry_of(&shared.network.bridge, source.address)
        .await;
    // Taken after every wait: an answer is made from one revision, and that is the newest.
    let directory = backing.directory.load_full();
    let caller = Caller {
        network: Arc::clone(&shared.network),
        source: source.address,
        vm: identify(
            &directory,
            &shared.network,
            source.address,
            neighbour,
            source.port,
        ),
    };
    if caller.vm.is_ok() && !source.is_same(&caller) {
        return answer::to_another();
    }
    if answer::wants_body(&caller, &asked) {
        // What is announced as too large need not be waited for.
        if request.body().size_hint().lower() > MAX_BODY as u64 {
            return answer::to_oversized();
        }
        match Limited::new(request.into_body(), MAX_BODY).collect().await {
            Ok(body) => asked.body = body.to_bytes().to_vec(),
            Err(_) => return answer::to_oversized(),
        }
    }
    let case = Case {
        directory: &directory,
        templates: &backing.templates.load(),
        tokens: &backing.tokens,
        now: backing.clock.now(),
    };
    answer::answer(case, &caller, &asked)
}

fn checked(request: &hyper::Request<Incoming>, gateway: Ipv4Addr) -> Result<Request, Malformed> {
    check_headers(request.headers().keys().map(HeaderName::as_str))?;
    check_hosts(request.headers(), gateway)?;
    if let Some(authority) = request.uri().authority() {
        check_host(authority.as_str(), gateway)?;
    }
    let mut asked = Request::of(Method::named(request.method().as_str()), request.uri().path())?;
    let said = |name: &str| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap_or_default().to_owned())
    };
    asked.session = Session {
        token: said("x-aws-ec2-metadata-token"),
        seconds: said("x-aws-ec2-metadata-token-ttl-seconds"),
    };
    Ok(asked)
}

/// A Host may be missing: HTTP/1.0 has none, and busybox's wget is a guest too. Two of them are a trick.
fn check_hosts(headers: &HeaderMap, gateway: Ipv4Addr) -> Result<(), Malformed> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let first = hosts.next().map(|host| host.to_str().unwrap_or_default());
    if hosts.next().is_some() {
        return Err(Malformed::Host);
    }
    first.map_or(Ok(()), |host| check_host(host, gateway))
}

/// Passes the event on without waiting. A phone home that nobody took is asked for again: a guest sends it once per life, and
/// cloud-init tries ten times.
fn tell(events: &mpsc::Sender<Event>, mut response: Response) -> Response {
    let Some(event) = response.event.take() else {
        return response;
    };
    let once = matches!(event.kind, EventKind::PhonedHome { .. });
    match events.try_send(event) {
        Ok(()) => response,
        Err(_) if once => answer::to_retry("the service is busy"),
        Err(error) => {
            debug!(%error, "metadata event dropped");
            response
        }
    }
}

fn trace(shared: &Shared, source: Ipv4Addr, response: &Response) {
    let (network, ip, status) = (&shared.network.name, source, response.status);
    match &response.verdict {
        Verdict::Failed(error) => warn!(%network, %ip, "can not make a seed: {error}"),
        verdict => debug!(%network, %ip, status, ?verdict, "metadata request"),
    }
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
