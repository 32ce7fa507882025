//! How the daemon logs: to its standard error, filtered by `SEEDBED_LOG`, as text or as JSON lines.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The variable that says what is logged, such as `debug` or `seedbed::dhcp=trace,info`.
pub const FILTER_VARIABLE: &str = "SEEDBED_LOG";

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: coloured on a terminal, compact and without a time elsewhere, because the journal adds one.
    #[default]
    Text,
    /// One JSON document a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error(
        "{FILTER_VARIABLE}={text} is not a log filter ({why}); write info, debug or seedbed::dhcp=trace,info"
    )]
    Filter {
        /// What was set.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Someone else did it before.
    #[error("logging was already set up")]
    Installed,
}

/// Sends everything that is logged from here on to standard error. Once per process.
pub fn install(format: LogFormat) -> Result<(), TelemetryError> {
    let terminal = std::io::stderr().is_terminal();
    let targets = filter(std::env::var(FILTER_VARIABLE).ok())?;
    // What the targets let through decides; the builder's own limit is the widest.
    let builder = Subscriber::builder()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    let installed = match format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .finish()
            .with(targets)
            .try_init(),
        LogFormat::Text if terminal => builder.with_target(false).finish().with(targets).try_init(),
        LogFormat::Text => builder.compact().without_time().finish().with(targets).try_init(),
    };
    installed.map_err(|_| TelemetryError::Installed)
}

/// What is logged when nothing is said: all of ours, and of the resolver only what went wrong.
const USUAL: &str = "info,hickory_net=warn,hickory_proto=warn,hickory_resolver=warn";

/// By target and level only: filters on the values of fields would need a machine for regular expressions, which is 300 kB
/// that every daemon holds.
fn filter(set: Option<String>) -> Result<Targets, TelemetryError> {
    let text = set.filter(|text| !text.is_empty());
    let text = text.unwrap_or_else(|| USUAL.to_owned());
    text.parse().map_err(|error: ParseError| TelemetryError::Filter {
        why: error.to_string(),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_logged_unless_said_otherwise() {
        for unset in [None, Some(String::new())] {
            let said = filter(unset).unwrap().to_string();
            assert!(
                said.split(',').any(|part| part == "info") && said.contains("hickory_resolver=warn"),
                "{said}"
            );
        }
        assert_eq!(filter(Some("debug".to_owned())).unwrap().to_string(), "debug");
    }

    #[test]
    fn what_is_no_filter_is_named() {
        let error = filter(Some("seedbed=loud".to_owned())).unwrap_err().to_string();
        assert!(
            error.starts_with("SEEDBED_LOG=seedbed=loud is not a log filter"),
            "{error}"
        );
    }
}
