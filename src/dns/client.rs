//! Asks the upstream servers for names that are not ours: one after the other, with a deadline and a cache, each
//! question once however many wait for it, and never in a circle.
//!
//! hickory-resolver does the exchange: a random port, number and letter case for each question, an answer only from
//! whom and to what was asked, TCP when it was cut off, and the cache. Ours is what it lacks: a deadline over all
//! servers together, the next server after a SERVFAIL or half a second, and what an answer may say (screen.rs).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable as _;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::circles::{Circles, LEFT_OUT};
use super::resolv::{name_servers, without_loops};
use super::screen::{Policy, screened};
use super::view::is_host;
use super::wire::Forwarded;
use crate::model::{Directory, Network};

/// How long an asker waits for an answer from elsewhere before it is told that there is none.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long one server is waited for before the next one is asked too. Three servers fit the deadline.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the host's `resolv.conf` is believed before it is read again.
const BELIEVED: Duration = Duration::from_secs(5);
/// The most different questions that are asked at a time: each takes a few file descriptors.
const MAX_QUESTIONS: usize = 256;
/// The most answers that are kept for each server. Most have 200 octets.
const CACHED: u64 = 1_024;
/// An answer of more octets than this is large, and the octets of large answers that are kept for each server: one may have
/// 64 KiB, and 1,024 of those would be more memory than all else here.
const LARGE: usize = 4 << 10;
const LARGE_KEPT: usize = 2 << 20;
/// How long an answer is kept at most, and that there is none (RFC 2308 §5).
const KEPT: Duration = Duration::from_secs(24 * 3_600);
const DENIAL_KEPT: Duration = Duration::from_secs(60);

/// The servers to ask, what they said lately, and what they are being asked.
pub(super) struct Upstream {
    network: Arc<Network>,
    resolv_conf: PathBuf,
    /// Where this network's own server listens.
    own: SocketAddr,
    current: Mutex<Option<Current>>,
    asking: StdMutex<HashMap<Query, Asking>>,
    circles: StdMutex<Circles>,
}

/// A question that is under way, for all who wait for it.
type Asking = Shared<BoxFuture<'static, Forwarded>>;

struct Current {
    addresses: Vec<SocketAddr>,
    servers: Arc<Servers>,
    read: Instant,
}

/// The servers of one moment.
#[derive(Default)]
struct Servers {
    all: Vec<Server>,
    /// The one that answered last: it is asked first.
    preferred: AtomicUsize,
}

/// One server, and what it said lately.
struct Server {
    address: SocketAddr,
    resolver: TokioResolver,
    /// How many octets its large answers had since they were forgotten last.
    large: AtomicUsize,
}

impl Upstream {
    pub(super) fn of(network: Arc<Network>, own: SocketAddr, resolv_conf: &Path) -> Self {
        Self {
            network,
            resolv_conf: resolv_conf.to_owned(),
            own,
            current: Mutex::new(None),
            asking: StdMutex::default(),
            circles: StdMutex::default(),
        }
    }

    /// Asks for somebody at `source`; the answer is there within [`DEADLINE`].
    pub(super) async fn ask(&self, query: &Query, source: IpAddr, directory: &Directory) -> Forwarded {
        let mut query = query.clone();
        query.name.set_fqdn(true);
        let closed = self.circles().closed_by(&query.name, Instant::now());
        if let Some(server) = closed {
            *self.current.lock().await = None;
            warn!(%server, network = %self.network.name, "this upstream DNS server asks us what we ask it: it is left out for {} s; see `dns.upstreams`.", LEFT_OUT.as_secs());
            return Forwarded::Refused;
        }
        let servers = self.servers(directory).await;
        let Some(asking) = self.join(&query, &servers) else {
            debug!(%query, "too many questions wait for upstream DNS servers");
            return Forwarded::Failed;
        };
        if !asking.is_first && self.may_be_server(source, &servers) {
            self.probe(&query.name, &servers);
        }
        let said = asking.answer.clone().await;
        drop(asking);
        let Forwarded::Found(records) = said else {
            return said;
        };
        let policy = Policy {
            directory,
            network: &self.network,
        };
        screened(&query, &records, policy).unwrap_or_else(|why| {
            warn!(%query, network = %self.network.name, "an answer from an upstream DNS server was dropped: {why}.");
            // Not REFUSED: it would send the asker to its next server, which may have no such policy.
            Forwarded::NoData(None)
        })
    }

