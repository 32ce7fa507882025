//! The only printer: standard output is the answer, standard error the talk, progress is optional.

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::failure::Failure;
use super::progress::Progress;
use super::table;
use crate::control::{
    CheckInfo, DeletedInfo, DiscoveredInfo, ImageInfo, KeyInfo, LeaseInfo, LintInfo, NetworkInfo, PlannedVm,
    PortInfo, RecordInfo, SnapshotInfo, TemplateInfo, VmInfo,
};

/// The form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// Where a command speaks.
#[derive(Debug, Clone)]
pub struct Terminal {
    format: Format,
    quiet: bool,
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

impl Terminal {
    /// A terminal that answers in `format` and, when `quiet`, says nothing but errors beside it.
    pub const fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet }
    }

    /// Prints a text as it is, with a line end.
    pub fn answer(&mut self, text: &str) -> Result<(), Failure> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let mut out = anstream::stdout().lock();
        written(writeln!(out, "{text}").and_then(|()| out.flush()))
    }

    /// Prints bytes exactly as they are: a guest's own output, whose colours are its own business.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        written(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// Prints VMs as a list.
    pub fn vms(&mut self, vms: &[VmInfo]) -> Result<(), Failure> {
        self.formatted(vms, table::vms)
    }

    /// Prints all that is known of VMs.
    pub fn vm_sheets(&mut self, vms: &[VmInfo]) -> Result<(), Failure> {
        self.formatted(vms, table::vm_sheets)
    }

    /// Prints one sentence on each VM: what it is now.
    pub fn vm_sentences(&mut self, vms: &[VmInfo]) -> Result<(), Failure> {
        self.formatted(vms, table::vm_sentences)
    }

    /// Prints images as a list.
    pub fn images(&mut self, images: &[ImageInfo]) -> Result<(), Failure> {
        self.formatted(images, table::images)
    }

    /// Prints all that is known of images.
    pub fn image_sheets(&mut self, images: &[ImageInfo]) -> Result<(), Failure> {
        self.formatted(images, table::image_sheets)
    }

    /// Prints what was found in images.
    pub fn lints(&mut self, lints: &[LintInfo]) -> Result<(), Failure> {
        self.formatted(lints, table::lint::lints)
    }

    /// Prints what was done about what was found in images.
    pub fn seals(&mut self, lints: &[LintInfo]) -> Result<(), Failure> {
        self.formatted(lints, table::lint::seals)
    }

    /// Prints networks as a list.
    pub fn networks(&mut self, networks: &[NetworkInfo]) -> Result<(), Failure> {
        self.formatted(networks, table::networks::list)
    }

    /// Prints all that is known of networks.
    pub fn network_sheets(&mut self, networks: &[NetworkInfo]) -> Result<(), Failure> {
        self.formatted(networks, table::networks::network_sheets)
    }

    /// Prints dynamic leases.
    pub fn leases(&mut self, leases: &[LeaseInfo]) -> Result<(), Failure> {
        self.formatted(leases, table::networks::leases)
    }

    /// Prints hardware addresses without a record.
    pub fn discovered(&mut self, discovered: &[DiscoveredInfo]) -> Result<(), Failure> {
        self.formatted(discovered, table::networks::discovered)
    }

    /// Prints DNS records.
    pub fn records(&mut self, records: &[RecordInfo]) -> Result<(), Failure> {
        self.formatted(records, table::networks::records)
    }

    /// Prints the key ring.
    pub fn keys(&mut self, keys: &[KeyInfo]) -> Result<(), Failure> {
        self.formatted(keys, table::ring::keys)
    }

    /// Prints the templates of seeds.
    pub fn templates(&mut self, templates: &[TemplateInfo]) -> Result<(), Failure> {
        self.formatted(templates, table::templates::templates)
    }

    /// Prints snapshots.
    pub fn snapshots(&mut self, snapshots: &[SnapshotInfo]) -> Result<(), Failure> {
        self.formatted(snapshots, table::snapshots::snapshots)
    }

    /// Prints deleted VMs that can be undone.
    pub fn deleted(&mut self, deleted: &[DeletedInfo]) -> Result<(), Failure> {
        self.formatted(deleted, table::deleted::deleted)
    }

    /// Prints VMs that would be registered.
    pub fn planned(&mut self, vms: &[PlannedVm]) -> Result<(), Failure> {
        self.formatted(vms, table::networks::planned)
    }

    /// Prints what a check found.
    pub fn checks(&mut self, checks: &[CheckInfo]) -> Result<(), Failure> {
        self.formatted(checks, table::check::checks)
    }

    /// Prints ports of VMs that someone else runs.
    pub fn ports(&mut self, ports: &[PortInfo]) -> Result<(), Failure> {
        self.formatted(ports, table::ports::list)
    }

    /// Prints one sentence on each port.
    pub fn port_sentences(&mut self, ports: &[PortInfo]) -> Result<(), Failure> {
        self.formatted(ports, table::ports::sentences)
    }

    /// Whether nothing is to be said but the answer and errors.
    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether the answer is for people, not for programs.
    pub fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Prints values that only programs ask for.
    pub fn values(&mut self, values: &[serde_json::Value]) -> Result<(), Failure> {
        self.formatted(values, |_| String::new())
    }

    fn formatted<T: Serialize>(
        &mut self,
        items: &[T],
        for_people: fn(&[T]) -> String,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => for_people(items),
            Format::Json => serde_json::to_string_pretty(items).map_err(|error| {
                Failure::internal(format!("the answer can not be written as JSON: {error}"))
            })?,
            Format::Yaml => serde_yaml::to_string(items).map_err(|error| {
                Failure::internal(format!("the answer can not be written as YAML: {error}"))
            })?,
        };
        if text.is_empty() {
            Ok(())
        } else {
            self.answer(&text)
        }
    }

    /// Says something on the side; silent when `--quiet`.
    pub fn say(&mut self, text: &str) {
        if !self.quiet {
            complain(&format!("{text}\n"));
        }
    }

    /// Shows how far work on `names` is, as lines come in.
    pub fn progress(&mut self, names: &[String]) -> Progress {
        if self.quiet {
            Progress::Silent
        } else if io::stderr().is_terminal() {
            Progress::bars(names)
        } else {
            Progress::Lines
        }
    }

    /// Says why the command failed.
    pub fn failure(&mut self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let causes = failure.causes.iter().map(|cause| format!("  {cause}\n"));
        let hint = failure
            .hint
            .iter()
            .map(|hint| format!("{HINT}hint:{HINT:#} {hint}\n"));
        let mut text = format!("{ERROR}error:{ERROR:#} {}\n", failure.message);
        text.extend(causes.chain(hint));
        complain(&text);
    }
}

/// Writes to standard error; where even that is closed there is nobody left to tell.
pub(super) fn complain(text: &str) {
    drop(anstream::stderr().lock().write_all(text.as_bytes()));
}

/// A closed pipe (`seedbed list | head -1`) ends us quietly; a full disk does not.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::reader_gone(),
        _ => Failure::io("can not write to standard output", &error),
    })
}
