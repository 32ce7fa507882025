//! The swap disk in fstab(5).

use super::draft::{Draft, READABLE};
use super::system::Family;
use crate::offline::root::RootError;

/// Where udev puts the disk with the serial `swap`. It is told by that and not by the UUID of the area on it, because the
/// VM's instance may change while its swap disk stays.
const BY_SERIAL: &str = "/dev/disk/by-id/virtio-swap";
/// What the area is called, for a system without udev.
const BY_LABEL: &str = "LABEL=swap";

pub(super) fn write(draft: &mut Draft<'_>, is_there: bool, family: Family) -> Result<(), RootError> {
    let path = "/etc/fstab";
    if !is_there && !draft.exists(path) {
        return Ok(());
    }
    let device = if family == Family::Alpine {
        BY_LABEL
    } else {
        BY_SERIAL
    };
    draft.edit(path, READABLE, |old| table(old, is_there.then_some(device)))
}

/// The table with one line for the swap disk, or none; lines of others stay as they are.
fn table(old: &str, device: Option<&str>) -> String {
    let is_ours = |line: &str| {
        let mut fields = line.split_whitespace();
        let first = fields.next();
        first == Some(BY_SERIAL)
            || (first == Some(BY_LABEL) && line.ends_with(" 0 0") && line.contains("sw,nofail"))
    };
    let wanted = device.map(|device| format!("{device} none swap sw,nofail 0 0"));
    let mut left = wanted.as_deref();
    let mut text = String::with_capacity(old.len() + 64);
    for line in old.lines() {
        let line = if is_ours(line) { left.take() } else { Some(line) };
        if let Some(line) = line {
            text.push_str(line);
            text.push('\n');
        }
    }
    if let Some(line) = left {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "# /etc/fstab: static file system information.\nUUID=5a1f / ext4 errors=remount-ro 0 1\n\
                        UUID=77ab none swap sw 0 0";

    #[test]
    fn a_swap_disk_has_one_line_however_often_it_is_written() {
        let once = table(BASE, Some(BY_SERIAL));
        assert_eq!(
            once,
            format!("{BASE}\n/dev/disk/by-id/virtio-swap none swap sw,nofail 0 0\n")
        );
        assert_eq!(table(&once, Some(BY_SERIAL)), once);
        let twice = format!("{once}/dev/disk/by-id/virtio-swap none swap sw 0 0\n");
        assert_eq!(table(&twice, Some(BY_SERIAL)), once);
        assert_eq!(table(&once, None), format!("{BASE}\n"));
    }

    #[test]
    fn a_system_without_udev_finds_it_by_its_label() {
        let once = table("/dev/vda3 / ext4 rw 0 1\n", Some(BY_LABEL));
        assert!(once.ends_with("\nLABEL=swap none swap sw,nofail 0 0\n"));
        assert_eq!(table(&once, Some(BY_LABEL)), once);
    }
}
