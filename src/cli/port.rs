//! `seedbed port`: the ports of VMs that someone else runs.

use std::path::{Path, PathBuf};

use super::context::{Context, unexpected};
use super::failure::{Exit, Failure};
use super::input;
use super::qemu_argv;
use super::roster::{domain, libvirt};
use super::terminal::Terminal;
use crate::config::Config;
use crate::control::{Answer, PortInfo, PortRequest, Request};

/// Guard ports of VMs that someone else runs
///
/// What `contrib/seedbed-ifup` (QEMU's script=) and `contrib/libvirt/qemu` (libvirt's hook) call.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Up(UpArgs),
    Down(DownArgs),
    #[command(visible_alias = "ls")]
    List(ListArgs),
    LibvirtHook(HookArgs),
}

/// Put an interface on the bridge of its VM, and guard it
///
/// The VM is the one that is registered with the hardware address; without one, the one whose tap has the name of the interface.
/// From then on the interface passes what that VM says and nothing else, and nobody else on the bridge speaks as that VM.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed port up vnet0 --mac 52:54:00:aa:bb:cc")]
pub(super) struct UpArgs {
    /// The interface
    #[arg(value_name = "INTERFACE")]
    interface: String,
    /// The hardware address of the guest behind it
    #[arg(long, value_name = "MAC")]
    mac: Vec<String>,
    /// The QEMU process that has it: its command line says which hardware address that is
    #[arg(long, value_name = "PID", conflicts_with = "mac")]
    process: Option<u32>,
}

/// Take an interface off the bridge of its VM, and its guard away
///
/// It is set down, and otherwise left as it is: `seedbed port up` puts it back. One that vanishes needs no word: it is seen within seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed port down vnet0")]
pub(super) struct DownArgs {
    /// The interface
    #[arg(value_name = "INTERFACE", required_unless_present = "mac")]
    interface: Option<String>,
    /// The hardware address of the guest behind it, for who does not know the interface any more
    #[arg(long, value_name = "MAC")]
    mac: Vec<String>,
}

/// List guarded ports
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed port list --format json")]
pub(super) struct ListArgs {}

/// Do what libvirt's hook for QEMU asks for
///
/// Reads the domain on standard input. Its interfaces on bridges of Seedbed are guarded before it starts, when their hardware
/// addresses are registered, and are let go when it has stopped; all others are left alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  virsh dumpxml web1 | seedbed port libvirt-hook start")]
pub(super) struct HookArgs {
    /// The second argument of the hook: start, reconnect, stopped, ...
    operation: String,
}

pub(super) fn run(verb: Verb, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    match verb {
        Verb::Up(args) => {
            let macs = match args.process {
                Some(pid) => macs_of(pid, &args.interface)?,
                None => args.mac,
            };
            let interface = args.interface;
            let ports = ports(context, PortRequest::Up { interface, macs })?;
            terminal.port_sentences(&ports)
        }
        Verb::Down(args) => {
            let (interface, macs) = (args.interface, args.mac);
            ports(context, PortRequest::Down { interface, macs }).map(drop)
        }
        Verb::List(ListArgs {}) => terminal.ports(&ports(context, PortRequest::List)?),
        Verb::LibvirtHook(args) => hook(&args.operation, context, terminal),
    }
}

fn ports(context: &Context, request: PortRequest) -> Result<Vec<PortInfo>, Failure> {
    match context.ask(&Request::Port(request))? {
        Answer::Ports(ports) => Ok(ports),
        other => Err(unexpected(&other)),
    }
}

/// The hardware addresses that the guest of a QEMU process may have behind an interface.
fn macs_of(pid: u32, interface: &str) -> Result<Vec<String>, Failure> {
    let path = PathBuf::from(format!("/proc/{pid}/cmdline"));
    let line = input::bytes(&path)?;
    let line = String::from_utf8_lossy(&line);
    let words: Vec<_> = line.split('\0').collect();
    Ok(qemu_argv::macs(&words, interface))
}

fn hook(operation: &str, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let is_up = match operation {
        // The interfaces are there, and QEMU is not yet. A daemon of libvirt that starts again tells of the domains it finds.
        "start" | "reconnect" => true,
        "stopped" | "release" => false,
        _ => return Ok(()),
    };
    let text = input::text(Path::new("-"))?;
    let document = libvirt::document(&text).map_err(|problem| {
        Failure::refused("what libvirt tells is no domain").causes([problem.to_string()])
    })?;
    let bridges = bridges();
    for (_, interface) in domain::interfaces(document.root_element()) {
        let ours = interface
            .bridge
            .filter(|bridge| bridges.iter().any(|ours| ours == bridge));
        let (Some(_), Some(mac)) = (ours, interface.mac) else {
            continue;
        };
        let macs = vec![mac.to_owned()];
        // The interfaces of a domain that has stopped are gone, and have no names.
        let request = match (is_up, interface.target.map(str::to_owned)) {
            (true, Some(interface)) => PortRequest::Up { interface, macs },
            (true, None) => continue,
            (false, interface) => PortRequest::Down { interface, macs },
        };
        match ports(context, request) {
            // It is no VM of ours, and whoever runs it may well want it so.
            Err(failure) if failure.exit == Exit::NotFound => {
                terminal.say(&format!("{mac} is not guarded: {}", failure.message));
            }
            done => drop(done?),
        }
    }
    Ok(())
}

/// The bridges of the configuration: a domain that is on none of them starts whether the daemon runs or not.
fn bridges() -> Vec<String> {
    let path = super::config_path();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let config = Config::parse(&text, &path);
    config.map_or_else(
        |_| Vec::new(),
        |config| {
            config
                .networks
                .iter()
                .map(|network| network.bridge.to_string())
                .collect()
        },
    )
}
