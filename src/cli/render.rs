//! `seedbed render`: what a VM would be told, before anything boots.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{self, Request};

/// Show exactly what VMs are told
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    seedbed render web1 --as nocloud\n  \
    seedbed render web1 --merged\n  \
    seedbed render web1 --as qemu\n  \
    seedbed render web1 --as dhcp --format json\n  \
    seedbed render web1 --as cidata --output web1.img")]
pub(super) struct Args {
    /// Names and ranges: web1, web[1-20], db[1-3,7]
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Which view of it
    #[arg(
        long = "as",
        value_enum,
        value_name = "VIEW",
        required_unless_present = "merged"
    )]
    view: Option<View>,
    /// The settings that cloud-init ends with: site, template and user-data merged as it does, and what runs in which order
    #[arg(long, conflicts_with = "view")]
    merged: bool,
    /// Write it to this file instead, which only you can read
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Show private host keys and password hashes as they are served
    #[arg(long)]
    show_secrets: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum View {
    /// The four cloud-init documents it fetches over HTTP
    Nocloud,
    /// The documents of OpenStack's metadata service
    Openstack,
    /// The values of EC2's metadata service, each under its path
    Ec2,
    /// The same documents as the volume of a disk, for cloud-init without HTTP
    Cidata,
    /// The config that Ignition reads, on Flatcar and its kin
    Ignition,
    /// What systemd itself reads, as strings of the SMBIOS table
    Credentials,
    /// The DHCP answer
    Dhcp,
    /// Its DNS records
    Dns,
    /// Its lines of the hosts file
    Hosts,
    /// The iPXE script it boots from the network by
    Ipxe,
    /// What its installer is told instead of asking (image install --unattended)
    Answers,
    /// The QEMU command line
    Qemu,
}

impl View {
    /// What the daemon is asked for; `None` for a volume, which is no text.
    const fn text(self) -> Option<control::View> {
        Some(match self {
            Self::Cidata => return None,
            Self::Nocloud => control::View::Nocloud,
            Self::Openstack => control::View::Openstack,
            Self::Ec2 => control::View::Ec2,
            Self::Ignition => control::View::Ignition,
            Self::Credentials => control::View::Credentials,
            Self::Dhcp => control::View::Dhcp,
            Self::Dns => control::View::Dns,
            Self::Hosts => control::View::Hosts,
            Self::Ipxe => control::View::Ipxe,
            Self::Answers => control::View::Answers,
            Self::Qemu => control::View::Qemu,
        })
    }
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let Some(view) = args.view.map_or(Some(control::View::Merged), View::text) else {
        return volume(args, context, terminal);
    };
    // The other views have forms of their own.
    let for_programs = view == control::View::Dhcp && !terminal.is_for_people() && args.output.is_none();
    let view = if for_programs {
        control::View::DhcpJson
    } else {
        view
    };
    let text = context.text(&Request::Render {
        names: args.names,
        view,
        secrets: args.show_secrets,
    })?;
    if for_programs {
        let values: Vec<serde_json::Value> = serde_json::from_str(&text)
            .map_err(|error| Failure::internal(format!("the daemon's JSON can not be read: {error}")))?;
        return terminal.values(&values);
    }
    match &args.output {
        Some(path) => write(path, text.as_bytes()),
        None => terminal.answer(&text),
    }
}

fn volume(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let (names, output) = (args.names, args.output.as_deref());
    let example = names.first().map_or("web1", String::as_str);
    let hint = format!("give a file: seedbed render {example} --as cidata --output {example}.img");
    if output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::usage("a volume is bytes that would upset a terminal").hint(hint));
    }
    let Ok([name]) = <[String; 1]>::try_from(names) else {
        return Err(Failure::usage("each VM has a volume of its own: name one VM"));
    };
    let secrets = args.show_secrets;
    let bytes = context.bytes(&Request::Volume { name, secrets })?;
    match output {
        Some(path) => write(path, &bytes),
        None => terminal.raw(&bytes),
    }
}

/// Writes a file that only its owner can read: what VMs are told can be secret. One that is there keeps its permissions.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .map_err(|error| Failure::io(format!("can not write {}", path.display()), &error))
}
