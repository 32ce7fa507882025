//! What the installed QEMU is and can do, in its own words: asked, never guessed from a version.

mod process;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::message::Garbled;
use crate::model::{CpuModel, Hardware, MachineType};

pub use process::ask;

/// The least QEMU that is started: Debian 12's.
pub const LEAST: Version = Version(7, 2, 0);

/// How long QEMU may take to tell, on a host that starts many VMs at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// A version of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64, pub u64, pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The installed QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulator {
    /// Its version.
    pub version: Version,
    /// The board that it calls `q35`: what new VMs are created with.
    pub newest: MachineType,
    boards: Vec<MachineType>,
    processors: Vec<Processor>,
}

/// A model of a processor that QEMU knows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Processor {
    model: CpuModel,
    /// Which of its features this host can not give.
    lacking: Vec<String>,
}

/// Why the installed QEMU can not be used, or not for a VM.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The program could not be executed.
    #[error("{} can not be run: {source}; install QEMU (package qemu-system-x86)", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("{} did not tell within {PATIENCE:?} what it is", .0.display())]
    Silent(PathBuf),
    /// It said something else, or nothing.
    #[error("{} did not tell what it is: is that QEMU? {why}", program.display())]
    Stranger {
        /// The program.
        program: PathBuf,
        /// What is missing in its answer.
        why: String,
    },
    /// It is older than what is needed.
    #[error("{} is QEMU {found}, which is too old: {LEAST} or later is needed; upgrade it (package qemu-system-x86)", program.display())]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its version.
        found: Version,
    },
    /// It does not have a VM's board any more, or not yet.
    #[error("QEMU {version} does not have the machine type {machine_type}")]
    Board {
        /// Its version.
        version: Version,
        /// The board.
        machine_type: MachineType,
    },
    /// It does not know a VM's processor.
    #[error(
        "QEMU {version} does not know the CPU model {model}; `qemu-system-x86_64 -cpu help` lists those it knows"
    )]
    Model {
        /// Its version.
        version: Version,
        /// The processor.
        model: CpuModel,
    },
    /// This host can not give what a processor has.
    #[error("this host can not give a guest the CPU model {model}: it lacks {}", lacking.join(", "))]
    Lacking {
        /// The processor.
        model: CpuModel,
        /// The features that are missing.
        lacking: Vec<String>,
    },
}

impl Emulator {
    /// Whether it can run a VM of this hardware.
    pub fn check(&self, hardware: &Hardware) -> Result<(), EmulatorError> {
        let version = self.version;
        if let Some(board) = &hardware.machine_type
            && !self.boards.contains(board)
        {
            let machine_type = board.clone();
            return Err(EmulatorError::Board {
                version,
                machine_type,
            });
        }
        let Some(model) = hardware.cpu_model.clone() else {
            return Ok(());
        };
        match self.processors.iter().find(|known| known.model == model) {
            None => Err(EmulatorError::Model { version, model }),
            Some(known) if !known.lacking.is_empty() => Err(EmulatorError::Lacking {
                model,
                lacking: known.lacking.clone(),
            }),
            Some(_) => Ok(()),
        }
    }

    /// From the answers to `query-version`, `query-machines` and `query-cpu-definitions`; what is missing in them, in words.
    fn read([version, boards, processors]: [&Value; 3]) -> Result<Self, String> {
        let version = read_version(version).ok_or("it has no version")?;
        let boards = boards.as_array().ok_or("it has no machine types")?;
        let newest = boards
            .iter()
            .find(|board| text(board, "alias") == Some("q35"))
            .and_then(|board| text(board, "name")?.parse().ok());
        Ok(Self {
            version,
            newest: newest.ok_or("it has no machine type q35")?,
            boards: boards
                .iter()
                .filter_map(|board| text(board, "name")?.parse().ok())
                .collect(),
            processors: processors
                .as_array()
                .ok_or("it has no CPU models")?
                .iter()
                .filter_map(read_processor)
                .collect(),
        })
    }
}

fn read_version(answer: &Value) -> Option<Version> {
    let part = |name| answer.get("qemu")?.get(name)?.as_u64();
    Some(Version(part("major")?, part("minor")?, part("micro")?))
}

fn read_processor(entry: &Value) -> Option<Processor> {
    let lacking = entry.get("unavailable-features").and_then(Value::as_array);
    Some(Processor {
        model: text(entry, "name")?.parse().ok()?,
        lacking: lacking
            .into_iter()
            .flatten()
            .filter_map(|feature| feature.as_str().map(str::to_owned))
            .collect(),
    })
}

fn text<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get(key)?.as_str()
}

/// What was said is not QMP.
fn stranger(program: &std::path::Path) -> impl Fn(Garbled) -> EmulatorError + '_ {
    move |garbled| EmulatorError::Stranger {
        program: program.to_owned(),
        why: garbled.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn emulator() -> Emulator {
        let version = json!({"qemu": {"major": 7, "minor": 2, "micro": 11}, "package": "Debian"});
        let boards = json!([
            {"name": "pc-q35-7.1"}, {"name": "pc-q35-7.2", "alias": "q35"}, {"name": "none"}, {"name": 7},
        ]);
        let processors = json!([
            {"name": "EPYC-v4", "unavailable-features": ["svm", "npt"]},
            {"name": "Westmere-v1", "unavailable-features": []},
        ]);
        Emulator::read([&version, &boards, &processors]).unwrap()
    }

    fn hardware(machine_type: &str, cpu_model: Option<&str>) -> Hardware {
        Hardware {
            machine_type: Some(machine_type.parse().unwrap()),
            cpu_model: cpu_model.map(|model| model.parse().unwrap()),
            ..Hardware::default()
        }
    }

    fn refused(machine_type: &str, cpu_model: Option<&str>) -> String {
        emulator()
            .check(&hardware(machine_type, cpu_model))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_new_vms_get_is_what_q35_means_today() {
        assert_eq!(emulator().newest.as_str(), "pc-q35-7.2");
        assert_eq!(emulator().version.to_string(), "7.2.11");
    }

    #[test]
    fn l15_a_qemu_without_a_vms_board_or_processor_is_told_apart() {
        emulator().check(&Hardware::default()).unwrap();
        emulator()
            .check(&hardware("pc-q35-7.1", Some("Westmere-v1")))
            .unwrap();
        assert!(refused("pc-q35-5.2", None).contains("7.2.11 does not have the machine type pc-q35-5.2"));
        assert!(refused("pc-q35-7.2", Some("Z80")).contains("does not know the CPU model Z80"));
        assert!(refused("pc-q35-7.2", Some("EPYC-v4")).contains("lacks svm, npt"));
    }

    #[test]
    fn an_answer_that_lacks_something_is_none() {
        let (nothing, list) = (json!({}), json!([]));
        let version = json!({"qemu": {"major": 9, "minor": 0, "micro": 0}});
        for (answers, why) in [
            ([&nothing, &list, &list], "no version"),
            ([&version, &nothing, &list], "no machine types"),
            ([&version, &list, &list], "no machine type q35"),
        ] {
            assert!(Emulator::read(answers).unwrap_err().contains(why));
        }
    }
}
