//! What QEMU changes while its guest runs: the size of a disk, and how much of its memory the guest may use.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::qmp::{Qmp, QmpError};
use crate::model::Bytes;

/// How soon a guest is asked again how much memory it has given back.
const AGAIN: Duration = Duration::from_millis(100);

impl Qmp {
    /// Makes a disk larger, by the name of its node; the guest is told.
    pub async fn resize_disk(&mut self, node: &str, size: Bytes) -> Result<(), QmpError> {
        let arguments = json!({"node-name": node, "size": size.0});
        self.execute_with("block_resize", arguments).await.map(drop)
    }

    /// Asks the guest to leave all memory but this much to the host. It follows when it can, and as far as it can.
    pub async fn ask_memory(&mut self, size: Bytes) -> Result<(), QmpError> {
        self.execute_with("balloon", json!({"value": size.0}))
            .await
            .map(drop)
    }

    /// How much memory the guest has now.
    pub async fn memory(&mut self) -> Result<Bytes, QmpError> {
        let answer = self.execute("query-balloon").await?;
        Ok(Bytes(
            answer.get("actual").and_then(Value::as_u64).unwrap_or_default(),
        ))
    }

    /// Asks the guest for its memory, and gives it that long to follow; how much it has then.
    pub async fn settle_memory(&mut self, size: Bytes, patience: Duration) -> Result<Bytes, QmpError> {
        self.ask_memory(size).await?;
        let until = Instant::now() + patience;
        loop {
            let memory = self.memory().await?;
            if memory == size || Instant::now() >= until {
                return Ok(memory);
            }
            sleep(AGAIN).await;
        }
    }
}
