//! What cloud-init's `phone_home` posts: a form of a few fields, all of them the guest's own word.

use super::request::percent_decoded;
use crate::model::SshKey;

/// What a guest told about itself. Its hostname and fqdn are not in here: a guest is known by where it speaks from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PhoneHome {
    /// The instance it says it is, when it says one.
    pub instance_id: Option<String>,
    /// Its SSH host keys, without comments, in the order they were posted.
    pub host_keys: Vec<SshKey>,
    /// How many key fields held no key of their kind, and were left out.
    pub unreadable: usize,
}

/// A body that is no form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a form (application/x-www-form-urlencoded)")]
pub struct NotAForm;

/// The key fields, and what the key's type starts with. DSA keys, which old releases also post, are not read.
const KEY_FIELDS: [(&str, &str); 3] = [
    ("pub_key_rsa", "ssh-rsa"),
    ("pub_key_ecdsa", "ecdsa-sha2-"),
    ("pub_key_ed25519", "ssh-ed25519"),
];

/// What cloud-init writes for a value that it does not have.
const MISSING: &str = "N/A";

impl PhoneHome {
    /// Reads a form. Of a field that is there twice the first counts; fields that mean nothing here are skipped.
    pub fn parse(body: &[u8]) -> Result<Self, NotAForm> {
        let mut told = Self::default();
        let mut seen = Vec::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = field(pair).ok_or(NotAForm)?;
            let value = value.trim();
            if value.is_empty() || value == MISSING || seen.contains(&name) {
                continue;
            }
            if name == "instance_id" {
                told.instance_id = Some(value.to_owned());
            } else if let Some((_, kind)) = KEY_FIELDS.iter().find(|(field, _)| *field == name) {
                match host_key(value, kind) {
                    Some(key) => told.host_keys.push(key),
                    None => told.unreadable += 1,
                }
            }
            seen.push(name);
        }
        Ok(told)
    }
}

/// One `name=value`; the name of a field that is not ours need not be kept apart from others.
fn field(pair: &[u8]) -> Option<(String, String)> {
    let mut halves = pair.splitn(2, |byte| *byte == b'=');
    let mut half = || String::from_utf8(percent_decoded(halves.next()?, true)?).ok();
    Some((half()?, half()?))
}

/// The key without its comment: a comment is free text of the guest's, and it would end up in `known_hosts`.
fn host_key(value: &str, kind: &str) -> Option<SshKey> {
    let mut words = value.split_ascii_whitespace();
    let (algorithm, blob) = (words.next()?, words.next()?);
    if !algorithm.starts_with(kind) {
        return None;
    }
    format!("{algorithm} {blob}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICIMQgT+hT6lZg2VZi0xE/KbCgo9+ezXib3Z75YClk7l";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEC3zF0P1H24xqZ72VEiBY9puB7JZAi0ZCHukfdO+ORX1aqcg6aXyhxTQlaVYeImoggB4kunPLly4ot+SWMAPcc=";

    /// As Python's urlencode writes it, with what cloud-init 22.4.2 sends.
    const POSTED: &str = "pub_key_dsa=N%2FA&pub_key_rsa=N%2FA\
        &pub_key_ecdsa=ecdsa-sha2-nistp256+AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEC3zF0P1H24xqZ72VEiBY9puB7JZAi0ZCHukfdO%2BORX1aqcg6aXyhxTQlaVYeImoggB4kunPLly4ot%2BSWMAPcc%3D+root%40web1%0A\
        &pub_key_ed25519=ssh-ed25519+AAAAC3NzaC1lZDI1NTE5AAAAICIMQgT%2BhT6lZg2VZi0xE%2FKbCgo9%2BezXib3Z75YClk7l+root%40web1%0A\
        &instance_id=7573fe52-e13e-82a6-a9ae-40fb6a351c25&hostname=web1&fqdn=web1.lab";

    #[test]
    fn what_cloud_init_posts_is_read() {
        let told = PhoneHome::parse(POSTED.as_bytes()).unwrap();
        let keys: Vec<_> = told.host_keys.iter().map(SshKey::as_str).collect();
        assert_eq!(keys, [ECDSA, ED25519]);
        assert_eq!(
            told.instance_id.as_deref(),
            Some("7573fe52-e13e-82a6-a9ae-40fb6a351c25")
        );
        assert_eq!(told.unreadable, 0);
    }

    #[test]
    fn a_key_of_another_kind_or_none_is_left_out_and_counted() {
        let body = "pub_key_rsa=ssh-ed25519+AAAAC3NzaC1lZDI1NTE5AAAAICIMQgT%2BhT6lZg2VZi0xE%2FKbCgo9%2BezXib3Z75YClk7l\
                    &pub_key_ecdsa=hello&pub_key_ed25519=ssh-ed25519+cut";
        let told = PhoneHome::parse(body.as_bytes()).unwrap();
        assert_eq!((told.host_keys.len(), told.unreadable), (0, 3));
    }

    #[test]
    fn a_missing_value_is_no_value_and_the_first_of_two_counts() {
        let told = PhoneHome::parse(b"instance_id=N/A").unwrap();
        assert_eq!(told, PhoneHome::default());
        let told = PhoneHome::parse(b"instance_id=one&instance_id=two").unwrap();
        assert_eq!(told.instance_id.as_deref(), Some("one"));
        assert_eq!(PhoneHome::parse(b""), Ok(PhoneHome::default()));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for bad in [
            &b"hello"[..],
            b"a=%",
            b"a=%zz",
            b"a=%ff",
            b"{\"instance_id\": 1}",
            b"\xff=1",
        ] {
            assert_eq!(PhoneHome::parse(bad), Err(NotAForm), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(told) = PhoneHome::parse(&body) {
                prop_assert!(told.host_keys.len() <= 3);
            }
        }

        #[test]
        fn no_key_field_makes_a_second_line(value in "\\PC{0,60}") {
            let encoded = value.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
            let told = PhoneHome::parse(format!("pub_key_ed25519={}%0Ax+{encoded}", ED25519.replace('+', "%2B")).as_bytes()).unwrap();
            prop_assert_eq!(told.host_keys.iter().map(SshKey::as_str).collect::<Vec<_>>(), vec![ED25519]);
        }
    }
}
