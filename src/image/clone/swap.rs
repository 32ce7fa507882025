//! The first page of a Linux swap area, so that a fresh swap disk can be used without formatting it in the guest.
//!
//! Layout: `union swap_header` in the kernel's `include/linux/swap.h`, written here for a little-endian guest with
//! pages of 4 KiB.

use uuid::Uuid;

use crate::model::Bytes;

/// The size of a page, and so of the header.
pub const PAGE: usize = 4096;

/// What the swap area is called, for `LABEL=swap` in a guest's fstab.
pub const LABEL: &str = "swap";

/// A size no swap area can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a swap disk of {0} can not be made: choose a size between 1MiB and 8TiB, or 0 for none")]
pub struct SwapSizeError(Bytes);

/// The first page of a swap area that fills a disk of `size`.
pub fn header(size: Bytes, uuid: Uuid) -> Result<[u8; PAGE], SwapSizeError> {
    const VERSION: u32 = 1;
    let pages = size.0 / PAGE as u64;
    if !(Bytes::mib(1)..=Bytes::gib(8 << 10)).contains(&size) {
        return Err(SwapSizeError(size));
    }
    let last_page = u32::try_from(pages - 1).map_err(|_| SwapSizeError(size))?;
    let mut page = [0; PAGE];
    // The first 1,024 bytes are left to boot loaders.
    put(&mut page, 1024, &VERSION.to_le_bytes());
    put(&mut page, 1028, &last_page.to_le_bytes());
    put(&mut page, 1036, uuid.as_bytes());
    put(&mut page, 1052, LABEL.as_bytes());
    put(&mut page, PAGE - 10, b"SWAPSPACE2");
    Ok(page)
}

fn put(page: &mut [u8; PAGE], at: usize, bytes: &[u8]) {
    if let Some(place) = page.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const UUID: Uuid = Uuid::from_u128(0x7573_fe52_e13e_82a6_a9ae_40fb_6a35_1c25);

    #[test]
    fn util_linux_takes_it_for_a_swap_area() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(disk.path(), header(Bytes::mib(256), UUID).unwrap()).unwrap();
        disk.as_file().set_len(256 << 20).unwrap();
        let output = Command::new("/usr/sbin/swaplabel")
            .arg(disk.path())
            .output()
            .expect("util-linux is installed");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.contains("LABEL: swap") && said.contains(&UUID.to_string()),
            "{said}"
        );
    }

    #[test]
    fn it_is_what_mkswap_writes() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(64 << 20).unwrap();
        let status = Command::new("/usr/sbin/mkswap")
            .args(["-q", "-L", LABEL, "-U", &UUID.to_string(), "-p", "4096"])
            .arg(disk.path())
            .status()
            .expect("util-linux is installed");
        assert!(status.success());
        let theirs = std::fs::read(disk.path()).unwrap();
        assert!(theirs[..PAGE] == header(Bytes::mib(64), UUID).unwrap());
    }

    #[test]
    fn a_size_no_kernel_takes_is_refused() {
        for size in [Bytes(0), Bytes(4096), Bytes(u64::MAX)] {
            assert_eq!(header(size, UUID), Err(SwapSizeError(size)));
        }
    }
}
