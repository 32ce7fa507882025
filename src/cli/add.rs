//! `seedbed add`: VMs that someone else runs.

use super::context::Context;
use super::failure::Failure;
use super::registration::Registration;
use super::terminal::Terminal;
use crate::control::Request;

/// Register VMs that someone else runs
///
/// For machines of libvirt, Proxmox VE or a rack on the same bridge: they get their address, DNS name and seed from
/// seedbed, which does not start or stop them. Without --key nobody may log in by a key of ours.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed add nas --mac 52:54:00:aa:bb:cc --ip 10.77.0.20")]
pub(super) struct Args {
    /// Names and ranges: web1, web[1-20], db[1-3,7]
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    registration: Registration,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let request = args.registration.of(args.names, (context, terminal), None)?;
    let vms = context.vms(&Request::Add(request))?;
    terminal.vm_sentences(&vms)
}
