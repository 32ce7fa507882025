//! What `add` and `launch` both ask for: how a VM is registered, beside its name.

use std::path::PathBuf;

use super::failure::Failure;
use super::{input, keys};
use crate::control::AddVms;

/// The options of a registration.
#[derive(Debug, clap::Args)]
pub(super) struct Registration {
    /// The address, for one VM; chosen from the pool when not given
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// The hardware address, for one VM; derived from its name when not given
    #[arg(long)]
    mac: Option<String>,
    /// SSH key that may log in, or a file of such; can be given several times
    #[arg(long, value_name = "FILE|KEY")]
    pub(super) key: Vec<String>,
    /// Your own cloud-init user-data; - for standard input
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// The seed template
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// The network; the only one when not given
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
}

impl Registration {
    /// The registration of these names with the keys that were given.
    pub(super) fn of(self, names: Vec<String>) -> Result<AddVms, Failure> {
        Ok(AddVms {
            names,
            ip: self.ip,
            mac: self.mac,
            keys: keys::given(&self.key)?,
            user_data: input::user_data(self.user_data.as_deref())?,
            template: self.template,
            network: self.network,
        })
    }
}
