//! `seedbed dns`: DNS records beside those of the VMs.

use super::context::{Context, unexpected};
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{Answer, Request, WrittenRecord};

/// Look after DNS records beside those of the VMs
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Add(AddArgs),
    #[command(visible_alias = "ls")]
    List(ListArgs),
    #[command(visible_alias = "rm")]
    Delete(DeleteArgs),
}

/// Add a record to a network's domain
///
/// It is served at once. Names without a final dot are in the domain; @ is the domain itself. Types are A, AAAA, CNAME,
/// MX, SRV and TXT. Another name of one VM is better kept with it: `seedbed set web1 --alias www`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed dns add www CNAME web1\n  seedbed dns add @ MX '10 mail'\n  \
    seedbed dns add _sip._tcp SRV '0 5 5060 sip'"
)]
pub(super) struct AddArgs {
    /// The name in the domain, or @
    name: String,
    /// The type
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The value, as zone files write it
    value: String,
    /// Whose domain; that of the only network when not given
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
}

/// List records
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed dns list\n  seedbed dns list --network lab --format json")]
pub(super) struct ListArgs {
    /// Whose domain; all when not given
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
}

/// Delete records
///
/// All of the name, or those of one type, or one of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed dns delete www\n  seedbed dns delete @ MX '10 mail'")]
pub(super) struct DeleteArgs {
    /// The name in the domain, or @
    name: String,
    /// The type; all when not given
    #[arg(value_name = "TYPE")]
    kind: Option<String>,
    /// The value; all when not given
    value: Option<String>,
    /// Whose domain; that of the only network when not given
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
}

pub(super) fn run(verb: Verb, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    match verb {
        Verb::Add(args) => {
            let record = WrittenRecord {
                network: args.network,
                owner: args.name,
                kind: args.kind,
                value: args.value,
            };
            context.done(&Request::AddRecord(record), &[], terminal)
        }
        Verb::List(args) => {
            let network = args.network;
            match context.ask(&Request::Records { network })? {
                Answer::Records(records) => terminal.records(&records),
                other => Err(unexpected(&other)),
            }
        }
        Verb::Delete(args) => {
            let request = Request::RemoveRecords {
                network: args.network,
                owner: args.name,
                kind: args.kind,
                value: args.value,
            };
            context.done(&request, &[], terminal)
        }
    }
}
