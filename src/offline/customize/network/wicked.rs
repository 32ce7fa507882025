//! wicked, of SUSE: ifcfg(5) by the names of interfaces.

use super::super::draft::{Draft, READABLE};
use super::super::system;
use super::{NAMES, is_ethernet};
use crate::offline::root::RootError;

const FOLDER: &str = "/etc/sysconfig/network";

pub(super) fn is_used(draft: &Draft<'_>) -> Result<bool, RootError> {
    Ok(draft.exists(&format!("{FOLDER}/ifcfg-lo")) || system::starts(draft, "wicked")?)
}

pub(super) fn write(draft: &mut Draft<'_>) -> Result<(), RootError> {
    draft.remove_in(FOLDER, |name| {
        name.strip_prefix("ifcfg-").is_some_and(is_ethernet)
    })?;
    for name in NAMES {
        // One that is not there is not waited for.
        let text = "# Written by seedbed.\nBOOTPROTO='dhcp'\nSTARTMODE='hotplug'\n";
        draft.put(&format!("{FOLDER}/ifcfg-{name}"), text, READABLE);
    }
    Ok(())
}
