//! When VMs are started without being asked for by name, as options.

use crate::control::PolicySettings;

/// When a VM is started.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "When it is started")]
pub(super) struct Policy {
    /// Start it again when it ended by itself: never, when QEMU failed, or also when its guest powered off
    #[arg(long, value_name = "no|on-failure|always", display_order = 200)]
    restart: Option<String>,
    /// Start it when the host has started; --autostart=off takes that back
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, display_order = 201)]
    #[arg(default_missing_value = "on", value_parser = on_or_off)]
    autostart: Option<bool>,
    /// Start it after another VM is started, or as far as given; can be given several times
    #[arg(long, value_name = "NAME[:started|ip|metadata|ready]", display_order = 202)]
    after: Vec<String>,
}

impl Policy {
    /// The names of these options, for a group of them.
    pub(super) const IDS: [&str; 3] = ["restart", "autostart", "after"];

    /// What they say; an option that was not given says nothing, and an empty text is for nothing.
    pub(super) fn settings(self) -> PolicySettings {
        let given = !self.after.is_empty();
        let after: Vec<_> = self.after.into_iter().filter(|text| !text.is_empty()).collect();
        PolicySettings {
            restart: self.restart,
            autostart: self.autostart,
            after: given.then_some(after),
        }
    }
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("use on or off".to_owned()),
    }
}
