//! OpenStack's metadata service: `/openstack/VERSION/`, where cloud-init looks before the network is up.

use super::answer::{Asked, Response, TEXT, document, failed, listing, nothing_there, read_only};
use crate::seed;
use crate::seed::openstack::{self, Document, VERSIONS};

const JSON: &str = "application/json";

/// Answers a request below `/openstack/`.
///
/// A document that a VM has not is 404: here that is final at once for every agent (guest-contract §3.2), and Ignition takes an
/// empty user-data for a broken one.
pub(super) fn answer(asked: Asked<'_>, path: &[&str]) -> Response {
    match path {
        [] => read_only(asked.request, || listing(&VERSIONS.join("\n"))),
        [version] if VERSIONS.contains(version) => read_only(asked.request, || {
            let has = |which: &Document| *which != Document::UserData || has_user_data(asked);
            let names: Vec<_> = Document::ALL
                .into_iter()
                .filter(has)
                .map(Document::as_str)
                .collect();
            listing(&names.join("\n"))
        }),
        [version, name] if VERSIONS.contains(version) => match Document::named(name) {
            Some(which) => read_only(asked.request, || served(asked, which)),
            None => nothing_there(),
        },
        _ => nothing_there(),
    }
}

fn has_user_data(asked: Asked<'_>) -> bool {
    asked.vm.user_data.is_some()
}

fn served(asked: Asked<'_>, which: Document) -> Response {
    let (vm, facts) = (asked.vm, asked.facts());
    let vendor_data = || seed::vendor_data(asked.case.templates, vm, &facts);
    let body = match openstack::document(which, &facts, (vm, asked.network), vendor_data) {
        Ok(Some(body)) => body,
        Ok(None) => return nothing_there(),
        Err(error) => return failed(error),
    };
    let (content_type, told) = match which {
        Document::UserData => (TEXT, "user-data"),
        Document::MetaData => (JSON, "meta-data"),
        Document::NetworkData => (JSON, "network-config"),
        Document::VendorData | Document::VendorData2 => (JSON, "vendor-data"),
    };
    document("openstack", which.as_str(), content_type, body).seen_fetching(asked, told)
}

#[cfg(test)]
mod tests {
    use super::super::answer::tests::{asked_by, bytes, text};
    use super::super::request::Method;
    use super::*;

    fn get(name: &str, path: &str) -> Response {
        asked_by(name, Method::Get, path, "")
    }

    #[test]
    fn everything_that_is_listed_is_there_in_each_version() {
        for vm in ["web1", "web2"] {
            for version in text(&get(vm, "/openstack")).to_owned().lines() {
                let listed = get(vm, &format!("/openstack/{version}/"));
                for name in text(&listed).lines() {
                    let response = get(vm, &format!("/openstack/{version}/{name}"));
                    assert_eq!(response.status, 200, "{vm} {version} {name}");
                    assert!(response.event.is_some());
                }
            }
        }
        assert_eq!(get("web1", "/openstack/2030-01-01/meta_data.json").status, 404);
        assert_eq!(get("web1", "/openstack/latest/password").status, 404);
    }

    #[test]
    fn user_data_is_the_vms_own_octets_and_none_is_404() {
        let own = get("web1", "/openstack/latest/user_data");
        assert_eq!(bytes(&own), b"#!/bin/sh\nsecret of web1\n");
        assert_eq!(get("web2", "/openstack/latest/user_data").status, 404);
    }

    #[test]
    fn vendor_data_is_what_nocloud_serves_wrapped() {
        let plain = get("web1", "/nocloud/vendor-data");
        let wrapped: serde_json::Value =
            serde_json::from_slice(bytes(&get("web1", "/openstack/latest/vendor_data.json"))).unwrap();
        assert_eq!(wrapped["cloud-init"], text(&plain));
    }
}