    /// The question under way; `None` when there are too many.
    fn join(&self, query: &Query, servers: &Arc<Servers>) -> Option<Joined<'_>> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = asking.get(query).cloned();
        let is_first = under_way.is_none();
        if is_first && asking.len() >= MAX_QUESTIONS {
            return None;
        }
        let answer = under_way.unwrap_or_else(|| {
            let (question, servers) = (query.clone(), Arc::clone(servers));
            let answer = async move { servers.ask_in_time(&question).await }
                .boxed()
                .shared();
            asking.insert(query.clone(), answer.clone());
            answer
        });
        Some(Joined {
            upstream: self,
            query: query.clone(),
            is_first,
            answer,
        })
    }

    /// The servers of this moment.
    async fn servers(&self, directory: &Directory) -> Arc<Servers> {
        let mut current = self.current.lock().await;
        if let Some(current) = current
            .as_ref()
            .filter(|current| current.read.elapsed() < BELIEVED)
        {
            return Arc::clone(&current.servers);
        }
        // The servers of our other networks would ask us again.
        let gateways = directory
            .networks()
            .map(|network| IpAddr::V4(network.subnet.gateway()));
        let mut ours: Vec<_> = gateways
            .map(|address| SocketAddr::new(address, self.own.port()))
            .collect();
        ours.push(self.own);
        ours.extend(self.circles().left_out(Instant::now()));
        let addresses = without_loops(self.configured().await, &ours);
        let servers = match current.take() {
            // The cache is worth keeping.
            Some(same) if same.addresses == addresses => same.servers,
            _ => Arc::new(Servers::of(&addresses)),
        };
        *current = Some(Current {
            addresses,
            servers: Arc::clone(&servers),
            read: Instant::now(),
        });
        servers
    }

    async fn configured(&self) -> Vec<SocketAddr> {
        if !self.network.dns.upstreams.is_empty() {
            return self.network.dns.upstreams.clone();
        }
        match tokio::fs::read_to_string(&self.resolv_conf).await {
            Ok(text) => name_servers(&text),
            Err(error) => {
                debug!(path = %self.resolv_conf.display(), %error, "can not read which DNS servers this host uses");
                Vec::new()
            }
        }
    }

    /// Whether a question from there could be one of ours that comes back: from this host, or from a server.
    fn may_be_server(&self, source: IpAddr, servers: &Servers) -> bool {
        is_host(&self.network, source) || servers.all.iter().any(|server| server.address.ip() == source)
    }

    /// Asks each server for a name that nobody else knows, below the one that may go in a circle: should we be asked for
    /// it, it does.
    fn probe(&self, name: &Name, servers: &Arc<Servers>) {
        let addresses: Vec<_> = servers.all.iter().map(|server| server.address).collect();
        let probes = self.circles().probes(name, &addresses, Instant::now());
        for (index, probe) in probes.into_iter().enumerate() {
            let servers = Arc::clone(servers);
            tokio::spawn(async move {
                let query = Query::query(probe, RecordType::A);
                if let Some(server) = servers.all.get(index) {
                    drop(timeout(DEADLINE, server.ask(&query)).await);
                }
            });
        }
    }

    fn circles(&self) -> MutexGuard<'_, Circles> {
        self.circles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who wait for one question.
struct Joined<'a> {
    upstream: &'a Upstream,
    query: Query,
    is_first: bool,
    answer: Asking,
}

impl Drop for Joined<'_> {
    /// Who came first takes the question away: those who come later ask anew, or find it in the cache.
    fn drop(&mut self) {
        if self.is_first {
            let mut asking = self
                .upstream
                .asking
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            asking.remove(&self.query);
        }
    }
}

