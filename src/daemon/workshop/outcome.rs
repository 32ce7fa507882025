//! What became of workshops, for those who wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::super::{Daemon, images, selection};
use crate::control::serve::ProgressSink;
use crate::control::{Answer, Refusal};
use crate::model::{ImageId, VmName};

/// How far a workshop is.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// Its guest works.
    Open,
    /// It has powered off, and this is being done now.
    Closing(String),
    /// It has become this.
    Made(ImageId),
    /// It has become nothing, and why.
    Nothing(Refusal),
}

/// How far each workshop is, also those that have ended: whoever waited for one may ask a moment later.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Outcomes(Mutex<HashMap<VmName, watch::Sender<Stage>>>);

impl Outcomes {
    /// A workshop begins.
    pub(super) fn begin(&self, vm: &VmName) {
        self.tell(vm, Stage::Open);
    }

    /// A workshop is at this stage.
    pub(super) fn tell(&self, vm: &VmName, stage: Stage) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = all
            .entry(vm.clone())
            .or_insert_with(|| watch::Sender::new(Stage::Open));
        sender.send_replace(stage);
    }

    /// What is being done now that a workshop has powered off; told late, it does not undo its end.
    pub(super) fn progress(&self, vm: &VmName, what: String) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = all.get(vm) {
            sender.send_if_modified(|stage| {
                let goes_on = matches!(stage, Stage::Open | Stage::Closing(_));
                if goes_on {
                    *stage = Stage::Closing(what);
                }
                goes_on
            });
        }
    }

    fn of(&self, vm: &VmName) -> Option<watch::Receiver<Stage>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(vm).map(watch::Sender::subscribe)
    }
}

/// Waits until a workshop has ended, and tells what became of it.
pub(in crate::daemon) async fn outcome(
    daemon: &Arc<Daemon>,
    vm: &str,
    progress: &ProgressSink,
) -> Result<Answer, Refusal> {
    let vm: VmName = selection::parse(vm)?;
    let Some(mut stages) = daemon.outcomes.of(&vm) else {
        return Err(
            Refusal::not_found(format!("nothing is installed or edited in {vm}"))
                .hint("`seedbed image list` shows what there is"),
        );
    };
    loop {
        let stage = stages.borrow_and_update().clone();
        match stage {
            Stage::Open => {}
            Stage::Closing(what) => progress.line(vm.as_str(), what),
            Stage::Made(id) => {
                let image = daemon.directory().image(&id).cloned();
                let gone = || Refusal::not_found(format!("image {id} was made, and deleted since"));
                return image
                    .map(|image| images::shown(daemon, &[image]))
                    .ok_or_else(gone);
            }
            Stage::Nothing(refusal) => return Err(refusal),
        }
        tokio::select! {
            changed = stages.changed() => changed.map_err(|_| Refusal::host("the daemon stops"))?,
            () = progress.gone() => {
                return Err(Refusal::host("the daemon stops; the VM goes on, but nobody waits for it any more"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_late_does_not_undo_the_end() {
        let outcomes = Outcomes::default();
        let vm: VmName = "edit-x".parse().unwrap();
        assert!(outcomes.of(&vm).is_none());
        outcomes.begin(&vm);
        let stages = outcomes.of(&vm).unwrap();
        outcomes.progress(&vm, "copying".to_owned());
        assert!(matches!(&*stages.borrow(), Stage::Closing(what) if what == "copying"));
        outcomes.tell(&vm, Stage::Made("x@2".parse().unwrap()));
        outcomes.progress(&vm, "copying, 100 %".to_owned());
        assert!(matches!(&*stages.borrow(), Stage::Made(id) if id.to_string() == "x@2"));
        // Another one of its name.
        outcomes.begin(&vm);
        assert!(matches!(&*stages.borrow(), Stage::Open));
    }
}
