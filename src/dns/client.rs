//! Asks the upstream servers for names that are not ours: with a deadline, a cache, and never in a circle.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Query, ResponseCode};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::resolv::{name_servers, without_loops};
use super::wire::Forwarded;
use crate::model::{Directory, Network};

/// How long an asker waits for an answer from elsewhere before it is told that there is none.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long the host's `resolv.conf` is believed before it is read again.
const BELIEVED: Duration = Duration::from_secs(5);

/// The servers to ask, and what they said lately.
pub(super) struct Upstream {
    configured: Vec<SocketAddr>,
    resolv_conf: PathBuf,
    current: Mutex<Option<Current>>,
}

struct Current {
    servers: Vec<SocketAddr>,
    resolver: Option<Arc<TokioResolver>>,
    read: Instant,
}

impl Upstream {
    pub(super) fn of(network: &Network, resolv_conf: &Path) -> Self {
        Self {
            configured: network.dns.upstreams.clone(),
            resolv_conf: resolv_conf.to_owned(),
            current: Mutex::new(None),
        }
    }

    /// Asks; the answer is there within [`DEADLINE`]. `own` is where this server itself listens.
    pub(super) async fn ask(&self, query: &Query, directory: &Directory, own: SocketAddr) -> Forwarded {
        let asking = async {
            let resolver = self.resolver(directory, own).await?;
            let mut name = query.name().clone();
            name.set_fqdn(true);
            Some(resolver.lookup(name, query.query_type()).await)
        };
        match timeout(DEADLINE, asking).await {
            Ok(Some(Ok(lookup))) => Forwarded::Found(lookup.answers().to_vec()),
            Ok(Some(Err(error))) => passed_on(error),
            Ok(None) => Forwarded::Failed,
            Err(_) => {
                debug!(%query, "no upstream DNS server answered in time");
                Forwarded::Failed
            }
        }
    }

    /// The resolver for the servers of this moment; `None` when there are none.
    async fn resolver(&self, directory: &Directory, own: SocketAddr) -> Option<Arc<TokioResolver>> {
        let mut current = self.current.lock().await;
        if let Some(current) = current
            .as_ref()
            .filter(|current| current.read.elapsed() < BELIEVED)
        {
            return current.resolver.clone();
        }
        // The servers of our other networks would ask us again.
        let gateways = directory
            .networks()
            .map(|network| IpAddr::V4(network.subnet.gateway()));
        let mut ours: Vec<_> = gateways
            .map(|address| SocketAddr::new(address, own.port()))
            .collect();
        ours.push(own);
        let servers = without_loops(self.servers().await, &ours);
        let resolver = match current.take() {
            // The cache is worth keeping.
            Some(same) if same.servers == servers => same.resolver,
            _ => build(&servers),
        };
        let read = Instant::now();
        *current = Some(Current {
            servers,
            resolver: resolver.clone(),
            read,
        });
        resolver
    }

    async fn servers(&self) -> Vec<SocketAddr> {
        if !self.configured.is_empty() {
            return self.configured.clone();
        }
        match tokio::fs::read_to_string(&self.resolv_conf).await {
            Ok(text) => name_servers(&text),
            Err(error) => {
                debug!(path = %self.resolv_conf.display(), %error, "can not read which DNS servers this host uses");
                Vec::new()
            }
        }
    }
}

fn build(servers: &[SocketAddr]) -> Option<Arc<TokioResolver>> {
    if servers.is_empty() {
        warn!(
            "no upstream DNS server: guests resolve only each other (set `upstreams`, or a nameserver in resolv.conf)"
        );
        return None;
    }
    let servers = servers.iter().map(|server| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server.port();
            connection
        });
        NameServerConfig::new(server.ip(), true, connections.into())
    });
    let config = ResolverConfig::from_name_servers(servers.collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options();
    builder
        .build()
        .inspect_err(|error| warn!(%error, "can not ask upstream DNS servers"))
        .ok()
        .map(Arc::new)
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = Duration::from_millis(1_500);
    options.attempts = 1;
    // What this host's /etc/hosts says is for this host only.
    options.use_hosts_file = ResolveHosts::Never;
    options.negative_max_ttl = Some(Duration::from_secs(60));
    options
}

/// What the asker is told of an answer without records, or of none.
fn passed_on(error: NetError) -> Forwarded {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            let soa = none.soa.map(|soa| soa.into_record_of_rdata());
            match none.response_code {
                ResponseCode::NXDomain => Forwarded::NxDomain(soa),
                ResponseCode::NoError => Forwarded::NoData(soa),
                _ => Forwarded::Failed,
            }
        }
        error => {
            debug!(%error, "upstream DNS servers gave no answer");
            Forwarded::Failed
        }
    }
}

#[cfg(test)]
impl Upstream {
    /// The servers that would be asked now.
    pub(super) async fn known(&self) -> Vec<SocketAddr> {
        self.current
            .lock()
            .await
            .as_ref()
            .map(|current| current.servers.clone())
            .unwrap_or_default()
    }
}
