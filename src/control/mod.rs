//! The admin API: the closed vocabulary that the command line and the daemon share.
//!
//! One request is one `POST /v1` over the Unix socket, with a [`Request`] as its JSON body. The reply is a stream of
//! [`Frame`]s, one JSON document a line: any number of [`Frame::Progress`], then exactly one [`Frame::Answer`] or
//! [`Frame::Refusal`]. Nothing in here is a stored form, and `model` types never appear on the wire.

mod check;
pub mod client;
mod deleted;
mod hardware;
mod images;
mod life;
mod nics;
mod policy;
mod ports;
mod reply;
mod request;
pub mod serve;
mod settings;
mod site;
mod snapshots;
mod socket;
mod twin;

pub use check::CheckInfo;
pub use deleted::{DeletedInfo, UndeleteVms};
pub use hardware::{DiskInfo, HardwareChange, HardwareInfo, NewHardware};
pub use images::{
    AddImage, CommitVm, EditImage, FindingInfo, ImageInfo, ImageRequest, InstallImage, InstallMedia,
    LintInfo, WorkshopSize,
};
pub use life::{LifeInfo, Power, PowerVms};
pub use nics::{NicInfo, NicSettings, WrittenNic};
pub use policy::PolicySettings;
pub use ports::{PortInfo, PortRequest};
pub use reply::{
    Answer, DiscoveredInfo, Fault, Frame, KeyInfo, LeaseInfo, NetworkInfo, PlannedVm, ProgressLine,
    PublicKeyInfo, RecordInfo, Refusal, TemplateInfo, VmInfo,
};
pub use request::{
    AddVms, DeleteVms, ExportForm, ImportRow, LaunchVms, Rebase, ReplaceDisks, Request, Rung, Select, SetVms,
    StopVms, View, WaitFor, WrittenRecord,
};
pub use settings::{Concealed, CustomSettings, WrittenUser};
pub use site::{AddKey, AddTemplate, RingRequest, TemplateRequest};
pub use snapshots::{SnapshotInfo, SnapshotRequest};
pub use twin::CloneVm;