impl Servers {
    fn of(addresses: &[SocketAddr]) -> Self {
        if addresses.is_empty() {
            warn!(
                "no upstream DNS server: guests resolve only each other (set `dns.upstreams`, or a nameserver in resolv.conf)"
            );
        }
        Self {
            all: addresses.iter().copied().filter_map(Server::at).collect(),
            preferred: AtomicUsize::new(0),
        }
    }

    async fn ask_in_time(&self, query: &Query) -> Forwarded {
        timeout(DEADLINE, self.ask(query)).await.unwrap_or_else(|_| {
            debug!(%query, "no upstream DNS server answered in time");
            Forwarded::Failed
        })
    }

    /// Asks the server that answered last, and each next one when those before it failed or kept silent for
    /// [`PATIENCE`].
    async fn ask(&self, query: &Query) -> Forwarded {
        let first = self.preferred.load(Ordering::Relaxed);
        let order = (first..self.all.len()).chain(0..first);
        let mut waiting = order.filter_map(|index| Some((index, self.all.get(index)?)));
        let mut asked = FuturesUnordered::new();
        loop {
            let next = waiting.next();
            let is_last = next.is_none();
            if let Some((index, server)) = next {
                asked.push(server.ask(query).map(move |said| (index, said)));
            }
            tokio::select! {
                said = asked.next() => match said {
                    None => return Forwarded::Failed,
                    Some((_, Forwarded::Failed)) => {}
                    Some((index, said)) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return said;
                    }
                },
                () = sleep(PATIENCE), if !is_last => {}
            }
        }
    }
}

impl Server {
    fn at(address: SocketAddr) -> Option<Self> {
        Some(Self {
            address,
            resolver: resolver(address)?,
            large: AtomicUsize::new(0),
        })
    }

    async fn ask(&self, query: &Query) -> Forwarded {
        let looked_up = self.resolver.lookup(query.name().clone(), query.query_type());
        match looked_up.await {
            Ok(lookup) => {
                self.weigh(lookup.answers());
                Forwarded::Found(lookup.answers().to_vec())
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                let soa = none.soa.map(|soa| soa.into_record_of_rdata());
                match none.response_code {
                    ResponseCode::NXDomain => Forwarded::NxDomain(soa),
                    ResponseCode::NoError => Forwarded::NoData(soa),
                    _ => Forwarded::Failed,
                }
            }
            Err(error) => {
                debug!(server = %self.address, %query, %error, "an upstream DNS server gave no answer");
                Forwarded::Failed
            }
        }
    }

    /// Forgets what the server said when its large answers have become too much; those from the cache count as well.
    fn weigh(&self, answers: &[Record]) {
        let octets: usize = answers.iter().map(weight).sum();
        if octets > LARGE && self.large.fetch_add(octets, Ordering::Relaxed) + octets > LARGE_KEPT {
            self.large.store(0, Ordering::Relaxed);
            self.resolver.clear_cache();
        }
    }
}

/// How many octets a record has on the wire.
fn weight(record: &Record) -> usize {
    record.to_bytes().map_or(0, |octets| octets.len())
}

/// The resolver for one server.
fn resolver(server: SocketAddr) -> Option<TokioResolver> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let config = NameServerConfig::new(server.ip(), true, connections.into());
    let config = ResolverConfig::from_name_servers(vec![config]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options();
    builder
        .build()
        .inspect_err(|error| warn!(%server, %error, "can not ask an upstream DNS server"))
        .ok()
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = DEADLINE;
    options.attempts = 0;
    // RFC 5452 §9.2: a port, a number and (draft-vixie-dnsext-dns0x20) a letter case that can not be guessed.
    options.case_randomization = true;
    // What this host's /etc/hosts says is for this host only.
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = CACHED;
    options.positive_max_ttl = Some(KEPT);
    options.negative_max_ttl = Some(DENIAL_KEPT);
    options
}

#[cfg(test)]
impl Upstream {
    /// The servers that would be asked now.
    pub(super) async fn known(&self) -> Vec<SocketAddr> {
        self.current
            .lock()
            .await
            .as_ref()
            .map(|current| current.addresses.clone())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
