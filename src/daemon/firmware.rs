//! The UEFI firmware that the host has: found where distributions put it, and kept with the VM that was created with it.

use std::path::Path;

use crate::control::Refusal;
use crate::model::Uefi;

/// Code and template of the variables, where distributions put them; the first pair that is there is taken.
const PLACES: &[(&str, &str)] = &[
    // Debian and Ubuntu, since their releases of 2021.
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    // Fedora and its family, Arch, openSUSE.
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
    (
        "/usr/share/qemu/ovmf-x86_64-4m-code.bin",
        "/usr/share/qemu/ovmf-x86_64-4m-vars.bin",
    ),
];

/// Why there is no UEFI for a VM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FirmwareError {
    /// The host has none.
    #[error("this host has no UEFI firmware for VMs: {} is not there", .0)]
    None(&'static str),
    /// What a VM was created with was removed.
    #[error("its firmware {0} is not there any more")]
    Gone(String),
}

impl From<FirmwareError> for Refusal {
    fn from(error: FirmwareError) -> Self {
        Self::host(error.to_string()).hint("install it (package ovmf, or edk2-ovmf)")
    }
}

/// The firmware that a new VM is created with.
pub(super) fn installed() -> Result<Uefi, FirmwareError> {
    among(PLACES)
}

fn among(places: &[(&'static str, &'static str)]) -> Result<Uefi, FirmwareError> {
    let there =
        |(code, template): &&(&str, &str)| [code, template].iter().all(|path| Path::new(path).is_file());
    let (code, template) = places
        .iter()
        .find(there)
        .ok_or_else(|| FirmwareError::None(places.first().map_or("", |(code, _)| code)))?;
    Ok(Uefi {
        code: code.into(),
        template: template.into(),
    })
}

/// Whether the firmware that a VM was created with is there.
pub(super) fn check(uefi: &Uefi) -> Result<(), FirmwareError> {
    if uefi.code.is_file() {
        return Ok(());
    }
    Err(FirmwareError::Gone(uefi.code.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l15_a_firmware_that_is_missing_is_told_by_name() {
        let missing = ("/nonexistent/code.fd", "/nonexistent/vars.fd");
        let refusal = Refusal::from(among(&[missing]).unwrap_err());
        assert!(
            refusal.message.contains("/nonexistent/code.fd is not there"),
            "{refusal:?}"
        );
        assert!(refusal.hint.unwrap().contains("package ovmf"));
        // Code without a template is none.
        let half = ("/proc/self/status", "/nonexistent/vars.fd");
        let whole = ("/proc/self/status", "/proc/self/maps");
        let found = among(&[half, whole]).unwrap();
        assert_eq!(found.template, Path::new("/proc/self/maps"));
        check(&found).unwrap();
        let gone = Uefi {
            code: missing.0.into(),
            template: missing.1.into(),
        };
        assert_eq!(check(&gone), Err(FirmwareError::Gone(missing.0.to_owned())));
    }
}
