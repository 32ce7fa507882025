//! How far work is: on a terminal a live line per VM, or one for a crowd of them; plain lines elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::tally::{RUNGS, Tally};
use super::terminal::complain;
use crate::control::ProgressLine;

/// The most VMs that get a line of their own; more are counted in one.
const SHOWN: usize = 8;

/// Where progress is shown.
#[derive(Debug)]
pub enum Progress {
    /// Nowhere.
    Silent,
    /// As plain lines.
    Lines,
    /// As lines that change in place.
    Bars(Bars),
    /// As one line that changes in place, and those that fail.
    Crowd(Crowd),
}

/// One line per VM that changes in place.
#[derive(Debug)]
pub struct Bars {
    screen: MultiProgress,
    by_subject: HashMap<String, ProgressBar>,
}

/// How many of a crowd are how far.
#[derive(Debug)]
pub struct Crowd {
    screen: MultiProgress,
    tally: Tally,
    line: ProgressBar,
    failures: Vec<ProgressBar>,
}

impl Progress {
    /// Lines that change in place, for `names` from the start.
    pub fn bars(names: &[String]) -> Self {
        if names.len() > SHOWN {
            return Self::Crowd(Crowd::of(names));
        }
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
        matches!(self, Self::Bars(_) | Self::Crowd(_))
    }

    /// Shows one more step.
    pub fn line(&mut self, line: &ProgressLine) {
        match self {
            Self::Silent => (),
            Self::Lines => complain(&format!("{}: {}\n", line.subject, line.stage)),
            Self::Bars(bars) => bars.show(&line.subject, &line.stage),
            Self::Crowd(crowd) => crowd.show(&line.subject, &line.stage),
        }
    }

    /// Takes the live lines away; the answer says what came of them.
    pub fn end(self) {
        // A screen that can not be cleared is no reason to fail.
        match self {
            Self::Silent | Self::Lines => {}
            Self::Bars(bars) => drop(bars.screen.clear()),
            Self::Crowd(crowd) => drop(crowd.screen.clear()),
        }
    }
}

/// A line that shows that something goes on.
fn spinner(screen: &MultiProgress, template: &str) -> ProgressBar {
    let bar = screen.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
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
        let bar = spinner(&self.screen, "{spinner} {prefix:<12} {msg} {elapsed:.dim}");
        bar.set_prefix(subject.to_owned());
        bar.set_message(ladder(stage));
        self.by_subject.insert(subject.to_owned(), bar);
    }
}

impl Crowd {
    fn of(names: &[String]) -> Self {
        let (screen, tally) = (MultiProgress::new(), Tally::of(names));
        let line = spinner(&screen, "{spinner} {msg} {elapsed:.dim}");
        line.set_message(tally.line());
        Self {
            screen,
            tally,
            line,
            failures: Vec::new(),
        }
    }

    fn show(&mut self, subject: &str, stage: &str) {
        self.tally.take(subject, stage);
        self.line.set_message(self.tally.line());
        for (number, failure) in self.tally.failures().into_iter().enumerate() {
            if let Some(line) = self.failures.get(number) {
                line.set_message(failure);
            } else {
                let line = spinner(&self.screen, "  {msg}");
                line.set_message(failure);
                self.failures.push(line);
            }
        }
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

    #[test]
    fn a_crowd_is_shown_in_few_lines() {
        let names: Vec<_> = (0..20).map(|number| format!("vps{number}")).collect();
        let mut progress = Progress::bars(&names);
        for name in &names {
            progress.line(&ProgressLine {
                subject: name.clone(),
                stage: "failed: no".to_owned(),
            });
        }
        let Progress::Crowd(crowd) = progress else {
            panic!("{progress:?}")
        };
        assert_eq!(crowd.failures.len(), 6);
        assert_eq!(crowd.line.message(), "20 VMs: 20 failed");
        assert!(matches!(Progress::bars(&names[..8]), Progress::Bars(_)));
    }
}
