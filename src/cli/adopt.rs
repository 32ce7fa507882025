//! `seedbed adopt`: a machine that was seen becomes a VM with a name.

use super::context::Context;
use super::failure::Failure;
use super::registration::Registration;
use super::terminal::Terminal;
use crate::control::Request;

/// Register a machine by its hardware address
///
/// As `seedbed add` does, on the network it was seen on. A machine that has a dynamic lease keeps its address, unless
/// --ip gives it another.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed adopt 52:54:00:aa:bb:cc nas\n  \
    seedbed adopt 52:54:00:aa:bb:cc nas --ip 10.77.0.20 --alias files")]
#[command(
    mut_arg("mac", |mac| mac.hide(true)),
    mut_arg("ip", |ip| ip.help("The address; when not given, that of its lease, else one from the pool")),
    mut_arg("network", |network| network.help("The network; when not given, the one it was seen on"))
)]
pub(super) struct Args {
    /// The hardware address, as `seedbed discovered` or `seedbed leases` shows it
    #[arg(value_name = "MAC")]
    hardware: String,
    /// The name
    name: String,
    #[command(flatten)]
    registration: Registration,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let register = args.registration.of(vec![args.name], (context, terminal), None)?;
    if register.mac.is_some() {
        return Err(Failure::refused(
            "the hardware address is the first argument already: leave --mac out",
        ));
    }
    let mac = args.hardware;
    let vms = context.vms(&Request::Adopt { mac, register })?;
    terminal.vm_sentences(&vms)
}
