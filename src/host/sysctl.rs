//! The few kernel settings that guests need, in `/proc/sys/net`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::HostError;

/// Switches IPv4 forwarding on, without which no guest reaches beyond the host. Tells whether that was a change.
pub fn enable_forwarding() -> Result<bool, HostError> {
    set(Path::new("/proc/sys/net/ipv4/ip_forward"), "1")
}

/// Has accepted TCP sockets carry the mark of the packet that opened them, by which the metadata service knows the tap.
/// Sockets of other programs are the same as before where nobody marks their packets. Tells whether that was a change.
pub fn enable_accepted_marks() -> Result<bool, HostError> {
    set(Path::new("/proc/sys/net/ipv4/tcp_fwmark_accept"), "1")
}

/// Switches IPv6 off on one interface: guests are served IPv4 only, and an address nobody filters is a way around the
/// filter. A kernel without IPv6 has nothing to switch off.
pub(super) fn disable_ipv6(interface: &str) -> Result<(), HostError> {
    let folder = PathBuf::from("/proc/sys/net/ipv6/conf").join(interface);
    for key in ["accept_ra", "disable_ipv6"] {
        let path = folder.join(key);
        if path.exists() {
            set(&path, if key == "accept_ra" { "0" } else { "1" })?;
        }
    }
    Ok(())
}

/// This host's identity of machine-id(5); empty where it has none.
pub(super) fn machine_id() -> String {
    fs::read_to_string("/etc/machine-id").unwrap_or_default()
}

/// Writes a setting unless it has that value already: on some hosts `/proc/sys` is read-only and all is set before.
fn set(path: &Path, value: &str) -> Result<bool, HostError> {
    let failed = |doing| {
        move |source: io::Error| HostError::File {
            doing,
            path: path.to_owned(),
            source,
        }
    };
    if fs::read_to_string(path).map_err(failed("read"))?.trim() == value {
        return Ok(false);
    }
    fs::write(path, value).map_err(failed("write"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::namespace;

    #[test]
    fn forwarding_is_switched_on_once() {
        namespace::inside(
            "host::sysctl::tests::forwarding_is_switched_on_once",
            async |_| {
                fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
                assert!(enable_forwarding().unwrap());
                assert!(!enable_forwarding().unwrap());
            },
        );
    }

    #[test]
    fn a_setting_that_does_not_exist_is_named() {
        let error = set(Path::new("/proc/sys/net/ipv4/nothing"), "1")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("can not read /proc/sys/net/ipv4/nothing"),
            "{error}"
        );
    }
}
