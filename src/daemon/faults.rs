//! Whose fault an error of a module is, decided once: everything below the daemon becomes a refusal here.

use tokio::task::JoinError;

use crate::control::Refusal;
use crate::control::serve::BindError;
use crate::host::HostError;
use crate::image::{FileError, FlattenError, StoreError};
use crate::machine::qmp::QmpError;
use crate::machine::{CommandError, EmulatorError};
use crate::registry::{CommitError, OpenError};
use crate::seed::{SeedError, TemplatesError};

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(refusal) if refusal.is_not_found() => Self::not_found(refusal.to_string()),
            CommitError::Refused(refusal) => Self::request(refusal.to_string()),
            failed @ (CommitError::Failed { .. } | CommitError::Closed { .. }) => {
                Self::host(failed.to_string())
            }
        }
    }
}

impl From<FlattenError> for Refusal {
    fn from(error: FlattenError) -> Self {
        match error {
            FlattenError::Store(error) => error.into(),
            error => Self::host(error.to_string()),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::File(error) => error.into(),
            damaged @ StoreError::Damaged { .. } => Self::host(damaged.to_string()),
            error => Self::request(error.to_string()),
        }
    }
}

/// Declares errors that are the host's: a device, a file, a tool is not as it has to be.
macro_rules! of_the_host {
    ($($error:ty),+) => {
        $(impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self::host(error.to_string())
            }
        })+
    };
}

of_the_host!(
    BindError,
    CommandError,
    EmulatorError,
    FileError,
    HostError,
    OpenError,
    QmpError,
    TemplatesError
);

impl From<JoinError> for Refusal {
    fn from(ended: JoinError) -> Self {
        Self::internal(format!("a task ended early: {ended}"))
    }
}

impl From<SeedError> for Refusal {
    fn from(error: SeedError) -> Self {
        Self::request(error.to_string())
    }
}
