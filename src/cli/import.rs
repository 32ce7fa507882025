//! `seedbed import`: many VMs from files, all or none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::context::{Context, unexpected};
use super::failure::Failure;
use super::input;
use super::roster::{Problem, Read, Scope, csv, dnsmasq, hosts, libvirt};
use super::terminal::Terminal;
use crate::control::{Answer, ImportRow, NetworkInfo, Request};

/// The most problems shown at once; a wrong file has one in every line.
const SHOWN: usize = 100;

/// Register many VMs from files, all or none
///
/// A CSV file has the columns name,mac,ip, in this order when there is no header line. MAC and IP may be empty: they are
/// derived from the name and chosen from the pool. The VMs are run by someone else, as with `seedbed add`.
///
/// Files of other programs have lines that are about something else, such as other networks: those are left out, and it
/// is said which. Further names of a host become aliases.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed import --from csv students.csv\n  \
    printf 'name,mac,ip\\nnas,52:54:00:aa:bb:cc,10.77.0.20\\n' | seedbed import --from csv -\n  \
    virsh net-dumpxml default | seedbed import --from libvirt --dry-run -\n  \
    virsh dumpxml web1 | seedbed import --from libvirt -")]
pub(super) struct Args {
    /// What the file is
    #[arg(long, value_enum, value_name = "FORM")]
    from: Form,
    /// The network of all of them; the only one when not given
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Show what would be registered, and register nothing
    #[arg(long)]
    dry_run: bool,
    /// The files; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// name,mac,ip
    Csv,
    /// A hosts file
    Hosts,
    /// dnsmasq's configuration, or a dhcp-hostsfile
    Dnsmasq,
    /// What `virsh net-dumpxml` prints, or `virsh dumpxml`
    Libvirt,
}

pub(super) fn run(args: &Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let Read { rows, skipped } = read(args, context)?;
    for sentence in skipped {
        terminal.say(&sentence);
    }
    if rows.is_empty() {
        return terminal.answer("nothing to register: the file has no rows");
    }
    let request = Request::Import {
        rows,
        network: args.network.clone(),
        dry_run: args.dry_run,
    };
    if !args.dry_run {
        return context.done(&request, &[], terminal);
    }
    match context.ask(&request)? {
        Answer::Planned(vms) => terminal.planned(&vms),
        other => Err(unexpected(&other)),
    }
}

/// What is in all the files. What one file says twice is its own problem; what two files say is told here.
fn read(args: &Args, context: &Context) -> Result<Read, Failure> {
    let scope = if args.from == Form::Csv {
        None
    } else {
        Some(scope(args, context)?)
    };
    let mut all = Read {
        rows: Vec::new(),
        skipped: Vec::new(),
    };
    let mut seen = HashMap::new();
    for file in &args.files {
        let text = input::text(file)?;
        let read = match (args.from, &scope) {
            (Form::Hosts, Some(scope)) => hosts::parse(&text, scope),
            (Form::Dnsmasq, Some(scope)) => dnsmasq::parse(&text, scope),
            (Form::Libvirt, Some(scope)) => libvirt::parse(&text, scope),
            (Form::Csv, _) | (_, None) => csv::parse(&text),
        };
        let read = read.map_err(|problems| refused(file, &problems))?;
        let twice: Vec<_> = read
            .rows
            .iter()
            .filter_map(|row| twice(&mut seen, file, row))
            .collect();
        if !twice.is_empty() {
            return Err(refused(file, &twice));
        }
        let of = |sentence| match args.files.as_slice() {
            [_] => sentence,
            _ => format!("{}: {sentence}", file.display()),
        };
        all.rows.extend(read.rows);
        all.skipped.extend(read.skipped.into_iter().map(of));
    }
    Ok(all)
}

/// What of a row an earlier file has already.
fn twice<'a>(seen: &mut HashMap<String, &'a Path>, file: &'a Path, row: &ImportRow) -> Option<Problem> {
    let values = [&row.name]
        .into_iter()
        .chain(&row.aliases)
        .chain(&row.mac)
        .chain(&row.ip);
    let mut problem = None;
    for value in values {
        match seen.insert(value.clone(), file) {
            Some(other) if other != file => {
                problem = Some(Problem::of(
                    row,
                    format!("{value} is already in {}", other.display()),
                ));
            }
            _ => {}
        }
    }
    problem
}

fn refused(file: &Path, problems: &[Problem]) -> Failure {
    let count = problems.len();
    let noun = if count == 1 { "problem" } else { "problems" };
    let more = count.saturating_sub(SHOWN);
    let file = file.display();
    Failure::refused(format!("{file} has {count} {noun}; nothing was registered"))
        .causes(problems.iter().take(SHOWN).map(ToString::to_string))
        .causes((more > 0).then(|| format!("... and {more} more")))
}

/// The network that the file is read for.
fn scope(args: &Args, context: &Context) -> Result<Scope, Failure> {
    let networks = context.networks(args.network.clone().into_iter().collect())?;
    let [network] = networks.as_slice() else {
        return Err(Failure::refused(
            "there are several networks: say which with --network",
        ));
    };
    of_network(network).ok_or_else(|| Failure::internal(format!("the daemon told no subnet: {network:?}")))
}

fn of_network(network: &NetworkInfo) -> Option<Scope> {
    let (_, prefix) = network.subnet.split_once('/')?;
    Some(Scope {
        domains: vec![network.domain.clone()],
        subnet: format!("{}/{prefix}", network.gateway).parse().ok()?,
        bridge: network.bridge.clone(),
    })
}
