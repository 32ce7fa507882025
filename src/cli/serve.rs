//! `seedbed serve`: the daemon itself.

use std::path::PathBuf;

use super::Daemon;
use super::failure::Failure;
use crate::telemetry::{self, LogFormat};

/// Run the daemon
///
/// Sets up the bridge and answers DHCP, DNS and metadata requests on it, until SIGTERM or SIGINT. VMs go on running
/// when it stops, and are found again when it starts. What is logged is chosen by the environment: see
/// `seedbed --help`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo seedbed serve --config ./lab.yaml")]
pub(super) struct Args {
    /// The configuration file [default: /etc/seedbed/config.yaml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The form of log lines
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: Lines,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Lines {
    /// For people
    Text,
    /// One JSON document a line
    Json,
}

pub(super) fn run(args: &Args, daemon: Daemon) -> Result<(), Failure> {
    let format = match args.log_format {
        Lines::Text => LogFormat::Text,
        Lines::Json => LogFormat::Json,
    };
    telemetry::install(format).map_err(|error| Failure::usage(error.to_string()))?;
    let config = args.config.clone().unwrap_or_else(super::config_path);
    daemon(&config)
}
