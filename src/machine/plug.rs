//! NICs that come and go while a VM runs, behind the ports that it was started with.
//!
//! ```text
//!   in:   getfd (the tap) -> netdev_add -> device_add      undone by `cut_off`, at whichever step it broke
//!   out:  device_del -> the guest lets go of the card -> netdev_del (the tap is gone)
//! ```
//!
//! QEMU can open no tap itself. A guest that does not let go keeps the card until it is started or reset; `netdev_del` is done
//! before that too, but from 10.0 on QEMU closes the tap only with the card (as the card may still use what the tap has).

use std::os::fd::BorrowedFd;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::nics::{Card, backend, device, slot_of};
use super::qmp::{Qmp, QmpError};
use crate::model::mac;

/// How soon QEMU is asked again whether a guest has let go of a card.
const AGAIN: Duration = Duration::from_millis(50);

impl Qmp {
    /// The cards that are behind ports now, whether their guest uses them or not.
    pub async fn cards(&mut self) -> Result<Vec<Card>, QmpError> {
        let devices = json!({"path": "/machine/peripheral"});
        let answer = self.execute_with("qom-list", devices).await?;
        let listed = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut slots: Vec<_> = listed.iter().filter_map(slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let mut cards = Vec::with_capacity(slots.len());
        for slot in slots {
            cards.extend(self.card(slot).await?);
        }
        Ok(cards)
    }

    /// The card in a slot; `None` when it went meanwhile.
    async fn card(&mut self, slot: u8) -> Result<Option<Card>, QmpError> {
        let (mac, mtu) = (
            self.property(slot, "mac").await?,
            self.property(slot, "host_mtu").await?,
        );
        let mac = mac.as_str().and_then(|text| mac::parse(text).ok());
        let mtu = mtu.as_u64().and_then(|mtu| u16::try_from(mtu).ok());
        Ok(mac.map(|mac| Card {
            slot,
            mac,
            mtu: mtu.filter(|mtu| *mtu > 0),
        }))
    }

    async fn property(&mut self, slot: u8, name: &str) -> Result<Value, QmpError> {
        let path = format!("/machine/peripheral/{}", device(slot));
        let asked = json!({"path": path, "property": name});
        match self.execute_with("qom-get", asked).await {
            Err(QmpError::Refused { .. }) => Ok(Value::Null),
            answer => answer,
        }
    }

    /// Gives QEMU the tap for a card.
    pub async fn give_tap(&mut self, card: Card, tap: BorrowedFd<'_>) -> Result<(), QmpError> {
        let name = json!({"fdname": backend(card.slot)});
        self.execute_with_fd("getfd", name, tap).await.map(drop)
    }

    /// Has QEMU use the tap that it was given.
    pub async fn use_tap(&mut self, card: Card) -> Result<(), QmpError> {
        let name = backend(card.slot);
        let tap = json!({"type": "tap", "id": name, "fd": name});
        self.execute_with("netdev_add", tap).await.map(drop)
    }

    /// Puts a card behind its port, and its guest is told.
    pub async fn put_in(&mut self, card: Card) -> Result<(), QmpError> {
        self.execute_with("device_add", card.plug()).await.map(drop)
    }

    /// Asks the guest to let go of the card in a slot, and gives it that long; whether it is gone then.
    pub async fn take_out(&mut self, slot: u8, patience: Duration) -> Result<bool, QmpError> {
        if !self.has_card(slot).await? {
            return Ok(true);
        }
        // Refused while an earlier request is open: then that is the one that is waited for.
        allowed(self.execute_with("device_del", json!({"id": device(slot)})).await)?;
        let until = Instant::now() + patience;
        loop {
            if !self.has_card(slot).await? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            sleep(AGAIN).await;
        }
    }

    /// Takes from QEMU what it was given for a slot, as far as it has it: the tap is gone with that, or with the card.
    pub async fn cut_off(&mut self, slot: u8) -> Result<(), QmpError> {
        let name = backend(slot);
        allowed(self.execute_with("netdev_del", json!({"id": name})).await)?;
        allowed(self.execute_with("closefd", json!({"fdname": name})).await)
    }

    async fn has_card(&mut self, slot: u8) -> Result<bool, QmpError> {
        Ok(self.cards().await?.iter().any(|card| card.slot == slot))
    }
}

/// The slot of a device of QEMU's list, if it is a card.
fn slot(device: &Value) -> Option<u8> {
    slot_of(device.get("name")?.as_str()?)
}

/// An answer that may be a refusal: there was nothing to do.
fn allowed(answer: Result<Value, QmpError>) -> Result<(), QmpError> {
    match answer {
        Ok(_) | Err(QmpError::Refused { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
