//! How the daemon logs: to its standard error, filtered by `SEEDBED_LOG`, as text or as JSON lines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Subscriber;

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
    let builder = Subscriber::builder()
        .with_env_filter(filter(std::env::var(FILTER_VARIABLE).ok())?)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    let installed = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text if terminal => builder.with_target(false).try_init(),
        LogFormat::Text => builder.compact().without_time().try_init(),
    };
    installed.map_err(|_| TelemetryError::Installed)
}

/// What is logged when nothing is said: all of ours, and of the resolver only what went wrong.
const USUAL: &str = "info,hickory_net=warn,hickory_proto=warn,hickory_resolver=warn";

fn filter(set: Option<String>) -> Result<EnvFilter, TelemetryError> {
    let text = set.filter(|text| !text.is_empty());
    let text = text.unwrap_or_else(|| USUAL.to_owned());
    EnvFilter::try_new(&text).map_err(|error| TelemetryError::Filter {
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
