//! Site vendor-data: what every VM is given besides its template, and the user's user-data after that.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_yaml::Value;

use super::check::{self, UserDataProblem};
use super::ignition;
use super::parts::{ARCHIVE, is_mime, kind_by_beginning};
use crate::model::NetworkName;

/// The site's vendor-data, as it was in its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// That of all networks without their own.
    pub(super) everywhere: Arc<[u8]>,
    /// That of single networks; empty for none.
    pub(super) networks: BTreeMap<NetworkName, Arc<[u8]>>,
}

/// What is wrong with a site's vendor-data. The text does not say which file it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteProblem {
    /// As a user-data would be refused.
    #[error(transparent)]
    Document(#[from] UserDataProblem),
    /// An archive is a list of parts.
    #[error("an archive is a list of parts, each with a type and a content: {0}")]
    Archive(String),
    /// cloud-init reads a message as text, and gives up where it is none.
    #[error("a MIME message is UTF-8 text: write parts that are not in base64")]
    Message,
    /// Ignition reads one config only.
    #[error("it is an Ignition config, and guests that read those have no vendor-data")]
    Ignition,
}

impl Site {
    /// The vendor-data for the VMs of a network; nothing where it would say nothing.
    pub(super) fn of(&self, network: &NetworkName) -> Option<&[u8]> {
        let site = self.networks.get(network).unwrap_or(&self.everywhere);
        (!site.trim_ascii().is_empty()).then_some(&**site)
    }
}

/// Checks a document as a user-data is checked, and what only a site's can be wrong in.
pub(super) fn check(bytes: &[u8]) -> Result<(), SiteProblem> {
    if ignition::is_meant(bytes) {
        return Err(SiteProblem::Ignition);
    }
    check::check_user_data(bytes)?;
    if is_mime(bytes) {
        return std::str::from_utf8(bytes)
            .map(drop)
            .map_err(|_| SiteProblem::Message);
    }
    if kind_by_beginning(bytes) == Some(ARCHIVE) {
        let parts = std::str::from_utf8(bytes).map_err(|error| SiteProblem::Archive(error.to_string()))?;
        serde_yaml::from_str::<Vec<Value>>(parts).map_err(|error| SiteProblem::Archive(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_networks_own_stands_in_the_place_of_the_sites() {
        let site = Site {
            everywhere: Arc::from(&b"#cloud-config\na: 1\n"[..]),
            networks: BTreeMap::from([
                ("dmz".parse().unwrap(), Arc::from(&b"#!/bin/sh\n"[..])),
                ("lab".parse().unwrap(), Arc::from(&b" \n"[..])),
            ]),
        };
        let of = |network: &str| site.of(&network.parse().unwrap());
        assert_eq!(of("dmz"), Some(&b"#!/bin/sh\n"[..]));
        assert_eq!(of("office"), Some(&b"#cloud-config\na: 1\n"[..]));
        assert_eq!(of("lab"), None);
        assert_eq!(Site::default().of(&"lab".parse().unwrap()), None);
    }

    #[test]
    fn what_cloud_init_would_not_read_is_refused_with_its_reason() {
        let said = |bytes: &[u8]| check(bytes).map_err(|problem| problem.to_string());
        for good in [
            &b"#cloud-config\npackages: [chrony]\n"[..],
            b"#cloud-config-archive\n- {type: text/x-shellscript, content: x}\n- '#!/bin/sh'\n",
            b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x--\n",
            b"## template: jinja\n#cloud-config\na: {{ v1.region }}\n",
            b"#!/bin/sh\n\xff\n",
            &[0x1f, 0x8b, 8],
            b"",
        ] {
            assert_eq!(said(good), Ok(()));
        }
        for (bad, says) in [
            (&b"packages: [chrony]\n"[..], "#cloud-config"),
            (b"#cloud-config\npackages: [chrony\n", "line 3"),
            (
                b"#cloud-config-archive\ntype: text/x-shellscript\n",
                "list of parts",
            ),
            (b"MIME-Version: 1.0\n\n\xff", "base64"),
            (br#"{"ignition":{"version":"3.0.0"}}"#, "Ignition"),
        ] {
            let problem = said(bad).unwrap_err();
            assert!(problem.contains(says), "{problem}");
        }
    }
}
