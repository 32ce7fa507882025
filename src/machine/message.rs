//! What QEMU says on its control socket: one JSON document a line (QMP, `docs/interop/qmp-spec.rst` of QEMU).
//!
//! The speaker may be a process that its guest took over, so every line is treated as hostile: bounded in length by the
//! reader, bounded in depth by `serde_json`, and nothing in it is printed unescaped.

use serde_json::{Map, Value, json};

/// One line of QEMU's.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The first line of a connection.
    Greeting,
    /// A command was carried out.
    Return {
        /// Which.
        id: u64,
        /// What it returned.
        value: Value,
    },
    /// A command was refused.
    Error {
        /// Which; `None` when QEMU could not read it.
        id: Option<u64>,
        /// Why, escaped.
        why: String,
    },
    /// Something happened in the machine.
    Event(QmpEvent),
}

/// Something that happened in the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QmpEvent {
    /// The machine ended.
    Shutdown {
        /// Whether the guest wanted it.
        by_guest: bool,
    },
    /// The guest rebooted, or was reset.
    Reset,
    /// The machine was paused, for instance because the host's disk is full.
    Stopped,
    /// The machine goes on.
    Resumed,
    /// The power button was pressed.
    Powerdown,
    /// A disk could not be read or written.
    IoError {
        /// Whether the machine is stopped for it; if not, its guest is told.
        stops: bool,
    },
    /// A device is gone that came or went while the machine runs; QEMU's name for it, escaped.
    Unplugged(String),
    /// Another event, by its name, escaped.
    Other(String),
}

/// A line that is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("QEMU sent something that is not QMP: {0}")]
pub struct Garbled(String);

impl Message {
    /// Reads one line.
    pub fn parse(line: &[u8]) -> Result<Self, Garbled> {
        let garbled = || Garbled(shown(&String::from_utf8_lossy(line)));
        let Ok(Value::Object(object)) = serde_json::from_slice(line) else {
            return Err(garbled());
        };
        let id = object.get("id").and_then(Value::as_u64);
        if object.contains_key("QMP") {
            return Ok(Self::Greeting);
        }
        if let Some(event) = object.get("event").and_then(Value::as_str) {
            return Ok(Self::Event(QmpEvent::of(event, object.get("data"))));
        }
        if let Some(error) = object.get("error").and_then(Value::as_object) {
            return Ok(Self::Error {
                id,
                why: reason(error),
            });
        }
        match (id, object.get("return")) {
            (Some(id), Some(value)) => Ok(Self::Return {
                id,
                value: value.clone(),
            }),
            _ => Err(garbled()),
        }
    }
}

impl QmpEvent {
    fn of(name: &str, data: Option<&Value>) -> Self {
        let told = |key: &str| data.and_then(|data| data.get(key));
        match name {
            "SHUTDOWN" => Self::Shutdown {
                by_guest: told("guest").and_then(Value::as_bool) == Some(true),
            },
            "BLOCK_IO_ERROR" => Self::IoError {
                stops: told("action").and_then(Value::as_str) == Some("stop"),
            },
            "DEVICE_DELETED" => match told("device").and_then(Value::as_str) {
                Some(device) => Self::Unplugged(shown(device)),
                // A part of one, which has no name.
                None => Self::Other(name.to_owned()),
            },
            "RESET" => Self::Reset,
            "STOP" => Self::Stopped,
            "RESUME" => Self::Resumed,
            "POWERDOWN" => Self::Powerdown,
            other => Self::Other(shown(other)),
        }
    }
}

/// A command as a line.
pub fn command(name: &str, id: u64) -> String {
    format!("{}\n", json!({ "execute": name, "id": id }))
}

/// A command with arguments as a line.
pub fn command_with(name: &str, arguments: &Value, id: u64) -> String {
    format!(
        "{}\n",
        json!({ "execute": name, "arguments": arguments, "id": id })
    )
}

fn reason(error: &Map<String, Value>) -> String {
    let text = |key| error.get(key).and_then(Value::as_str).unwrap_or("?");
    shown(&format!("{}: {}", text("class"), text("desc")))
}

/// What of QEMU's text may be printed: escaped, and never a screenful.
fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_line_is_told_apart() {
        let parse = |text: &str| Message::parse(text.as_bytes()).unwrap();
        assert_eq!(
            parse(r#"{"QMP": {"version": {}, "capabilities": []}}"#),
            Message::Greeting
        );
        let value = json!({"status": "running"});
        assert_eq!(
            parse(r#"{"return": {"status": "running"}, "id": 4}"#),
            Message::Return { id: 4, value }
        );
        assert_eq!(
            parse(r#"{"id": 5, "error": {"class": "CommandNotFound", "desc": "no \u001b[2J"}}"#),
            Message::Error {
                id: Some(5),
                why: r"CommandNotFound: no \u{1b}[2J".into()
            }
        );
        let shutdown =
            r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}, "timestamp": {}}"#;
        assert_eq!(
            parse(shutdown),
            Message::Event(QmpEvent::Shutdown { by_guest: true })
        );
        let full = r#"{"event": "BLOCK_IO_ERROR", "data": {"device": "", "node-name": "root", "operation": "write",
            "action": "stop", "nospace": true, "reason": "No space left on device"}}"#;
        assert_eq!(parse(full), Message::Event(QmpEvent::IoError { stops: true }));
        let gone = r#"{"event": "DEVICE_DELETED", "data": {"device": "nic24", "path": "/machine/peripheral/nic24"}}"#;
        assert_eq!(parse(gone), Message::Event(QmpEvent::Unplugged("nic24".into())));
        let part =
            r#"{"event": "DEVICE_DELETED", "data": {"path": "/machine/peripheral/nic24/virtio-backend"}}"#;
        assert_eq!(
            parse(part),
            Message::Event(QmpEvent::Other("DEVICE_DELETED".into()))
        );
        assert_eq!(
            parse(r#"{"event": "RTC_CHANGE"}"#),
            Message::Event(QmpEvent::Other("RTC_CHANGE".into()))
        );
    }

    #[test]
    fn a_line_that_is_none_of_them_is_refused_in_few_words() {
        for line in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"return": {}}"#,
            r#"{"id": -1, "return": 1}"#,
        ] {
            assert!(Message::parse(line.as_bytes()).is_err(), "{line}");
        }
        let deep = "[".repeat(100_000);
        assert!(Message::parse(deep.as_bytes()).unwrap_err().to_string().len() < 300);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(line in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(Message::parse(&line));
        }
    }
}
