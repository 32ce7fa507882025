//! How far a file is: every hundredth on a terminal, every tenth elsewhere.

use crate::cli::progress::Progress;
use crate::control::ProgressLine;
use crate::model::Bytes;

/// The progress of one file.
#[derive(Debug)]
pub(super) struct Meter {
    progress: Progress,
    subject: String,
    last: Option<(&'static str, u64)>,
}

impl Meter {
    pub(super) fn new(progress: Progress, subject: &str) -> Self {
        Self {
            progress,
            subject: subject.to_owned(),
            last: None,
        }
    }

    /// So many bytes are done, of so many if that is known.
    pub(super) fn at(&mut self, doing: &'static str, done: u64, total: Option<u64>) {
        let coarse = if self.progress.is_live() { 1 } else { 10 };
        let total = total.filter(|total| *total > 0);
        let step = match total {
            Some(total) => percent(done, total) / coarse,
            None => Bytes(done).as_mib() / (10 * coarse),
        };
        if self.last == Some((doing, step)) {
            return;
        }
        self.last = Some((doing, step));
        let stage = match total {
            Some(total) => format!("{doing}, {} % of {}", step * coarse, Bytes(total)),
            None => format!("{doing}, {}", Bytes::mib(step * 10 * coarse)),
        };
        self.say(&stage);
    }

    /// Something else about it.
    pub(super) fn say(&mut self, stage: &str) {
        self.progress.line(&ProgressLine {
            subject: self.subject.clone(),
            stage: stage.to_owned(),
        });
    }

    pub(super) fn end(self) {
        self.progress.end();
    }
}

fn percent(done: u64, total: u64) -> u64 {
    let percent = u128::from(done) * 100 / u128::from(total);
    u64::try_from(percent).map_or(100, |percent| percent.min(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_told_in_whole_hundredths_and_never_more_than_all() {
        assert_eq!(percent(1, 3), 33);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(7, 3), 100);
    }
}
