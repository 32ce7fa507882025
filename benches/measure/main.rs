//! The measuring program of `benches/run`: guests that boot over DHCP and read documents, canned servers as the floor, and a stopwatch for
//! a server's start. It prints one JSON document.

#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "its output is its purpose; and a measuring program that can not go on ends, and says where"
)]

mod batch;
mod canned;
mod clock;
mod drive;
mod frame;
mod guests;
mod hosts;
mod http;
mod names;
mod port;
mod start;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use drive::Pace;
use guests::Guests;
use hosts::Host;
use http::Load;
use start::Probe;

/// Measure DHCP, DNS and HTTP servers; see benches/run
#[derive(Debug, Parser)]
struct Arguments {
    /// The registered hosts: lines of name,mac,ip after a header line
    #[arg(long)]
    hosts: PathBuf,
    /// Use only this many of them
    #[arg(long)]
    only: Option<usize>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Guests that boot: so many in flight, for a time or a number of them
    Throughput {
        #[command(flatten)]
        guests: Port,
        #[arg(long, default_value_t = 32)]
        in_flight: usize,
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        #[arg(long, default_value_t = u64::MAX)]
        count: u64,
    },
    /// Guests that boot at a fixed rate, whatever becomes of the earlier ones
    Rate {
        #[command(flatten)]
        guests: Port,
        #[arg(long, default_value_t = 200)]
        per_second: u64,
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
    },
    /// Guests that all boot at once and never ask twice
    Burst {
        #[command(flatten)]
        guests: Port,
        #[arg(long, default_value_t = 1000)]
        count: u64,
    },
    /// Ask a DNS server for the address and the name of every host, and compare
    Names {
        #[arg(long)]
        server: Ipv4Addr,
        #[arg(long, default_value = "lab")]
        domain: String,
    },
    /// The last hosts' guests read a document over HTTP, each by the port that has its name
    Http {
        #[command(flatten)]
        document: Document,
        /// How many guests ask
        #[arg(long, default_value_t = 8)]
        guests: usize,
        #[arg(long, default_value_t = 16)]
        connections: usize,
        /// Ask again on the same connection
        #[arg(long)]
        keep: bool,
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
    },
    /// Start a server and time its first answer; it runs until standard input ends
    Start(Start),
    /// Serve DHCP with canned answers
    CannedDhcp {
        #[arg(long)]
        bridge: String,
        #[arg(long)]
        server: Ipv4Addr,
    },
    /// Serve DNS with canned answers
    CannedDns {
        #[arg(long)]
        bridge: String,
        #[arg(long, default_value = "lab")]
        domain: String,
    },
}

/// Where guests are.
#[derive(Debug, clap::Args)]
struct Port {
    /// Their side of the veth pair whose other side is the bridge's port
    #[arg(long)]
    interface: String,
    /// How many milliseconds a guest waits for an answer
    #[arg(long, default_value_t = 1000)]
    patience: u64,
}

/// A document that an HTTP server has.
#[derive(Debug, clap::Args)]
struct Document {
    #[arg(long)]
    server: Ipv4Addr,
    /// Where it is; `{ip}` is the guest's address
    #[arg(long)]
    path: String,
}

/// A server, and who asks it.
#[derive(Debug, clap::Args)]
struct Start {
    /// The guests' network namespace
    #[arg(long)]
    guests: String,
    /// The guests' interface: ask DHCP there
    #[arg(long)]
    interface: Option<String>,
    /// Ask this server for an address instead
    #[arg(long, required_unless_present_any = ["interface", "http"])]
    dns: Option<Ipv4Addr>,
    /// Ask this server for a document instead, as the last host, by the port that has its name
    #[arg(long, requires = "path")]
    http: Option<Ipv4Addr>,
    /// Where the document is; `{ip}` is the guest's address
    #[arg(long)]
    path: Option<String>,
    #[arg(long, default_value = "lab")]
    domain: String,
    /// Give up after so many seconds
    #[arg(long, default_value_t = 60)]
    at_most: u64,
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut hosts = hosts::read(&arguments.hosts)?;
    hosts.truncate(arguments.only.unwrap_or(usize::MAX).max(1));
    match arguments.what {
        What::Throughput {
            guests,
            in_flight,
            seconds,
            count,
        } => {
            let pace = Pace::InFlight {
                guests: in_flight.min(hosts.len()),
                nanoseconds: nanoseconds(seconds),
                count,
            };
            drive(&hosts, &guests, pace)
        }
        What::Rate {
            guests,
            per_second,
            seconds,
        } => {
            let gap = 1_000_000_000 / per_second.max(1);
            let nanoseconds = nanoseconds(seconds);
            drive(&hosts, &guests, Pace::Every { gap, nanoseconds })
        }
        What::Burst { guests, count } => {
            let count = count.min(u64::try_from(hosts.len()).map_err(io::Error::other)?);
            drive(&hosts, &guests, Pace::Burst { guests: count })
        }
        What::Names { server, domain } => print(&names::check(server, &domain, &hosts)?),
        What::Http {
            document,
            guests,
            connections,
            keep,
            seconds,
        } => {
            let load = Load {
                server: SocketAddrV4::new(document.server, 80),
                path: document.path,
                connections,
                keep,
                nanoseconds: nanoseconds(seconds),
            };
            let last = hosts.len().saturating_sub(guests.max(1));
            print(&http::run(&load, &hosts[last..])?)
        }
        What::Start(what) => start(what, &hosts),
        What::CannedDhcp { bridge, server } => canned::dhcp(&bridge, server, &hosts),
        What::CannedDns { bridge, domain } => canned::dns(&bridge, &domain, &hosts),
    }
}

fn start(what: Start, hosts: &[Host]) -> io::Result<()> {
    let probe = match (what.interface, what.http) {
        (Some(interface), _) => Probe::Dhcp { interface },
        (None, Some(server)) => Probe::Http {
            server,
            path: what.path.unwrap_or_default(),
        },
        (None, None) => Probe::Dns {
            server: what.dns.unwrap_or(Ipv4Addr::LOCALHOST),
            domain: what.domain,
        },
    };
    let at_most = Duration::from_secs(what.at_most);
    let (child, started) = start::start(&what.command, &what.guests, &probe, last(hosts), at_most)?;
    print(&started)?;
    start::keep(child)
}

fn print(outcome: &impl serde::Serialize) -> io::Result<()> {
    println!("{}", serde_json::to_string(outcome)?);
    Ok(())
}

fn drive(hosts: &[Host], guests: &Port, pace: Pace) -> io::Result<()> {
    let socket = port::guests(&guests.interface)?;
    // Far more than any server binds in a run of some seconds.
    let state = Guests::new(hosts, guests.patience * 1_000_000, 1 << 20);
    print(&drive::run(&socket, state, pace)?)
}

/// The one that a starting server is asked for: the last, which is there only when all are.
fn last(hosts: &[Host]) -> &Host {
    &hosts[hosts.len() - 1]
}

fn nanoseconds(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds.clamp(0.0, 600.0)).as_nanos()).unwrap_or(u64::MAX)
}
