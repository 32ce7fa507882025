//! Which VMs a verb is about: names and ranges, or `--all`.

use crate::control;

/// Names, or all.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Select {
    /// Names and ranges: web1, web[1-20], db[1-3,7]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All VMs that seedbed runs
    #[arg(long)]
    all: bool,
}

impl From<Select> for control::Select {
    fn from(select: Select) -> Self {
        Self {
            names: select.names,
            all: select.all,
        }
    }
}
