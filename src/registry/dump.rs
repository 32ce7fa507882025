//! The whole registry as JSON lines, for people and for a way out: first the head, then images, then VMs.
//!
//! ```text
//!   {"seedbed":{"schema":1,"revision":42}}
//!   {"image":{"name":"debian-12",...}}
//!   {"vm":{"name":"web1",...}}
//! ```
//! A dump holds all user-data, secrets too: keep it as the registry itself is kept.

use std::io::{self, Write};

use serde::Serialize;

use super::record::{ImageV1, SCHEMA, VmV1};
use crate::model::Directory;

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum LineV1<'a> {
    Seedbed { schema: u64, revision: u64 },
    Image(ImageV1),
    Vm(Box<VmV1<'a>>),
}

/// Writes every record of the directory, in the order of names, so that two dumps can be compared.
pub fn dump(directory: &Directory, out: &mut impl Write) -> io::Result<()> {
    let head = LineV1::Seedbed {
        schema: SCHEMA,
        revision: directory.revision().0,
    };
    let images = directory
        .images()
        .map(|image| LineV1::Image(ImageV1::from(&**image)));
    let vms = directory.vms().map(|vm| LineV1::Vm(Box::new(VmV1::from(&**vm))));
    for line in std::iter::once(head).chain(images).chain(vms) {
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
