//! `seedbed console-broker`: what the daemon starts for each running VM; nothing for people.
//!
//! It is no verb of the command line's definition, which each broker would hold in memory for as long as its VM runs.

use std::ffi::OsStr;
use std::process::ExitCode;

use crate::console::door;

/// Whether this is the name of that command.
pub(super) fn is_meant(verb: &OsStr) -> bool {
    verb == door::VERB
}

/// Is a broker until its VM ends. It has nobody to tell anything but its exit code.
pub(super) fn run() -> ExitCode {
    door::run().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
