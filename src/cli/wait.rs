//! `seedbed wait`: until VMs are as far as wanted.

use std::time::Duration;

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{Request, Rung, WaitFor};
use crate::model::time::parse_span;

/// Wait until VMs are ready
///
/// Ends as soon as all of them are as far as wanted, one of them failed (exit code 1), or the time is over (exit code 4).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed wait web[1-20] --for ready --timeout 5m && echo all up")]
pub(super) struct Args {
    /// Names and ranges
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// How far
    #[arg(long = "for", value_enum, default_value = "ready", value_name = "STEP")]
    rung: Step,
    /// How long at most
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = parse_span)]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Step {
    /// QEMU runs
    Started,
    /// It has its address
    #[value(alias = "dhcp")]
    Ip,
    /// It fetched its seed
    Metadata,
    /// Its first boot is done
    Ready,
    /// It does not run
    Stopped,
}

impl From<Step> for Rung {
    fn from(step: Step) -> Self {
        match step {
            Step::Started => Self::Started,
            Step::Ip => Self::Dhcp,
            Step::Metadata => Self::Metadata,
            Step::Ready => Self::Ready,
            Step::Stopped => Self::Stopped,
        }
    }
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let names = args.names.clone();
    let request = Request::Wait(WaitFor {
        names: args.names,
        rung: args.rung.into(),
        timeout_seconds: args.timeout.as_secs(),
    });
    let vms = context.watch_vms(&request, &names, terminal)?;
    terminal.vm_sentences(&vms)
}
