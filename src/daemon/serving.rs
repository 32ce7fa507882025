//! Whose metadata is served: no VM is started before somebody answers what it asks in its first seconds.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;

use crate::control::Refusal;
use crate::model::{Network, NetworkName};

/// How long a start waits for the metadata service: it comes up with the daemon.
const PATIENCE: Duration = Duration::from_secs(5);

/// The networks whose metadata service runs.
#[derive(Debug)]
pub(super) struct Serving(watch::Sender<BTreeSet<NetworkName>>);

impl Default for Serving {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeSet::new()))
    }
}

impl Serving {
    /// The service of a network accepts connections.
    pub(super) fn begins(&self, network: NetworkName) {
        self.0.send_modify(|serving| {
            serving.insert(network);
        });
    }

    /// It does not any more.
    pub(super) fn ends(&self, network: &NetworkName) {
        self.0.send_modify(|serving| {
            serving.remove(network);
        });
    }

    /// Waits until a network's guests are answered, or refuses.
    pub(super) async fn answers(&self, network: &Network) -> Result<(), Refusal> {
        self.answers_within(network, PATIENCE).await
    }

    async fn answers_within(&self, network: &Network, patience: Duration) -> Result<(), Refusal> {
        let mut serving = self.0.subscribe();
        let up = serving.wait_for(|serving| serving.contains(&network.name));
        match tokio::time::timeout(patience, up).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Refusal::host(format!(
                "the metadata service of network {} does not run: a guest would be set up as nobody",
                network.name
            ))
            .hint("the daemon's log says why; restart the daemon")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::examples;

    #[tokio::test]
    async fn a_start_waits_for_the_service_of_its_own_network() {
        let (serving, lab) = (
            Arc::new(Serving::default()),
            examples::network("lab", "10.77.0.1/24"),
        );
        serving.begins("other".parse().unwrap());
        let at_once = Duration::from_millis(20);
        let refusal = serving.answers_within(&lab, at_once).await.unwrap_err();
        assert!(refusal.message.contains("network lab does not run"), "{refusal}");
        let (waiter, its) = (Arc::clone(&serving), lab.clone());
        let waiting = tokio::spawn(async move { waiter.answers(&its).await });
        tokio::time::sleep(at_once).await;
        assert!(!waiting.is_finished());
        serving.begins(lab.name.clone());
        waiting.await.unwrap().unwrap();
        serving.ends(&lab.name);
        assert!(serving.answers_within(&lab, at_once).await.is_err());
    }
}
