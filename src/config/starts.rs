//! How many VMs are started at once, and how busy the host may be meanwhile.

use super::check::{Problems, number};
use super::file::Text;

/// How many VMs are started at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Starts {
    /// The most of them; `None` for two a processor.
    pub at_once: Option<u16>,
    /// The pressure on processors from which on they are started one by one, in per cent.
    pub cpu_pressure: u16,
    /// The pressure on disks from which on they are started one by one, in per cent.
    pub io_pressure: u16,
    /// The pressure on memory from which on they wait, in per cent.
    pub memory_pressure: u16,
}

impl Default for Starts {
    fn default() -> Self {
        Self {
            at_once: None,
            cpu_pressure: 80,
            io_pressure: 60,
            memory_pressure: 10,
        }
    }
}

/// The same as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartsFile {
    /// The most of them.
    pub at_once: Option<Text>,
    /// In per cent; 100 for never.
    pub cpu_pressure: Option<Text>,
    /// In per cent; 100 for never.
    pub io_pressure: Option<Text>,
    /// In per cent; 100 for never.
    pub memory_pressure: Option<Text>,
}

pub(super) fn starts(problems: &mut Problems, written: Option<&StartsFile>) -> Starts {
    let default = Starts::default();
    let Some(StartsFile {
        at_once,
        cpu_pressure,
        io_pressure,
        memory_pressure,
    }) = written
    else {
        return default;
    };
    let share = (1, 100);
    Starts {
        at_once: number(problems, "starts.at_once", at_once.as_ref(), (1, 1000)),
        cpu_pressure: number(problems, "starts.cpu_pressure", cpu_pressure.as_ref(), share)
            .unwrap_or(default.cpu_pressure),
        io_pressure: number(problems, "starts.io_pressure", io_pressure.as_ref(), share)
            .unwrap_or(default.io_pressure),
        memory_pressure: number(
            problems,
            "starts.memory_pressure",
            memory_pressure.as_ref(),
            share,
        )
        .unwrap_or(default.memory_pressure),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const NETWORK: &str = "networks:\n- {name: lab, bridge: br0, subnet: 10.77.0.1/24, domain: lab}\n";

    #[test]
    fn what_is_not_written_is_the_usual() {
        let parse = |text: &str| Config::parse(&format!("{text}{NETWORK}"), Path::new("config.yaml"));
        assert_eq!(parse("").unwrap().starts, Starts::default());
        let written = parse("starts: {at_once: 3, memory_pressure: 25}\n")
            .unwrap()
            .starts;
        let expected = Starts {
            at_once: Some(3),
            memory_pressure: 25,
            ..Starts::default()
        };
        assert_eq!(written, expected);
        let problems = parse("starts: {at_once: 0, cpu_pressure: 101}\n").unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(places, ["starts.at_once", "starts.cpu_pressure"]);
    }
}
