//! What a VM reads about itself without asking over the network: a read-only disk, an item of QEMU's firmware configuration,
//! or strings in its SMBIOS table. Pure: which files QEMU reads, and the arguments that name them.
//!
//! The contents are in files and never in arguments, which every user of the host can read (proc(5)).

use std::path::{Path, PathBuf};

use serde_json::json;

use super::command::{CommandError, comma_safe, file, text};
use crate::model::{Places, VmName};

/// A way to tell a VM about itself, with what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeedDevice {
    /// A read-only disk with these bytes, with the serial `cidata`.
    Disk(Vec<u8>),
    /// The Ignition config, where Ignition looks for it in a QEMU guest.
    Ignition(Vec<u8>),
    /// Strings of the SMBIOS table (type 11, OEM strings), without NUL.
    Strings(Vec<String>),
}

impl SeedDevice {
    /// The arguments that give a VM the device.
    pub(super) fn args(&self, name: &VmName, places: &Places) -> Result<Vec<String>, CommandError> {
        let folder = places.seed(name);
        let paths = self.files().into_iter().map(|(file, _)| folder.join(file));
        match self {
            Self::Disk(_) => paths.map(|path| disk(&path)).collect::<Result<Vec<_>, _>>(),
            Self::Ignition(_) => paths.map(|path| firmware(&path)).collect(),
            Self::Strings(_) => paths.map(|path| string(&path)).collect(),
        }
        .map(|args| args.into_iter().flatten().collect())
    }

    /// The files that have to lie in [`Places::seed`]: their names, and what is in them.
    pub(super) fn files(&self) -> Vec<(PathBuf, &[u8])> {
        match self {
            Self::Disk(bytes) => vec![("cidata.img".into(), bytes)],
            Self::Ignition(bytes) => vec![("config.ign".into(), bytes)],
            Self::Strings(strings) => strings
                .iter()
                .enumerate()
                .map(|(index, text)| (format!("string-{index}").into(), text.as_bytes()))
                .collect(),
        }
    }
}

type Words = Vec<String>;

/// Behind the other disks, so that those keep their names: the guest's kernel names disks in the order of their slots.
fn disk(path: &Path) -> Result<Words, CommandError> {
    let node = json!({
        "driver": "raw", "node-name": "cidata", "read-only": true, "file": file("a disk's path", path, true)?,
    });
    let device = "virtio-blk-pci,drive=cidata,serial=cidata,bus=pcie.0,addr=0x6";
    Ok(words(["-blockdev", &node.to_string(), "-device", device]))
}

fn firmware(path: &Path) -> Result<Words, CommandError> {
    let path = comma_safe(&text("a config's path", path)?);
    let item = format!("name=opt/com.coreos/config,file={path}");
    Ok(words(["-fw_cfg", &item]))
}

fn string(path: &Path) -> Result<Words, CommandError> {
    let path = comma_safe(&text("a string's path", path)?);
    Ok(words(["-smbios", &format!("type=11,path={path}")]))
}

fn words<const N: usize>(words: [&str; N]) -> Words {
    words.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(device: &SeedDevice) -> String {
        let places = Places::new("/var/lib/a,b", "/run/seedbed");
        device.args(&"web1".parse().unwrap(), &places).unwrap().join(" ")
    }

    #[test]
    fn a_volume_is_a_read_only_disk_behind_the_others() {
        insta::assert_snapshot!(args(&SeedDevice::Disk(vec![0])), @r#"-blockdev {"driver":"raw","file":{"driver":"file","filename":"/var/lib/a,b/vms/web1/seed/cidata.img","read-only":true},"node-name":"cidata","read-only":true} -device virtio-blk-pci,drive=cidata,serial=cidata,bus=pcie.0,addr=0x6"#);
    }

    #[test]
    fn an_ignition_config_is_where_ignition_looks_for_it() {
        insta::assert_snapshot!(args(&SeedDevice::Ignition(vec![0])), @"-fw_cfg name=opt/com.coreos/config,file=/var/lib/a,,b/vms/web1/seed/config.ign");
    }

    #[test]
    fn no_content_of_a_device_is_in_its_arguments() {
        let secret = "io.systemd.credential:a=secret";
        let device = SeedDevice::Strings(vec![secret.to_owned(), "another,secret".to_owned()]);
        let args = args(&device);
        insta::assert_snapshot!(args, @"-smbios type=11,path=/var/lib/a,,b/vms/web1/seed/string-0 -smbios type=11,path=/var/lib/a,,b/vms/web1/seed/string-1");
        let [(_, first), (_, second)] = &device.files()[..] else {
            panic!("{device:?}")
        };
        assert_eq!((*first, *second), (secret.as_bytes(), &b"another,secret"[..]));
    }
}
