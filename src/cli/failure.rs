//! How a command fails: whose fault it is, in one sentence, with causes and a hint; and every exit code there is.

use std::process::ExitCode;

use crate::control::client::CallError;
use crate::control::{Fault, Refusal};

/// Every exit code, but for `ssh`, which ends with the code of the command it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was done, or whoever read our output had enough of it.
    Ok = 0,
    /// What was asked can not be done as things are, or `check` found something wrong.
    Refused = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Something asked for by name does not exist.
    NotFound = 3,
    /// A deadline passed.
    Timeout = 4,
    /// `image lint` found something.
    Findings = 5,
    /// A bug of ours (`EX_SOFTWARE`).
    Internal = 70,
    /// The daemon is not running (`EX_TEMPFAIL`).
    NotRunning = 75,
    /// Only root may do this (`EX_NOPERM`).
    Permission = 77,
}

/// The same for the end of `seedbed --help`.
pub const EXIT_CODES: &str = "  0   done
  1   refused: what was asked can not be done as things are; or `check` found something wrong
  2   usage: the command line makes no sense
  3   not found: something asked for by name does not exist
  4   timeout: a deadline passed
  5   findings: `image lint` found something
  70  internal: a bug in seedbed
  75  the daemon is not running
  77  permission: only root may do this";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended without doing its work. An empty message is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault it is, as the process says it.
    pub exit: Exit,
    /// What is wrong and where, in one sentence.
    pub message: String,
    /// Why, one line each.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// What was asked can not be done as things are.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// The command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something is wrong with a VM, and has been printed.
    pub fn wrong() -> Self {
        Self::new(Exit::Refused, "")
    }

    /// Our own fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Internal, message)
    }

    /// Something asked for by name does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// Only root may do this.
    pub fn permission(message: impl Into<String>) -> Self {
        Self::new(Exit::Permission, message)
    }

    /// Something was found, and has been printed.
    pub fn findings() -> Self {
        Self::new(Exit::Findings, "")
    }

    /// Whoever read our output went away: nothing is left to say, and nobody to say it to.
    pub fn reader_gone() -> Self {
        Self::new(Exit::Ok, "")
    }

    /// Reading or writing `what` failed.
    pub fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Self {
        let exit = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Exit::Permission,
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Refused,
        };
        let failure = Self::new(exit, format!("{what}: {error}"));
        if exit == Exit::Permission {
            failure.hint(AS_ROOT)
        } else {
            failure
        }
    }

    /// The same failure with a word on what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with its causes.
    #[must_use]
    pub fn causes(mut self, causes: impl IntoIterator<Item = String>) -> Self {
        self.causes.extend(causes);
        self
    }
}

const AS_ROOT: &str = "run the same command with sudo";

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let exit = match refusal.fault {
            Fault::Request | Fault::Host => Exit::Refused,
            Fault::NotFound => Exit::NotFound,
            Fault::Permission => Exit::Permission,
            Fault::Timeout => Exit::Timeout,
            Fault::Internal => Exit::Internal,
        };
        let mut failure = Self::new(exit, refusal.message);
        failure.hint = refusal.hint;
        failure
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        match error {
            CallError::NotRunning(_) => Self::new(Exit::NotRunning, message)
                .hint("start it with `sudo systemctl start seedbed`, or in a terminal with `sudo seedbed serve`"),
            CallError::PermissionDenied(_) => Self::new(Exit::Permission, message).hint(AS_ROOT),
            CallError::Refused(refusal) => refusal.into(),
            CallError::Broken { .. } => Self::new(Exit::NotRunning, message).hint(
                "what was begun may go on: look with `seedbed list`; the daemon's log says more: journalctl -u seedbed",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_explained_in_the_help() {
        for exit in [
            Exit::Ok,
            Exit::Refused,
            Exit::Usage,
            Exit::NotFound,
            Exit::Timeout,
            Exit::Findings,
            Exit::Internal,
            Exit::NotRunning,
            Exit::Permission,
        ] {
            let code = (exit as u8).to_string();
            assert!(
                EXIT_CODES
                    .lines()
                    .any(|line| line.split_whitespace().next() == Some(&code)),
                "{code} is missing"
            );
        }
    }
}
