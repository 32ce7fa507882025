//! `seedbed undelete`: deleted VMs come back.

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{Request, UndeleteVms};

/// Bring deleted VMs back
///
/// Each comes back stopped and as it was: disks, settings, address, MAC, UUID and host key; of several of one name, the one that
/// was deleted last. What others have meanwhile is named, and nothing comes back, unless --anew has it chosen anew. Under
/// another name it is another instance, which cloud-init sets up anew.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed undelete web1\n  seedbed undelete web1 --as web1-old\n  \
    seedbed undelete web[1-20] --anew"
)]
pub(super) struct Args {
    /// Names and ranges, as `seedbed list --deleted` shows them
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Another name, for one VM
    #[arg(long = "as", value_name = "NEWNAME")]
    new_name: Option<String>,
    /// Choose anew what others have meanwhile: address, MAC, UUID, aliases
    #[arg(long)]
    anew: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let request = UndeleteVms {
        names: args.names,
        new_name: args.new_name,
        anew: args.anew,
    };
    context.done(&Request::Undelete(request), &[], terminal)
}
