//! The `cidata` volume: a VM's documents as the files of a small FAT file system, for a guest that is to know who it is
//! before it has a network, or that can not be told where to ask (cloud-init 23.4 to 23.4.3). Pure: a volume is bytes.
//!
//! Every cloud-init reads it in its local stage, and FreeBSD's nuageinit, cirros and cloudbase-init do too
//! (guest-contract §3.3). It has the documents byte for byte as they are served, so no network-config of its own either:
//! a volume would keep one (§1.4), but the name of the guest's interface, which most renderers need for it, is not known
//! here. The fallback that cloud-init makes at each boot has the right name, the current hardware address, and DHCP.

use std::io::{self, Cursor, Write as _};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions, format_volume};

use super::{Document, Seed};
use crate::model::Vm;

/// The label that marks the volume, as FAT pads it. In lower case: FreeBSD's nuageinit looks for no other.
const LABEL: [u8; 11] = *b"cidata     ";

/// Clusters of 4 KiB. FAT12 then reaches 16 MiB, and files begin where pages do.
const CLUSTER: u32 = 4096;

/// A volume is a multiple of this: what 64 heads of 32 sectors make a cylinder, which mtools(1) insist on.
const CYLINDER: usize = 1 << 20;

/// The volume of a VM. The same documents make the same bytes: it has no clock in it.
pub fn volume(vm: &Vm, seed: &Seed) -> io::Result<Vec<u8>> {
    let files = || {
        let named = Document::ALL.map(|document| (document, seed.get(document)));
        named
            .into_iter()
            .filter(|(document, body)| belongs(*document, body))
    };
    let mut bytes = vec![0; size(files().map(|(_, body)| body.len()))];
    let options = FormatVolumeOptions::new()
        .bytes_per_cluster(CLUSTER)
        .volume_label(LABEL)
        .volume_id(vm.uuid.as_fields().0);
    format_volume(Cursor::new(&mut bytes), options)?;
    let system = FileSystem::new(Cursor::new(&mut bytes), FsOptions::new())?;
    for (document, body) in files() {
        let mut file = system.root_dir().create_file(document.as_str())?;
        file.write_all(body)?;
        file.flush()?;
    }
    system.unmount()?;
    Ok(bytes)
}

/// Whether a document is a file of the volume. Without meta-data and user-data, cloud-init takes no volume for its own; an
/// empty network-config would end FreeBSD's nuageinit with an error, and what is not there is as good as empty to all.
fn belongs(document: Document, body: &[u8]) -> bool {
    match document {
        Document::MetaData | Document::UserData => true,
        Document::VendorData | Document::NetworkConfig => !body.is_empty(),
    }
}

/// The size of a volume for files of these lengths: their clusters, two allocation tables of two bytes a cluster at most, and
/// what comes before and between (boot sector, root directory, rounding), for which 64 KiB are plenty.
fn size(lengths: impl Iterator<Item = usize>) -> usize {
    const CLUSTER_LEN: usize = CLUSTER as usize;
    const BESIDE: usize = 64 << 10;
    let clusters: usize = lengths.map(|length| length.div_ceil(CLUSTER_LEN)).sum();
    (clusters * (CLUSTER_LEN + 4) + BESIDE).next_multiple_of(CYLINDER)
}

#[cfg(test)]
mod tests;
