//! How far work is: one live line per VM on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::terminal::complain;
use crate::control::ProgressLine;

/// The most VMs that get a line of their own; a screen has no room for more.
const SHOWN: usize = 20;
/// The rungs a boot climbs, in order.
const RUNGS: [&str; 4] = ["started", "dhcp", "metadata", "ready"];

/// Where progress is shown.
#[derive(Debug)]
pub enum Progress {
    /// Nowhere.
    Silent,
    /// As plain lines.
    Lines,
    /// As lines that change in place.
    Bars(Bars),
}

/// One line per VM that changes in place.
#[derive(Debug)]
pub struct Bars {
    screen: MultiProgress,
    by_subject: HashMap<String, ProgressBar>,
}

impl Progress {
    /// Lines that change in place, for `names` from the start.
    pub fn bars(names: &[String]) -> Self {
        let mut bars = Bars {
            screen: MultiProgress::new(),
            by_subject: HashMap::new(),
        };
        for name in names {
            bars.show(name, "waiting");
        }
        Self::Bars(bars)
    }

    /// Whether each line takes the place of the one before.
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Bars(_))
    }

    /// Shows one more step.
    pub fn line(&mut self, line: &ProgressLine) {
        match self {
            Self::Silent => (),
            Self::Lines => complain(&format!("{}: {}\n", line.subject, line.stage)),
            Self::Bars(bars) => bars.show(&line.subject, &line.stage),
        }
    }

    /// Takes the live lines away; the answer says what came of them.
    pub fn end(self) {
        if let Self::Bars(bars) = self {
            // A screen that can not be cleared is no reason to fail.
            drop(bars.screen.clear());
        }
    }
}

impl Bars {
    fn show(&mut self, subject: &str, stage: &str) {
        if let Some(bar) = self.by_subject.get(subject) {
            bar.set_message(ladder(stage));
            return;
        }
        if self.by_subject.len() >= SHOWN {
            return;
        }
        let bar = self.screen.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:<12} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.set_prefix(subject.to_owned());
        bar.set_message(ladder(stage));
        bar.enable_steady_tick(Duration::from_millis(120));
        self.by_subject.insert(subject.to_owned(), bar);
    }
}

/// The rungs up to the one reached (`started -> dhcp -> ...`), or the stage itself when it is none of them.
fn ladder(stage: &str) -> String {
    let Some(reached) = RUNGS.iter().position(|rung| *rung == stage) else {
        return stage.to_owned();
    };
    let climbed = RUNGS.iter().take(reached + 1).copied().collect::<Vec<_>>();
    let more = if reached + 1 < RUNGS.len() { " -> ..." } else { "" };
    format!("{}{more}", climbed.join(" -> "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rungs_climbed_are_shown_in_order() {
        assert_eq!(ladder("cloning"), "cloning");
        assert_eq!(ladder("started"), "started -> ...");
        assert_eq!(ladder("metadata"), "started -> dhcp -> metadata -> ...");
        assert_eq!(ladder("ready"), "started -> dhcp -> metadata -> ready");
    }
}
